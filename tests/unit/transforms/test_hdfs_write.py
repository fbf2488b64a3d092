from __future__ import annotations

import gzip
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.internal import pickler

from flumebeam.batch import BatchProvenance, EventBatch
from flumebeam.clock import ManualClock
from flumebeam.commitlog.options import CommitLogOptions, QueueAccess
from flumebeam.commitlog.records import Record
from flumebeam.commitlog.rolling import RollOptions
from flumebeam.commitlog.steps import CrashPoint
from flumebeam.deliveries import Durable
from flumebeam.errors import ConfigurationError, StorageError, StorageFullError, StorageUnavailableError
from flumebeam.formats import ParquetFormat, TextFormat
from flumebeam.hdfs.local import LocalFileSystem
from flumebeam.hdfs.targets import Target, TargetAddress
from flumebeam.ids import DeliveryId, delivery_ids, packed_ids
from flumebeam.solace.packing import PACKED_HEADER
from flumebeam.testing.faulty_filesystem import Failure, Fault, FaultyFileSystem
from flumebeam.testing.memory_queue import MemoryQueue, MemoryReceiverFactory
from flumebeam.transforms.acknowledge import Acknowledge
from flumebeam.transforms.hdfs_lives import Lives
from flumebeam.transforms.hdfs_write import WriteToHdfs
from flumebeam.transforms.read_options import BundleLimits, ReadLimits
from flumebeam.transforms.receiver_read import ReadFromReceivers
from flumebeam.transforms.receivers import RECEIVERS
from flumebeam.transforms.running import run_pipeline


def batch_of(
    *numbers: int,
    receiver: str = "r1",
    fence: bool = False,
    queue: str = "q",
    headers: dict[str, list[str]] | None = None,
) -> EventBatch:
    origin = BatchProvenance(
        receiver,
        queue,
        delivery_ids(DeliveryId(1, number) for number in numbers),
        pa.array([False] * len(numbers)),
        fence,
    )
    return EventBatch.from_bodies([b"%d" % number for number in numbers], None, headers, origin)


def finals(target: Path) -> list[Path]:
    """What readers see: no hidden directory, no hidden file."""
    found = [path for path in target.rglob("*") if path.is_file()]
    return sorted(path for path in found if not any(name[0] in "._" for name in path.relative_to(target).parts))


def lines(target: Path) -> list[int]:
    return sorted(int(line) for path in finals(target) for line in path.read_bytes().splitlines())


def numbers_of(durable: list[Durable]) -> list[int]:
    return [DeliveryId.unpack(packed).number for one in durable for packed in one.ids.to_pylist()]


class Worker:
    """What a runner does with one instance of the sink, call by call."""

    def __init__(self, transform: WriteToHdfs) -> None:
        self.fn: Any = transform._fn
        self.fn.setup()

    def bundle(self, *batches: EventBatch) -> list[Durable]:
        self.fn.start_bundle()
        durable = [one for batch in batches for one in self.process(batch)]
        return durable + self.finish()

    def process(self, batch: EventBatch) -> list[Durable]:
        return list(self.fn.process(batch, 0, None))

    def finish(self) -> list[Durable]:
        return [windowed.value for windowed in self.fn.finish_bundle()]


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    made: list[Worker] = []

    def make(**options: Any) -> Worker:
        options.setdefault("roll", None)
        made.append(Worker(WriteToHdfs(options.pop("target", str(tmp_path)), **options)))
        return made[-1]

    yield make
    for one in made:
        one.fn.teardown()


# -- transactions ----------------------------------------------------------------------------------------------------


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


def test_a_transaction_is_committed_within_a_bundle_when_it_is_old(
    worker: Callable[..., Worker], tmp_path: Path
) -> None:
    clock = ManualClock()
    one = worker(max_seconds=5, clock=clock)
    one.fn.start_bundle()
    assert one.process(batch_of(1)) == []
    clock.advance(5)

    assert numbers_of(one.process(batch_of(2))) == [1, 2]


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


