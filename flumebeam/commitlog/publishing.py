"""Publishing: parts of committed transactions, and merged files, get their final names, as pure steps.

Idempotent, whoever does it, at once or one after the other: the life itself, or those who come after it. If somebody
else's file has a final name, the part gets another one, recorded first, so that all who publish agree on it.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import replace

from flumebeam.commitlog.layout import Entry, EntryKind, LogLayout
from flumebeam.commitlog.protocol import Scribe, Segment, write_beside
from flumebeam.commitlog.records import Record, RecordKind
from flumebeam.commitlog.steps import (
    CrashPoint,
    Steps,
    Unanswered,
    delete,
    list_directory,
    make_directory,
    pause,
    reached,
    read,
    rename,
    stat,
    together,
)
from flumebeam.errors import EpochClosedError, StorageConflictError
from flumebeam.hdfs.filesystem import FileKind, FileStat, RenameOutcome

__all__ = ["enter_first", "mark_published", "publish", "publish_part"]


def publish(scribe: Scribe, directory: str, record: Record, finals: Sequence[str]) -> Steps[None]:
    """Give all parts of a committed transaction their final names; segments stay. Idempotent, whoever does it.

    Args:
        scribe: Context.
        directory: The epoch's directory, open or closed, that holds the record.
        record: The transaction.
        finals: Final names of its parts by now, relative to the target.
    """
    parts = zip(record.parts, finals, strict=True)
    yield from together(
        [
            publish_part(scribe, directory, Segment(record.number, index, part), record.epoch, final)
            for index, (part, final) in enumerate(parts)
            if not part.joining
        ]
    )
    yield from reached(CrashPoint.PUBLISHED)


def mark_published(layout: LogLayout, record: Record) -> Steps[None]:
    """Mark a published transaction of a life's own open epoch, so that a successor need not look at its parts.

    In closed epochs nothing is moved: whoever lists one sees all that is in it.
    """
    directory = layout.epoch(record.epoch)
    committed = Entry(EntryKind.COMMITTED, record.number).name
    published = Entry(EntryKind.PUBLISHED, record.number).name
    while True:
        answer = yield from rename(f"{directory}/{committed}", f"{directory}/{published}")
        if not isinstance(answer, Unanswered):
            # Marked, by this attempt or an earlier one; or the epoch is closed, and its successor looks for itself.
            break
        yield from pause(answer.cause)
    yield from reached(CrashPoint.MARKED)


def publish_part(scribe: Scribe, directory: str, place: Segment, epoch: str, final: str) -> Steps[None]:
    """Give one part its final name, or another one if a foreign file has that. Idempotent, whoever does it.

    Args:
        scribe: Context.
        directory: The epoch's directory, open or closed, that holds its record.
        place: The part, and where in its epoch it stands.
        epoch: Name of the epoch.
        final: Its final name by now, relative to the target.
    """
    layout = scribe.layout
    source = layout.in_log(place.part.path)
    while True:
        target = layout.in_target(final)
        answer = yield from rename(source, target)
        if isinstance(answer, Unanswered):
            yield from pause(answer.cause)
            continue
        if answer is RenameOutcome.RENAMED or (yield from stat(source)) is None:
            break
        if answer is RenameOutcome.TARGET_EXISTS:
            final = yield from _supersede(scribe, directory, place, epoch)
        elif answer is RenameOutcome.PARENT_MISSING:
            try:
                yield from make_directory(posixpath.dirname(target))
            except StorageConflictError:
                final = yield from _supersede(scribe, directory, place, epoch)
    yield from reached(CrashPoint.PART_PUBLISHED)


def _supersede(scribe: Scribe, directory: str, place: Segment, epoch: str) -> Steps[str]:
    """Record another final name for a part and return it; or the one that another publisher recorded first."""
    layout = scribe.layout
    turn = 1 + sum(
        1
        for found in (yield from list_directory(directory))
        if (entry := Entry.parse(found.name)) is not None
        and (entry.kind, entry.number, entry.part) == (EntryKind.SUPERSEDING, *place.key)
    )
    final = yield from _other_name(layout, place.part.final, turn)
    superseding = Record(
        RecordKind.SUPERSEDING,
        epoch,
        place.number,
        scribe.now_ms(),
        (replace(place.part, final=final),),
        facts={"part": place.index, "turn": turn},
    )
    target = f"{directory}/{Entry(EntryKind.SUPERSEDING, *place.key, turn).name}"
    path, written = yield from write_beside(scribe, layout.new, lambda: [superseding.to_bytes()])
    others = yield from enter_first(path, written, target)
    if others is not None:
        final = others.parts[0].final
    yield from reached(CrashPoint.SUPERSEDED)
    return final


def enter_first(path: str, written: FileStat, target: str) -> Steps[Record | None]:
    """Rename a record to where it counts, unless another one stands there: the first one holds for everybody.

    Args:
        path: Where the record was written; removed if it came too late.
        written: What the file system said of it.
        target: Its place in an epoch's directory, open or closed.

    Returns:
        ``None`` if the record got there, else the one that was there first.

    Raises:
        EpochClosedError: That directory is gone.
    """
    while True:
        answer = yield from rename(path, target)
        if isinstance(answer, Unanswered):
            yield from pause(answer.cause)
            continue
        if answer is RenameOutcome.RENAMED:
            return None
        found = yield from stat(target)
        if found is None:
            raise EpochClosedError(f"{posixpath.dirname(target)} was closed or settled by another receiver meanwhile.")
        if found.file_id == written.file_id:
            return None
        content = yield from read(target)
        if content is not None:
            yield from delete(path)
            return Record.from_bytes(content, target)


def _other_name(layout: LogLayout, taken: str, turn: int) -> Steps[str]:
    """Return a name like the taken one; if a file stands where a directory should, that directory gets the new name."""
    names = taken.split("/")
    for depth in range(1, len(names)):
        found = yield from stat(layout.in_target("/".join(names[:depth])))
        if found is not None and found.kind is FileKind.FILE:
            return "/".join([*names[: depth - 1], f"{names[depth - 1]}~{turn}", *names[depth:]])
    stem, dot, suffix = names[-1].rpartition(".")
    names[-1] = f"{stem}~{turn}.{suffix}" if dot and stem else f"{names[-1]}~{turn}"
    return "/".join(names)
