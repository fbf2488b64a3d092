"""The commit protocol of one life, as pure steps.

A life opens an epoch of its own before its receiver is bound, commits by renaming records into it, and is fenced by a
successor that renames the epoch away. Rules that each of these functions keeps, whoever dies at any moment:

* Only a rename puts anything into an epoch, and the rename of a record is the commit.
* A name is used once. A write or an epoch whose answer was lost is given up and made again under a fresh name, because
  it may still happen hours later.
* A part that a record names is moved by publishing and removed by nobody. So "the part is gone" means "it was
  published", whatever became of the final file since.
* Nothing is overwritten. If somebody else's file has a final name, the part gets another name, recorded first, so that
  all who publish agree on it.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from flumebeam.commitlog.ids import IdSet
from flumebeam.commitlog.layout import Entry, EntryKind, LogLayout
from flumebeam.commitlog.records import PartEntry, Record, RecordKind
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
    write,
)
from flumebeam.errors import (
    CommitLogError,
    EpochClosedError,
    FormatError,
    StorageConflictError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
)
from flumebeam.hdfs.filesystem import FileKind, FileStat, RenameOutcome

__all__ = [
    "Names",
    "PartDraft",
    "Prepared",
    "Scribe",
    "close_epoch",
    "closed_error",
    "commit",
    "fold",
    "is_open",
    "mark_published",
    "open_epoch",
    "prepare",
    "publish",
]

Names = Callable[[], str]
"""Gives a name of letters and digits that was never used before, by anybody."""


@dataclass(frozen=True, slots=True)
class PartDraft:
    """A part that is still to be written.

    Attributes:
        directory: Where its final file goes, relative to the target; empty for the target itself.
        name: Name of the final file.
        content: Gives its bytes; called again for each attempt to write it.
        events: Events in it.
    """

    directory: str
    name: str
    content: Callable[[], Iterable[bytes]]
    events: int

    @property
    def final(self) -> str:
        """Final file, relative to the target."""
        return posixpath.join(self.directory, self.name)


@dataclass(frozen=True, slots=True)
class Scribe:
    """What every function here needs to know.

    Attributes:
        layout: Paths of the log.
        names: Source of fresh names.
        now_ms: Wall clock for records, milliseconds since 1970 UTC.
    """

    layout: LogLayout
    names: Names
    now_ms: Callable[[], int]


def open_epoch(scribe: Scribe, receiver_id: str) -> Steps[str]:
    """Make the epoch of a new life and return its name.

    The directory is made elsewhere and renamed, so that a late repetition of the first step never brings a closed
    epoch back to life.
    """
    layout = scribe.layout
    while True:
        fresh = scribe.names()
        epoch = layout.epoch_name(receiver_id, fresh)
        prepared = f"{layout.new}/{fresh}"
        yield from make_directory(layout.epoch_parts(epoch))
        yield from make_directory(prepared)
        answer = yield from rename(prepared, layout.epoch(epoch))
        if answer is RenameOutcome.RENAMED:
            yield from reached(CrashPoint.EPOCH_OPEN)
            return epoch
        if isinstance(answer, Unanswered):
            yield from pause(answer.cause)
        elif answer is RenameOutcome.PARENT_MISSING:
            yield from make_directory(layout.epochs)


def close_epoch(scribe: Scribe, epoch: str) -> Steps[bool]:
    """Fence a life: nothing enters its epoch any more. No error if somebody did it already.

    Returns:
        Whether the epoch was open until now, for certain.
    """
    layout = scribe.layout
    while True:
        answer = yield from rename(layout.epoch(epoch), f"{layout.closed}/{epoch}.{scribe.names()}")
        if answer is RenameOutcome.RENAMED:
            yield from reached(CrashPoint.EPOCH_CLOSED)
            return True
        if answer is RenameOutcome.SOURCE_MISSING:
            return False
        if isinstance(answer, Unanswered):
            yield from pause(answer.cause)
        elif answer is RenameOutcome.PARENT_MISSING:
            yield from make_directory(layout.closed)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A transaction that is written and not yet committed: where its record stands, and what it says."""

    record: Record
    path: str
    written: FileStat


