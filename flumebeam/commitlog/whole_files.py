"""Files that are written whole, once, under a name that says what is in them, as pure steps.

For writers that nobody fences: several attempts at one file, of one worker after the other or of two at once, all have
the same name, and only one of them gets it. Nothing is ever overwritten. Until its rename a file is hidden, below
the log's directory of new things; what a dead writer leaves there is removed by others, a day later.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable
from typing import Final

from flumebeam.commitlog.layout import LogLayout, QueueIdentity
from flumebeam.commitlog.protocol import Scribe
from flumebeam.commitlog.steps import (
    Steps,
    Unanswered,
    delete,
    list_directory,
    make_directory,
    pause,
    rename,
    stat,
    together,
    write,
)
from flumebeam.errors import StorageConflictError, StorageFullError
from flumebeam.hdfs.filesystem import FileKind, RenameOutcome

__all__ = ["WINDOWS", "sweep_old", "write_once"]

WINDOWS: Final = QueueIdentity("", "windows", "windows")
"""Names the place below a target where such files are written."""
_DAY_MS: Final = 86_400_000


def write_once(scribe: Scribe, final: str, content: Callable[[], Iterable[bytes]]) -> Steps[bool]:
    """Write a file, unless it is there. Idempotent, whoever does it, at once or one after the other.

    Args:
        scribe: Context.
        final: Its name, relative to the target, which stands for this content and no other.
        content: Gives its bytes, for each attempt.

    Returns:
        Whether this call made it; false if it was there.

    Raises:
        StorageConflictError: A file stands where its directory should be, or a directory under its name.
        FormatError: What ``content`` raises; nothing has happened.
    """
    layout = scribe.layout
    target = layout.in_target(final)
    while True:
        if (yield from _is_there(target)):
            return False
        yield from make_directory(layout.new)
        path = f"{layout.new}/_{scribe.names()}"
        written = yield from write(path, content())
        if isinstance(written, Unanswered):
            if isinstance(written.cause, StorageFullError):
                # What fitted may still take up the space that is missing.
                yield from delete(path)
            yield from pause(written.cause)
            continue
        while True:
            answer = yield from rename(path, target)
            if answer is RenameOutcome.RENAMED:
                return True
            if answer is RenameOutcome.PARENT_MISSING:
                yield from make_directory(posixpath.dirname(target))
            elif isinstance(answer, Unanswered):
                yield from pause(answer.cause)
            else:
                break
        # It has the name already, perhaps from an earlier attempt of this very rename; or was swept away.
        found = yield from stat(target)
        if found is not None and found.file_id == written.file_id:
            return True
        yield from delete(path)


def _is_there(target: str) -> Steps[bool]:
    found = yield from stat(target)
    if found is not None and found.kind is not FileKind.FILE:
        raise StorageConflictError(f"{target} is a directory: move it away, for a file is to be written there.")
    return found is not None


def sweep_old(scribe: Scribe) -> Steps[None]:
    """Remove what writers that are gone have left behind: hidden files that are older than a day."""
    layout: LogLayout = scribe.layout
    old = [
        found.name for found in (yield from list_directory(layout.new)) if scribe.now_ms() - found.modified_ms > _DAY_MS
    ]
    yield from together([delete(f"{layout.new}/{name}") for name in old])
