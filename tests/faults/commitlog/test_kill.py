"""A writer on a real disk is killed between every two steps; whoever follows, each event is there exactly once."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flumebeam.commitlog.steps import CrashPoint

_WRITER = Path(__file__).with_name("writer.py")
_EVENTS = 12
# Reached only when somebody else's file has a final name: tested without a process, in the unit tests.
_MERGING = [point for point in CrashPoint if "merge" in point.value or "segment" in point.value]
_POINTS = [point for point in CrashPoint if point is not CrashPoint.SUPERSEDED and point not in _MERGING]
_BY_A_SUCCESSOR = {CrashPoint.EPOCH_CLOSED, CrashPoint.RETIRED, CrashPoint.SWEPT}


def _write(target: Path, point: CrashPoint | None = None, nth: int = 1) -> int:
    name = point.name if point else "-"
    run = subprocess.run(
        [sys.executable, str(_WRITER), str(target), str(_EVENTS), name, str(nth)],
        timeout=250,
        capture_output=True,
        check=False,
    )
    if run.returncode not in (0, -signal.SIGKILL):
        raise AssertionError(run.stderr.decode())
    return run.returncode


def _events(target: Path) -> list[int]:
    finals = [path for path in target.glob("*/*") if path.name[0] not in "._" and path.parent.name[0] not in "._"]
    return sorted(int(line) for path in finals for line in path.read_bytes().splitlines())


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("point", _POINTS)
def test_a_writer_that_is_killed_there_loses_and_repeats_nothing(tmp_path: Path, point: CrashPoint, nth: int) -> None:
    if point in _BY_A_SUCCESSOR:
        assert _write(tmp_path, CrashPoint.RECORD_WRITTEN, 3) == -signal.SIGKILL
    died = _write(tmp_path, point, nth)
    only_once = {CrashPoint.EPOCH_OPEN, *_BY_A_SUCCESSOR}
    assert (died == -signal.SIGKILL) == (nth == 1 or point not in only_once)

    assert _write(tmp_path) == 0

    assert _events(tmp_path) == list(range(_EVENTS))


def test_a_successor_that_is_killed_while_it_takes_over_loses_and_repeats_nothing(tmp_path: Path) -> None:
    for point in (CrashPoint.COMMITTED, CrashPoint.PART_PUBLISHED, CrashPoint.MARKED, CrashPoint.RETIRED):
        assert _write(tmp_path, point, 1) == -signal.SIGKILL

    assert _write(tmp_path) == 0

    assert _events(tmp_path) == list(range(_EVENTS))
    parts = tmp_path / ".flumebeam.logs"
    assert len([path for path in parts.rglob("_*") if path.is_file() and "/_parts/" in str(path)]) == 0
