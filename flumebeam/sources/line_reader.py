"""One open file, handed out as lines in portions."""

from __future__ import annotations

import os
from io import FileIO
from pathlib import Path

import numpy as np
import pyarrow as pa

from flumebeam.errors import FormatError, StorageError
from flumebeam.sources.lines import Lines, LineSplitter
from flumebeam.sources.options import FileSourceOptions

__all__ = ["LineReader"]

_NONE = Lines(pa.array([], type=pa.binary()), np.array([], dtype=np.uint64))


class LineReader:
    """Reads a file from an offset to its end.

    Args:
        stream: Open, unbuffered; closed by :meth:`close`.
        path: Its name, for messages.
        offset: Where to begin.
        options: Block size, longest line, and whether the file must not change while it is read.
    """

    def __init__(self, stream: FileIO, path: Path, offset: int, options: FileSourceOptions) -> None:
        self._stream = stream
        self._path = path
        self._options = options
        self._opened = os.fstat(stream.fileno())
        self._splitter = LineSplitter(offset, options.max_line_bytes)
        self._pending = _NONE
        stream.seek(offset)

    def read(self, max_lines: int) -> Lines | None:
        """Return up to ``max_lines`` lines, at least one; ``None`` at the end of the file.

        Raises:
            FormatError: A line is too long.
            StorageError: The file cannot be read, or changed although it stands in a spool directory.
        """
        while not len(self._pending):
            try:
                block = self._stream.read(self._options.block_bytes)
            except OSError as error:
                raise StorageError(f"{self._path} cannot be read any further ({error.strerror}).") from error
            try:
                self._pending = self._splitter.feed(block) if block else self._finish()
            except FormatError as error:
                raise FormatError(f"{self._path}: {error}") from error
            if not block and not len(self._pending):
                return None
        lines = self._pending
        self._pending = Lines(lines.bodies.slice(max_lines), lines.ends[max_lines:])
        return Lines(lines.bodies.slice(0, max_lines), lines.ends[:max_lines])

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def _finish(self) -> Lines:
        if self._options.spool:
            now = os.fstat(self._stream.fileno())
            if (now.st_size, now.st_mtime_ns) != (self._opened.st_size, self._opened.st_mtime_ns):
                raise StorageError(
                    f"{self._path} changed while it was read: write files of a spool directory elsewhere, "
                    "or under a name that ends with .tmp, and rename them in when they are finished."
                )
        return self._splitter.finish()
