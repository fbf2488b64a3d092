"""A file system in memory, for tests: fast, copied in no time, and kept honest by the conformance suite."""

from __future__ import annotations

import posixpath
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from flumebeam.errors import StorageConflictError, StorageError, StorageMissingError
from flumebeam.hdfs.filesystem import FileKind, FileStat, RenameOutcome

__all__ = ["MemoryFileSystem"]


@dataclass(frozen=True, slots=True)
class _Node:
    number: int
    content: bytes | None


class MemoryFileSystem:
    """Files and directories as one dictionary of paths. Thread-safe.

    Attributes:
        now_ms: Modification time that things get from now on, milliseconds since 1970 UTC.
        can_concat: Whether files can be put one behind the other without copying, as HDFS can.
    """

    exactly_once = True

    def __init__(self, *, can_concat: bool = True) -> None:
        self.now_ms = 0
        self.can_concat = can_concat
        self._nodes: dict[str, _Node] = {"/": _Node(0, None)}
        self._modified: dict[int, int] = {0: 0}
        self._made = 0
        self._lock = threading.RLock()

    def stat(self, path: str) -> FileStat | None:
        """Return what stands under ``path``."""
        with self._lock:
            node = self._nodes.get(path)
            return None if node is None else self._stat_of(path, node)

    def list(self, path: str) -> list[FileStat]:
        """Return the entries of a directory, sorted by name."""
        with self._lock:
            node = self._nodes.get(path)
            if node is not None and node.content is not None:
                raise StorageConflictError(f"{path} is a file.")
            start = len(path.rstrip("/")) + 1
            names = [name for name in self._nodes if name.startswith(path) and "/" not in name[start:] and name[start:]]
            return [self._stat_of(name, self._nodes[name]) for name in sorted(names) if name[start - 1] == "/"]

    def make_directory(self, path: str) -> None:
        """Make a directory with its parents."""
        with self._lock:
            node = self._nodes.get(path)
            if node is not None and node.content is not None:
                raise StorageConflictError(f"{path} is in the way.")
            if node is None:
                self.make_directory(posixpath.dirname(path))
                self._put(path, None)

    def write(self, path: str, chunks: Iterable[bytes]) -> FileStat:
        """Write a new file whole."""
        content = b"".join(chunks)
        with self._lock:
            if path in self._nodes:
                raise StorageConflictError(f"{path} is there already.")
            if not self._is_directory(posixpath.dirname(path)):
                raise StorageError(f"There is no directory for {path}.")
            self._put(path, content)
            return self._stat_of(path, self._nodes[path])

    def read(self, path: str) -> bytes | None:
        """Return a file whole."""
        with self._lock:
            node = self._nodes.get(path)
            return None if node is None else node.content

    def read_chunks(self, path: str) -> Iterator[bytes]:
        """Yield a file in pieces."""
        content = self.read(path)
        if content is None:
            raise StorageMissingError(f"There is no file {path}.")
        for start in range(0, len(content), 1 << 16):
            yield content[start : start + (1 << 16)]

    def concat(self, target: str, sources: Sequence[str]) -> bool:
        """Put files behind another one."""
        with self._lock:
            contents = [self.read(path) for path in (target, *sources)]
            parents = {posixpath.dirname(path) for path in (target, *sources)}
            if not self.can_concat or None in contents or len(parents) > 1 or target in sources:
                return False
            grown = self._nodes[target] = _Node(self._nodes[target].number, b"".join(filter(None, contents)))
            self._modified[grown.number] = self.now_ms
            for path in sources:
                del self._nodes[path]
            return True

    def rename(self, source: str, target: str) -> RenameOutcome:
        """Move a file or a directory to a free name."""
        with self._lock:
            if source not in self._nodes:
                return RenameOutcome.SOURCE_MISSING
            if not self._is_directory(posixpath.dirname(target)):
                return RenameOutcome.PARENT_MISSING
            if target in self._nodes:
                return RenameOutcome.TARGET_EXISTS
            moved = {
                name: node for name, node in self._nodes.items() if name == source or name.startswith(f"{source}/")
            }
            for name, node in moved.items():
                del self._nodes[name]
                self._nodes[target + name[len(source) :]] = node
            self._touch_parent(source)
            self._touch_parent(target)
            return RenameOutcome.RENAMED

    def delete(self, path: str) -> bool:
        """Remove a file or a directory with all it holds."""
        with self._lock:
            doomed = [name for name in self._nodes if name == path or name.startswith(f"{path}/")]
            for name in doomed:
                del self._nodes[name]
            return bool(doomed)

    def close(self) -> None:
        """Do nothing."""

    @property
    def files(self) -> dict[str, bytes]:
        """All files by path."""
        with self._lock:
            return {name: node.content for name, node in self._nodes.items() if node.content is not None}

    @property
    def directories(self) -> tuple[str, ...]:
        """Paths of all directories, sorted."""
        with self._lock:
            return tuple(sorted(name for name, node in self._nodes.items() if node.content is None))

    def _is_directory(self, path: str) -> bool:
        node = self._nodes.get(path)
        return node is not None and node.content is None

    def _put(self, path: str, content: bytes | None) -> None:
        self._made += 1
        self._nodes[path] = _Node(self._made, content)
        self._modified[self._made] = self.now_ms
        self._touch_parent(path)

    def _touch_parent(self, path: str) -> None:
        parent = self._nodes.get(posixpath.dirname(path))
        if parent is not None:
            self._modified[parent.number] = self.now_ms

    def _stat_of(self, path: str, node: _Node) -> FileStat:
        kind = FileKind.DIRECTORY if node.content is None else FileKind.FILE
        return FileStat(
            posixpath.basename(path), kind, len(node.content or b""), str(node.number), self._modified[node.number]
        )