# -- exactly once ----------------------------------------------------------------------------------------------------


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


def test_instances_of_one_sink_share_the_life_of_a_receiver(tmp_path: Path) -> None:
    transform = WriteToHdfs(str(tmp_path), roll=None)
    first = Worker(transform)
    second = Worker(pickler.loads(pickler.dumps(transform)))
    assert numbers_of(first.bundle(batch_of(1))) == [1]
    assert numbers_of(second.bundle(batch_of(2))) == [2]
    assert numbers_of(first.bundle(batch_of(1, 3))) == [1, 3]
    first.fn.teardown()
    second.fn.teardown()

    assert lines(tmp_path) == [1, 2, 3]
    assert len(list(tmp_path.glob(".flumebeam.logs/*/_epochs/*"))) == 1


def _epochs(target: Path) -> list[str]:
    return sorted(path.name.partition(".")[0].removeprefix("_") for path in target.glob(".flumebeam.logs/*/_epochs/*"))


def test_the_epoch_of_a_named_queue_is_open_before_its_receiver_is_bound(
    worker: Callable[..., Worker], tmp_path: Path
) -> None:
    worker(queue="q")

    RECEIVERS._before_bind("q", "r1")
    RECEIVERS._before_bind("another", "r2")

    assert _epochs(tmp_path) == ["r1"]


def test_without_a_name_epochs_are_opened_before_binds_once_the_queue_is_known(
    worker: Callable[..., Worker], tmp_path: Path
) -> None:
    one = worker()
    RECEIVERS._before_bind("q", "r1")
    assert _epochs(tmp_path) == []
    one.bundle(batch_of(1))

    RECEIVERS._before_bind("q", "r2")
    RECEIVERS._before_bind("another", "r3")

    assert _epochs(tmp_path) == ["r1", "r2"]


# -- files -----------------------------------------------------------------------------------------------------------


def test_events_are_grouped_by_path(worker: Callable[..., Worker], tmp_path: Path) -> None:
    one = worker(path="host=%{host}")
    one.bundle(batch_of(1, 2, 3, headers={"host": ["a", "b", "a"]}), batch_of(4, headers={"host": ["b"]}))

    assert {path.parent.name: path.read_bytes() for path in finals(tmp_path)} == {
        "host=a": b"1\n3\n",
        "host=b": b"2\n4\n",
    }


def test_names_and_codec_are_as_wished(worker: Callable[..., Worker], tmp_path: Path) -> None:
    worker(file_prefix="web", codec="gzip").bundle(batch_of(1))
    worker(file_prefix="web", file_suffix=".log").bundle(batch_of(2, receiver="r2"))

    first, second = finals(tmp_path)
    assert {first.name.partition(".")[0], second.name.partition(".")[0]} == {"web"}
    packed = next(path for path in (first, second) if path.name.endswith(".txt.gz"))
    assert gzip.decompress(packed.read_bytes()) == b"1\n"


def test_events_whose_files_begin_differently_are_never_in_one_file(
    worker: Callable[..., Worker], tmp_path: Path
) -> None:
    one = worker(path="all", file_prefix="%{host}", roll=RollOptions.flume())
    for start in (0, 8, 16, 24):
        one.bundle(batch_of(*range(start, start + 8), headers={"host": ["a", "b"] * 4}))

    eventually(lambda: len(finals(tmp_path)) == 2)
    assert [(path.parent.name, path.name.partition(".")[0]) for path in finals(tmp_path)] == [
        ("all", "a"),
        ("all", "b"),
    ]
    assert [len(path.read_bytes().splitlines()) for path in finals(tmp_path)] == [10, 10]


