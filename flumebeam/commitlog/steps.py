"""Steps: what the protocol wants done to a file system, as values.

The protocol (:mod:`flumebeam.commitlog.protocol`, :mod:`flumebeam.commitlog.recovery`) is written as generators that
yield steps and are sent the answers. They hold no clock, no thread and no file system, so the very same transitions run
on a disk, on HDFS, and in a model that tries every interleaving of several writers.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias, TypeVar

from flumebeam.errors import StorageError
from flumebeam.hdfs.filesystem import FileStat, RenameOutcome

__all__ = [
    "Concat",
    "CrashPoint",
    "Delete",
    "Join",
    "List",
    "MakeDirectory",
    "Pause",
    "Reached",
    "Read",
    "Rename",
    "Stat",
    "Step",
    "Steps",
    "Together",
    "Unanswered",
    "Write",
    "concat",
    "delete",
    "join",
    "list_directory",
    "make_directory",
    "pause",
    "reached",
    "read",
    "rename",
    "stat",
    "together",
    "write",
]

T = TypeVar("T")


class CrashPoint(Enum):
    """The named places between two steps at which a writer may die; in the order of one transaction's life."""

    EPOCH_OPEN = "epoch open"
    EPOCH_CLOSED = "another epoch closed"
    PART_WRITTEN = "part written"
    RECORD_WRITTEN = "record written"
    COMMITTED = "committed"
    PART_PUBLISHED = "part published"
    SUPERSEDED = "other name recorded"
    PUBLISHED = "all parts published"
    MARKED = "marked published"
    MERGE_WRITTEN = "merged file written"
    MERGE_COMMITTED = "merge committed"
    MERGE_PUBLISHED = "merged file published"
    SEGMENT_REMOVED = "segment removed"
    MERGE_MARKED = "merge marked done"
    FOLDED = "ids folded"
    RETIRED = "ids retired"
    SWEPT = "parts swept"


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The answer to a write or a rename was lost: it happened, or did not, or will happen later."""

    cause: StorageError


@dataclass(frozen=True, slots=True)
class MakeDirectory:
    """Answered with None; repeated by whoever performs it until it is answered."""

    path: str


@dataclass(frozen=True, slots=True)
class Write:
    """Answered with a FileStat or Unanswered; never repeated under the same name."""

    path: str
    chunks: Iterable[bytes]


@dataclass(frozen=True, slots=True)
class Join:
    """Answered with a FileStat or Unanswered, as Write is; with None if one of the sources is not there any more."""

    how: str
    sources: Sequence[str]
    path: str


@dataclass(frozen=True, slots=True)
class Concat:
    """Answered with whether it was done, or Unanswered."""

    target: str
    sources: Sequence[str]


@dataclass(frozen=True, slots=True)
class Rename:
    """Answered with a RenameOutcome or Unanswered."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Stat:
    """Answered with a FileStat or None; repeated until it is answered, as are the next three."""

    path: str


@dataclass(frozen=True, slots=True)
class List:
    """Answered with a list of FileStat."""

    path: str


@dataclass(frozen=True, slots=True)
class Read:
    """Answered with bytes or None."""

    path: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Answered with a bool."""

    path: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait before the next attempt; the cause is raised here when patience is at its end."""

    cause: StorageError


@dataclass(frozen=True, slots=True)
class Reached:
    """A named place was reached."""

    point: CrashPoint


@dataclass(frozen=True, slots=True)
class Together:
    """Do several things at once; answered with their results in order."""

    branches: Sequence[Steps[Any]]


Step: TypeAlias = (
    MakeDirectory | Write | Join | Concat | Rename | Stat | List | Read | Delete | Pause | Reached | Together
)
Steps: TypeAlias = Generator[Step, Any, T]


def make_directory(path: str) -> Steps[None]:
    """Make a directory with its parents."""
    yield MakeDirectory(path)


def write(path: str, chunks: Iterable[bytes]) -> Steps[FileStat | Unanswered]:
    """Write a new file."""
    answer: FileStat | Unanswered = yield Write(path, chunks)
    return answer


def join(how: str, sources: Sequence[str], path: str) -> Steps[FileStat | Unanswered | None]:
    """Write a new file that is made of others."""
    answer: FileStat | Unanswered | None = yield Join(how, sources, path)
    return answer


def concat(target: str, sources: Sequence[str]) -> Steps[bool | Unanswered]:
    """Move files to the end of another one."""
    answer: bool | Unanswered = yield Concat(target, sources)
    return answer


def rename(source: str, target: str) -> Steps[RenameOutcome | Unanswered]:
    """Move a file or directory to a free name."""
    answer: RenameOutcome | Unanswered = yield Rename(source, target)
    return answer


def stat(path: str) -> Steps[FileStat | None]:
    """Look at a path."""
    answer: FileStat | None = yield Stat(path)
    return answer


def list_directory(path: str) -> Steps[list[FileStat]]:
    """List a directory; empty if there is none."""
    answer: list[FileStat] = yield List(path)
    return answer


def names_in(directory: str) -> Steps[set[str]]:
    """List the names in a directory in which others work: one that moves while it is listed may be seen nowhere."""
    names = {found.name for found in (yield from list_directory(directory))}
    while True:
        again = {found.name for found in (yield from list_directory(directory))}
        if again == names:
            return names
        names = again


def read(path: str) -> Steps[bytes | None]:
    """Read a small file."""
    answer: bytes | None = yield Read(path)
    return answer


def delete(path: str) -> Steps[None]:
    """Remove a file or a directory with all it holds."""
    yield Delete(path)


def pause(cause: StorageError) -> Steps[None]:
    """Wait before the next attempt, or give up with the cause."""
    yield Pause(cause)


def reached(point: CrashPoint) -> Steps[None]:
    """Name a place."""
    yield Reached(point)


def together(branches: Sequence[Steps[T]]) -> Steps[list[T]]:
    """Do several things at once; their results in order."""
    answer: list[T] = yield Together(branches)
    return answer
