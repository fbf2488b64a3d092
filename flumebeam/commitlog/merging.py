"""Merging: the segments of a file become that file, as pure steps.

A transaction may commit *segments* instead of final files: parts that stay hidden where they were written, so their
messages can be acknowledged at once. All segments of an epoch that have the same final name are one *roll*. Rules:

* Only the owner of an open epoch merges its segments, and whoever settles a closed one. A roll is merged whole: its
  owner commits no more segments for it, and into a closed epoch nothing is committed any more.
* The merged file is written hidden and verified, or the file system moves the segments' contents into the first one
  (HDFS ``concat``). Until the next step this changes nothing: a segment that is gone while no merge names it has its
  bytes in the first one of its roll, which the lengths prove.
* The *merge record* is renamed into the epoch's directory under a name made from its first segment. **That rename is
  the commit of the merge**: the first one holds, and whoever comes second takes the other's file. The owner's rename
  into an epoch that was closed meanwhile fails, like that of any record.
* The merged file is published like any part. Segments are removed last; they are hidden, so no event is ever seen in
  two files.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from flumebeam.commitlog.layout import Entry, EntryKind, LogLayout
from flumebeam.commitlog.protocol import Scribe, Segment, write_beside
from flumebeam.commitlog.publishing import enter_first, publish_part
from flumebeam.commitlog.records import PartEntry, Record, RecordKind
from flumebeam.commitlog.steps import (
    CrashPoint,
    Steps,
    Unanswered,
    concat,
    delete,
    join,
    pause,
    reached,
    read,
    rename,
    stat,
    together,
)
from flumebeam.errors import CommitLogError, EpochClosedError, StorageError, StorageFullError
from flumebeam.formats.joining import AS_BYTES
from flumebeam.hdfs.filesystem import FileStat

__all__ = ["Roll", "finish", "mark_done", "merge"]

_MOST_SOURCES: Final = 64
"""Files of one ``concat``, whose names must fit into the head of one HTTP request."""


@dataclass(frozen=True, slots=True)
class Roll:
    """The segments of one final file.

    Attributes:
        segments: In the order of commits; at least one.
    """

    segments: tuple[Segment, ...]

    @property
    def first(self) -> Segment:
        """The segment that names the merge."""
        return self.segments[0]

    @property
    def length(self) -> int:
        """Bytes of all segments, as committed."""
        return sum(segment.part.length for segment in self.segments)

    @property
    def events(self) -> int:
        """Events in all segments."""
        return sum(segment.part.events for segment in self.segments)


def merge(scribe: Scribe, directory: str, epoch: str, roll: Roll) -> Steps[PartEntry]:
    """Make one final file of the segments of a roll. Idempotent, whoever is allowed to do it.

    Args:
        scribe: Context.
        directory: The epoch's directory: open, if the caller owns it, or closed.
        epoch: Name of the epoch.
        roll: All segments of one file.

    Returns:
        What was published.

    Raises:
        EpochClosedError: That directory is gone: another life closed or settled the epoch.
        CommitLogError: Segments are missing, or are not what was committed.
        StorageError: The target refuses, or gave no answer for too long; the same may be done again, by anybody.
    """
    target = f"{directory}/{Entry(EntryKind.MERGED, *roll.first.key).name}"
    try:
        record = yield from _committed(scribe, target, epoch, roll)
    except StorageError as error:
        # Whoever settled a closed epoch has removed the directory of its parts.
        if (yield from stat(directory)) is None:
            raise _gone(directory) from error
        raise
    yield from reached(CrashPoint.MERGE_COMMITTED)
    yield from finish(scribe, directory, record, record.parts[0].final)
    return record.parts[0]


def finish(scribe: Scribe, directory: str, record: Record, final: str) -> Steps[None]:
    """Publish what a committed merge names, and remove its segments. Idempotent, whoever does it.

    Args:
        scribe: Context.
        directory: The epoch's directory, open or closed, that holds the record.
        record: The merge.
        final: Final name of its file by now, relative to the target.
    """
    merged = record.parts[0]
    yield from publish_part(
        scribe, directory, Segment(record.number, record.facts["part"], merged), record.epoch, final
    )
    yield from reached(CrashPoint.MERGE_PUBLISHED)
    yield from together(
        [_remove(scribe.layout, path) for _, _, path in record.facts["segments"] if path != merged.path]
    )


def mark_done(layout: LogLayout, epoch: str, first: tuple[int, int]) -> Steps[None]:
    """Mark a finished merge of a life's own open epoch, so that a successor need not look at its segments.

    Args:
        layout: Paths of the log.
        epoch: The life's epoch.
        first: Key of the roll's first segment.
    """
    directory = layout.epoch(epoch)
    names = [Entry(kind, *first).name for kind in (EntryKind.MERGED, EntryKind.DONE)]
    while True:
        answer = yield from rename(f"{directory}/{names[0]}", f"{directory}/{names[1]}")
        if not isinstance(answer, Unanswered):
            # Marked, by this attempt or an earlier one; or the epoch is closed, and its successor looks for itself.
            break
        yield from pause(answer.cause)
    yield from reached(CrashPoint.MERGE_MARKED)


def _remove(layout: LogLayout, path: str) -> Steps[None]:
    yield from delete(layout.in_log(path))
    yield from reached(CrashPoint.SEGMENT_REMOVED)


def _committed(scribe: Scribe, target: str, epoch: str, roll: Roll) -> Steps[Record]:
    """Return the merge record that holds: this one, or one that was there first."""
    merged = yield from _merged(scribe, target, epoch, roll)
    if merged is None:
        return (yield from _others(target))
    yield from reached(CrashPoint.MERGE_WRITTEN)
    segments = [[*segment.key, segment.part.path] for segment in roll.segments]
    facts = {"part": roll.first.index, "segments": segments}
    record = Record(RecordKind.MERGE, epoch, roll.first.number, scribe.now_ms(), (merged,), facts=facts)
    path, written = yield from write_beside(scribe, scribe.layout.epoch_parts(epoch), lambda: [record.to_bytes()])
    others = yield from enter_first(path, written, target)
    if others is None:
        return record
    if all(merged.path != segment.part.path for segment in roll.segments):
        yield from delete(scribe.layout.in_log(merged.path))
    return others


def _others(target: str) -> Steps[Record]:
    content = yield from read(target)
    if content is None:
        raise _gone(posixpath.dirname(target))
    return Record.from_bytes(content, target)


def _merged(scribe: Scribe, target: str, epoch: str, roll: Roll) -> Steps[PartEntry | None]:
    """Return a hidden file that holds all of a roll, verified; ``None`` if another merge of it is committed."""
    layout, first = scribe.layout, roll.first.part
    if len(roll.segments) == 1:
        return first
    whole = replace(first, length=roll.length, events=roll.events)
    paths = [layout.in_log(segment.part.path) for segment in roll.segments]
    if first.joining == AS_BYTES and all(segment.part.length for segment in roll.segments):
        if (yield from _concatenated(paths)):
            grown = yield from stat(paths[0])
            if grown is not None and grown.length == roll.length:
                return replace(whole, file_id=grown.file_id)
    before: list[FileStat] | None = None
    while True:
        found = yield from together([stat(path) for path in paths])
        there = {path: status for path, status in zip(paths, found, strict=True) if status is not None}
        if not _is_all(roll, found):
            if (yield from stat(target)) is not None:
                return None
            if (yield from stat(posixpath.dirname(target))) is None:
                raise _gone(posixpath.dirname(target))
            # Looked at while they were moved together? Then they look different now.
            if before == [*there.values()]:
                raise CommitLogError(
                    f"Segments of {first.final} are not what was committed: {len(there)} of {len(paths)} are below "
                    f"{posixpath.dirname(paths[0])}; restore them from a backup, or move {target} and its epoch away."
                )
            before = [*there.values()]
            continue
        if len(there) == 1:
            [only] = there.values()
            return replace(whole, file_id=only.file_id)
        path = f"{layout.epoch_parts(epoch)}/_{scribe.names()}"
        written = yield from join(first.joining, [*there], path)
        if isinstance(written, Unanswered):
            if isinstance(written.cause, StorageFullError):
                # What fitted may still take up the space that is missing.
                yield from delete(path)
            yield from pause(written.cause)
        elif written is not None:
            if first.joining != AS_BYTES or written.length == roll.length:
                relative = posixpath.relpath(path, layout.base)
                return replace(whole, path=relative, file_id=written.file_id, length=written.length)
            yield from delete(path)


def _is_all(roll: Roll, found: Sequence[FileStat | None]) -> bool:
    """Tell whether what is there of a roll's segments holds all of its bytes."""
    if roll.first.part.joining == AS_BYTES:
        return sum(status.length for status in found if status is not None) == roll.length
    lengths = [None if status is None else status.length for status in found]
    return lengths == [segment.part.length for segment in roll.segments]


def _concatenated(paths: Sequence[str]) -> Steps[bool]:
    """Let the file system move all files into the first one; tell whether it did."""
    for start in range(1, len(paths), _MOST_SOURCES):
        # Without an answer the lengths tell what has become of them.
        if (yield from concat(paths[0], paths[start : start + _MOST_SOURCES])) is not True:
            return False
    return True


def _gone(directory: str) -> EpochClosedError:
    return EpochClosedError(f"{directory} was closed or settled by another receiver meanwhile.")
