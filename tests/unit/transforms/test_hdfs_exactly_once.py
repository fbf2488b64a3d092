"""Each message is in the files once, whoever hands it over again and wherever a bundle fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from flumebeam.commitlog.rolling import RollOptions
from flumebeam.commitlog.steps import CrashPoint
from flumebeam.testing.memory_queue import MemoryQueue
from flumebeam.transforms.receivers import RECEIVERS
from tests.unit.transforms.sinks import FailAt, Worker, batch_of, drain, lines, numbers_of


def test_a_queue_is_drained_to_files_and_acknowledged(queue: MemoryQueue, tmp_path: Path) -> None:
    queue.put(b"%d" % number for number in range(2_000))

    drain(queue, tmp_path, max_events=250)

    assert lines(tmp_path) == list(range(2_000))
    assert len(queue.acknowledged) == 2_000
    assert not queue.open


def test_a_message_that_the_client_hands_over_twice_is_kept_once(worker: Callable[..., Worker], tmp_path: Path) -> None:
    one = worker()
    one.bundle(batch_of(1, 2, 1), batch_of(2, 3, 3, 4))

    assert lines(tmp_path) == [1, 2, 3, 4]


def test_what_was_committed_before_is_reported_at_once_and_not_written(
    worker: Callable[..., Worker], tmp_path: Path
) -> None:
    worker().bundle(batch_of(1, 2))
    other = worker()
    other.fn.start_bundle()

    assert numbers_of(other.process(batch_of(1, 2, 3, receiver="r2"))) == [1, 2]
    assert numbers_of(other.finish()) == [3]
    assert lines(tmp_path) == [1, 2, 3]


def test_a_refused_receiver_is_given_up_without_an_error(
    worker: Callable[..., Worker], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    abandoned: list[str] = []
    monkeypatch.setattr(RECEIVERS, "abandon", abandoned.append)
    old, new = worker(), worker()
    old.fn.start_bundle()
    old.process(batch_of(1))
    assert numbers_of(new.bundle(batch_of(1, receiver="r2"))) == [1]

    assert old.finish() == []
    assert old.bundle(batch_of(2)) == []

    assert set(abandoned) == {"r1"}
    assert lines(tmp_path) == [1]


def test_a_batch_that_says_so_is_fenced_before_it_is_committed(worker: Callable[..., Worker], tmp_path: Path) -> None:
    old, new = worker(), worker()
    old.bundle(batch_of(1))
    new.fn.start_bundle()
    new.process(batch_of(2, receiver="r2"))

    assert numbers_of(new.process(batch_of(1, receiver="r2", fence=True))) == [1]


@pytest.mark.parametrize(
    "point",
    [
        CrashPoint.EPOCH_OPEN,
        CrashPoint.PART_WRITTEN,
        CrashPoint.RECORD_WRITTEN,
        CrashPoint.COMMITTED,
        CrashPoint.PART_PUBLISHED,
        CrashPoint.PUBLISHED,
        CrashPoint.MARKED,
    ],
)
def test_a_bundle_that_fails_between_two_steps_loses_and_repeats_nothing(
    queue: MemoryQueue, tmp_path: Path, point: CrashPoint
) -> None:
    queue.put(b"%d" % number for number in range(1_000))
    FailAt.left = True

    with pytest.raises(Exception, match=point.value):
        drain(queue, tmp_path, max_events=250, at=FailAt(point))
    drain(queue, tmp_path, max_events=250)

    assert lines(tmp_path) == list(range(1_000))
    assert sorted(map(int, queue.acknowledged)) == list(range(1_000))


@pytest.mark.parametrize("point", [point for point in CrashPoint if "merge" in point.value or "segment" in point.value])
def test_a_merge_that_fails_between_two_steps_loses_and_repeats_nothing(
    queue: MemoryQueue, tmp_path: Path, point: CrashPoint
) -> None:
    queue.put(b"%d" % number for number in range(1_000))
    FailAt.left = True
    with pytest.raises(Exception, match=point.value):
        drain(queue, tmp_path, max_events=100, at=FailAt(point), roll=RollOptions(max_bytes=700))

    drain(queue, tmp_path, max_events=100, roll=RollOptions(max_bytes=700))

    assert lines(tmp_path) == list(range(1_000))
