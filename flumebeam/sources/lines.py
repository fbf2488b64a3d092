"""Blocks of bytes to lines, as Arrow columns and without a Python object per line.

A line is what stands before a newline; a carriage return belongs to it. No byte is changed, whatever the encoding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flumebeam.errors import FormatError

__all__ = ["LineSplitter", "Lines"]

_NEWLINE = 0x0A


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """Consecutive lines of one stream.

    Attributes:
        bodies: The lines without their newlines, type ``binary``.
        ends: Offset in the stream behind each line and its newline, ascending, one per line.
    """

    bodies: pa.BinaryArray
    ends: npt.NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.bodies)


class LineSplitter:
    """Cuts a stream that comes in blocks into lines, and carries an unfinished line from block to block.

    Args:
        start: Offset in the stream of the first byte that will be fed.
        max_line_bytes: Longest line accepted, so that a binary file cannot fill the memory.
    """

    def __init__(self, start: int, max_line_bytes: int) -> None:
        self._start = start
        self._max_line_bytes = max_line_bytes
        self._carry: list[bytes] = []
        self._carried = 0

    def feed(self, block: bytes) -> Lines:
        """Return the lines that end within this block, the first of them possibly begun in earlier blocks.

        Raises:
            FormatError: A line is longer than the limit; nothing of it was returned.
        """
        cut = block.rfind(b"\n") + 1
        if not cut:
            self._keep(block)
            return self._cut(b"")
        whole = b"".join((*self._carry, memoryview(block)[:cut])) if self._carry else block[:cut]
        lines = self._cut(whole)
        self._carry, self._carried = [], 0
        self._start += len(whole)
        self._keep(block[cut:])
        return lines

    def finish(self) -> Lines:
        """Return the last line if the stream ended without a newline; the end of the stream is behind it."""
        rest = b"".join(self._carry)
        self._carry, self._carried = [], 0
        if not rest:
            return self._cut(b"")
        self._start += len(rest)
        return Lines(pa.array([rest], type=pa.binary()), np.array([self._start], dtype=np.uint64))

    def _keep(self, rest: bytes) -> None:
        if rest:
            self._carry.append(rest)
            self._carried += len(rest)
        if self._carried > self._max_line_bytes:
            raise self._too_long(self._start)

    def _cut(self, whole: bytes) -> Lines:
        newlines = np.flatnonzero(np.frombuffer(whole, dtype=np.uint8) == _NEWLINE)
        count = len(newlines)
        # Where each body ends once the newlines before it are taken out, which bytes.replace does at copying speed.
        offsets = np.zeros(count + 1, dtype=np.int32)
        offsets[1:] = newlines - np.arange(count)
        lengths = np.diff(offsets)
        if count and int(lengths.max()) > self._max_line_bytes:
            first = int(np.argmax(lengths > self._max_line_bytes))
            raise self._too_long(self._start + (int(newlines[first - 1]) + 1 if first else 0))
        bodies = pa.Array.from_buffers(
            pa.binary(), count, [None, pa.py_buffer(offsets), pa.py_buffer(whole.replace(b"\n", b""))]
        )
        return Lines(bodies, (newlines + (self._start + 1)).astype(np.uint64))

    def _too_long(self, offset: int) -> FormatError:
        return FormatError(
            f"The line at offset {offset} is longer than {self._max_line_bytes} bytes: is this a text file? "
            "Raise max_line_bytes if it is."
        )
