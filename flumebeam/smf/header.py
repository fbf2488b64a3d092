"""The 12 bytes at the start of every SMF v3 frame."""

from __future__ import annotations

import struct
from enum import IntEnum, IntFlag
from typing import Final, NamedTuple

from flumebeam.errors import ProtocolError

__all__ = ["HEADER_BYTES", "VERSION", "Flag", "Frame", "Header", "Protocol", "decode_header", "encode_frame"]

VERSION: Final = 3
HEADER_BYTES: Final = 12
Frame = tuple[bytes, bytes]
"""One frame as cut from the stream: header with its parameters, and payload. Plain, for there is one per message."""
_LAYOUT: Final = struct.Struct(">BBBBII")


class Protocol(IntEnum):
    """What the payload of a frame is."""

    ASSURED_CONTROL = 0x09
    KEEPALIVE = 0x0B
    CLIENT_CONTROL = 0x0C
    MESSAGE = 0x0D
    SUBSCRIPTION_CONTROL = 0x0F
    PASS_THROUGH = 0x13


class Flag(IntFlag):
    """Flags in the first byte of a frame."""

    DISCARDED = 0x80
    """Messages before this one were discarded on their way to the receiver."""
    ELIDING = 0x40
    DELIVER_TO_ONE = 0x20
    ASSURED = 0x10
    """The message is guaranteed: it has ids and wants to be acknowledged."""
    DMQ_ELIGIBLE = 0x08


class Header(NamedTuple):
    """The fixed part of a frame's header, lengths left out."""

    protocol: int
    flags: int = 0
    handling: int = 0
    """What a receiver that does not know the protocol should do (2 bits)."""
    service: int = 0
    """Priority and retain bits, always 0 from the clients seen."""
    hops: int = 0
    """Time to live in hops: 1 on control frames, 255 on messages, 0 from brokers."""


def decode_header(head: bytes) -> Header:
    """Return the fixed part of a frame's header.

    Raises:
        ProtocolError: Another version than 3, or fewer than 12 bytes.
    """
    if len(head) < HEADER_BYTES or head[0] & 0x07 != VERSION:
        raise ProtocolError("This is not an SMF version 3 frame.")
    return Header(head[1] & 0x3F, head[0] & 0xF8, head[1] >> 6, head[2], head[3])


def encode_frame(header: Header, parameters: bytes, payload: bytes) -> bytes:
    """Return a whole frame."""
    head_bytes = HEADER_BYTES + len(parameters)
    fixed = _LAYOUT.pack(
        header.flags | VERSION,
        header.handling << 6 | header.protocol,
        header.service,
        header.hops,
        head_bytes,
        head_bytes + len(payload),
    )
    return fixed + parameters + payload
