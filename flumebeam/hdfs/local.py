"""A local disk as a target, with the same promise as HDFS: fsync, atomic renames, nothing ever overwritten."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import stat as modes
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from flumebeam.errors import (
    StorageConflictError,
    StorageError,
    StorageFullError,
    StorageMissingError,
    StorageUnavailableError,
)
from flumebeam.hdfs.filesystem import FileKind, FileStat, RenameOutcome

__all__ = ["LocalFileSystem"]

_AT_FDCWD: Final = -100
_RENAME_NOREPLACE: Final = 1
_CHUNK_BYTES: Final = 1 << 20
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_UNAVAILABLE: Final = frozenset({errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EMFILE, errno.ENFILE})
_REFUSED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_IN_THE_WAY: Final = frozenset({errno.EEXIST, errno.ENOTDIR})
_NOT_SUPPORTED: Final = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP})


class LocalFileSystem:
    """Files of this machine, or of a mounted disk that renames atomically.

    A written file and its directory entry are on the disk when :meth:`write` returns; so is a rename. Thread-safe,
    holds no state. Calls on a network mount last as long as the mount lets them.
    """

    exactly_once = True

    def stat(self, path: str) -> FileStat | None:
        """Return what stands under ``path``, without following a link; ``None`` if there is nothing.

        Raises:
            StorageError: The path cannot be looked at, for example without permission.
        """
        with _told_of(path, "look at"):
            try:
                return _stat_of(Path(path).name, os.lstat(path))
            except (FileNotFoundError, NotADirectoryError):
                return None

    def list(self, path: str) -> list[FileStat]:
        """Return the entries of a directory, sorted by name; empty if there is no such directory.

        Raises:
            StorageConflictError: ``path`` is a file.
            StorageError: The directory cannot be read.
        """
        found = []
        with _told_of(path, "list"):
            try:
                with os.scandir(path) as entries:
                    for entry in entries:
                        # An entry may be renamed or removed by somebody else between the two system calls.
                        with contextlib.suppress(FileNotFoundError):
                            found.append(_stat_of(entry.name, entry.stat(follow_symlinks=False)))
            except FileNotFoundError:
                return []
        return sorted(found, key=lambda entry: entry.name)

    def make_directory(self, path: str) -> None:
        """Make a directory with its parents, durably; no error if it is there.

        Raises:
            StorageConflictError: A file stands in the way.
            StorageFullError: No space left.
            StorageError: No permission.
        """
        with _told_of(path, "make directory"):
            missing = []
            place = Path(path)
            while not place.is_dir():
                missing.append(place)
                place = place.parent
            for directory in reversed(missing):
                # Somebody else may make it at the same moment; a file of that name is told by the next step.
                with contextlib.suppress(FileExistsError):
                    directory.mkdir()
                if not directory.is_dir():
                    raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(directory))
                _sync_directory(directory.parent)

    def write(self, path: str, chunks: Iterable[bytes]) -> FileStat:
        """Write a new file and bring it, and its name, to the disk.

        What was written of it before a failure is removed.

        Raises:
            StorageConflictError: Something stands under that name.
            StorageFullError: No space left.
            StorageError: No permission, or no such directory.
        """
        with _told_of(path, "write"):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            try:
                length = 0
                with os.fdopen(descriptor, "wb", buffering=0) as file:
                    for chunk in chunks:
                        rest = memoryview(chunk).cast("B")
                        length += len(rest)
                        while rest:
                            rest = rest[file.write(rest) :]
                    os.fsync(descriptor)
                    status = os.fstat(descriptor)
                _sync_directory(Path(path).parent)
            except BaseException:  # an interrupt, too, must leave no half file behind
                with contextlib.suppress(OSError):
                    Path(path).unlink()
                raise
        if status.st_size != length:
            raise StorageUnavailableError(f"{path} has {status.st_size} bytes after {length} were written.")
        return _stat_of(Path(path).name, status)

    def read(self, path: str) -> bytes | None:
        """Return a small file whole, or ``None`` if there is none.

        Raises:
            StorageError: It cannot be read.
        """
        with _told_of(path, "read"):
            try:
                return Path(path).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def read_chunks(self, path: str) -> Iterator[bytes]:
        """Yield a file of any size in pieces.

        Raises:
            StorageMissingError: There is no such file.
            StorageError: It cannot be read.
        """
        with _told_of(path, "read"):
            try:
                file = Path(path).open("rb", buffering=0)
            except (FileNotFoundError, NotADirectoryError) as error:
                raise StorageMissingError(f"There is no file {path} any more.") from error
            with file:
                while chunk := file.read(_CHUNK_BYTES):
                    yield chunk

    def concat(self, target: str, sources: Sequence[str]) -> bool:
        """Do nothing: a disk has no such step, and its callers copy."""
        return False

    def rename(self, source: str, target: str) -> RenameOutcome:
        """Move a file or a directory to a name that is free, atomically and durably.

        Raises:
            StorageFullError: No space left.
            StorageError: No permission, or the two names are on different disks.
        """
        with _told_of(target, "rename to"):
            try:
                _rename_no_replace(source, target)
            except FileExistsError:
                return RenameOutcome.TARGET_EXISTS
            except (FileNotFoundError, NotADirectoryError):
                return RenameOutcome.PARENT_MISSING if os.path.lexists(source) else RenameOutcome.SOURCE_MISSING
            parents = {Path(source).parent, Path(target).parent}
            for parent in parents:
                # A directory that was renamed or removed meanwhile is another writer's to bring to the disk.
                with contextlib.suppress(FileNotFoundError):
                    _sync_directory(parent)
        return RenameOutcome.RENAMED

    def delete(self, path: str) -> bool:
        """Remove a file, or a directory with all it holds; tell whether there was one.

        Raises:
            StorageError: No permission.
        """
        with _told_of(path, "remove"):
            try:
                if not modes.S_ISDIR(os.lstat(path).st_mode):
                    Path(path).unlink()
                    return True
            except (FileNotFoundError, NotADirectoryError):
                return False
            while os.path.lexists(path):
                # Somebody else may be removing the same things.
                with contextlib.suppress(FileNotFoundError):
                    shutil.rmtree(path)
        return True

    def close(self) -> None:
        """Do nothing: there is nothing to release."""


def _rename_no_replace(source: str, target: str) -> None:
    if _renameat2 is not None:
        if _renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE) == 0:
            return
        code = ctypes.get_errno()
        if code not in _NOT_SUPPORTED:
            raise OSError(code, os.strerror(code), source)
    _rename_by_link(source, target)


def _rename_by_link(source: str, target: str) -> None:
    """Rename where the kernel or the mount knows no rename without replacement (NFS, some network mounts).

    A file gets its second name, then loses its first one. A directory cannot have two names; its callers use target
    names that nobody else can have, so looking first is enough.
    """
    status = os.lstat(source)
    if modes.S_ISDIR(status.st_mode):
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
        Path(source).rename(target)
        return
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        # After a crash between the two steps the very same file has both names.
        if not os.path.samestat(status, os.lstat(target)):
            raise
    Path(source).unlink()


def _load_renameat2() -> ctypes._NamedFuncPointer | None:
    function: ctypes._NamedFuncPointer | None = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is not None:
        function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
        function.restype = ctypes.c_int
    return function


_renameat2: Final = _load_renameat2()


def _stat_of(name: str, status: os.stat_result) -> FileStat:
    directory = modes.S_ISDIR(status.st_mode)
    # Inode numbers are used again after a file is gone; a file that is never changed keeps its modification time.
    identity = f"{status.st_dev:x}:{status.st_ino:x}" + ("" if directory else f":{status.st_mtime_ns:x}")
    return FileStat(
        name,
        FileKind.DIRECTORY if directory else FileKind.FILE,
        0 if directory else status.st_size,
        identity,
        status.st_mtime_ns // 1_000_000,
    )


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _told_of(path: str, doing: str) -> Iterator[None]:
    """Turn the operating system's errors into ours: one sentence with the path and what to do."""
    try:
        yield
    except OSError as error:
        cause = error.strerror or str(error)
        if error.errno in _FULL:
            raise StorageFullError(f"Cannot {doing} {path}: {cause}. Free some space there.") from error
        if error.errno in _REFUSED:
            raise StorageError(
                f"Cannot {doing} {path}: {cause}. Give this user (uid {os.geteuid()}) write permission there, "
                "or choose another target."
            ) from error
        if error.errno in _IN_THE_WAY:
            where = error.filename or path
            raise StorageConflictError(
                f"Cannot {doing} {path}: {where} is in the way ({cause}). Move it, or choose another target."
            ) from error
        if error.errno in _UNAVAILABLE:
            raise StorageUnavailableError(f"Cannot {doing} {path}: {cause}. Check the disk or the mount.") from error
        raise StorageError(f"Cannot {doing} {path}: {cause}. Check the path.") from error
