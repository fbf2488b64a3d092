"""Which partitions wait to be complete, and for what: for people and for scripts. Looking changes nothing."""

from __future__ import annotations

import posixpath
from collections.abc import Collection
from dataclasses import dataclass

from flumebeam.commitlog.layout import LogLayout
from flumebeam.commitlog.partitions import Mark, Situation, Watermark, judge, survey
from flumebeam.commitlog.recovery import EpochContent, read_epoch
from flumebeam.commitlog.steps import Steps, list_directory, stat

__all__ = ["PartitionWait", "WaitingPartition", "waiting"]


@dataclass(frozen=True, slots=True)
class PartitionWait:
    """One thing that a partition waits for.

    Attributes:
        log: Name of the log.
        epoch: The epoch that holds it back; empty if a receiver of that queue has to come first.
        watermark_ms: If its receiver has not come far enough: how far it has, event time in milliseconds since 1970
            UTC; else ``None``.
        unpublished: Whether the epoch may have something of the partition that is in no final file yet.
        files: Committed parts and segments of it that are in no final file yet.
        events: Events in them.
    """

    log: str
    epoch: str
    watermark_ms: int | None
    unpublished: bool
    files: int
    events: int


@dataclass(frozen=True, slots=True)
class WaitingPartition:
    """A partition that somebody is still to be told of.

    Attributes:
        path: The partition, relative to the target.
        end_ms: When its time is over, milliseconds since 1970 UTC.
        delay_ms: How much later its events may come, as its writers have it; the longest, if they differ.
        late: Whether it was complete before, and more of it has come.
        logs: Names of the logs of the queues that wrote into it.
        waits: What is missing; empty if only its success file and its hook are left, which a drain that runs does.
    """

    path: str
    end_ms: int
    delay_ms: int
    late: bool
    logs: tuple[str, ...]
    waits: tuple[PartitionWait, ...]


def waiting(any_log: LogLayout) -> Steps[list[WaitingPartition]]:
    """Return the partitions of a target that wait, ordered by path.

    Args:
        any_log: Any log of the target.
    """
    situation = yield from survey(any_log, {})
    contents: dict[tuple[str, str], EpochContent] = {}
    for mark in situation.marks:
        if not mark.ready and (mark.log, mark.epoch) not in contents:
            contents[mark.log, mark.epoch] = yield from _content(any_log.sibling(mark.log), mark.epoch)
    by_path: dict[str, list[Mark]] = {}
    for mark in situation.marks:
        by_path.setdefault(mark.path, []).append(mark)
    return [_waiting(marks, situation, contents) for _, marks in sorted(by_path.items())]


def _content(layout: LogLayout, epoch: str) -> Steps[EpochContent]:
    """Read an epoch, open or closed; empty if it is gone by now."""
    directory = layout.epoch(epoch)
    if (yield from stat(directory)) is None:
        for closed in (yield from list_directory(layout.closed)):
            if layout.epoch_of(closed.name) == epoch:
                directory = f"{layout.closed}/{closed.name}"
    return (yield from read_epoch(directory))


def _waiting(
    marks: list[Mark], situation: Situation, contents: dict[tuple[str, str], EpochContent]
) -> WaitingPartition:
    delay_ms = max(mark.delay_ms for mark in marks)
    [judgement] = judge(marks, situation.watermarks, delay_ms)
    needed_ms = judgement.end_ms + delay_ms
    waits = [
        _wait(judgement.path, wait.log, wait.epoch, needed_ms, situation.watermarks, contents)
        for wait in sorted(judgement.waits, key=lambda wait: (wait.log, wait.epoch))
    ]
    logs = tuple(sorted({mark.log for mark in marks}))
    return WaitingPartition(judgement.path, judgement.end_ms, delay_ms, judgement.late, logs, tuple(waits))


def _wait(
    path: str,
    log: str,
    epoch: str,
    needed_ms: int,
    watermarks: Collection[Watermark],
    contents: dict[tuple[str, str], EpochContent],
) -> PartitionWait:
    behind = [one.at_ms for one in watermarks if (one.log, one.epoch) == (log, epoch) and one.at_ms < needed_ms]
    content = contents.get((log, epoch))
    sizes = [] if content is None else _unpublished(content, path)
    return PartitionWait(log, epoch, min(behind, default=None), content is not None, len(sizes), sum(sizes))


def _unpublished(content: EpochContent, path: str) -> list[int]:
    """Return the events of each part and segment of a partition that is in no final file yet."""
    segments = [segment for roll in content.rolls for segment in roll.segments]
    events = [segment.part.events for segment in segments if posixpath.dirname(segment.part.final) == path]
    for number in content.records.keys() - content.published:
        record = content.records[number]
        events += [
            part.events
            for part, final in zip(record.parts, content.finals_of(record), strict=True)
            if not part.joining and posixpath.dirname(final) == path
        ]
    return events