def test_ten_thousand_open_paths_cost_no_handle_and_little_memory(
    worker: Callable[..., Worker], tmp_path: Path
) -> None:
    paths = 10_000
    handles: list[int] = []

    def count(point: CrashPoint) -> None:
        if point is CrashPoint.PART_WRITTEN:
            handles.append(_handles())

    one = worker(path="%{p}", roll=RollOptions(max_seconds=0, max_open=paths), max_events=paths, at=count)
    before, memory = _handles(), _resident_bytes()
    one.bundle(batch_of(*range(paths), headers={"p": [f"p{number}" for number in range(paths)]}))

    assert len(handles) == paths
    assert max(handles) <= before + 2 * CommitLogOptions().threads
    assert _resident_bytes() - memory < 20_000 * paths


def _handles() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_format_of_a_users_own_is_written(worker: Callable[..., Worker], tmp_path: Path) -> None:
    worker(format=ParquetFormat("zstd", row_group_bytes=1_000_000)).bundle(batch_of(1, 2))

    (file,) = finals(tmp_path)
    assert file.suffix == ".parquet"
    assert pq.read_table(file).column("body").to_pylist() == [b"1", b"2"]


def test_a_codec_beside_a_format_of_a_users_own_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="Give the codec 'gzip' to your format parquet itself"):
        WriteToHdfs(str(tmp_path), format=ParquetFormat(), codec="gzip")


def test_every_body_arrives_as_it_was(worker: Callable[..., Worker], tmp_path: Path) -> None:
    bodies = [b"", b"\xff\x00", b"r\r", os.urandom(1_000_000).replace(b"\n", b""), b"end"]
    origin = batch_of(*range(5)).provenance
    worker().bundle(EventBatch.from_bodies(bodies, None, None, origin))

    (file,) = finals(tmp_path)
    assert file.read_bytes() == b"".join(body + b"\n" for body in bodies)


# -- without provenance ----------------------------------------------------------------------------------------------


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


