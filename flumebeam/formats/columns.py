"""Column arithmetic that formats share: bytes of many events without a Python object for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["Sink", "content", "fixed", "joined", "mapped"]

_NOTHING: Final = pa.scalar(b"", type=pa.binary())


def content(column: pa.BinaryArray) -> bytes:
    """Return the values of a binary column, one straight after another.

    Args:
        column: Type ``binary`` or ``string`` (32-bit offsets), no nulls; may be a slice.
    """
    data = column.buffers()[2]
    if data is None or not len(column):
        return b""
    offsets = pa.Int32Array.from_buffers(pa.int32(), len(column) + 1, [None, column.buffers()[1]], offset=column.offset)
    start, end = offsets[0].as_py(), offsets[len(column)].as_py()
    values: bytes = data.slice(start, end - start).to_pybytes()
    return values


def joined(*columns: pa.BinaryArray | pa.BinaryScalar) -> pa.BinaryArray:
    """Return the values of several columns put together row by row; null where one of them is.

    Args:
        columns: Type ``binary``; at least one of them an array.
    """
    return pc.binary_join_element_wise(*columns, _NOTHING)


def mapped(numbers: pa.Array, encode: Callable[[Any], bytes]) -> pa.BinaryArray:
    """Return a column of what ``encode`` gives for each value, null for null.

    Args:
        numbers: Any column with few different values: each is encoded once.
        encode: Gives a value's bytes.
    """
    encoded = numbers.dictionary_encode()
    known = [encode(number) for number in encoded.dictionary.to_pylist()]
    return pc.take(pa.array(known, type=pa.binary()), encoded.indices)


def fixed(numbers: Any, width: int) -> pa.BinaryArray:
    """Return numbers as a binary column of ``width`` bytes each, as they lie in memory.

    Args:
        numbers: A NumPy array, an item or a row of ``width`` bytes each, in the wished byte order.
        width: Bytes of an item.
    """
    data = pa.py_buffer(numbers.tobytes())
    offsets = pa.array(np.arange(len(numbers) + 1, dtype=np.int32) * np.int32(width)).buffers()[1]
    return pa.Array.from_buffers(pa.binary(), len(numbers), [None, offsets, data])


class Sink:
    """A file for Arrow to write to, which keeps what is written until it is taken."""

    closed = False

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._written = 0

    def write(self, data: bytes) -> int:
        """Keep bytes."""
        self._pieces.append(bytes(data))
        self._written += len(data)
        return len(data)

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self._written

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """What is kept can still be taken."""

    def take(self) -> bytes:
        """Return what was written since the last time."""
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data
