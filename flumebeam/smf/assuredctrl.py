"""AssuredCtrl: publisher flows, consumer flows, acknowledgements, provisioning, transactions."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from flumebeam.errors import ProtocolError
from flumebeam.smf.fields import Field, FieldTable, encode_parameter, walk_parameters
from flumebeam.smf.header import Flag, Header, Protocol, encode_frame
from flumebeam.smf.params import HeaderParameters, encode_parameters
from flumebeam.smf.values import FLAG, RAW, TEXT, U8, U16, U32, U32_PAIR, U64, Response, ValueCodec, known, records

__all__ = [
    "AccessType",
    "AckRange",
    "AssuredControl",
    "AssuredKind",
    "ConsumerAck",
    "Durability",
    "EndpointBehavior",
    "FlowType",
    "Outcome",
    "PublisherAck",
    "PublisherNotify",
    "ReplayFrom",
    "ReplayStart",
    "SessionState",
    "TransactionKind",
    "decode_assured_control",
]

_VERSION: Final = 3
_PREFIX: Final = struct.Struct(">BBI")
_SHORT_VERSIONS: Final = (1, 2)
_SHORT_PREFIX: Final = struct.Struct(">BH")
_CODE_MASK: Final = 0x3F


class AssuredKind(IntEnum):
    """What an AssuredCtrl message is."""

    OPEN_PUBLISHER = 0x00
    ACK = 0x03
    BIND = 0x04
    UNBIND = 0x05
    UNSUBSCRIBE = 0x06
    """A topic endpoint is to have no topic any more."""
    CLOSE_PUBLISHER = 0x07
    CREATE = 0x08
    DELETE = 0x09
    TRANSACTION = 0x0B
    FLOW_CHANGE = 0x0C


class TransactionKind(IntEnum):
    """What a message of kind TRANSACTION is."""

    OPEN = 0
    CLOSE = 1
    COMMIT = 2
    ROLLBACK = 3
    OPEN_RESPONSE = 4
    CLOSE_RESPONSE = 5
    COMMIT_RESPONSE = 8
    ROLLBACK_RESPONSE = 9


class SessionState(IntEnum):
    """How the transaction that a client asks about has ended."""

    NEW = 0
    COMMITTED = 1
    ROLLED_BACK = 2


class Durability(IntEnum):
    """Whether a queue outlives the flow that made it."""

    DURABLE = 1
    NON_DURABLE = 2


class AccessType(IntEnum):
    """Whether one flow of a queue receives at a time, or all in turn."""

    EXCLUSIVE = 1
    NON_EXCLUSIVE = 2


class FlowType(IntEnum):
    """What a consumer flow is for."""

    CONSUMER = 1
    BROWSER = 2
    SETTLING = 3
    """A consumer that will also settle messages as failed or rejected."""


class EndpointBehavior(IntEnum):
    """Bits that say what an endpoint is to do; of a pair, at most one is set."""

    NOTIFY_SENDER = 0x2000
    """Tell publishers of messages that the endpoint discards."""
    DO_NOT_NOTIFY_SENDER = 0x1000
    DELIVERY_COUNT = 0x0800
    """Say with each message how often it was delivered."""
    NO_DELIVERY_COUNT = 0x0400


class Outcome(IntEnum):
    """How a consumer settles messages."""

    ACCEPTED = 0
    FAILED = 1
    RELEASED = 2
    REJECTED = 3


class AckRange(NamedTuple):
    """All deliveries of a flow with ``low <= id <= high``; never a list of numbers to walk through."""

    low: int
    high: int
    outcome: Outcome = Outcome.ACCEPTED


class ReplayFrom(IntEnum):
    """Where a replay begins."""

    BEGINNING = 0
    TIME = 1
    MESSAGE = 2


class ReplayStart(NamedTuple):
    """The point from which messages are to be replayed (measured against solace-pubsubplus 1.11).

    Attributes:
        kind: One of :class:`ReplayFrom`, or a number that is none.
        time_ns: Nanoseconds since 1970 UTC, of the kind TIME.
        spooler_id: Identity of the message spool, of the kind MESSAGE.
        message_id: Permanent id of the message behind which it begins, of the kind MESSAGE.
    """

    kind: int
    time_ns: int = 0
    spooler_id: int = 0
    message_id: int = 0


class PublisherNotify(NamedTuple):
    """What a transaction published: ``messages`` of them on a flow, ``last_id`` the last."""

    flow_id: int
    messages: int
    last_id: int


class PublisherAck(NamedTuple):
    """The publisher flow's position after a transaction ended."""

    flow_id: int
    last_id: int
    window: int


