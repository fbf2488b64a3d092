"""SMP: topic subscriptions of clients and of queues."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final

from flumebeam.errors import ProtocolError
from flumebeam.smf.header import Header, Protocol, encode_frame
from flumebeam.smf.params import HeaderParameters, encode_parameters
from flumebeam.smf.values import Response, decode_text, known

__all__ = ["SubscriptionControl", "SubscriptionFlag", "SubscriptionKind", "decode_subscription_control"]

_PREFIX: Final = struct.Struct(">BIB")
_HANDLING: Final = 0x80


class SubscriptionKind(IntEnum):
    """What an SMP message asks for: add or remove, for the client itself, a queue, or another client."""

    ADD = 0
    REMOVE = 1
    ADD_TO_QUEUE = 2
    REMOVE_FROM_QUEUE = 3
    ADD_FOR_CLIENT = 4
    REMOVE_FOR_CLIENT = 5


class SubscriptionFlag(IntFlag):
    """Flags of an SMP message."""

    DELIVER_ALWAYS = 0x10
    WANTS_RESPONSE = 0x08
    """Without it the request must not be answered."""
    TOPIC = 0x04


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionControl:
    """A request for a subscription, or its response, which repeats the request."""

    kind: SubscriptionKind
    topic: str
    target: str | None = None
    """Name of the queue or client, for the kinds that have one."""
    flags: int = SubscriptionFlag.WANTS_RESPONSE | SubscriptionFlag.TOPIC
    correlation: int | None = None
    response: Response | None = None

    def encode(self) -> bytes:
        """Return the message as a frame."""
        topic = self.topic.encode() + b"\0"
        if self.target is None:
            body = topic
        else:
            target = self.target.encode() + b"\0"
            body = bytes((len(target),)) + target + bytes((len(topic),)) + topic
        payload = _PREFIX.pack(_HANDLING | self.kind, _PREFIX.size + len(body), self.flags) + body
        parameters = HeaderParameters(correlation=self.correlation, response=self.response)
        return encode_frame(Header(Protocol.SUBSCRIPTION_CONTROL), encode_parameters(parameters), payload)


def decode_subscription_control(parameters: HeaderParameters, payload: bytes) -> SubscriptionControl:
    """Return the message in an SMP frame.

    Raises:
        ProtocolError: The payload is damaged or of an unknown kind.
    """
    if len(payload) < _PREFIX.size:
        raise ProtocolError("An SMP message is shorter than its header.")
    first, size, flags = _PREFIX.unpack_from(payload)
    if size != len(payload):
        raise ProtocolError("An SMP message has a wrong length.")
    kind = known(SubscriptionKind, first & 0x7F)
    if kind in (SubscriptionKind.ADD, SubscriptionKind.REMOVE):
        target, topic = None, decode_text(payload[_PREFIX.size :])
    else:
        target, position = _counted_text(payload, _PREFIX.size)
        topic, _ = _counted_text(payload, position)
    return SubscriptionControl(
        kind=kind,
        topic=topic,
        target=target,
        flags=flags,
        correlation=parameters.correlation,
        response=parameters.response,
    )


def _counted_text(payload: bytes, position: int) -> tuple[str, int]:
    if position >= len(payload) or position + 1 + payload[position] > len(payload):
        raise ProtocolError("A name in an SMP message does not fit into it.")
    end = position + 1 + payload[position]
    return decode_text(payload[position + 1 : end]), end