def prepare(scribe: Scribe, epoch: str, number: int, drafts: Sequence[PartDraft], ids: IdSet) -> Steps[Prepared]:
    """Write the parts of a transaction, several at once, and its record. Whatever fails here, nothing has happened.

    Args:
        scribe: Context.
        epoch: The life's epoch.
        number: Number of the transaction, used once whatever becomes of it.
        drafts: The parts.
        ids: Delivery ids of all their events.

    Raises:
        EpochClosedError: A successor fenced this life.
        FormatError: An event cannot be written; what was written is removed.
        StorageError: What was written is removed if that makes sense, or is swept when the epoch is closed.
    """
    layout = scribe.layout
    tried: list[str] = []
    try:
        parts = yield from together([_write_part(scribe, epoch, draft, tried) for draft in drafts])
        record = Record(RecordKind.TRANSACTION, epoch, number, scribe.now_ms(), tuple(parts), ids)
        path, written = yield from _write_beside(scribe, layout.epoch_parts(epoch), lambda: [record.to_bytes()], tried)
    except FormatError:
        yield from together([delete(path) for path in tried])
        raise
    except StorageError as error:
        if not (yield from is_open(layout, epoch)):
            raise closed_error(layout, epoch) from error
        if not isinstance(error, StorageUnavailableError):
            yield from together([delete(path) for path in tried])
        raise
    yield from reached(CrashPoint.RECORD_WRITTEN)
    return Prepared(record, path, written)


def commit(scribe: Scribe, prepared: Prepared) -> Steps[None]:
    """Commit a transaction: from the moment of one rename it is done for good, whatever happens to the writer.

    Raises:
        EpochClosedError: A successor fenced this life. Either the record did not enter, or the successor sees it.
        StorageError: The outcome is unknown: only who closes the epoch and looks into it can tell.
    """
    layout, record = scribe.layout, prepared.record
    target = f"{layout.epoch(record.epoch)}/{Entry(EntryKind.COMMITTED, record.number).name}"
    if not (yield from _enter(prepared.path, prepared.written, target)):
        raise closed_error(layout, record.epoch)
    yield from reached(CrashPoint.COMMITTED)


def is_open(layout: LogLayout, epoch: str) -> Steps[bool]:
    """Tell whether nobody has closed an epoch."""
    return (yield from stat(layout.epoch(epoch))) is not None


def closed_error(layout: LogLayout, epoch: str) -> EpochClosedError:
    """Return what a fenced life is told."""
    return EpochClosedError(
        f"Another receiver took over the queue: epoch {epoch} of {layout.base} is closed. What was held goes to it, "
        "nothing is lost."
    )


def _write_part(scribe: Scribe, epoch: str, draft: PartDraft, tried: list[str]) -> Steps[PartEntry]:
    path, written = yield from _write_beside(scribe, scribe.layout.epoch_parts(epoch), draft.content, tried)
    yield from reached(CrashPoint.PART_WRITTEN)
    relative = posixpath.relpath(path, scribe.layout.base)
    return PartEntry(relative, written.file_id, written.length, draft.final, draft.events)


def _write_beside(
    scribe: Scribe, directory: str, content: Callable[[], Iterable[bytes]], tried: list[str] | None = None
) -> Steps[tuple[str, FileStat]]:
    while True:
        path = f"{directory}/_{scribe.names()}"
        if tried is not None:
            tried.append(path)
        answer = yield from write(path, content())
        if not isinstance(answer, Unanswered):
            return path, answer
        if isinstance(answer.cause, StorageFullError):
            # What fitted may still take up the space that is missing.
            yield from delete(path)
        yield from pause(answer.cause)


def _enter(path: str, written: FileStat, target: str) -> Steps[bool]:
    """Rename a file to where it counts; tell whether it got there, false if that directory is gone."""
    while True:
        answer = yield from rename(path, target)
        if answer is RenameOutcome.RENAMED:
            return True
        if answer is RenameOutcome.PARENT_MISSING:
            return False
        if isinstance(answer, Unanswered):
            yield from pause(answer.cause)
            continue
        # Source missing or target there: an earlier attempt that did not answer. The target decides, not the answer.
        found = yield from stat(target)
        if found is None:
            return False
        if found.file_id == written.file_id:
            return True
        raise CommitLogError(f"{target} was not written by this writer; something else writes into the commit log.")


