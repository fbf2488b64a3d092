"""Ids of records of a file as columns: the delivery ids and their text, computed for a whole batch at once."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flumebeam.ids import DELIVERY_ID_TYPE

__all__ = ["id_column", "id_text"]

_HEX: Final = np.frombuffer(b"".join(b"%02x" % byte for byte in range(256)), dtype=np.uint16)
"""The two hexadecimal digits of every byte, as one 16-bit pattern."""


def id_column(origin: int, numbers: npt.NDArray[np.uint64]) -> pa.FixedSizeBinaryArray:
    """Return the delivery ids of records of one file.

    Args:
        origin: Identity of the file.
        numbers: Offsets behind the records, shape ``(n,)``.
    """
    pairs = np.empty((len(numbers), 2), dtype=">u8")
    pairs[:, 0] = origin
    pairs[:, 1] = numbers
    return pa.Array.from_buffers(DELIVERY_ID_TYPE, len(numbers), [None, pa.py_buffer(pairs)])


def id_text(origin: int, numbers: npt.NDArray[np.uint64]) -> pa.StringArray:
    """Return the same ids as text, in the form of ``str(DeliveryId)``.

    Args:
        origin: Identity of the file.
        numbers: Offsets behind the records, shape ``(n,)``.
    """
    prefix = f"{origin:016x}-".encode()
    width = len(prefix) + 16
    count = len(numbers)
    text = np.empty((count, width), dtype=np.uint8)
    text[:, : len(prefix)] = np.frombuffer(prefix, dtype=np.uint8)
    text[:, len(prefix) :] = _HEX[numbers.astype(">u8").view(np.uint8)].view(np.uint8).reshape(count, 16)
    offsets = np.arange(0, (count + 1) * width, width, dtype=np.int32)
    return pa.Array.from_buffers(pa.string(), count, [None, pa.py_buffer(offsets), pa.py_buffer(text)])
