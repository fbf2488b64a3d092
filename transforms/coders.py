"""Coders of flumebeam's elements, deterministic, registered with Beam when this module is imported.

Inside a fused stage no coder runs. Where a runner moves elements between stages or workers, one batch is one Arrow
stream, without a Python object per event.
"""

from __future__ import annotations

import json
import struct
from typing import Any, Final, Generic, TypeVar

import pyarrow as pa
from apache_beam import coders

from flumebeam.batch import EventBatch
from flumebeam.deliveries import Durable
from flumebeam.errors import FormatError
from flumebeam.event import Event, Provenance
from flumebeam.ids import DELIVERY_ID_TYPE, DeliveryId

__all__ = ["DurableCoder", "EventBatchCoder", "EventCoder"]

T = TypeVar("T")

_LENGTH: Final = struct.Struct(">I")


class _ValueCoder(coders.Coder, Generic[T]):
    """A coder without parameters: equal values give equal bytes."""

    def is_deterministic(self) -> bool:
        """Return true: these values may be keys."""
        return True

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))


class EventBatchCoder(_ValueCoder[EventBatch]):
    """A batch as one Arrow IPC stream."""

    def encode(self, value: EventBatch) -> bytes:
        """Return the batch's bytes."""
        return value.to_ipc()

    def decode(self, encoded: bytes) -> EventBatch:
        """Return the batch.

        Raises:
            FormatError: The bytes are no event batch.
        """
        return EventBatch.from_ipc(encoded)

    def estimate_size(self, value: EventBatch) -> int:
        """Return about as many bytes as :meth:`encode` would: Beam asks for a few elements of every bundle."""
        return value.nbytes

    def to_type_hint(self) -> type[EventBatch]:
        """Return the type that this coder codes."""
        return EventBatch


class EventCoder(_ValueCoder[Event]):
    """A single event: length of its head, head (headers and provenance as JSON), body."""

    def encode(self, value: Event) -> bytes:
        """Return the event's bytes."""
        origin = value.provenance
        facts = None if origin is None else [origin.receiver, origin.queue, *origin.delivery, origin.redelivered]
        head = json.dumps([dict(value.headers), facts], sort_keys=True, separators=(",", ":")).encode()
        return _LENGTH.pack(len(head)) + head + value.body

    def decode(self, encoded: bytes) -> Event:
        """Return the event.

        Raises:
            FormatError: The bytes are no event.
        """
        try:
            end = _LENGTH.size + _LENGTH.unpack_from(encoded)[0]
            headers, facts = json.loads(encoded[_LENGTH.size : end])
            return Event(encoded[end:], headers, None if facts is None else _provenance(*facts))
        except (struct.error, ValueError, TypeError) as error:
            raise FormatError(f"These bytes are no event: {error}.") from error

    def to_type_hint(self) -> type[Event]:
        """Return the type that this coder codes."""
        return Event


class DurableCoder(_ValueCoder[Durable]):
    """Durable deliveries: length of the receiver's identity, the identity, 16 bytes per id."""

    def encode(self, value: Durable) -> bytes:
        """Return the bytes."""
        name = value.receiver.encode()
        start = DELIVERY_ID_TYPE.byte_width * value.ids.offset
        raw = value.ids.buffers()[1].slice(start, DELIVERY_ID_TYPE.byte_width * len(value.ids)) if value.ids else b""
        return _LENGTH.pack(len(name)) + name + bytes(raw)

    def decode(self, encoded: bytes) -> Durable:
        """Return the deliveries.

        Raises:
            FormatError: The bytes are no durable deliveries.
        """
        try:
            start = _LENGTH.size + _LENGTH.unpack_from(encoded)[0]
            name = encoded[_LENGTH.size : start].decode()
        except (struct.error, ValueError) as error:
            raise FormatError(f"These bytes are no durable deliveries: {error}.") from error
        count, rest = divmod(len(encoded) - start, DELIVERY_ID_TYPE.byte_width)
        if rest or count < 0:
            raise FormatError(f"These bytes are no durable deliveries: {len(encoded) - start} bytes of ids.")
        ids = pa.FixedSizeBinaryArray.from_buffers(DELIVERY_ID_TYPE, count, [None, pa.py_buffer(encoded[start:])])
        return Durable(name, ids)

    def to_type_hint(self) -> type[Durable]:
        """Return the type that this coder codes."""
        return Durable


def _provenance(receiver: str, queue: str, origin: int, number: int, redelivered: Any) -> Provenance:
    return Provenance(receiver, queue, DeliveryId(origin, number), bool(redelivered))


coders.registry.register_coder(EventBatch, EventBatchCoder)
coders.registry.register_coder(Event, EventCoder)
coders.registry.register_coder(Durable, DurableCoder)
