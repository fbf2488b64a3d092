"""A drain that watches partitions is killed; ``_SUCCESS`` and the hook never come before the files, and always come."""

from __future__ import annotations

import signal
import subprocess
import sys
from enum import Enum
from pathlib import Path

import pytest

from flumebeam.commitlog.completing import PartitionPoint
from flumebeam.commitlog.steps import CrashPoint
from tests.faults.commitlog.partition_writer import EVENTS, OF_A_PARTITION

_WRITER = Path(__file__).with_name("partition_writer.py")
_OF_THE_LOG = [CrashPoint.COMMITTED, CrashPoint.MERGE_COMMITTED, CrashPoint.MERGE_PUBLISHED]
_PARTITIONS = EVENTS // OF_A_PARTITION
_WHOLE = {f"p={one}": list(range(one * OF_A_PARTITION, (one + 1) * OF_A_PARTITION)) for one in range(_PARTITIONS)}


def _run(target: Path, point: Enum | None = None, nth: int = 1) -> int:
    run = subprocess.run(
        [sys.executable, str(_WRITER), str(target), point.name if point else "-", str(nth)],
        timeout=250,
        capture_output=True,
        check=False,
    )
    if run.returncode not in (0, -signal.SIGKILL):
        raise AssertionError(run.stderr.decode())
    return run.returncode


def _seen(target: Path, partition: str) -> list[int]:
    files = [path for path in (target / partition).glob("*") if path.name[0] not in "._"]
    return sorted(int(line) for path in files for line in path.read_bytes().splitlines())


def _complete(target: Path) -> list[str]:
    return sorted(path.parent.name for path in target.glob("*/_SUCCESS"))


def _told(target: Path) -> list[tuple[str, str, list[int]]]:
    lines = (
        [line.split() for line in (target / "_told").read_text().splitlines()] if (target / "_told").exists() else []
    )
    return [(kind, partition, list(map(int, seen))) for kind, partition, *seen in lines]


@pytest.mark.parametrize(
    ("point", "nth"),
    [*((point, nth) for point in PartitionPoint for nth in (1, 2)), *((each, 2) for each in _OF_THE_LOG)],
)
def test_success_comes_after_everything_and_is_told_whoever_is_killed(tmp_path: Path, point: Enum, nth: int) -> None:
    # Merging takes its time: several partitions may become ready at one look, so that there is no second one.
    assert _run(tmp_path, point, nth) in {-signal.SIGKILL} | ({0} if nth > 1 else set())
    for partition in _complete(tmp_path):
        assert _seen(tmp_path, partition) == _WHOLE[partition]

    assert _run(tmp_path) == 0

    assert _complete(tmp_path) == sorted(_WHOLE)
    assert {partition: _seen(tmp_path, partition) for partition in _WHOLE} == _WHOLE
    told = _told(tmp_path)
    # At least once each; a second time only for the one whose hook was called right before the kill.
    assert {partition for _, partition, _ in told} == _WHOLE.keys()
    assert len(told) <= _PARTITIONS + 1
    assert all(kind == "complete" and seen == _WHOLE[partition] for kind, partition, seen in told)
    assert not list(tmp_path.glob(".flumebeam.logs/*/_partitions/*/_[or]-*"))
