"""Beam's Prism runner for tests: its program, built once from the Go module proxy and kept in the user's cache."""

from __future__ import annotations

import os
import subprocess
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Final

from flumebeam.testing.requirements import require, unmet

__all__ = ["prism_program"]

_MODULE: Final = "github.com/apache/beam/sdks/v2/go/cmd/prism"
_BUILD_SECONDS: Final = 900


def prism_program() -> Path:
    """Return Prism's program, of the version of the installed Beam; give its path to ``--prism_location``.

    The first call builds it, which takes a minute or two; it is kept under ``$XDG_CACHE_HOME/flumebeam``
    (``~/.cache/flumebeam``).

    Raises:
        pytest.skip.Exception: It is not there yet and Go is missing, or cannot build it; the text says why. A failure
            instead where everything must run, see :mod:`flumebeam.testing.requirements`.
    """
    beam = version("apache-beam")
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    program = Path(cache, "flumebeam", f"prism-{beam}", "prism")
    if program.exists():
        return program
    require("go")
    program.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=program.parent, prefix="build-") as scratch:
        try:
            subprocess.run(  # noqa: S603 - a fixed command
                ["go", "install", f"{_MODULE}@v{beam}"],  # noqa: S607 - wherever Go is
                env={**os.environ, "GOBIN": scratch, "CGO_ENABLED": "0"},
                capture_output=True,
                text=True,
                timeout=_BUILD_SECONDS,
                check=True,
            )
        except subprocess.CalledProcessError as error:
            said = error.stderr.strip().splitlines()[-1:] or [f"status {error.returncode}"]
            unmet(f"go could not build Prism {beam}: {said[0][:300]}")
        except subprocess.TimeoutExpired:
            unmet(f"go did not build Prism {beam} in {_BUILD_SECONDS} s; is the Go module proxy reachable?")
        # Whole or not at all: several test runs may build at once.
        Path(scratch, "prism").replace(program)
    return program
