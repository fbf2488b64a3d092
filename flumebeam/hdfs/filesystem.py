"""What the commit protocol needs from a file system, and nothing more.

Paths are absolute, with ``/`` between names. No call overwrites anything, ever. A call that raises
:class:`~flumebeam.errors.StorageUnavailableError` may have happened, or may still happen later (measured on HDFS: a
DataNode that wakes up creates the file of a request that timed out): callers use a fresh name per attempt and decide
by :attr:`FileStat.file_id` and length, never by an answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

__all__ = ["FileKind", "FileStat", "FileSystem", "RenameOutcome"]


class FileKind(Enum):
    """What stands under a name."""

    FILE = "file"
    DIRECTORY = "directory"


@dataclass(frozen=True, slots=True)
class FileStat:
    """What a file system knows about a name.

    Attributes:
        name: Last component of the path.
        kind: File or directory.
        length: Bytes; 0 for directories.
        file_id: Identity that survives a rename and is never used again (HDFS ``fileId``, local device and inode).
        modified_ms: Modification time by the file system's own clock, milliseconds since 1970 UTC.
    """

    name: str
    kind: FileKind
    length: int
    file_id: str
    modified_ms: int


class RenameOutcome(Enum):
    """How a rename ended, as far as its own answer says."""

    RENAMED = "renamed"
    TARGET_EXISTS = "target exists"
    """Something stands under the new name (perhaps this very file, from an earlier attempt); nothing changed."""
    SOURCE_MISSING = "source missing"
    PARENT_MISSING = "target's parent missing"


class FileSystem(Protocol):
    """A target. Thread-safe. Every call is bounded in time.

    All methods raise :class:`~flumebeam.errors.StorageError` or one of its kinds: ``StorageUnavailableError`` (it did
    not answer; retriable), ``StorageFullError`` (no space, quota), plain ``StorageError`` (permission, path).
    """

    exactly_once: bool
    """Whether directory renames are atomic here, which fencing stands on."""

    def stat(self, path: str) -> FileStat | None:
        """Return what stands under ``path``; ``None`` only for "there is nothing"."""
        ...

    def list(self, path: str) -> list[FileStat]:
        """Return the entries of a directory, sorted by name; empty if there is no such directory.

        Raises:
            StorageConflictError: ``path`` is a file.
        """
        ...

    def make_directory(self, path: str) -> None:
        """Make a directory with its parents, durably; no error if it is there.

        Raises:
            StorageConflictError: A file stands under that name, or under the name of one of its parents.
        """
        ...

    def write(self, path: str, chunks: Iterable[bytes]) -> FileStat:
        """Write a new file, durably, and return what the file system then says of it.

        The length of the result is verified against the bytes given. Not retried here: the caller repeats with a
        fresh name.

        Raises:
            StorageConflictError: Something stands under that name.
        """
        ...

    def read(self, path: str) -> bytes | None:
        """Return a small file whole, or ``None`` if there is none."""
        ...

    def read_chunks(self, path: str) -> Iterator[bytes]:
        """Yield a file of any size in pieces, none of them empty.

        Raises:
            StorageMissingError: There is no such file.
            StorageUnavailableError: It broke off, perhaps after some pieces.
        """
        ...

    def concat(self, target: str, sources: Sequence[str]) -> bool:
        """Move the contents of files to the end of another one in the same directory, atomically and durably.

        All sources are gone then; the target keeps its ``file_id``.

        Args:
            target: The file that grows.
            sources: Files, in order; at least one.

        Returns:
            Whether it was done. If not, nothing has changed: this store cannot do it, or not with these files, or one
            of them is missing.

        Raises:
            StorageUnavailableError: No answer: it may have happened.
        """
        ...

    def rename(self, source: str, target: str) -> RenameOutcome:
        """Move a file or a directory to a name that is free, atomically and durably; never overwrites or moves into.

        If several things are wrong, ``SOURCE_MISSING`` and ``PARENT_MISSING`` come before ``TARGET_EXISTS``. A target's
        parent that is a file counts as missing.

        Raises:
            StorageUnavailableError: No answer: it may have happened.
        """
        ...

    def delete(self, path: str) -> bool:
        """Remove a file, or a directory with all it holds; tell whether there was one."""
        ...

    def close(self) -> None:
        """Release connections. Idempotent."""
        ...
