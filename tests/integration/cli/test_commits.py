"""``flumebeam commits``: what an operator sees of a target, and does about it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from flumebeam.cli.main import app
from flumebeam.commitlog.steps import CrashPoint
from flumebeam.errors import FlumebeamError

WRITER = Path(__file__).parents[2] / "faults" / "commitlog" / "writer.py"


def commits(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["commits", *arguments])


def shown(target: Path) -> dict[str, Any]:
    [line] = commits("show", str(target), "--json").stdout.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def die_at(target: Path, point: CrashPoint) -> None:
    """Have a writer of twelve events commit three at a time, and die."""
    subprocess.run([sys.executable, str(WRITER), str(target), "12", point.name, "1"], timeout=50, check=False)


def finals(target: Path) -> list[Path]:
    return sorted(path for path in target.glob("by=*/*") if path.name[0] not in "._")


def test_what_a_killed_writer_committed_is_shown_as_stuck_and_repaired(tmp_path: Path) -> None:
    die_at(tmp_path, CrashPoint.COMMITTED)
    assert finals(tmp_path) == []

    patient = commits("show", str(tmp_path))
    impatient = commits("show", str(tmp_path), "--older-than", "0")
    assert (patient.exit_code, impatient.exit_code) == (0, 1)
    assert "committed and without a final name: 2 files" in patient.stdout
    assert "its writer is at it, or ended before it was published" in patient.stdout
    found = shown(tmp_path)
    assert len(found["stuck"]) == 2
    assert found["lag_seconds"] > 0
    assert [epoch["is_open"] for epoch in found["epochs"]] == [True]

    repaired = commits("repair", str(tmp_path))

    assert repaired.exit_code == 0
    assert "2 files published, 0 left" in repaired.stdout
    assert len(finals(tmp_path)) == 2
    assert commits("show", str(tmp_path), "--older-than", "0").exit_code == 0


def test_parts_of_a_killed_writer_are_swept_when_its_epoch_is_closed(tmp_path: Path) -> None:
    die_at(tmp_path, CrashPoint.PART_WRITTEN)
    assert shown(tmp_path)["epochs"][0]["parts"] > 0
    assert commits("repair", str(tmp_path)).exit_code == 0
    # It might be alive.
    assert shown(tmp_path)["epochs"][0]["parts"] > 0

    assert commits("repair", str(tmp_path), "--close").exit_code == 0

    found = shown(tmp_path)
    assert (found["epochs"], found["orphans"]) == ([], 0)


def test_looking_changes_nothing(tmp_path: Path) -> None:
    die_at(tmp_path, CrashPoint.PART_PUBLISHED)
    before = sorted(path for path in tmp_path.rglob("*"))

    commits("show", str(tmp_path))

    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_a_file_of_somebody_else_under_the_final_name_is_told_and_gets_around(tmp_path: Path) -> None:
    die_at(tmp_path, CrashPoint.COMMITTED)
    blocked = shown(tmp_path)["stuck"][0]["final"]
    place = tmp_path / blocked
    place.parent.mkdir(exist_ok=True)
    place.write_text("theirs")

    assert "something else has its name" in commits("show", str(tmp_path)).stdout
    assert commits("repair", str(tmp_path)).exit_code == 0

    assert place.read_text() == "theirs"
    assert len(finals(tmp_path)) == 3


def test_what_cannot_be_repaired_is_one_line_and_the_exit_status(tmp_path: Path) -> None:
    die_at(tmp_path, CrashPoint.COMMITTED)
    [record] = tmp_path.rglob("_c-*")
    record.write_bytes(record.read_bytes()[:-3])

    repaired = CliRunner().invoke(app, ["commits", "show", str(tmp_path)])
    assert isinstance(repaired.exception, FlumebeamError)
    assert "is damaged" in str(repaired.exception)


def test_a_directory_without_a_log_is_told(tmp_path: Path) -> None:
    result = commits("show", str(tmp_path))

    assert isinstance(result.exception, FlumebeamError)
    assert f"There is no commit log below {tmp_path}" in str(result.exception)
    die_at(tmp_path, CrashPoint.COMMITTED)
    assert "of a queue other" in str(commits("show", str(tmp_path), "--queue", "other").exception)
    assert commits("show", str(tmp_path), "--queue", "q-").exit_code == 0
