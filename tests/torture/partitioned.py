"""Partitions under torture: events whose number is their time, a hook that notes what it saw, and what must be true.

A partition holds so many events, by their numbers. The queue gives them in order, so behind a committed batch all lower
numbers are committed: that is the watermark. A drain that is told to end is told so when the queue has nothing more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any, Final

from flumebeam.batch import EventBatch
from flumebeam.clock import SystemClock
from flumebeam.commitlog.completing import PartitionKeeper
from flumebeam.commitlog.driver import Driver
from flumebeam.commitlog.hooks import PartitionEvent
from flumebeam.commitlog.partition_options import PartitionOptions
from flumebeam.hdfs.targets import Target
from tests.torture.sums import Sums

__all__ = ["HookPoint", "end_ms", "judge", "keeper_of", "number_of", "partition_of", "watermark_ms"]

_OF_A_PARTITION: Final = 40
_SUCCESS: Final = "_SUCCESS"
_ALL_MS: Final = 10**14


class HookPoint(Enum):
    """Places within the hook at which a drain may die."""

    HEARING = "hook called, nothing noted"


def number_of(body: bytes) -> int:
    """Return the number of an event."""
    return int(body.rpartition(b" ")[2])


def partition_of(body: bytes) -> str:
    """Return the partition of an event."""
    return f"p={number_of(body) // _OF_A_PARTITION}"


def end_ms(partition: str) -> int:
    """Return when a partition is over, in event time."""
    return (int(partition.removeprefix("p=")) + 1) * _OF_A_PARTITION * 1000


def watermark_ms(batch: EventBatch) -> int:
    """Return what is behind a committed batch."""
    return (max(map(number_of, batch.bodies.to_pylist())) + 1) * 1000


def keeper_of(target: Target, told: Path, is_drained: Callable[[], bool], at: Callable[[Any], None]) -> PartitionKeeper:
    """Return a keeper whose hook appends each event to a file: kind, partition, and how many readers then saw of it.

    Args:
        target: The target, on a local disk.
        told: The file.
        is_drained: Tells whether nothing more will come.
        at: Called at each named place.
    """

    def tell(event: PartitionEvent) -> None:
        at(HookPoint.HEARING)
        line = f"{event.kind.value} {event.partition} {_seen(Path(target.root, event.partition)).total()}\n"
        # One write, so that a kill leaves a line or none.
        with told.open("ab", buffering=0) as file:
            file.write(line.encode())

    options = PartitionOptions(delay_seconds=0, on_complete=tell, success_file=_SUCCESS)
    clock = SystemClock()
    driver = Driver(target.filesystem, clock=clock, threads=1)
    return PartitionKeeper(
        driver, target.root, options, clock=clock, silence=lambda _: _ALL_MS if is_drained() else None, at=at
    )


def judge(target: Path, told: Path, sums: Sums, sent: int | None = None) -> None:
    """Count what must not be: complete partitions that are not, and, at the end, those that nobody was told of.

    Args:
        target: Directory of the target; no drain is at work.
        told: What the hooks noted.
        sums: Gets the counts.
        sent: How many events there were, if all of them are drained.
    """

    def lacks(partition: str, count: int) -> bool:
        number = int(partition.removeprefix("p="))
        return count < (_OF_A_PARTITION if sent is None else min(_OF_A_PARTITION, sent - number * _OF_A_PARTITION))

    lines = [line.split(" ") for line in told.read_text().splitlines()] if told.exists() else []
    places = [place for place in target.glob("p=*") if place.is_dir()]
    complete = {place.name for place in places if (place / _SUCCESS).exists()}
    sums.premature += sum(lacks(name, _seen(target / name).total()) for name in complete)
    if sent is None:
        return
    sums.premature += sum(lacks(partition, int(count)) for _, partition, count in lines)
    there = {place.name for place in places}
    heard = {partition for _, partition, _ in lines}
    sums.partitions += len(there)
    sums.untold += len(there - complete) + len(there - heard)


def _seen(place: Path) -> Counter[bytes]:
    """Count the lines that a reader sees in a directory."""
    seen: Counter[bytes] = Counter()
    for path in place.iterdir():
        if path.name[0] not in "._":
            seen.update(path.read_bytes().splitlines())
    return seen
