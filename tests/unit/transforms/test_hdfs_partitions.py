"""``WriteToHdfs`` that watches partitions, in a graph."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest

from flumebeam.batch import EventBatch
from flumebeam.commitlog.completing import PartitionPoint
from flumebeam.commitlog.hooks import PartitionEvent
from flumebeam.commitlog.partition_options import PartitionOptions
from flumebeam.commitlog.rolling import RollOptions
from flumebeam.errors import ConfigurationError, RunnerError
from flumebeam.testing.memory_queue import MemoryQueue
from flumebeam.transforms.hdfs_write import WriteToHdfs
from flumebeam.transforms.read_options import BundleLimits
from tests.unit.transforms.sinks import drain

SECONDS = "%Y%m%d/%H%M%S"


@dataclass(frozen=True)
class Note:
    """A hook that keeps what it is told."""

    path: str

    def __call__(self, event: PartitionEvent) -> None:
        with Path(self.path).open("a") as file:
            file.write(event.to_json() + "\n")

    def told(self) -> list[tuple[str, str]]:
        lines = Path(self.path).read_text().splitlines() if Path(self.path).exists() else []
        return [(facts["event"], facts["partition"]) for facts in map(json.loads, lines)]


@dataclass
class FailAt:
    """A place at which the bundle fails, once."""

    point: PartitionPoint
    flag: str

    def __call__(self, reached: Any) -> None:
        if reached is self.point and not Path(self.flag).exists():
            Path(self.flag).touch()
            raise RunnerError(reached.value)


def drain_by_seconds(queue: MemoryQueue, target: Path, **options: Any) -> None:
    options = {"path": SECONDS, "roll": RollOptions()} | options
    drain(queue, target, idle_seconds=1.1, bundle=BundleLimits(seconds=0.2), **options)


def partitions(target: Path) -> list[str]:
    return sorted({str(path.parent.relative_to(target)) for path in target.glob("2*/*/FlumeData*")})


def complete(target: Path) -> list[str]:
    return sorted(str(path.parent.relative_to(target)) for path in target.glob("*/*/_SUCCESS"))


@pytest.mark.parametrize("roll", [None, RollOptions()])
def test_a_drain_that_finds_its_queue_empty_has_told_all_partitions(
    queue: MemoryQueue, tmp_path: Path, roll: RollOptions | None
) -> None:
    queue.put([b"1", b"2"])
    note = Note(str(tmp_path / "told"))

    drain_by_seconds(queue, tmp_path, roll=roll, partitions=PartitionOptions(delay_seconds=0, on_complete=note))

    assert note.told() == [("complete", partition) for partition in partitions(tmp_path)] != []
    assert complete(tmp_path) == partitions(tmp_path)


def test_a_partition_that_may_get_more_is_not_told(queue: MemoryQueue, tmp_path: Path) -> None:
    queue.put([b"1", b"2"])

    drain_by_seconds(queue, tmp_path, partitions=PartitionOptions(delay_seconds=3600))

    assert partitions(tmp_path) != []
    assert complete(tmp_path) == []


def test_a_bundle_that_fails_before_its_commit_is_repeated_and_told(queue: MemoryQueue, tmp_path: Path) -> None:
    queue.put([b"1", b"2"])
    note = Note(str(tmp_path / "told"))
    options = PartitionOptions(delay_seconds=0, on_complete=note)
    fails = FailAt(PartitionPoint.MARKED_OPEN, str(tmp_path / "failed"))

    with pytest.raises(RunnerError):
        drain_by_seconds(queue, tmp_path, partitions=options, at=fails)
    assert complete(tmp_path) == []
    drain_by_seconds(queue, tmp_path, partitions=options, at=fails)

    assert note.told() == [("complete", partition) for partition in partitions(tmp_path)] != []


def test_events_of_no_source_are_written_and_make_no_partition_complete(tmp_path: Path) -> None:
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        (
            pipeline
            | beam.Create([EventBatch.from_bodies([b"1"])])
            | WriteToHdfs(str(tmp_path), path=SECONDS, partitions=PartitionOptions(delay_seconds=0))
        )

    assert len(partitions(tmp_path)) == 1
    assert complete(tmp_path) == []


def test_a_path_that_is_never_complete_is_refused_when_the_graph_is_built() -> None:
    with pytest.raises(ConfigurationError, match="its times come again"):
        WriteToHdfs("/nowhere", path="%H/%{host}", partitions=PartitionOptions())