def publish(scribe: Scribe, directory: str, record: Record, finals: Sequence[str]) -> Steps[None]:
    """Give all parts of a committed transaction their final names. Idempotent, whoever does it.

    Args:
        scribe: Context.
        directory: The epoch's directory, open or closed, that holds the record.
        record: The transaction.
        finals: Final names of its parts by now, relative to the target.
    """
    yield from together([_publish_part(scribe, directory, record, index, final) for index, final in enumerate(finals)])
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


def _publish_part(scribe: Scribe, directory: str, record: Record, index: int, final: str) -> Steps[None]:
    layout = scribe.layout
    part = record.parts[index]
    source = layout.in_log(part.path)
    while True:
        target = layout.in_target(final)
        answer = yield from rename(source, target)
        if isinstance(answer, Unanswered):
            yield from pause(answer.cause)
            continue
        if answer is RenameOutcome.RENAMED or (yield from stat(source)) is None:
            break
        if answer is RenameOutcome.TARGET_EXISTS:
            final = yield from _supersede(scribe, directory, record, index)
        elif answer is RenameOutcome.PARENT_MISSING:
            try:
                yield from make_directory(posixpath.dirname(target))
            except StorageConflictError:
                final = yield from _supersede(scribe, directory, record, index)
    yield from reached(CrashPoint.PART_PUBLISHED)


def _supersede(scribe: Scribe, directory: str, record: Record, index: int) -> Steps[str]:
    """Record another final name for a part and return it; or the one that another publisher recorded first."""
    layout = scribe.layout
    turn = 1 + sum(
        1
        for found in (yield from list_directory(directory))
        if (entry := Entry.parse(found.name)) is not None
        and (entry.kind, entry.number, entry.part) == (EntryKind.SUPERSEDING, record.number, index)
    )
    final = yield from _other_name(layout, record.parts[index].final, turn)
    superseding = Record(
        RecordKind.SUPERSEDING,
        record.epoch,
        record.number,
        scribe.now_ms(),
        (replace(record.parts[index], final=final),),
        facts={"part": index, "turn": turn},
    )
    target = f"{directory}/{Entry(EntryKind.SUPERSEDING, record.number, index, turn).name}"
    path, written = yield from _write_beside(scribe, layout.new, lambda: [superseding.to_bytes()])
    while True:
        answer = yield from rename(path, target)
        if isinstance(answer, Unanswered):
            yield from pause(answer.cause)
            continue
        if answer is RenameOutcome.RENAMED:
            break
        found = yield from stat(target)
        if found is None:
            raise EpochClosedError(f"{directory} was closed by another receiver while it was published.")
        if found.file_id == written.file_id:
            break
        content = yield from read(target)
        if content is not None:
            final = Record.from_bytes(content, target).parts[0].final
            yield from delete(path)
            break
    yield from reached(CrashPoint.SUPERSEDED)
    return final


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


def fold(scribe: Scribe, epoch: str, through: int, ids: IdSet) -> Steps[bool]:
    """Replace the published records of a life's own open epoch by one exact set of their ids.

    Args:
        scribe: Context.
        epoch: The life's epoch.
        through: Number of the last published transaction; all before it are published too.
        ids: Ids of all of them.

    Returns:
        Whether it was done; false if the epoch is closed by now.
    """
    layout = scribe.layout
    record = Record(RecordKind.FOLD, epoch, through, scribe.now_ms(), ids=ids)
    try:
        path, written = yield from _write_beside(scribe, layout.epoch_parts(epoch), lambda: [record.to_bytes()])
    except StorageError:
        # A successor that closed the epoch has swept that directory.
        if not (yield from is_open(layout, epoch)):
            return False
        raise
    target = Entry(EntryKind.FOLD, through)
    if not (yield from _enter(path, written, f"{layout.epoch(epoch)}/{target.name}")):
        return False
    yield from reached(CrashPoint.FOLDED)
    covered = [
        f"{layout.epoch(epoch)}/{found.name}"
        for found in (yield from list_directory(layout.epoch(epoch)))
        if (entry := Entry.parse(found.name)) is not None
        and (entry.number < through or (entry.number == through and entry.kind is not EntryKind.FOLD))
    ]
    yield from together([delete(path) for path in covered])
    return True
