from __future__ import annotations

from pathlib import Path

import pytest

from flumebeam.testing.requirements import require, unmet


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("FLUMEBEAM_REQUIRE_ALL", raising=False)
    return tmp_path


def test_a_missing_program_skips_with_one_line_that_says_how_to_get_it() -> None:
    with pytest.raises(pytest.skip.Exception) as skipped:
        require("java")

    assert str(skipped.value) == "java is missing; get it with: apt-get install openjdk-17-jre-headless"


def test_where_everything_must_run_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUMEBEAM_REQUIRE_ALL", "1")

    with pytest.raises(pytest.fail.Exception, match="mvn is missing"):
        require("mvn")
    with pytest.raises(pytest.fail.Exception, match="no network"):
        unmet("no network")


def test_what_is_there_is_no_reason_to_skip(bare_machine: Path) -> None:
    program = bare_machine / "java"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)

    require("java")
