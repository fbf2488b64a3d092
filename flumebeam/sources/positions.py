"""The position store: how far each source file is durable, kept through kills, renames and restarts.

One small text file per source file, in a directory of its own per source. Its first line says which file is meant, as
JSON, and is written beside and renamed; then follows one line per move of the position, each with a checksum, of which
the last whole one counts. A kill loses none of them and a power cut at most the last second's: the position is then
earlier than it could be, so events repeat, and none is lost.
"""

from __future__ import annotations

import fcntl
import json
import os
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

from flumebeam.clock import Clock, SystemClock
from flumebeam.errors import ConfigurationError, FormatError, StorageError
from flumebeam.sources.identity import FileIdentity

__all__ = ["FORGET_MS", "Position", "PositionStore", "Positions", "recognise"]

_VERSION: Final = 1
_SUFFIX: Final = ".position"
_COMPACT_BYTES: Final = 64 * 1024
"""Size at which a position's file is written anew: some 2,000 moves."""
_SYNC_SECONDS: Final = 1.0
"""How much of the acknowledged work a power cut may repeat; a sync on every move would cost more than the reading."""
FORGET_MS: Final = 30 * 24 * 3600 * 1000
"""Age at which the position of a file that is no longer there is forgotten, so that rotated logs do not pile up."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far one source file is durable.

    Attributes:
        identity: Which file.
        path: Where it was when it was seen last, for people.
        offset: Everything before this offset is durable.
    """

    identity: FileIdentity
    path: str
    offset: int


class Positions(Protocol):
    """Where a source of files keeps how far each file is durable; used by one process and one thread at a time."""

    def meet(self, handle: int, path: str) -> Position:
        """Return how far an open file is durable, and note the file if it is new.

        Raises:
            OSError: The file cannot be read.
        """
        ...

    def move(self, origin: int, offset: int) -> None:
        """Note that a file is durable up to an offset."""
        ...

    def sync(self) -> None:
        """Make every move durable against a power cut."""
        ...

    def remove(self, origin: int) -> None:
        """Forget a file."""
        ...

    def forget_vanished(self) -> None:
        """Forget files that have stood under no name for a month."""
        ...

    def close(self) -> None:
        """Let others use the positions. Idempotent."""
        ...


def recognise(known: Iterable[Position], handle: int, path: str) -> tuple[Position, list[int]]:
    """Find out which of the known files an open file is.

    Args:
        known: Positions of files that were met before.
        handle: File descriptor, readable.
        path: The file's name now.

    Returns:
        Its position, 0 for a new file; and the origins of files that are gone.

    Raises:
        OSError: It cannot be read.
    """
    now = FileIdentity.of(handle)
    position, gone = Position(now, path, 0), []
    for one in [one for one in known if one.identity.inode == now.inode]:
        if one.identity.is_of(handle) and one.offset <= os.fstat(handle).st_size:
            moved = Position(replace(now, origin=one.identity.origin), path, one.offset)
            position = one if moved == one else moved
        else:
            # Another file has the inode now, so that one is gone; or it was cut short and begins anew.
            gone.append(one.identity.origin)
    return position, gone


