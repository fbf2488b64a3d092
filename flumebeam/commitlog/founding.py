"""Which layout a target has: decided once, by whoever comes first, as pure steps.

One name decides. If ``<target>/.flumebeam`` is a file, it says the layout. If it is a directory, an earlier version has
begun this target, and its layout is continued: nothing is ever moved, so a writer of that version and one of this meet
in one log and fence each other as any two do. If there is nothing, this version puts the file there, by a rename that
never overwrites. A writer of an earlier version can then make no log in this target, which would know nothing of what
was committed: a file stands where it wants a directory, and it stops.
"""

from __future__ import annotations

from collections.abc import Callable

from flumebeam.commitlog.layout import MARKER, LayoutVersion, LogLayout, QueueIdentity
from flumebeam.commitlog.records import Record, RecordKind
from flumebeam.commitlog.steps import Steps, Unanswered, delete, make_directory, pause, read, rename, stat, write
from flumebeam.errors import CommitLogError
from flumebeam.hdfs.filesystem import FileKind, RenameOutcome

__all__ = ["found", "look_up"]


def found(target: str, queue: QueueIdentity, names: Callable[[], str]) -> Steps[LogLayout]:
    """Return the layout of a log whose directory is there then, and decide the target's if nobody has. Idempotent.

    Args:
        target: Directory of the target, absolute.
        queue: The queue.
        names: Source of fresh names.

    Raises:
        CommitLogError: A newer version has decided, or the file that says so is damaged.
        StorageError: The target cannot be written.
    """
    while True:
        version = yield from look_up(target)
        if version is not None:
            layout = LogLayout(target, queue, version)
            yield from make_directory(layout.base)
            return layout
        yield from _decide(LogLayout(target, queue), names)


def look_up(target: str) -> Steps[LayoutVersion | None]:
    """Return the layout of a target; ``None`` if nobody has decided it.

    Raises:
        CommitLogError: A newer version has decided, or the file that says so is damaged.
    """
    place = f"{target}/{MARKER}"
    status = yield from stat(place)
    if status is None:
        return None
    if status.kind is FileKind.DIRECTORY:
        return LayoutVersion.PLAIN
    data = yield from read(place)
    if data is None:
        return None
    record = Record.from_bytes(data, place)
    if record.kind is not RecordKind.LAYOUT or record.number not in list(LayoutVersion):
        raise CommitLogError(
            f"{place} says that this target has a layout which this flumebeam does not know ({record.number}); "
            "upgrade flumebeam before it writes to this target."
        )
    return LayoutVersion(record.number)


def _decide(layout: LogLayout, names: Callable[[], str]) -> Steps[None]:
    """Put the file that says the layout where it counts, unless something stands there."""
    # No epoch, no clock: whoever decides writes the same.
    content = Record(RecordKind.LAYOUT, "", layout.version, 0).to_bytes()
    yield from make_directory(layout.new)
    path = f"{layout.new}/_{names()}"
    written = yield from write(path, [content])
    if isinstance(written, Unanswered):
        # What came of it would lie here for a day, since its writer may give up now.
        yield from delete(path)
        yield from pause(written.cause)
        return
    while True:
        answer = yield from rename(path, f"{layout.target}/{MARKER}")
        if not isinstance(answer, Unanswered):
            break
        yield from pause(answer.cause)
    if answer is not RenameOutcome.RENAMED:
        # Somebody was first, perhaps an earlier attempt of this very rename.
        yield from delete(path)
