"""Identities of deliveries: 16 bytes that name one message or one record in the world.

A broker message is named by its replication group message id: the spooler that stored it and its number there. A
record of a file is named by the file's identity and the offset behind it. Both are two unsigned 64-bit numbers, so
one type, one column layout and one set type serve every source.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flumebeam.errors import FormatError

__all__ = ["DELIVERY_ID_TYPE", "DeliveryId", "delivery_ids", "id_pairs"]

DELIVERY_ID_TYPE: Final = pa.binary(16)
"""Arrow type of a column of delivery ids: big-endian, so that byte order is numeric order."""

_PAIR: Final = struct.Struct(">QQ")


class DeliveryId(NamedTuple):
    """Identity of one delivery.

    Attributes:
        origin: The spooler's unique id, or the file's identity; 0 to 2**64-1.
        number: The message's number on that spooler, or the offset behind the record; 0 to 2**64-1.
    """

    origin: int
    number: int

    def pack(self) -> bytes:
        """Return the 16 bytes that stand for this id in columns and logs."""
        return _PAIR.pack(self.origin, self.number)

    @classmethod
    def unpack(cls, data: bytes) -> DeliveryId:
        """Return the id that 16 bytes stand for.

        Raises:
            FormatError: ``data`` has another length.
        """
        if len(data) != _PAIR.size:
            raise FormatError(f"A delivery id has 16 bytes, got {len(data)}.")
        return cls(*_PAIR.unpack(data))

    @classmethod
    def from_replication_group(cls, text: str) -> DeliveryId:
        """Parse a replication group message id, ``rmid1:sssss-sssssssssss-nnnnnnnn-nnnnnnnn`` in hexadecimal.

        The layout is the one that solace-pubsubplus 1.11 prints: the spooler id split 5-11, the number split 8-8.

        Raises:
            FormatError: The text has another form.
        """
        digits = text[6:].replace("-", "")
        if not text.startswith("rmid1:") or len(digits) != 32:
            raise FormatError(f"{text!r} is no replication group message id (rmid1:...).")
        try:
            return cls(int(digits[:16], 16), int(digits[16:], 16))
        except ValueError as error:
            raise FormatError(f"{text!r} is no replication group message id (rmid1:...).") from error

    def __str__(self) -> str:
        return f"{self.origin:016x}-{self.number:016x}"


def delivery_ids(ids: Iterable[DeliveryId | bytes]) -> pa.FixedSizeBinaryArray:
    """Return a column of delivery ids.

    Args:
        ids: Ids, packed or not, in order.
    """
    return pa.array([i if isinstance(i, bytes) else i.pack() for i in ids], type=DELIVERY_ID_TYPE)


def id_pairs(column: pa.FixedSizeBinaryArray) -> npt.NDArray[np.uint64]:
    """Return a column of ids as numbers, without a Python object per id.

    Args:
        column: Delivery ids, no nulls, shape ``(n,)``.

    Returns:
        Shape ``(n, 2)``, native byte order: origin and number.
    """
    raw = np.frombuffer(column.buffers()[1], dtype=">u8", count=2 * len(column), offset=16 * column.offset)
    return raw.reshape(-1, 2).astype(np.uint64)
