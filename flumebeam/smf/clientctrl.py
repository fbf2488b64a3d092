"""ClientCtrl: login."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from flumebeam.errors import ProtocolError
from flumebeam.smf.fields import Field, FieldTable
from flumebeam.smf.header import Header, Protocol, encode_frame
from flumebeam.smf.params import HeaderParameters, encode_parameters
from flumebeam.smf.values import RAW, TEXT, U8, U32, Response, ValueCodec, known

__all__ = [
    "AuthenticationScheme",
    "Capabilities",
    "Capability",
    "ClientControl",
    "ClientControlKind",
    "decode_client_control",
]

_PREFIX: Final = struct.Struct(">BBI")
_ITEM: Final = struct.Struct(">BI")
_VERSION: Final = 1


class ClientControlKind(IntEnum):
    """What a ClientCtrl message asks for."""

    LOGIN = 0
    UPDATE = 1


class Capability(IntEnum):
    """What a broker can do, as the number of its bit in the login response."""

    COMPRESSION = 1
    CONSUMER_FLOWS = 2
    TEMPORARY_ENDPOINTS = 3
    PUBLISHER_FLOWS = 4
    BROWSER = 5
    ENDPOINT_MANAGEMENT = 6
    SELECTORS = 7
    ENDPOINT_MESSAGE_TTL = 8
    QUEUE_SUBSCRIPTIONS = 9
    SUBSCRIPTION_MANAGER = 11
    """Clients may subscribe for others, if their usernames are allowed to."""
    TRANSACTED_SESSIONS = 13
    NO_LOCAL = 14
    ACTIVE_FLOW_INDICATION = 15
    DISCARD_BEHAVIOR = 17
    """Clients may say of a queue that they make whether its discards are told to senders."""
    REPLAY = 20
    LONG_SELECTORS = 22
    SHARED_SUBSCRIPTIONS = 23
    ENDPOINT_ERROR_ID = 24
    """Clients repeat the endpoint error id of their last bind when they bind again."""
    SETTLEMENT_OUTCOMES = 25
    VARIABLE_EXTENDED_PARAMETERS = 26


_DECLARED_CAPABILITIES: Final = 27
_MAX_GUARANTEED: Final = 0x02
_MAX_DIRECT: Final = 0x03


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a broker can do and the largest messages it takes, in bytes."""

    granted: frozenset[Capability]
    max_guaranteed_bytes: int
    max_direct_bytes: int


