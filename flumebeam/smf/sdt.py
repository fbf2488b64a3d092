"""Structured data: the properties that a message carries beside its body.

Layout: part 4 of the contents summary is the message's metadata, a list of blocks. Its block 0 is a stream of a byte
array and a map, which holds a map ``h`` of header fields and a map ``p`` of user properties (measured against
solace-pubsubplus 1.11).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from flumebeam.errors import ProtocolError
from flumebeam.smf.fields import walk_parameters
from flumebeam.smf.params import ParameterCode
from flumebeam.smf.values import decode_text

__all__ = ["Properties", "Scalar", "decode_properties"]

Scalar: TypeAlias = bool | int | float | str | bytes | None
"""A value that is no container. Destinations are given by their names."""

_METADATA: Final = 4
_SDT_BLOCK: Final = 0
_BLOCK: Final = struct.Struct(">I")
_BOOLEAN, _SIGNED, _UNSIGNED, _FLOAT, _CHARACTER, _BYTES, _STRING, _DESTINATION = range(1, 9)
_NULL: Final = 0
_MAP: Final = 10
_STREAM: Final = 11
_FLOATS: Final = {4: struct.Struct(">f"), 8: struct.Struct(">d")}
_HEADERS: Final = "h"
_USER: Final = "p"


@dataclass(frozen=True, slots=True)
class Properties:
    """What a message says about itself.

    Attributes:
        headers: Header fields by the protocol's short names, such as ``ci`` for the correlation id.
        user: User properties; those that hold containers are left out.
    """

    headers: dict[str, Scalar] = field(default_factory=dict)
    user: dict[str, Scalar] = field(default_factory=dict)


def decode_properties(summary: bytes, body: bytes) -> Properties:
    """Return the properties of a message.

    Args:
        summary: Its contents summary as a whole header parameter; may be empty.
        body: Its payload.

    Raises:
        ProtocolError: They are damaged.
    """
    raw = _metadata(summary, body)
    if not raw:
        return Properties()
    blocks = raw[0]
    position = 1 + _BLOCK.size * blocks
    if position > len(raw):
        raise ProtocolError("The metadata of a message ends inside its list of blocks.")
    for number in range(blocks):
        (word,) = _BLOCK.unpack_from(raw, 1 + _BLOCK.size * number)
        kind, size = word >> 24, word & 0xFF_FFFF
        if position + size > len(raw):
            raise ProtocolError("A block does not fit into the metadata of its message.")
        if kind == _SDT_BLOCK:
            return _properties(raw[position : position + size])
        position += size
    return Properties()


def _metadata(summary: bytes, body: bytes) -> bytes:
    for code, start, end in walk_parameters(summary, 0, 0x1F):
        if code == ParameterCode.CONTENTS_SUMMARY:
            return _part(summary[start:end], body)
    return b""


def _part(elements: bytes, body: bytes) -> bytes:
    position = offset = 0
    while position < len(elements):
        kind, width = elements[position] >> 4, elements[position] & 0x0F
        if not width:
            raise ProtocolError("An element of a contents summary has no length.")
        size = int.from_bytes(elements[position + 1 : position + width], "big")
        if kind == _METADATA:
            return body[offset : offset + size]
        offset += size
        position += width
    return b""


def _properties(block: bytes) -> Properties:
    headers: dict[str, Scalar] = {}
    user: dict[str, Scalar] = {}
    for kind, content in _items(block):
        if kind == _STREAM:
            for inner, value in _items(content):
                if inner == _MAP:
                    for name, of, raw in _entries(value):
                        if name == _HEADERS and of == _MAP:
                            headers = _scalars(raw)
                        elif name == _USER and of == _MAP:
                            user = _scalars(raw)
    return Properties(headers, user)


def _items(raw: bytes) -> Iterator[tuple[int, bytes]]:
    position, end = 0, len(raw)
    while position < end:
        kind, width = raw[position] >> 2, (raw[position] & 0x03) + 1
        start = position + 1 + width
        following = position + int.from_bytes(raw[position + 1 : start], "big")
        if start > end or following < start or following > end:
            raise ProtocolError("An item of structured data does not fit into its container.")
        yield kind, raw[start:following]
        position = following


def _entries(raw: bytes) -> Iterator[tuple[str, int, bytes]]:
    items = _items(raw)
    for kind, name in items:
        value = next(items, None)
        if kind != _STRING or value is None:
            raise ProtocolError("A map of structured data is no list of names and values.")
        yield decode_text(name), *value


def _scalars(raw: bytes) -> dict[str, Scalar]:
    values: dict[str, Scalar] = {}
    for name, kind, value in _entries(raw):
        if kind <= _DESTINATION:
            values[name] = _scalar(kind, value)
    return values


def _scalar(kind: int, raw: bytes) -> Scalar:
    if kind == _STRING:
        return decode_text(raw)
    if kind == _SIGNED:
        return int.from_bytes(raw, "big", signed=True)
    if kind == _UNSIGNED:
        return int.from_bytes(raw, "big")
    if kind == _BOOLEAN:
        return any(raw)
    if kind == _FLOAT:
        layout = _FLOATS.get(len(raw))
        if layout is None:
            raise ProtocolError(f"A floating point number has {len(raw)} bytes.")
        number: float = layout.unpack(raw)[0]
        return number
    if kind == _DESTINATION:
        return decode_text(raw[1:])
    if kind == _CHARACTER:
        return raw.decode("utf-16-be", "replace")
    return None if kind == _NULL else raw