class ConsumerAck(NamedTuple):
    """What a transaction consumed on a flow, with the flow's transport acknowledgement."""

    flow_id: int
    low: int
    high: int
    messages: int
    last_received: int
    window: int


def _encode_range(item: AckRange) -> bytes:
    raw = item.low.to_bytes(8, "big") + item.high.to_bytes(8, "big")
    return raw if item.outcome is Outcome.ACCEPTED else raw + bytes((item.outcome,))


def _decode_range(raw: bytes) -> AckRange:
    if len(raw) not in (16, 17):
        raise ProtocolError("An application acknowledgement is no range of ids.")
    outcome = known(Outcome, raw[16]) if len(raw) == 17 else Outcome.ACCEPTED
    return AckRange(int.from_bytes(raw[:8], "big"), int.from_bytes(raw[8:16], "big"), outcome)


def _encode_start(start: ReplayStart) -> bytes:
    if start.kind == ReplayFrom.TIME:
        return bytes((start.kind,)) + U64.encode(start.time_ns)
    if start.kind == ReplayFrom.MESSAGE:
        return bytes((start.kind,)) + U64.encode(start.spooler_id) + U64.encode(start.message_id)
    return bytes((start.kind,))


def _decode_start(raw: bytes) -> ReplayStart:
    if not raw:
        raise ProtocolError("A start of a replay has no kind.")
    kind = raw[0]
    if kind == ReplayFrom.TIME:
        return ReplayStart(kind, time_ns=U64.decode(raw[1:]))
    if kind == ReplayFrom.MESSAGE:
        return ReplayStart(kind, spooler_id=U64.decode(raw[1:9]), message_id=U64.decode(raw[9:]))
    return ReplayStart(kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class AssuredControl:
    """One AssuredCtrl message: its kind, and the parameters it carries (None, False and () mean absent)."""

    kind: AssuredKind
    pass_through: bool = False
    """Commit and rollback, and their responses, travel under a protocol number of their own."""
    correlation: int | None = None
    response: Response | None = None
    transaction_kind: int | None = None
    session_id: int | None = None
    flow_id: int | None = None
    queue: str | None = None
    endpoint: str | None = None
    """Name of a topic endpoint; empty lets the broker choose one."""
    topic: str | None = None
    """What feeds a topic endpoint."""
    flow_name: str | None = None
    durability: int | None = None
    access: int | None = None
    granted_permissions: bytes | None = None
    other_permissions: bytes | None = None
    quota_mb: int | None = None
    max_message_bytes: int | None = None
    respect_ttl: int | None = None
    behavior: int | None = None
    max_redeliveries: int | None = None
    last_sent: int | None = None
    last_acked: int | None = None
    window: int | None = None
    active: int | None = None
    acks: tuple[AckRange, ...] = ()
    selector: str | None = None
    start_replay: ReplayStart | None = None
    last_received: int | None = None
    flow_type: int | None = None
    session_name: str | None = None
    transaction: tuple[int, int] | None = None
    """Counters of the current and the next transaction of a session."""
    session_state: int | None = None
    published: tuple[PublisherNotify, ...] | None = None
    publisher_acks: tuple[PublisherAck, ...] | None = None
    consumed: tuple[ConsumerAck, ...] | None = None
    wants_flow_changes: int | None = None
    no_local: bool = False
    """Whether the flow is not to get what its own client publishes."""
    publisher_id: int | None = None
    endpoint_id: int | None = None
    endpoint_error_id: int | None = None
    spooler_id: int | None = None
    max_unacked: int | None = None
    spooled_messages: int | None = None

    def encode(self) -> bytes:
        """Return the message as a frame."""
        body = _FIELDS.encode(self, encode_parameter)
        payload = _PREFIX.pack(_VERSION, self.kind, _PREFIX.size + len(body)) + body
        parameters = HeaderParameters(correlation=self.correlation, response=self.response)
        return encode_frame(_HEADERS[self.pass_through], encode_parameters(parameters), payload)


_HEADERS: Final = {
    False: Header(Protocol.ASSURED_CONTROL),
    True: Header(Protocol.PASS_THROUGH, flags=Flag.ASSURED),
}
_FIELDS: Final = FieldTable(
    (
        Field(0x17, "transaction_kind", U8),
        Field(0x18, "session_id", U32),
        Field(0x06, "flow_id", U32),
        Field(0x07, "queue", TEXT),
        Field(0x08, "endpoint", TEXT),
        Field(0x09, "topic", TEXT),
        Field(0x0A, "flow_name", TEXT),
        Field(0x0B, "durability", U8),
        Field(0x0C, "access", U8),
        Field(0x15, "granted_permissions", RAW),
        Field(0x11, "other_permissions", RAW),
        Field(0x13, "quota_mb", U32),
        Field(0x14, "max_message_bytes", U32),
        Field(0x16, "respect_ttl", U8),
        Field(0x22, "behavior", U16),
        Field(0x2A, "max_redeliveries", U8),
        Field(0x01, "last_sent", U64),
        Field(0x02, "last_acked", U64),
        Field(0x03, "window", U8),
        Field(0x20, "active", U8),
        Field(0x05, "acks", ValueCodec(_encode_range, _decode_range), repeated=True),
        Field(0x0D, "selector", TEXT),
        Field(0x33, "start_replay", ValueCodec(_encode_start, _decode_start)),
        Field(0x10, "last_received", U64),
        Field(0x12, "flow_type", U8),
        Field(0x19, "session_name", TEXT),
        Field(0x1A, "transaction", U32_PAIR),
        Field(0x1B, "session_state", U8),
        Field(0x1C, "published", records(">IIQ", PublisherNotify)),
        Field(0x1D, "publisher_acks", records(">IQI", PublisherAck)),
        Field(0x1E, "consumed", records(">IQQIQI", ConsumerAck)),
        Field(0x1F, "no_local", FLAG),
        Field(0x21, "wants_flow_changes", U8),
        Field(0x23, "publisher_id", U32),
        Field(0x2C, "endpoint_id", U32),
        Field(0x34, "endpoint_error_id", U64),
        Field(0x36, "spooler_id", U64),
        Field(0x31, "max_unacked", U32),
        # Four bytes in the vendor's dissector; the clients accept eight as well.
        Field(0x25, "spooled_messages", U32),
    )
)


def decode_assured_control(parameters: HeaderParameters, payload: bytes, pass_through: bool) -> AssuredControl:
    """Return the message in an AssuredCtrl frame.

    Messages are written in version 3. Versions 1 and 2 have a shorter header, with type and length in one word; JCSMP
    10.29 still acknowledges in version 1.

    Raises:
        ProtocolError: The payload is damaged, or of an unknown version.
    """
    if len(payload) < _PREFIX.size:
        raise ProtocolError("An AssuredCtrl message is shorter than its header.")
    version, kind, size = _PREFIX.unpack_from(payload)
    version &= _CODE_MASK
    start = _PREFIX.size
    if version in _SHORT_VERSIONS:
        _, word = _SHORT_PREFIX.unpack_from(payload)
        kind, size, start = word >> 12, (word & 0x0FFF) * 4, _SHORT_PREFIX.size
    elif version != _VERSION:
        raise ProtocolError(f"AssuredCtrl version {version} is unknown.")
    if size != len(payload):
        raise ProtocolError(f"An AssuredCtrl message of {len(payload)} bytes claims {size}.")
    walked = walk_parameters(payload, start, _CODE_MASK)
    return AssuredControl(
        kind=known(AssuredKind, kind),
        pass_through=pass_through,
        correlation=parameters.correlation,
        response=parameters.response,
        **_FIELDS.decode((code, payload[value:end]) for code, value, end in walked),
    )
