"""Structured data as the vendor's client writes it, for messages that carry properties."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

__all__ = ["item", "structured", "summary_of"]


def item(kind: int, content: bytes) -> bytes:
    """Return one item of structured data."""
    width = 1 if len(content) < 0xFE else 4
    return bytes((kind << 2 | width - 1,)) + (1 + width + len(content)).to_bytes(width, "big") + content


def _text(value: str) -> bytes:
    return item(7, value.encode() + b"\0")


def _value(value: Any) -> bytes:
    if value is None:
        return item(0, b"")
    if isinstance(value, bool):
        return item(1, bytes((value,)))
    if isinstance(value, int):
        return item(2, value.to_bytes(8, "big", signed=True))
    if isinstance(value, float):
        return item(4, struct.pack(">d", value))
    if isinstance(value, str):
        return _text(value)
    assert isinstance(value, bytes)
    return value


def _map(values: Mapping[str, Any]) -> bytes:
    return item(10, b"".join(_text(name) + _value(value) for name, value in values.items()))


def summary_of(body: bytes, metadata: bytes) -> bytes:
    """Return the contents summary of a binary body with metadata behind it."""
    return b"".join(bytes((kind << 4 | 5,)) + len(part).to_bytes(4, "big") for kind, part in ((2, body), (4, metadata)))


def structured(
    body: bytes, user: Mapping[str, Any] | None = None, headers: Mapping[str, Any] | None = None
) -> tuple[bytes, dict[str, bytes]]:
    """Return a payload and the header parameters of a message with properties.

    Args:
        body: Its body.
        user: User properties; bytes stand for whole items.
        headers: Header fields by the protocol's names.
    """
    both = {name: _map(values) for name, values in (("h", headers), ("p", user)) if values is not None}
    stream = item(11, item(6, b"\x80\x00") + _map(both))
    metadata = b"\x01" + struct.pack(">I", len(stream)) + stream
    return body + metadata, {"contents_summary": summary_of(body, metadata)}