def _capability_flags(granted: frozenset[Capability]) -> bytes:
    # The number of declared capabilities, then their bits, the first one in the most significant bit.
    flags = bytearray((_DECLARED_CAPABILITIES + 7) // 8)
    for capability in granted:
        flags[capability // 8] |= 0x80 >> capability % 8
    return bytes((_DECLARED_CAPABILITIES,)) + bytes(flags)


def _encode_capabilities(capabilities: Capabilities) -> bytes:
    return b"".join(
        (
            _capability_flags(capabilities.granted),
            _ITEM.pack(_MAX_GUARANTEED, 9) + capabilities.max_guaranteed_bytes.to_bytes(4, "big"),
            _ITEM.pack(_MAX_DIRECT, 9) + capabilities.max_direct_bytes.to_bytes(4, "big"),
        )
    )


def _decode_capabilities(raw: bytes) -> Capabilities:
    if not raw or len(raw) < 1 + (raw[0] + 7) // 8:
        raise ProtocolError("The list of capabilities is shorter than it says.")
    first_item = 1 + (raw[0] + 7) // 8
    granted = frozenset(bit for bit in Capability if bit < raw[0] and raw[1 + bit // 8] & 0x80 >> bit % 8)
    items = dict(_walk(raw, first_item))
    limits = [U32.decode(items[code]) for code in (_MAX_GUARANTEED, _MAX_DIRECT) if code in items]
    if len(limits) != 2:
        raise ProtocolError("The list of capabilities lacks the message size limits.")
    return Capabilities(granted=granted, max_guaranteed_bytes=limits[0], max_direct_bytes=limits[1])


class AuthenticationScheme(IntEnum):
    """How a client proves who it is, where that is not a password."""

    CLIENT_CERTIFICATE = 1
    """The common name of its TLS certificate is its username."""
    OAUTH = 10
    """Its access token stands for a username."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientControl:
    """A login request or its response. Username, password and token travel in the header parameters."""

    kind: ClientControlKind = ClientControlKind.LOGIN
    correlation: int | None = None
    response: Response | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    access_token: str | None = field(default=None, repr=False)
    software_version: str | None = None
    software_date: str | None = None
    platform: str | None = None
    user_id: str | None = None
    description: str | None = None
    client_name: str | None = None
    vpn: str | None = None
    p2p_topic: str | None = None
    """Base of the client's inbox; the client subscribes to everything below it."""
    capabilities: Capabilities | None = None
    virtual_router: str | None = None
    router_name: str | None = None
    extended_capabilities: bytes | None = None
    authentication: int | None = None
    """Scheme, if it is not by username and password; see :class:`AuthenticationScheme`."""
    encoding: int | None = None
    """What a TLS client wants to go on with after its login: 0 is plain text. It ends TLS then, and waits until the
    broker does (measured against solace-pubsubplus 1.11)."""
    client_capabilities: bytes | None = None
    keepalive_seconds: int | None = None
    no_local: bytes | None = None
    """There if the client is not to get its own direct messages; a broker that sees to it repeats it."""

    def encode(self) -> bytes:
        """Return the message as a frame."""
        body = _FIELDS.encode(self, _write)
        parameters = HeaderParameters(
            correlation=self.correlation,
            response=self.response,
            username=self.username,
            password=self.password,
            access_token=self.access_token,
        )
        payload = _PREFIX.pack(_VERSION, self.kind, _PREFIX.size + len(body)) + body
        return encode_frame(Header(Protocol.CLIENT_CONTROL), encode_parameters(parameters), payload)


_FIELDS: Final = FieldTable(
    (
        Field(0x00, "software_version", TEXT),
        Field(0x01, "software_date", TEXT),
        Field(0x02, "platform", TEXT),
        Field(0x03, "user_id", TEXT),
        Field(0x04, "description", TEXT),
        Field(0x05, "client_name", TEXT),
        Field(0x06, "vpn", TEXT),
        Field(0x08, "p2p_topic", TEXT),
        Field(0x09, "capabilities", ValueCodec(_encode_capabilities, _decode_capabilities)),
        Field(0x0A, "virtual_router", TEXT),
        Field(0x0C, "router_name", TEXT),
        Field(0x0F, "no_local", RAW),
        Field(0x11, "authentication", U8),
        Field(0x13, "extended_capabilities", RAW),
        Field(0x15, "encoding", U8),
        Field(0x17, "client_capabilities", RAW),
        Field(0x18, "keepalive_seconds", U32),
    )
)


def decode_client_control(parameters: HeaderParameters, payload: bytes) -> ClientControl:
    """Return the message in a ClientCtrl frame.

    Raises:
        ProtocolError: The payload is damaged or of another version.
    """
    if len(payload) < _PREFIX.size:
        raise ProtocolError("A ClientCtrl message is shorter than its header.")
    version, kind, size = _PREFIX.unpack_from(payload)
    if version & 0x07 != _VERSION or size != len(payload):
        raise ProtocolError("A ClientCtrl message has an unknown version or a wrong length.")
    return ClientControl(
        kind=known(ClientControlKind, kind),
        correlation=parameters.correlation,
        response=parameters.response,
        username=parameters.username,
        password=parameters.password,
        access_token=parameters.access_token,
        **_FIELDS.decode(_walk(payload, _PREFIX.size)),
    )


def _write(code: int, value: bytes) -> bytes:
    return _ITEM.pack(code, _ITEM.size + len(value)) + value


def _walk(raw: bytes, position: int) -> Iterator[tuple[int, bytes]]:
    while position < len(raw):
        if position + _ITEM.size > len(raw):
            raise ProtocolError("A ClientCtrl parameter ends inside its header.")
        code, size = _ITEM.unpack_from(raw, position)
        if size < _ITEM.size or position + size > len(raw):
            raise ProtocolError(f"A ClientCtrl parameter of {size} bytes does not fit into its message.")
        yield code & 0x7F, raw[position + _ITEM.size : position + size]
        position += size
