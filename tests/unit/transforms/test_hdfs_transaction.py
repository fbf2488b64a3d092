"""What a bundle brought is committed when it is enough, at the latest at the bundle's end, and reported after that."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from flumebeam.batch import BatchProvenance, EventBatch
from flumebeam.clock import ManualClock
from flumebeam.commitlog.options import CommitLogOptions, QueueAccess
from flumebeam.errors import StorageError, StorageFullError, StorageUnavailableError
from flumebeam.hdfs.local import LocalFileSystem
from flumebeam.hdfs.targets import Target, TargetAddress
from flumebeam.ids import DeliveryId, packed_ids
from flumebeam.solace.packing import PACKED_HEADER
from flumebeam.testing.faulty_filesystem import Failure, Fault, FaultyFileSystem
from tests.unit.transforms.sinks import Worker, batch_of, finals, lines, numbers_of


def test_a_bundle_ends_with_everything_in_a_file_and_reported(worker: Callable[..., Worker], tmp_path: Path) -> None:
    durable = worker().bundle(batch_of(1, 2), batch_of(3))

    assert numbers_of(durable) == [1, 2, 3]
    assert [one.receiver for one in durable] == ["r1"]
    (file,) = finals(tmp_path)
    assert file.read_bytes() == b"1\n2\n3\n"
    assert file.name.startswith("FlumeData.")
    assert file.suffix == ".txt"


@pytest.mark.parametrize("limit", [{"max_events": 4}, {"max_bytes": 4}])
def test_a_transaction_is_committed_within_a_bundle_when_it_is_full(
    worker: Callable[..., Worker], tmp_path: Path, limit: dict[str, int]
) -> None:
    one = worker(**limit)
    one.fn.start_bundle()
    assert one.process(batch_of(1, 2)) == []
    assert numbers_of(one.process(batch_of(3, 4))) == [1, 2, 3, 4]
    assert lines(tmp_path) == [1, 2, 3, 4]
    assert one.finish() == []


def test_a_transaction_is_committed_within_a_bundle_when_it_is_old(
    worker: Callable[..., Worker], tmp_path: Path
) -> None:
    clock = ManualClock()
    one = worker(max_seconds=5, clock=clock)
    one.fn.start_bundle()
    assert one.process(batch_of(1)) == []
    clock.advance(5)

    assert numbers_of(one.process(batch_of(2))) == [1, 2]


def test_a_large_batch_is_cut_into_transactions(worker: Callable[..., Worker], tmp_path: Path) -> None:
    durable = worker(max_events=4).bundle(batch_of(0), batch_of(*range(1, 11)))

    assert [len(one.ids) for one in durable] == [4, 4, 3]
    assert lines(tmp_path) == list(range(11))


def packs_of(count: int, size: int, *, body: bytes = b"x") -> EventBatch:
    """A batch as it comes of so many messages that pack so many events each."""
    ids = packed_ids([DeliveryId(1, number).pack() for number in range(count)], [size] * count)
    origin = BatchProvenance("r1", "q", ids, pa.array([False] * len(ids)))
    return EventBatch.from_bodies([body] * len(ids), {PACKED_HEADER: "true"}, None, origin)


def test_by_default_a_transaction_ends_by_messages_and_of_packed_events_by_bytes(
    worker: Callable[..., Worker], tmp_path: Path
) -> None:
    plain = worker(target=str(tmp_path / "plain")).bundle(batch_of(*range(3_000)), batch_of(*range(3_000, 6_000)))
    small = worker(target=str(tmp_path / "small")).bundle(
        packs_of(40, 300), replace(batch_of(9), shared={PACKED_HEADER: "true"})
    )
    large = worker(target=str(tmp_path / "large")).bundle(
        *(packs_of(40, 600, body=b"x" * 300).slice(at, 8_000) for at in (0, 8_000, 16_000))
    )
    many = worker(target=str(tmp_path / "many")).bundle(packs_of(5_000, 2), packs_of(5_001, 2).slice(10_000))

    assert [len(one.ids) for one in plain] == [5_000, 1_000]
    assert [len(one.ids) for one in small] == [12_001]
    assert [len(one.ids) for one in large] == [16_000, 8_000]
    assert [len(one.ids) for one in many] == [10_000, 2]


def test_packed_events_end_a_transaction_where_they_are_told_to(worker: Callable[..., Worker]) -> None:
    durable = worker(max_events=5).bundle(packs_of(4, 3))

    assert [len(one.ids) for one in durable] == [5, 5, 2]


def test_what_a_failed_bundle_left_is_forgotten(worker: Callable[..., Worker], tmp_path: Path) -> None:
    one = worker()
    one.fn.start_bundle()
    one.process(batch_of(1))

    one.bundle(batch_of(2))

    assert lines(tmp_path) == [2]


def test_receivers_have_transactions_of_their_own(worker: Callable[..., Worker], tmp_path: Path) -> None:
    shared = CommitLogOptions(access=QueueAccess.SHARED)
    durable = worker(commit_log=shared).bundle(batch_of(1), batch_of(2, receiver="r2"), batch_of(3))

    assert {one.receiver: numbers_of([one]) for one in durable} == {"r1": [1, 3], "r2": [2]}
    assert lines(tmp_path) == [1, 2, 3]


def test_an_empty_bundle_writes_nothing(worker: Callable[..., Worker], tmp_path: Path) -> None:
    assert worker().bundle() == []
    assert worker().bundle(EventBatch.empty()) == []
    assert list(tmp_path.iterdir()) == []


def test_events_of_a_program_are_written_and_nothing_is_reported(worker: Callable[..., Worker], tmp_path: Path) -> None:
    assert worker().bundle(EventBatch.from_bodies([b"1", b"2"]), EventBatch.from_bodies([b"3"])) == []
    assert lines(tmp_path) == [1, 2, 3]


def test_writers_of_program_events_do_not_disturb_each_other(worker: Callable[..., Worker], tmp_path: Path) -> None:
    one, other = worker(), worker()
    for number in range(3):
        one.bundle(EventBatch.from_bodies([b"%d" % number]))
        other.bundle(EventBatch.from_bodies([b"%d" % (10 + number)]))

    assert lines(tmp_path) == [0, 1, 2, 10, 11, 12]


def test_a_writer_of_program_events_that_was_idle_too_long_goes_on(
    worker: Callable[..., Worker], tmp_path: Path
) -> None:
    one = worker(max_events=2)
    one.bundle(EventBatch.from_bodies([b"1"]))
    (epoch,) = tmp_path.glob(".flumebeam.logs/*/_epochs/*")
    os.utime(epoch, (0, 0))
    worker().bundle(EventBatch.from_bodies([b"2"]))

    one.bundle(EventBatch.from_bodies([b"3", b"4", b"5"]))
    one.bundle(EventBatch.from_bodies([b"6"]))

    assert lines(tmp_path) == [1, 2, 3, 4, 5, 6]


def test_an_unusable_target_is_one_clear_error_and_nothing_is_reported(
    worker: Callable[..., Worker], tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    one = worker(target=f"{tmp_path}/file/below")

    with pytest.raises(StorageError, match=r"Cannot make directory .*/file is in the way .* choose another target"):
        one.bundle(batch_of(1))

    assert (tmp_path / "file").read_bytes() == b"mine"


def test_an_hdfs_that_nobody_answers_is_one_clear_error_within_the_patience(worker: Callable[..., Worker]) -> None:
    one = worker(target="webhdfs://127.0.0.1:9/logs", commit_log=CommitLogOptions(patience_seconds=0.3))

    with pytest.raises(StorageUnavailableError, match=r"127\.0\.0\.1:9"):
        one.bundle(batch_of(1))


def test_a_target_that_was_full_or_silent_for_a_while_delays_events_and_nothing_else(
    worker: Callable[..., Worker], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = [
        Fault(Failure.FULL, "write", "/_parts/", times=2),
        Fault(Failure.SILENT, "rename", "/_epochs/", times=2),
        Fault(Failure.ANSWER_LOST, "rename", str(tmp_path / "FlumeData")),
    ]
    target = Target(FaultyFileSystem(LocalFileSystem(), *faults), str(tmp_path))
    monkeypatch.setattr(TargetAddress, "open", lambda _address: target)

    assert numbers_of(worker().bundle(batch_of(1, 2))) == [1, 2]

    assert lines(tmp_path) == [1, 2]
    assert not any(fault.times for fault in faults)


def test_a_target_that_stays_full_is_one_clear_error_and_later_nothing_is_missing(
    worker: Callable[..., Worker], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs = FaultyFileSystem(LocalFileSystem(), Fault(Failure.FULL, "write", times=-1))
    monkeypatch.setattr(TargetAddress, "open", lambda _address: Target(fs, str(tmp_path)))
    one = worker(commit_log=CommitLogOptions(patience_seconds=0.2))

    with pytest.raises(StorageFullError, match="Free some space"):
        one.bundle(batch_of(1))
    fs.faults.clear()

    assert numbers_of(one.bundle(batch_of(1, 2))) == [1, 2]
    assert lines(tmp_path) == [1, 2]
