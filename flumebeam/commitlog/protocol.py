"""The commit protocol of one life, as pure steps.

A life opens an epoch of its own before its receiver is bound, commits by renaming records into it, and is fenced by a
successor that renames the epoch away. Rules that each of these functions keeps, whoever dies at any moment:

* Only a rename puts anything into an epoch, and the rename of a record is the commit.
* A name is used once. A write or an epoch whose answer was lost is given up and made again under a fresh name, because
  it may still happen hours later.
* A part that a record names is moved by publishing and removed by nobody. So "the part is gone" means "it was
  published", whatever became of the final file since.
* A segment that a record names stays where it was written until a merge that names it, and is committed, is published;
  see :mod:`flumebeam.commitlog.merging`.
* Nothing is overwritten. If somebody else's file has a final name, the part gets another name, recorded first, so that
  all who publish agree on it.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

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
    rename,
    stat,
    together,
    write,
)
from flumebeam.errors import (
    CommitLogError,
    EpochClosedError,
    FormatError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
)
from flumebeam.hdfs.filesystem import FileStat, RenameOutcome

__all__ = [
    "Names",
    "PartDraft",
    "Prepared",
    "Scribe",
    "Segment",
    "close_epoch",
    "closed_error",
    "commit",
    "fold",
    "is_open",
    "open_epoch",
    "prepare",
    "write_beside",
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
        joining: As in :class:`~flumebeam.commitlog.records.PartEntry`: empty unless it may be a segment.
        kind: What else events of one file have in common: its name, but for what is unique. Segments of several kinds
            never meet.
        begins: Whether a segment begins a new file, whatever is open.
        body_bytes: Bytes of the bodies of its events.
    """

    directory: str
    name: str
    content: Callable[[], Iterable[bytes]]
    events: int
    joining: str = ""
    kind: str = ""
    begins: bool = False
    body_bytes: int = 0

    @property
    def final(self) -> str:
        """Final file, relative to the target."""
        return posixpath.join(self.directory, self.name)


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment of a committed transaction.

    Attributes:
        number: Number of the transaction.
        index: Which of its parts, from 0.
        part: What its record says of it.
    """

    number: int
    index: int
    part: PartEntry

    @property
    def key(self) -> tuple[int, int]:
        """What tells it apart from all others of its epoch, in the order of commits."""
        return (self.number, self.index)


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
    epoch back to life. That of its parts comes after it: whoever sees parts without an epoch may remove them, however
    much later.
    """
    layout = scribe.layout
    while True:
        fresh = scribe.names()
        epoch = layout.epoch_name(receiver_id, fresh)
        prepared = f"{layout.new}/{layout.hidden(fresh)}"
        yield from make_directory(prepared)
        answer = yield from rename(prepared, layout.epoch(epoch))
        if answer is RenameOutcome.RENAMED:
            yield from make_directory(layout.epoch_parts(epoch))
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
        path, written = yield from write_beside(scribe, layout.epoch_parts(epoch), lambda: [record.to_bytes()], tried)
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
    path, written = yield from write_beside(scribe, scribe.layout.epoch_parts(epoch), draft.content, tried)
    yield from reached(CrashPoint.PART_WRITTEN)
    relative = posixpath.relpath(path, scribe.layout.base)
    return PartEntry(relative, written.file_id, written.length, draft.final, draft.events, draft.joining)


def write_beside(
    scribe: Scribe, directory: str, content: Callable[[], Iterable[bytes]], tried: list[str] | None = None
) -> Steps[tuple[str, FileStat]]:
    """Write a hidden file under a fresh name, again and again until it is answered; return its path and status.

    Args:
        scribe: Context.
        directory: Where.
        content: Gives its bytes, for each attempt.
        tried: Gets the path of each attempt.
    """
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


def fold(scribe: Scribe, epoch: str, through: int, ids: IdSet, unmerged: Sequence[Segment] = ()) -> Steps[bool]:
    """Replace the published records of a life's own open epoch by one exact set of their ids, and what is not merged.

    Args:
        scribe: Context.
        epoch: The life's epoch.
        through: Number of the last published transaction; all before it are published too.
        ids: Ids of all of them.
        unmerged: Their segments whose merge is not marked as done.

    Returns:
        Whether it was done; false if the epoch is closed by now.
    """
    layout = scribe.layout
    places = [[*segment.key] for segment in unmerged]
    parts = tuple(segment.part for segment in unmerged)
    record = Record(RecordKind.FOLD, epoch, through, scribe.now_ms(), parts, ids, {"segments": places})
    try:
        path, written = yield from write_beside(scribe, layout.epoch_parts(epoch), lambda: [record.to_bytes()])
    except StorageError:
        # A successor that closed the epoch has swept that directory.
        if not (yield from is_open(layout, epoch)):
            return False
        raise
    target = Entry(EntryKind.FOLD, through)
    if not (yield from _enter(path, written, f"{layout.epoch(epoch)}/{target.name}")):
        return False
    yield from reached(CrashPoint.FOLDED)
    kept = {segment.key for segment in unmerged}
    covered = [
        f"{layout.epoch(epoch)}/{found.name}"
        for found in (yield from list_directory(layout.epoch(epoch)))
        if (entry := Entry.parse(found.name)) is not None and _is_folded(entry, through, kept)
    ]
    yield from together([delete(path) for path in covered])
    return True


def _is_folded(entry: Entry, through: int, unmerged: Collection[tuple[int, int]]) -> bool:
    """Tell whether a fold stands for an entry: not for that of a file whose first segment it still names."""
    if entry.kind in (EntryKind.MERGED, EntryKind.DONE, EntryKind.SUPERSEDING) and entry.number <= through:
        return (entry.number, entry.part) not in unmerged
    return entry.number < through or (entry.number == through and entry.kind is not EntryKind.FOLD)