# -- failures --------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_events": 0}, "max_events must be positive"),
        ({"max_bytes": -1}, "max_bytes must be positive"),
        ({"max_seconds": 0}, "max_seconds must be positive"),
        ({"file_prefix": "_a"}, "hides them"),
        ({"file_prefix": "a/b"}, "not possible"),
        ({"file_prefix": "%D"}, "directories belong to the path"),
        ({"file_prefix": "%Q"}, "unknown escape"),
        ({"file_suffix": "/x"}, "not possible"),
        ({"file_prefix": ""}, "cannot be named"),
        ({"format": "word"}, "no format 'word'"),
        ({"codec": "rar"}, "no codec 'rar'"),
        ({"path": "%{host"}, "host"),
        ({"target": "ftp://x/y"}, "scheme"),
    ],
)
def test_options_that_cannot_work_are_refused_when_the_graph_is_built(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        WriteToHdfs(**{"target": "/nowhere", **options})


# -- in a graph ------------------------------------------------------------------------------------------------------


class _FailOnceError(Exception):
    pass


class FailAt:
    """A crash point that fails the bundle instead of the process, once."""

    left: bool = True

    def __init__(self, point: CrashPoint) -> None:
        self.point = point

    def __call__(self, reached: CrashPoint) -> None:
        if reached is self.point and FailAt.left:
            FailAt.left = False
            raise _FailOnceError(reached.value)


def drain(queue: MemoryQueue, target: Path, **options: Any) -> None:
    options.setdefault("roll", None)
    pipeline = beam.Pipeline(runner="FnApiRunner")
    (
        pipeline
        | ReadFromReceivers(
            MemoryReceiverFactory(queue.name),
            limits=ReadLimits(until_empty=True, idle_seconds=0),
            bundle=BundleLimits(events=300),
        )
        | WriteToHdfs(str(target), **options)
        | Acknowledge()
    )
    run_pipeline(pipeline)


def test_a_queue_is_drained_to_files_and_acknowledged(queue: MemoryQueue, tmp_path: Path) -> None:
    queue.put(b"%d" % number for number in range(2_000))

    drain(queue, tmp_path, max_events=250)

    assert lines(tmp_path) == list(range(2_000))
    assert len(queue.acknowledged) == 2_000
    assert not queue.open


def proofs(target: Path) -> list[bool]:
    """For each file of retired ids, whether their acknowledgement is proven."""
    files = target.glob(".flumebeam.logs/*/_retired/*")
    return [Record.from_bytes(file.read_bytes(), str(file)).facts["proven"] for file in files]


def test_ids_of_a_drain_that_ended_in_order_are_retired_as_proven(queue: MemoryQueue, tmp_path: Path) -> None:
    queue.put(b"%d" % number for number in range(100))

    drain(queue, tmp_path)

    assert proofs(tmp_path) == [True]
    assert _epochs(tmp_path) == []


def test_ids_of_a_failed_drain_are_proven_by_the_next_one(queue: MemoryQueue, tmp_path: Path) -> None:
    queue.put(b"%d" % number for number in range(1_000))
    FailAt.left = True
    with pytest.raises(Exception, match=CrashPoint.MARKED.value):
        drain(queue, tmp_path, max_events=250, at=FailAt(CrashPoint.MARKED))
    assert proofs(tmp_path) == []

    drain(queue, tmp_path, max_events=250)

    assert set(proofs(tmp_path)) == {True}
    assert _epochs(tmp_path) == []


class Stage:
    """A source and a sink in one process, torn down in the order that a test wants."""

    def __init__(self, queue: MemoryQueue, target: Path) -> None:
        self.user = RECEIVERS.join(queue)
        self.sink = Worker(WriteToHdfs(str(target), queue=queue.name, roll=None))
        self.receiver = RECEIVERS.acquire(self.user, 0, MemoryReceiverFactory(queue.name))

    def run(self, *, acknowledge: int) -> None:
        for durable in self.sink.bundle(self.receiver.receive(100, 0)):
            RECEIVERS.acknowledge(durable.receiver, durable.ids[:acknowledge])

    def tear_down(self, order: str) -> None:
        parts = {"source": lambda: RECEIVERS.leave(self.user), "sink": self.sink.fn.teardown}
        for part in order.split(", "):
            parts[part]()


@pytest.mark.parametrize("order", ["source, sink", "sink, source"])
@pytest.mark.parametrize(("acknowledged", "proven"), [(100, [True]), (99, [])])
def test_lives_end_with_their_receivers_in_whatever_order_a_runner_tears_down(
    queue: MemoryQueue, tmp_path: Path, order: str, acknowledged: int, proven: list[bool]
) -> None:
    queue.put(b"%d" % number for number in range(100))
    stage = Stage(queue, tmp_path)
    stage.run(acknowledge=acknowledged)

    stage.tear_down(order)

    assert proofs(tmp_path) == proven
    assert not Lives._shared
    assert not RECEIVERS._close_hooks


def test_a_sink_that_is_set_up_again_while_its_receivers_are_open_goes_on_with_their_lives(
    queue: MemoryQueue, tmp_path: Path
) -> None:
    queue.put(b"%d" % number for number in range(150))
    stage = Stage(queue, tmp_path)
    stage.run(acknowledge=100)

    stage.sink.fn.teardown()
    stage.sink.fn.setup()
    stage.run(acknowledge=100)

    assert len(_epochs(tmp_path)) == 1
    stage.tear_down("source, sink")
    assert proofs(tmp_path) == [True]
    assert lines(tmp_path) == list(range(150))


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


# -- rolling ---------------------------------------------------------------------------------------------------------


def test_by_default_transactions_are_reported_at_once_and_become_one_file_at_the_end(
    queue: MemoryQueue, tmp_path: Path
) -> None:
    queue.put(b"%d" % number for number in range(2_000))

    drain(queue, tmp_path, max_events=250, roll=RollOptions())

    (file,) = finals(tmp_path)
    assert [int(line) for line in file.read_bytes().splitlines()] == list(range(2_000))
    assert len(queue.acknowledged) == 2_000
    assert [path for path in tmp_path.rglob("_*") if path.is_file() and "retired" not in str(path)] == []


def test_what_is_reported_may_still_be_hidden(worker: Callable[..., Worker], tmp_path: Path) -> None:
    one = worker(roll=RollOptions())

    assert numbers_of(one.bundle(batch_of(1, 2))) == [1, 2]

    assert finals(tmp_path) == []


def test_a_file_ends_when_it_is_large_enough(worker: Callable[..., Worker], tmp_path: Path) -> None:
    one = worker(roll=RollOptions(max_bytes=6), max_events=2)
    for number in range(0, 12, 2):
        one.bundle(batch_of(number, number + 1))

    eventually(lambda: lines(tmp_path) == list(range(12)))
    files = [b"0\n1\n2\n3\n", b"4\n5\n6\n7\n", b"8\n9\n10\n11\n"]
    assert sorted(path.read_bytes() for path in finals(tmp_path)) == files


@pytest.mark.parametrize("limit", [{"max_seconds": 0.3}, {"max_seconds": 0, "idle_seconds": 0.3}])
def test_a_file_ends_by_itself_when_it_is_old_or_idle(
    worker: Callable[..., Worker], tmp_path: Path, limit: dict[str, float]
) -> None:
    worker(roll=RollOptions(**limit)).bundle(batch_of(1, 2))  # type: ignore[arg-type]

    eventually(lambda: lines(tmp_path) == [1, 2])


@pytest.mark.parametrize("format", ["text", "header_and_text", "avro_event", "parquet", "sequence_file"])
def test_files_of_every_format_are_rolled(queue: MemoryQueue, tmp_path: Path, format: str) -> None:
    queue.put(b"%d" % number for number in range(1_000))

    drain(queue, tmp_path, max_events=250, roll=RollOptions(), format=format)

    (file,) = finals(tmp_path)
    assert len(queue.acknowledged) == 1_000
    if format == "parquet":
        assert [int(body) for body in pq.read_table(file)["body"].to_pylist()] == list(range(1_000))


def test_flumes_own_limits_are_looked_at_after_every_event(queue: MemoryQueue, tmp_path: Path) -> None:
    queue.put(b"%03d" % number for number in range(95))

    drain(queue, tmp_path, max_events=37, roll=RollOptions.flume())

    assert lines(tmp_path) == list(range(95))
    counts = Counter(len(path.read_bytes().splitlines()) for path in finals(tmp_path))
    assert counts == {10: 9, 5: 1}


def test_flumes_size_counts_bodies(queue: MemoryQueue, tmp_path: Path) -> None:
    queue.put(b"%03d" % number for number in range(100))

    drain(queue, tmp_path, codec="gzip", roll=RollOptions(max_bytes=100, max_seconds=0, every_event=True))

    sizes = [len(gzip.decompress(path.read_bytes()).splitlines()) for path in finals(tmp_path)]
    assert sorted(sizes) == [32, 34, 34], "a file ends with the event that makes it 100 bytes"


def test_a_format_whose_files_cannot_be_joined_is_not_rolled(worker: Callable[..., Worker], tmp_path: Path) -> None:
    worker(format=Unjoinable(), roll=RollOptions()).bundle(batch_of(1, 2))

    assert lines(tmp_path) == [1, 2]


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


def test_a_drain_of_an_empty_queue_shows_what_a_dead_one_left_hidden(
    worker: Callable[..., Worker], queue: MemoryQueue, tmp_path: Path
) -> None:
    worker(roll=RollOptions()).bundle(batch_of(1, 2, queue=queue.name))

    drain(queue, tmp_path, roll=RollOptions())

    assert lines(tmp_path) == [1, 2]


def eventually(true: Callable[[], bool]) -> None:
    """Wait for the threads that merge."""
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Unjoinable(TextFormat):
    concatenable = False  # type: ignore[assignment]
