"""Identities of deliveries: 16 bytes that name one message or one record in the world.

A broker message is named by its replication group message id: the spooler that stored it and its number there. A
record of a file is named by the file's identity and the offset behind it. Both are two unsigned 64-bit numbers, so
one type, one column layout and one set type serve every source.

A message that packs many events is one message to the broker and many deliveries to everybody else: each event has an
id of its own, made from the message's and the event's place in it. So a transaction may end within a pack, and what was
committed of it is known exactly when the message comes again.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flumebeam.errors import FormatError

__all__ = [
    "DELIVERY_ID_TYPE",
    "ID_TEXT",
    "MAX_PACKED_EVENTS",
    "DeliveryId",
    "are_id_texts",
    "delivery_ids",
    "id_list",
    "id_pairs",
    "packed_ids",
    "packed_origin",
    "packed_places",
]

DELIVERY_ID_TYPE: Final = pa.binary(16)
"""Arrow type of a column of delivery ids: big-endian, so that byte order is numeric order."""

MAX_PACKED_EVENTS: Final = 4096
"""Events that one message may pack, so that an event's place fits behind the message's number."""

ID_TEXT: Final = re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}")
"""What ``str(DeliveryId)`` looks like."""
_SIGNS: Final = np.array([(chr(byte) in "0123456789abcdef") + 2 * (chr(byte) == "-") for byte in range(256)], np.uint8)
"""Of each byte, whether it is a hexadecimal digit (1) or a dash (2)."""
_ID_SIGNS: Final = _SIGNS[np.frombuffer(b"0" * 16 + b"-" + b"0" * 16, np.uint8)]

_PAIR: Final = struct.Struct(">QQ")
_PLACE_BITS: Final = 12
_PACKED_ORIGIN: Final = 0x5AC7_3D1E_96B2_F048
"""Told apart from the ids of whole messages by the origin: any number, as long as it stays the same for ever."""


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


def id_list(column: pa.FixedSizeBinaryArray) -> list[bytes]:
    """Return a column of ids as Python objects; twenty times as fast as the column's own method.

    Args:
        column: Delivery ids, no nulls, shape ``(n,)``.
    """
    raw = np.frombuffer(column.buffers()[1], dtype="V16", count=len(column), offset=16 * column.offset)
    ids: list[bytes] = raw.tolist()
    return ids


def are_id_texts(column: pa.StringArray) -> pa.BooleanArray:
    """Tell of each text of a column whether it is one of an id, as :data:`ID_TEXT`; null where there is none.

    Args:
        column: Texts, shape ``(n,)``.
    """
    signs = _signs_of(column)
    if signs is None:
        return pc.match_substring_regex(column, rf"\A{ID_TEXT.pattern}\z")
    return pa.array((_SIGNS[signs] == _ID_SIGNS).all(axis=1))


def _signs_of(column: pa.StringArray) -> npt.NDArray[np.uint8] | None:
    """Return the bytes of texts that are as long as ids, a row each, if all are: to look at them costs a third then."""
    count, size = len(column), len(_ID_SIGNS)
    if not count or column.null_count:
        return None
    ends = np.frombuffer(column.buffers()[1], np.int32, count + 1, 4 * column.offset)
    if (np.diff(ends) != size).any():
        return None
    return np.frombuffer(column.buffers()[2], np.uint8, count * size, int(ends[0])).reshape(count, size)


def packed_origin(origin: int) -> int:
    """Return the origin of the ids of packed events, given that of the messages that pack them."""
    return origin ^ _PACKED_ORIGIN


def packed_ids(messages: Sequence[bytes], counts: Sequence[int]) -> pa.FixedSizeBinaryArray:
    """Return the delivery ids of the events of packed messages, message by message, ascending within each.

    Args:
        messages: Delivery ids of the messages, 16 bytes each.
        counts: Events in each of them, 1 to :data:`MAX_PACKED_EVENTS`.

    Raises:
        FormatError: More events than that, or a message number above 2**52, which leaves no room for their places.
    """
    for message, count in zip(messages, counts, strict=True):
        if count > MAX_PACKED_EVENTS or _PAIR.unpack(message)[1] >> (64 - _PLACE_BITS):
            raise FormatError(
                f"Message {DeliveryId.unpack(message)} packs {count} events; {MAX_PACKED_EVENTS} in a message numbered "
                f"below 2**{64 - _PLACE_BITS} are the limit."
            )
    own = np.frombuffer(b"".join(messages), ">u8").reshape(-1, 2).astype(np.uint64)
    firsts = np.cumsum([0, *counts[:-1]], dtype=np.uint64)
    total = sum(counts)
    pairs = np.empty((total, 2), ">u8")
    pairs[:, 0] = np.repeat(own[:, 0] ^ np.uint64(_PACKED_ORIGIN), counts)
    # Where the events of a message begin in the column is taken off again: places count from 0 in each message.
    pairs[:, 1] = np.repeat((own[:, 1] << np.uint64(_PLACE_BITS)) - firsts, counts) + np.arange(total, dtype=np.uint64)
    return pa.FixedSizeBinaryArray.from_buffers(DELIVERY_ID_TYPE, total, [None, pa.py_buffer(pairs)])


def packed_places(
    pairs: npt.NDArray[np.uint64],
) -> Iterator[tuple[bytes, npt.NDArray[np.uint64]]]:
    """Undo :func:`packed_ids`: yield each message's delivery id with the places of those of its events that are named.

    Args:
        pairs: Ids of packed events as :func:`id_pairs` gives them, shape ``(n, 2)``, in any order.
    """
    messages = pairs.copy()
    messages[:, 1] >>= np.uint64(_PLACE_BITS)
    places = pairs[:, 1] & np.uint64(MAX_PACKED_EVENTS - 1)
    starts = np.flatnonzero(np.any(messages[1:] != messages[:-1], axis=1)) + 1
    for piece, own in zip(np.split(messages, starts), np.split(places, starts), strict=True):
        if len(piece):
            yield _PAIR.pack(packed_origin(int(piece[0, 0])), int(piece[0, 1])), own
