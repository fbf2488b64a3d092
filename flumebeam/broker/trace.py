"""Frames as people read them: one line each, in both directions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from enum import IntEnum
from typing import Any, Final

from flumebeam.errors import ProtocolError
from flumebeam.smf.assuredctrl import (
    AccessType,
    AssuredControl,
    AssuredKind,
    Durability,
    FlowType,
    SessionState,
    TransactionKind,
)
from flumebeam.smf.header import Flag, Frame
from flumebeam.smf.messages import AnyMessage, KeepAlive, Message, decode_frame
from flumebeam.smf.params import HeaderParameters
from flumebeam.smf.stream import FrameReader
from flumebeam.smf.subctrl import SubscriptionControl, SubscriptionFlag
from flumebeam.smf.values import Response

__all__ = ["Trace", "describe"]

_LONGEST: Final = 400
"""Characters of a line; the largest capability lists and selectors are cut."""
_LONGEST_VALUE: Final = 120
_HIDDEN: Final = frozenset(("password",))
_TAKEN_APART: Final = frozenset(("kind", "correlation", "response", "transaction_kind", "pass_through", "flags"))
"""Fields that have a place of their own in the line."""
_MEANINGS: Final[dict[str, type[IntEnum]]] = {
    "access": AccessType,
    "durability": Durability,
    "flow_type": FlowType,
    "session_state": SessionState,
}


class Trace:
    """The two directions of one connection.

    Args:
        write: Takes a line without its end.
        peer: Who is at the other end.
    """

    def __init__(self, write: Callable[[str], None], peer: str) -> None:
        self._peer = peer
        self._write = write
        # Limits are the business of the broker's own readers: these see only what it reads and writes anyway.
        self._readers = {sign: FrameReader(1 << 32, 1 << 32) for sign in "<>"}

    def name(self, client: str) -> None:
        """Call the peer by its client name from now on, once it has one."""
        self._peer = client or self._peer

    def received(self, data: bytes) -> None:
        """Write what a client has sent."""
        self._show(">", data)

    def sent(self, data: bytes) -> None:
        """Write what a client is sent."""
        self._show("<", data)

    def lost(self) -> None:
        """Write that the connection is gone."""
        self._write(f"{self._peer} x CONNECTION CLOSED")

    def _show(self, sign: str, data: bytes) -> None:
        try:
            for frame in self._readers[sign].receive(data):
                self._write(f"{self._peer} {sign} {describe(frame)}"[:_LONGEST])
        except ProtocolError as error:
            self._write(f"{self._peer} {sign} {len(data)} bytes that are no frame: {error}")
            self._readers[sign] = FrameReader(1 << 32, 1 << 32)


def describe(frame: Frame) -> str:
    """Return a frame in one line: what it is, the response if it is one, then its fields by name."""
    try:
        message = decode_frame(frame)
    except ProtocolError as error:
        return f"{sum(map(len, frame))} bytes: {error}"
    correlation, response = _envelope(message)
    parts = [_title(message)]
    if response is not None:
        parts.append(f"{response.code} {response.text!r}")
    parts += _details(message)
    if correlation is not None:
        parts.append(f"tag={correlation}")
    return " ".join(parts)


def _envelope(message: AnyMessage) -> tuple[int | None, Response | None]:
    if isinstance(message, KeepAlive):
        return None, None
    holder: Any = message.parameters if isinstance(message, Message) else message
    return holder.correlation, holder.response


def _title(message: AnyMessage) -> str:
    if isinstance(message, KeepAlive):
        return "KEEPALIVE"
    if isinstance(message, Message):
        return "MESSAGE" if message.flags & Flag.ASSURED else "DIRECT"
    if isinstance(message, AssuredControl) and message.kind is AssuredKind.TRANSACTION:
        return f"TRANSACTION {_name(TransactionKind, message.transaction_kind)}"
    if isinstance(message, SubscriptionControl):
        return f"SUBSCRIPTION {message.kind.name}"
    return message.kind.name


def _details(message: AnyMessage) -> list[str]:
    if isinstance(message, Message):
        found = _values(message.parameters)
        return [*found, f"body={len(message.body)}"]
    if isinstance(message, SubscriptionControl):
        silent = not message.flags & SubscriptionFlag.WANTS_RESPONSE
        return [*_values(message), *(["silent"] if silent else [])]
    return _values(message)


def _values(holder: AnyMessage | HeaderParameters) -> list[str]:
    found = []
    for item in fields(holder):
        value = getattr(holder, item.name)
        if item.name in _TAKEN_APART or value == item.default or value is None:
            continue
        if value is True:
            found.append(item.name)
        else:
            found.append(f"{item.name}={'***' if item.name in _HIDDEN else _cut(_text(item.name, value))}")
    return found


def _text(name: str, value: Any) -> str:
    if name in _MEANINGS:
        return _name(_MEANINGS[name], value)
    if name == "acks":
        return f"[{','.join(f'{low}..{high}:{outcome.name}' for low, high, outcome in value)}]"
    if name == "capabilities":
        return ",".join(sorted(capability.name for capability in value.granted))
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        # Lists of records, or one pair.
        records = value and isinstance(value[0], tuple)
        return f"[{','.join(':'.join(map(str, item)) for item in value)}]" if records else ":".join(map(str, value))
    return repr(value) if isinstance(value, str) else str(value)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def _name(kind: type[IntEnum], code: int | None) -> str:
    return next((member.name for member in kind if member == code), str(code))
