"""The receiver of files: lines of files and spool directories as batches, with positions that follow the acks."""

from __future__ import annotations

import threading
import uuid
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from flumebeam.batch import BatchProvenance, EventBatch
from flumebeam.clock import Clock, SystemClock
from flumebeam.errors import StorageError
from flumebeam.event import BASENAME_HEADER, EVENT_ID_HEADER, FILE_HEADER
from flumebeam.ids import id_pairs
from flumebeam.sources.event_ids import id_column, id_text
from flumebeam.sources.ledger import Ledger
from flumebeam.sources.line_reader import LineReader
from flumebeam.sources.lines import Lines
from flumebeam.sources.listing import list_files
from flumebeam.sources.options import FileSourceOptions
from flumebeam.sources.positions import Positions, PositionStore

__all__ = ["FileReceiver"]


@dataclass(slots=True, eq=False)
class _SourceFile:
    """A file of which something is not durable yet."""

    path: Path
    origin: int
    ledger: Ledger
    reader: LineReader
    exhausted: bool = False


class FileReceiver:
    """Delivers the lines of files, oldest file first, and keeps the position of each in a store of its own.

    An event is a line: its body is the line without the newline, every other byte as it was; an empty line is an
    event, and so is a last line without an end. Its delivery id is the file's identity and the offset behind the line,
    and its header ``flumebeam.id`` says the same as text. A position moves only when everything before it has been
    acknowledged; a file is completed only when all of it has.

    Unit of parallelism: one source is read by one process and one thread. Never lost: what was not acknowledged is
    delivered again, under the same ids, by the next receiver. Repeated after a failure: what was delivered and not
    acknowledged; after a power cut also what was acknowledged in the last second before it.

    Args:
        options: Which files.
        positions: Where positions are kept, closed with the receiver; by default files in the tracker directory.
        clock: For polling and positions.

    Raises:
        ConfigurationError: There is no such file or directory, another process reads it, or positions cannot be kept.
        FormatError: A stored position is damaged.
    """

    def __init__(
        self, options: FileSourceOptions, *, positions: Positions | None = None, clock: Clock | None = None
    ) -> None:
        self._options = options
        self._clock = clock or SystemClock()
        self._receiver_id = f"files-{uuid.uuid4().hex}"
        self._waiting = deque(list_files(options))
        self._seen = set(self._waiting)
        self._look_again = self._clock.monotonic() + options.poll_seconds
        self._unfinished: dict[int, _SourceFile] = {}
        self._current: _SourceFile | None = None
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._settled = True
        self._store = positions or PositionStore(options.tracker_path, clock=self._clock)
        self._store.forget_vanished()

    @property
    def receiver_id(self) -> str:
        """Identity of this run of the source."""
        return self._receiver_id

    @property
    def unacknowledged(self) -> int:
        """Events handed out and not acknowledged."""
        with self._lock:
            return sum(file.ledger.unacknowledged for file in self._unfinished.values())

    def receive(self, max_events: int, timeout: float) -> EventBatch:
        """Return up to ``max_events`` lines of one file.

        Returns:
            An empty batch at the end of everything there is; a followed directory is waited for, ``timeout`` seconds
            at most.

        Raises:
            FormatError: A line is longer than the limit.
            StorageError: A file cannot be read, or a file of a spool directory was changed while it was read.
        """
        deadline = self._clock.monotonic() + timeout
        while not self._closed.is_set():
            with self._lock:
                batch = self._next_batch(max_events)
            left = min(deadline - self._clock.monotonic(), self._options.poll_seconds)
            if batch is not None:
                return batch
            if not self._options.follow or left <= 0:
                break
            self._closed.wait(left)
        return EventBatch.empty()

    def acknowledge(self, ids: pa.FixedSizeBinaryArray) -> None:
        """Move positions as far as everything is durable, and complete the files that are.

        Raises:
            StorageError: A position cannot be written or a file not be renamed; what it says stays true.
        """
        pairs = id_pairs(ids)
        with self._lock:
            for origin in np.unique(pairs[:, 0]):
                file = self._unfinished.get(int(origin))
                if file is None:
                    continue
                if file.ledger.acknowledge(pairs[pairs[:, 0] == origin, 1]):
                    self._store.move(file.origin, file.ledger.position)
                self._complete_if_durable(file)

    def close(self) -> bool:
        """Stop reading and sync positions; what is not acknowledged is delivered by the next receiver. Idempotent.

        Returns:
            Whether everything that was handed out had been acknowledged: the positions on disk say so then.
        """
        self._closed.set()
        with self._lock:
            if any(file.ledger.unacknowledged for file in self._unfinished.values()):
                self._settled = False
            self._unfinished.clear()
            if self._current is not None:
                self._current.reader.close()
                self._current = None
            self._store.close()
            return self._settled

    # -- reading -----------------------------------------------------------------------------------------------------

    def _next_batch(self, max_events: int) -> EventBatch | None:
        while not self._closed.is_set():
            file = self._current or self._open_next()
            if file is None:
                break
            self._current = file
            lines = file.reader.read(max_events)
            if lines is not None:
                file.ledger.hand_out(lines.ends)
                return self._batch_of(file, lines)
            file.reader.close()
            file.exhausted = True
            self._current = None
            self._complete_if_durable(file)
        return None

    def _open_next(self) -> _SourceFile | None:
        self._look()
        while self._waiting:
            path = self._waiting.popleft()
            try:
                stream = path.open("rb", buffering=0)
            except FileNotFoundError:
                # Taken away since it was listed: there is nothing of it to read or to lose.
                continue
            except OSError as error:
                raise _unreadable(path, error) from error
            try:
                position = self._store.meet(stream.fileno(), str(path))
                reader = LineReader(stream, path, position.offset, self._options)
            except OSError as error:
                stream.close()
                raise _unreadable(path, error) from error
            except BaseException:  # an interrupt, too, must leave no file open
                stream.close()
                raise
            origin = position.identity.origin
            file = self._unfinished[origin] = _SourceFile(path, origin, Ledger(position.offset), reader)
            return file
        return None

    def _look(self) -> None:
        now = self._clock.monotonic()
        if self._waiting or not self._options.follow or now < self._look_again:
            return
        self._look_again = now + self._options.poll_seconds
        for path in list_files(self._options):
            if path not in self._seen:
                self._seen.add(path)
                self._waiting.append(path)

    def _batch_of(self, file: _SourceFile, lines: Lines) -> EventBatch:
        shared = {}
        if self._options.file_header:
            shared[FILE_HEADER] = str(file.path)
        if self._options.basename_header:
            shared[BASENAME_HEADER] = file.path.name
        ids = id_column(file.origin, lines.ends)
        never = pa.array(np.zeros(len(lines), dtype=np.bool_))
        return EventBatch(
            lines.bodies,
            shared,
            {EVENT_ID_HEADER: id_text(file.origin, lines.ends)},
            BatchProvenance(self._receiver_id, self._options.path, ids, never),
        )

    # -- completing --------------------------------------------------------------------------------------------------

    def _complete_if_durable(self, file: _SourceFile) -> None:
        if not file.exhausted or file.ledger.unacknowledged:
            return
        if self._options.renames:
            self._store.sync()
            self._rename(file.path)
            self._store.remove(file.origin)
            self._seen.discard(file.path)
        del self._unfinished[file.origin]

    def _rename(self, path: Path) -> None:
        suffix = self._options.completed_suffix
        target = path.with_name(path.name + suffix)
        attempt = 0
        while target.exists():
            # A file of this name was completed before; both are kept.
            attempt += 1
            target = path.with_name(f"{path.name}.{attempt}{suffix}")
        try:
            path.rename(target)
        except FileNotFoundError:
            # Somebody took it away: all of it is durable, so nothing is missing.
            return
        except OSError as error:
            raise StorageError(
                f"{path} is through and cannot be renamed ({error.strerror}): make its directory writable, "
                "or keep completed files as they are."
            ) from error


def _unreadable(path: Path, error: OSError) -> StorageError:
    return StorageError(f"{path} cannot be read ({error.strerror}): make it readable, or take it out of the source.")
