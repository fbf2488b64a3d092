"""A queue of the broker to files on a disk, through the vendor's client and Beam: every event exactly once."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from flumebeam.broker import DevelopmentBroker
from flumebeam.commitlog.steps import CrashPoint
from tests.integration.hdfs_write import drain as program
from tests.integration.hdfs_write.drain import QUEUE, Signal, drain
from tests.waiting import eventually

Publish = Callable[[Sequence[bytes]], None]
_NEVER = Signal("-", 1, 0)


def _numbers(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def _events(target: Path) -> list[int]:
    return sorted(int(line) for path in target.glob("FlumeData.*") for line in path.read_bytes().splitlines())


def _start(broker: DevelopmentBroker, target: Path, point: CrashPoint, nth: int, name: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", program.__name__, broker.url, str(target), point.name, str(nth), name]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL)


def test_a_queue_is_emptied_into_files(broker: DevelopmentBroker, publish: Publish, tmp_path: Path) -> None:
    publish(_numbers(2_000))

    drain(broker.url, str(tmp_path), _NEVER)

    assert _events(tmp_path) == list(range(2_000))
    assert not broker.queue(QUEUE).messages


def test_a_cut_connection_loses_and_repeats_nothing(
    broker: DevelopmentBroker, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(_numbers(1_000))
    passed = 0

    def cut(_signal: Signal, reached: CrashPoint) -> None:
        nonlocal passed
        passed += reached is CrashPoint.COMMITTED
        if passed == 3 and reached is CrashPoint.COMMITTED:
            broker.cut_connections()

    monkeypatch.setattr(Signal, "__call__", cut)
    drain(broker.url, str(tmp_path), _NEVER)

    assert passed > 3
    assert _events(tmp_path) == list(range(1_000))
    assert not broker.queue(QUEUE).messages


@pytest.mark.slow
def test_a_drain_that_is_killed_between_its_steps_again_and_again_loses_and_repeats_nothing(
    broker: DevelopmentBroker, publish: Publish, tmp_path: Path
) -> None:
    publish(_numbers(2_000))
    for point in (
        CrashPoint.EPOCH_OPEN,
        CrashPoint.PART_WRITTEN,
        CrashPoint.RECORD_WRITTEN,
        CrashPoint.COMMITTED,
        CrashPoint.PART_PUBLISHED,
        CrashPoint.PUBLISHED,
        CrashPoint.MARKED,
    ):
        assert _start(broker, tmp_path, point, 1, "SIGKILL").wait(200) == -signal.SIGKILL

    drain(broker.url, str(tmp_path), _NEVER)

    assert _events(tmp_path) == list(range(2_000))
    assert not broker.queue(QUEUE).messages


@pytest.mark.slow
@pytest.mark.parametrize("point", [CrashPoint.PART_WRITTEN, CrashPoint.RECORD_WRITTEN, CrashPoint.COMMITTED])
def test_a_drain_that_is_frozen_until_another_one_took_over_repeats_nothing(
    broker: DevelopmentBroker, publish: Publish, tmp_path: Path, point: CrashPoint
) -> None:
    publish(_numbers(1_000))
    frozen = _start(broker, tmp_path, point, 2, "SIGSTOP")
    try:
        eventually(lambda: _is_stopped(frozen.pid))
        broker.cut_connections()

        drain(broker.url, str(tmp_path), _NEVER)
        assert _events(tmp_path) == list(range(1_000))

        frozen.send_signal(signal.SIGCONT)
        assert frozen.wait(200) == 0
    finally:
        frozen.kill()
        frozen.wait()
    assert _events(tmp_path) == list(range(1_000))


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
