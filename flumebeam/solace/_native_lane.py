"""Publishing and taking by the native library's C functions, through the objects that the vendor's layer has opened.

Measured with solace-pubsubplus 1.11: a published message costs a ninth of what it does through the vendor's layer.

A message is filled again and again. What is set on it stays until it is set anew, so there is one message for each
combination of fields that cannot be taken away again: with user properties, an application message id, a correlation
id and a priority or without, with each content type and encoding, time to live and eligibility. Where few sets of user
properties come again, as severities do, there is one for each of them, too, and they are set once in a batch. Bodies
are copied by the library, because it may read them again when it sends a message a second time.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterable
from ctypes import byref, c_void_p
from itertools import compress, repeat
from typing import Any, Final, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from solace.messaging.errors.pubsubplus_client_error import IllegalStateError
from solace.messaging.utils._solace_utilities import get_last_error_info

from flumebeam.solace import _native
from flumebeam.solace._native import OK, Destination
from flumebeam.solace._placed_frames import TakenMessages
from flumebeam.solace._reader import MOST_AT_ONCE, MessageReader
from flumebeam.solace.outgoing import OutgoingEvents

__all__ = ["NativeLane"]

_PERSISTENT: Final = 0x10
_PROPERTY_BYTES: Final = 256
"""First size of a user property map; it grows by itself."""
_TOPIC: Final = 0
_FEW_SETS: Final = 32
"""Sets of user properties of a batch for each of which a message is kept."""
_AT_ONCE: Final = 16
"""Messages that are asked for without a look at whether they came: a call for one that did not is cheap, too."""
_SMALL_BYTES: Final = 65_536
"""Bodies up to which that is done: each message keeps the last body that it was filled with."""
_DESTINATION_BYTES: Final = ctypes.sizeof(Destination)

_Properties: TypeAlias = list[tuple[bytes, bytes]]
"""User properties of a message: pairs of value and name."""


class NativeLane:
    """A lane through the C functions; belongs to one thread, that of the transacted session.

    Args:
        session: The vendor's transacted session, connected.
        flow: Its receiver, started, or ``None``.
    """

    def __init__(self, session: Any, flow: Any) -> None:
        self._session = session
        self._flow = flow
        self._messages: dict[tuple[Any, ...], dict[tuple[int, ...], _Message]] = {}
        self._received = (c_void_p * MOST_AT_ONCE)()
        self._places = [byref(self._received, ctypes.sizeof(c_void_p) * at) for at in range(MOST_AT_ONCE)]

    def publish(self, outgoing: OutgoingEvents) -> None:
        """Publish all events; see :meth:`flumebeam.solace._lanes.Lane.publish`."""
        session = self._session._transacted_session_p.value
        if session is None:
            raise IllegalStateError("The transacted session is closed.")
        now = time.time_ns() // 1_000_000
        events = len(outgoing.bodies)
        identities = outgoing.application_message_ids
        ids = [None] * events if identities is None else _bytes_of(identities)
        fixed = (outgoing.content_type, outgoing.content_encoding, outgoing.time_to_live_ms, outgoing.dmq_eligible)
        messages = self._messages.setdefault(fixed, {})
        tails = outgoing.tails
        correlation = priority = last = None
        named = False
        send = _native.send
        for address, size, topic, identity, own in zip(
            *_places(outgoing.bodies), outgoing.topics, ids, _property_sets(outgoing), strict=True
        ):
            # Most often it is the message of the event before.
            if own is not last or named is (identity is None) or tails is not None:
                slot, properties = last = own
                if tails is not None:
                    correlation, priority = next(tails)
                named = identity is not None
                kind = (slot, bool(properties), named, correlation is not None, priority is not None)
                if kind not in messages:
                    messages[kind] = _Message(*fixed)
                message = messages[kind]
                message.mark(correlation, priority)
                if properties:
                    message.set_properties(properties)
            message.fill(address, size, topic, identity, now)
            code = send(session, message.handle)
            if code != OK:
                raise get_last_error_info(code, "Publishing")

    def receive(self, max_messages: int, timeout_ms: int, reader: MessageReader) -> TakenMessages:
        """Take messages; see :meth:`flumebeam.solace._lanes.Lane.receive`."""
        flow = self._flow._flow_p.value
        if flow is None:
            raise IllegalStateError("The flow is closed.")
        messages = TakenMessages()
        more = True
        while more and len(messages) < max_messages:
            wanted = min(max_messages - len(messages), MOST_AT_ONCE)
            try:
                # They are read when all have been fetched: meanwhile the broker sends the next ones.
                self._fetch(flow, wanted, 0 if messages else timeout_ms)
                handles = list(filter(None, self._received[:wanted]))
                messages.append(reader.take_all(handles))
            finally:
                for _ in map(_native.free, compress(self._places, self._received[:wanted])):
                    pass
            more = len(handles) == wanted
        return messages

    def _fetch(self, flow: int, wanted: int, timeout_ms: int) -> None:
        """Have the library write the handles of messages that have come; wait for the first one only."""
        at, size = 0, 1
        while at < wanted:
            places = self._places[at : min(at + size, wanted)]
            for code in map(_native.receive, repeat(flow), places, repeat(0 if at else timeout_ms)):
                if code != OK:
                    raise get_last_error_info(code, "Receiving")
            at += len(places)
            if self._received[at - 1] is None:  # nothing came
                return
            size = _AT_ONCE

    def close(self) -> None:
        """Give the messages back to the library."""
        for messages in self._messages.values():
            for message in messages.values():
                message.free()
        self._messages.clear()


class _Message:
    """A message of the library, filled anew for each event."""

    def __init__(
        self, content_type: str | None, content_encoding: str | None, time_to_live_ms: int, dmq_eligible: bool
    ) -> None:
        box = c_void_p()
        _must(_native.allocate(byref(box)))
        self.handle = box.value
        _must(_native.set_delivery_mode(self.handle, _PERSISTENT))
        _must(_native.set_dmq_eligible(self.handle, int(dmq_eligible)))
        if time_to_live_ms:
            _must(_native.set_time_to_live(self.handle, time_to_live_ms))
        if content_type is not None:
            _must(_native.set_content_type(self.handle, content_type.encode()))
        if content_encoding is not None:
            _must(_native.set_content_encoding(self.handle, content_encoding.encode()))
        self._topic: str | None = None
        self._sent_at = 0
        self._properties: _Properties | None = None
        self._map = c_void_p()
        self._map_at = byref(self._map)

    def fill(self, address: int, size: int, topic: str, identity: bytes | None, now: int) -> None:
        """Set body, topic, application message id and send time (milliseconds since 1970 UTC)."""
        handle = self.handle
        if topic != self._topic:
            _must(_native.set_destination(handle, byref(Destination(_TOPIC, topic.encode())), _DESTINATION_BYTES))
            self._topic = topic
        code = _native.set_body(handle, address, size)
        if identity is not None:
            code = code or _native.set_application_id(handle, identity)
        # The client gives a message a send time only if it has none, so one that is used again would keep its first.
        # Fields are sent in the order in which they were set: behind one that is set again it must be set again.
        if now != self._sent_at or identity is not None:
            code = code or _native.set_sender_timestamp(handle, now)
            self._sent_at = now
        if code != OK:
            self._sent_at = 0
            _must(code)

    def mark(self, correlation: str | None, priority: int | None) -> None:
        """Set correlation id and priority, where there are any."""
        if correlation is not None:
            _must(_native.set_correlation_id(self.handle, correlation.encode()))
            self._sent_at = 0
        if priority is not None:
            _must(_native.set_priority(self.handle, priority))
            self._sent_at = 0

    def set_properties(self, properties: _Properties) -> None:
        """Set the user properties, unless they are set already."""
        if properties is self._properties:
            return
        self._properties = None
        _must(_native.create_properties(self.handle, self._map_at, _PROPERTY_BYTES))
        try:
            container, add = self._map.value, _native.add_string
            for value, name in properties:
                _must(add(container, value, name))
        finally:
            _native.close_container(self._map_at)
        self._properties = properties

    def free(self) -> None:
        """Give the message back."""
        _native.free(byref(c_void_p(self.handle)))


def _must(code: int) -> None:
    if code != OK:
        raise get_last_error_info(code, "Filling a message")


def _property_sets(outgoing: OutgoingEvents) -> Iterable[tuple[int, _Properties]]:
    """Return the user properties of each event, and which of its kind's messages has them if few sets come again."""
    shared = [(value.encode(), name.encode()) for name, value in outgoing.shared.items()]
    if not outgoing.columns:
        return repeat((0, shared), len(outgoing.bodies))
    names = [name.encode() for name in outgoing.columns]
    rows = list(zip(*map(_bytes_of, outgoing.columns.values()), strict=True))

    def properties(row: tuple[bytes | None, ...]) -> _Properties:
        return shared + [(value, name) for value, name in zip(row, names, strict=True) if value is not None]

    distinct = dict.fromkeys(rows)
    largest = pc.max(pc.binary_length(outgoing.bodies)).as_py() or 0
    if len(distinct) > _FEW_SETS or largest > _SMALL_BYTES:
        return ((0, properties(row)) for row in rows)
    sets = {row: (slot, properties(row)) for slot, row in enumerate(distinct)}
    return [sets[row] for row in rows]


def _bytes_of(column: pa.StringArray) -> list[bytes | None]:
    """Return texts as UTF-8, each with the NUL behind it that Python's bytes have."""
    values: list[bytes | None] = column.cast(pa.binary()).to_pylist()
    return values


def _places(bodies: pa.BinaryArray) -> tuple[list[int], list[int]]:
    """Return where each body lies in memory, and its size in bytes; valid while the array lives."""
    _, offsets, data = bodies.buffers()
    places = pa.Int32Array.from_buffers(pa.int32(), len(bodies) + 1, [None, offsets], offset=bodies.offset)
    ends = places.to_numpy().astype("int64")
    start = data.address if data is not None else 0
    return (ends[:-1] + start).tolist(), (ends[1:] - ends[:-1]).tolist()
