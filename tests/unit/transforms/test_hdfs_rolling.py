"""Files hold many transactions, and end when and where their limits say."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flumebeam.commitlog.rolling import RollOptions
from flumebeam.formats import TextFormat
from flumebeam.testing.memory_queue import MemoryQueue
from tests.unit.transforms.sinks import Worker, batch_of, drain, finals, lines, numbers_of
from tests.waiting import eventually


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


def test_names_of_the_files_of_a_transaction_sort_in_the_order_of_its_events(
    worker: Callable[..., Worker], tmp_path: Path
) -> None:
    one = worker(roll=RollOptions(max_events=2, max_seconds=0, every_event=True), file_suffix="")
    one.bundle(batch_of(*range(6)))
    one.bundle(batch_of(*range(6, 10)))

    assert [path.read_bytes() for path in finals(tmp_path)] == [b"%d\n%d\n" % (at, at + 1) for at in range(0, 10, 2)]


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


class Unjoinable(TextFormat):
    concatenable = False  # type: ignore[assignment]


def test_a_format_whose_files_cannot_be_joined_is_not_rolled(worker: Callable[..., Worker], tmp_path: Path) -> None:
    worker(format=Unjoinable(), roll=RollOptions()).bundle(batch_of(1, 2))

    assert lines(tmp_path) == [1, 2]


def test_a_drain_of_an_empty_queue_shows_what_a_dead_one_left_hidden(
    worker: Callable[..., Worker], queue: MemoryQueue, tmp_path: Path
) -> None:
    worker(roll=RollOptions()).bundle(batch_of(1, 2, queue=queue.name))

    drain(queue, tmp_path, roll=RollOptions())

    assert lines(tmp_path) == [1, 2]
