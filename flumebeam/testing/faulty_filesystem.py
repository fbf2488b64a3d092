"""A file system that fails as told: faults are values, given when they are wanted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from flumebeam.errors import StorageError, StorageFullError, StorageUnavailableError
from flumebeam.hdfs.filesystem import FileStat, FileSystem, RenameOutcome

__all__ = ["Failure", "Fault", "FaultyFileSystem"]

T = TypeVar("T")


class Failure(Enum):
    """What goes wrong with a call."""

    SILENT = "it is not done, and not answered"
    ANSWER_LOST = "it is done, and not answered"
    LATE = "it is not answered, and done when the test says so"
    FULL = "no space is left"
    DENIED = "permission is missing"


@dataclass(slots=True)
class Fault:
    """What goes wrong, with which calls.

    Attributes:
        failure: What goes wrong.
        operation: Name of the method.
        path: Part of the path (of either path, for a rename) that such a call has; empty for all.
        times: How many calls fail; -1 for all until the fault is taken out.
        skip: How many calls go well before that.
    """

    failure: Failure
    operation: str
    path: str = ""
    times: int = 1
    skip: int = 0


class FaultyFileSystem:
    """Wraps a file system. Thread-safe.

    Args:
        fs: Does what is not made to fail.

    Attributes:
        faults: What will go wrong; the first that fits a call counts.
        calls: What was called, as (operation, path) pairs in order.
    """

    def __init__(self, fs: FileSystem, *faults: Fault) -> None:
        self.faults = list(faults)
        self.calls: list[tuple[str, str]] = []
        self._fs = fs
        self._late: list[Callable[[], object]] = []
        self._lock = threading.Lock()

    @property
    def exactly_once(self) -> bool:
        """As the wrapped one."""
        return self._fs.exactly_once

    def release(self) -> int:
        """Do what is late, in order, and return how many calls that were; their answers are lost."""
        with self._lock:
            late, self._late = self._late, []
        for call in late:
            call()
        return len(late)

    def stat(self, path: str) -> FileStat | None:
        """As the wrapped one, or a fault."""
        return self._call("stat", (path,), lambda: self._fs.stat(path))

    def list(self, path: str) -> list[FileStat]:
        """As the wrapped one, or a fault."""
        return self._call("list", (path,), lambda: self._fs.list(path))

    def make_directory(self, path: str) -> None:
        """As the wrapped one, or a fault."""
        self._call("make_directory", (path,), lambda: self._fs.make_directory(path))

    def write(self, path: str, chunks: Iterable[bytes]) -> FileStat:
        """As the wrapped one, or a fault."""
        content = b"".join(chunks)
        return self._call("write", (path,), lambda: self._fs.write(path, [content]))

    def read(self, path: str) -> bytes | None:
        """As the wrapped one, or a fault."""
        return self._call("read", (path,), lambda: self._fs.read(path))

    def read_chunks(self, path: str) -> Iterator[bytes]:
        """As the wrapped one, or a fault."""
        return iter(self._call("read_chunks", (path,), lambda: [*self._fs.read_chunks(path)]))

    def concat(self, target: str, sources: Sequence[str]) -> bool:
        """As the wrapped one, or a fault."""
        return self._call("concat", (target, *sources), lambda: self._fs.concat(target, sources))

    def rename(self, source: str, target: str) -> RenameOutcome:
        """As the wrapped one, or a fault."""
        return self._call("rename", (source, target), lambda: self._fs.rename(source, target))

    def delete(self, path: str) -> bool:
        """As the wrapped one, or a fault."""
        return self._call("delete", (path,), lambda: self._fs.delete(path))

    def close(self) -> None:
        """Close the wrapped one."""
        self._fs.close()

    def _call(self, operation: str, paths: tuple[str, ...], do: Callable[[], T]) -> T:
        failure = self._failure_of(operation, paths)
        match failure:
            case None:
                return do()
            case Failure.FULL:
                raise StorageFullError(f"Cannot {operation} {paths[-1]}: no space left. Free some space there.")
            case Failure.DENIED:
                raise StorageError(f"Cannot {operation} {paths[-1]}: permission denied. Give this user permission.")
            case Failure.ANSWER_LOST:
                do()
            case Failure.LATE:
                with self._lock:
                    self._late.append(do)
        raise StorageUnavailableError(f"No answer to {operation} {paths[-1]}.")

    def _failure_of(self, operation: str, paths: tuple[str, ...]) -> Failure | None:
        with self._lock:
            self.calls.append((operation, paths[-1]))
            for fault in self.faults:
                if fault.operation == operation and any(fault.path in path for path in paths) and fault.times:
                    if fault.skip:
                        fault.skip -= 1
                        continue
                    fault.times -= 1
                    return fault.failure
        return None