class PositionStore:
    """The positions of one source, in a directory that one process at a time uses.

    Args:
        directory: Made if it does not exist.
        clock: For syncing once a second and for forgetting.

    Raises:
        ConfigurationError: The directory cannot be made or written, or another process uses it.
        FormatError: A position's file is damaged.
    """

    def __init__(self, directory: Path, *, clock: Clock | None = None) -> None:
        self._directory = directory
        self._clock = clock or SystemClock()
        self._synced = self._clock.monotonic()
        self._unsynced: set[int] = set()
        self._lock = _lock(directory)
        try:
            self._positions = {position.identity.origin: position for position in map(_read, _files(directory))}
        except BaseException:  # an interrupt, too, must not keep the lock
            os.close(self._lock)
            raise

    def meet(self, handle: int, path: str) -> Position:
        """Return how far an open file is durable, and note the file if it is new.

        Durable on return: a file's identity is what makes the ids of its events stable.

        Args:
            handle: File descriptor, readable.
            path: The file's name now.

        Raises:
            StorageError: The position cannot be written.
            OSError: The file cannot be read.
        """
        position, gone = recognise(self._positions.values(), handle, path)
        for origin in gone:
            self.remove(origin)
        if position != self._positions.get(position.identity.origin):
            self._write_anew(position)
            self._positions[position.identity.origin] = position
        return position

    def move(self, origin: int, offset: int) -> None:
        """Move a position. Survives a kill at once, and a power cut within a second.

        Raises:
            StorageError: It cannot be written.
        """
        position = replace(self._positions[origin], offset=offset)
        path = self._path(origin)
        try:
            with path.open("ab") as file:
                if file.tell() < _COMPACT_BYTES:
                    file.write(_line(offset))
                    self._unsynced.add(origin)
                else:
                    self._write_anew(position)
                if self._clock.monotonic() - self._synced >= _SYNC_SECONDS:
                    file.flush()
                    self.sync()
        except OSError as error:
            raise _unwritable(path, error) from error
        self._positions[origin] = position

    def sync(self) -> None:
        """Make every move durable against a power cut.

        Raises:
            StorageError: It cannot be done.
        """
        for origin in sorted(self._unsynced):
            path = self._path(origin)
            try:
                with path.open("rb") as file:
                    os.fdatasync(file.fileno())
            except OSError as error:
                raise _unwritable(path, error) from error
        self._unsynced.clear()
        self._synced = self._clock.monotonic()

    def remove(self, origin: int) -> None:
        """Forget a file.

        Raises:
            StorageError: Its position cannot be removed.
        """
        path = self._path(origin)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise _unwritable(path, error) from error
        self._positions.pop(origin, None)
        self._unsynced.discard(origin)

    def forget_vanished(self) -> None:
        """Forget files that have stood under no name for a month."""
        horizon = self._clock.epoch_ms() - FORGET_MS
        for origin, position in list(self._positions.items()):
            moved_ms = self._path(origin).stat().st_mtime_ns // 1_000_000
            if moved_ms < horizon and not Path(position.path).exists():
                self.remove(origin)

    def close(self) -> None:
        """Sync and let others use the directory. Idempotent."""
        if self._lock >= 0:
            try:
                self.sync()
            finally:
                os.close(self._lock)
                self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _path(self, origin: int) -> Path:
        return self._directory / f"{origin:016x}{_SUFFIX}"

    def _write_anew(self, position: Position) -> None:
        path = self._path(position.identity.origin)
        facts = {"version": _VERSION, "path": position.path, **asdict(position.identity)}
        beside = path.with_suffix(".new")
        try:
            with beside.open("wb") as file:
                file.write(json.dumps(facts, sort_keys=True).encode() + b"\n" + _line(position.offset))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
            _sync_directory(self._directory)
        except OSError as error:
            raise _unwritable(path, error) from error
        self._unsynced.discard(position.identity.origin)


def _lock(directory: Path) -> int:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise ConfigurationError(
            f"The directory of positions {directory} cannot be used ({error.strerror}): "
            "make it writable, or name another one as tracker directory."
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise ConfigurationError(
            f"Another process reads these files already (it holds {directory / 'lock'}): "
            "stop it, or give this one a tracker directory of its own."
        ) from error
    return lock


def _files(directory: Path) -> list[Path]:
    return sorted(directory.glob(f"*{_SUFFIX}"))


def _line(offset: int) -> bytes:
    text = b"%d" % offset
    return b"%s %08x\n" % (text, zlib.crc32(text))


def _read(path: Path) -> Position:
    damaged = FormatError(
        f"{path} is damaged, so it is not known how far its file was read: "
        "remove it to read that file from its beginning."
    )
    try:
        head, *moves = path.read_bytes().split(b"\n")
        facts: dict[str, Any] = json.loads(head)
        if facts.pop("version") != _VERSION:
            raise FormatError(f"{path} was written by a newer flumebeam: use that one, or remove the file.")
        name = facts.pop("path")
        identity = FileIdentity(**facts)
    except OSError as error:
        raise StorageError(f"{path} cannot be read ({error.strerror}): make it readable.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged from error
    offsets = [offset for move in moves if (offset := _offset_of(move)) is not None]
    if not offsets:
        raise damaged
    return Position(identity, name, max(offsets))


def _offset_of(move: bytes) -> int | None:
    text = move.partition(b" ")[0]
    return int(text) if text.isdigit() and move + b"\n" == _line(int(text)) else None


def _unwritable(path: Path, error: OSError) -> StorageError:
    return StorageError(f"The position {path} cannot be written ({error.strerror}): positions stay where they were.")


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
