"""Parameters in the header of a frame, with the items of the extended parameter stream."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

from flumebeam.errors import ProtocolError
from flumebeam.smf.fields import Field, FieldTable, encode_parameter, walk_parameters
from flumebeam.smf.header import HEADER_BYTES
from flumebeam.smf.values import BASE64, FLAG, RAW, RESPONSE, TEXT, U8, U32, U64, Response

__all__ = ["HeaderParameters", "ParameterCode", "decode_parameters", "encode_parameters", "walk_header"]

LIGHTWEIGHT: Final = 0x20
_CORRELATION: Final = 0
_ACK_IMMEDIATELY: Final = 3


class ParameterCode(IntEnum):
    """Codes of the standard header parameters that this library knows."""

    PUBLISHER_ID = 0x01
    PRIORITY = 0x03
    USERNAME = 0x06
    PASSWORD = 0x07
    RESPONSE = 0x08
    DELIVERY_MODE = 0x10
    MESSAGE_ID = 0x11
    PREVIOUS_ID = 0x12
    REDELIVERED = 0x13
    CONTENTS_SUMMARY = 0x16
    FLOW_ID = 0x17
    TOPIC = 0x18
    TIME_TO_LIVE = 0x1C
    EXTENDED = 0x1F


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderParameters:
    """The header parameters of a frame; None, False and empty mean that the frame has none of that kind."""

    correlation: int | None = None
    """Tag of a request, 24 bits, repeated in its response."""
    topic: str | None = None
    contents_summary: bytes | None = None
    """Where attachment and metadata lie in the payload; brokers forward it as it is."""
    priority: int | None = None
    username: str | None = None
    password: str | None = None
    response: Response | None = None
    delivery_mode: int | None = None
    """0 non-persistent, 1 persistent."""
    ack_immediately: bool = False
    publisher_id: int | None = None
    flow_id: int | None = None
    message_id: int | None = None
    previous_id: int | None = None
    redelivered: bool = False
    ttl_ms: int | None = None
    spooler_id: int | None = None
    """Identity of the spool that numbered the message (u64)."""
    stable_id: int | None = None
    """The message's permanent id where it differs from ``message_id``."""
    redelivery_count: int | None = None
    access_token: str | None = field(default=None, repr=False)
    """OAuth access token of a login."""


_STANDARD: Final = FieldTable(
    (
        Field(ParameterCode.TOPIC, "topic", TEXT),
        Field(ParameterCode.CONTENTS_SUMMARY, "contents_summary", RAW),
        Field(ParameterCode.PRIORITY, "priority", U8),
        Field(ParameterCode.USERNAME, "username", BASE64),
        Field(ParameterCode.PASSWORD, "password", BASE64),
        Field(ParameterCode.RESPONSE, "response", RESPONSE),
        Field(ParameterCode.DELIVERY_MODE, "delivery_mode", U8),
        Field(ParameterCode.PUBLISHER_ID, "publisher_id", U32),
        Field(ParameterCode.FLOW_ID, "flow_id", U32),
        Field(ParameterCode.PREVIOUS_ID, "previous_id", U64),
        Field(ParameterCode.MESSAGE_ID, "message_id", U64),
        Field(ParameterCode.REDELIVERED, "redelivered", FLAG),
        Field(ParameterCode.TIME_TO_LIVE, "ttl_ms", U64),
    )
)
_ACCESS_TOKEN: Final = 0x31
_COUNTED_BY_TWO: Final = 6
_EXTENDED: Final = FieldTable(
    (
        Field(0x2C, "spooler_id", U64),
        Field(0x29, "stable_id", U64),
        Field(0x2E, "redelivery_count", U32),
        Field(_ACCESS_TOKEN, "access_token", TEXT),
    )
)
_EXTENDED_FORMATS: Final = {0: 0, 1: 1, 2: 2, 3: 4, 4: 8}
_FORMAT_OF_SIZE: Final = {size: code for code, size in _EXTENDED_FORMATS.items()}


def walk_header(head: bytes) -> Iterator[tuple[int, bool, int, int, int]]:
    """Yield ``(code, lightweight, parameter start, value start, end)`` of each parameter of a frame's header.

    Raises:
        ProtocolError: A length runs past the header's end.
    """
    position, end = HEADER_BYTES, len(head)
    while position < end:
        first = head[position]
        if first == 0:
            position += 1
        elif first & LIGHTWEIGHT:
            following = position + 1 + (first & 0x03)
            if following > end:
                raise ProtocolError("A lightweight parameter does not fit into its frame.")
            yield first >> 2 & 0x07, True, position, position + 1, following
            position = following
        else:
            code, value, following = next(walk_parameters(head, position, 0x1F))
            yield code, False, position, value, following
            position = following


def decode_parameters(head: bytes) -> HeaderParameters:
    """Return the parameters of a frame's header.

    Raises:
        ProtocolError: They are damaged.
    """
    light: dict[str, Any] = {}
    standard: list[tuple[int, bytes]] = []
    for code, lightweight, _, value, end in walk_header(head):
        if not lightweight:
            standard.append((code, head[value:end]))
        elif code == _CORRELATION:
            light["correlation"] = int.from_bytes(head[value:end], "big")
        elif code == _ACK_IMMEDIATELY:
            light["ack_immediately"] = True
    for code, raw in standard:
        if code == ParameterCode.EXTENDED:
            light |= _EXTENDED.decode(_walk_extended(raw))
    return HeaderParameters(**light, **_STANDARD.decode(standard))


def encode_parameters(parameters: HeaderParameters) -> bytes:
    """Return the parameters as bytes, in the order that the table and this function give them."""
    parts = []
    if parameters.correlation is not None:
        parts.append(b"\x23" + parameters.correlation.to_bytes(3, "big"))
    if parameters.ack_immediately:
        parts.append(b"\x2c")
    parts.append(_STANDARD.encode(parameters, encode_parameter))
    extended = _EXTENDED.encode(parameters, _encode_extended)
    if extended:
        parts.append(encode_parameter(ParameterCode.EXTENDED, extended))
    return b"".join(parts)


def _encode_extended(code: int, value: bytes) -> bytes:
    if code == _ACCESS_TOKEN:
        return struct.pack(">HH", _COUNTED_BY_TWO << 12 | code, len(value) + 4) + value
    return struct.pack(">H", _FORMAT_OF_SIZE[len(value)] << 12 | code) + value


def _walk_extended(raw: bytes) -> Iterator[tuple[int, bytes]]:
    position, end = 0, len(raw)
    while position < end:
        word = int.from_bytes(raw[position : position + 2], "big")
        layout = word >> 12 & 0x07
        if layout in _EXTENDED_FORMATS:
            value, following = position + 2, position + 2 + _EXTENDED_FORMATS[layout]
        else:
            value = position + 2 + (layout - 4)
            following = position + int.from_bytes(raw[position + 2 : value], "big")
        if layout > 6 or following < value or following > end:
            raise ProtocolError("An item of the extended parameter stream does not fit into it.")
        yield word & 0x0FFF, raw[value:following]
        position = following
