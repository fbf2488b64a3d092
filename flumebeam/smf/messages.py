"""Any frame as a message: the typed union, and the one table from protocol number to decoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from flumebeam.errors import ProtocolError
from flumebeam.smf.assuredctrl import AssuredControl, decode_assured_control
from flumebeam.smf.clientctrl import ClientControl, decode_client_control
from flumebeam.smf.header import Frame, Header, Protocol, decode_header, encode_frame
from flumebeam.smf.params import HeaderParameters, decode_parameters, encode_parameters
from flumebeam.smf.subctrl import SubscriptionControl, decode_subscription_control

__all__ = ["AnyMessage", "KeepAlive", "Message", "decode_frame"]


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """A sign of life; the broker answers with the same."""

    def encode(self) -> bytes:
        """Return the message as a frame."""
        return encode_frame(Header(Protocol.KEEPALIVE, handling=2), b"", b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A published or delivered message. The broker's hot path reads such frames by ``pubmsg`` instead."""

    parameters: HeaderParameters
    body: bytes
    flags: int = 0
    hops: int = 0xFF

    def encode(self) -> bytes:
        """Return the message as a frame."""
        header = Header(Protocol.MESSAGE, flags=self.flags, handling=2, hops=self.hops)
        return encode_frame(header, encode_parameters(self.parameters), self.body)


AnyMessage = ClientControl | AssuredControl | SubscriptionControl | KeepAlive | Message


def _keepalive(parameters: HeaderParameters, payload: bytes) -> KeepAlive:
    return KeepAlive()


_DECODERS: Final[dict[int, Callable[[HeaderParameters, bytes], AnyMessage]]] = {
    Protocol.CLIENT_CONTROL: decode_client_control,
    Protocol.SUBSCRIPTION_CONTROL: decode_subscription_control,
    Protocol.ASSURED_CONTROL: partial(decode_assured_control, pass_through=False),
    Protocol.PASS_THROUGH: partial(decode_assured_control, pass_through=True),
    Protocol.KEEPALIVE: _keepalive,
}


def decode_frame(frame: Frame) -> AnyMessage:
    """Return the message in a frame.

    Raises:
        ProtocolError: The protocol number is unknown or the content damaged.
    """
    head, payload = frame
    header = decode_header(head)
    parameters = decode_parameters(head)
    if header.protocol == Protocol.MESSAGE:
        return Message(parameters=parameters, body=payload, flags=header.flags, hops=header.hops)
    decoder = _DECODERS.get(header.protocol)
    if decoder is None:
        raise ProtocolError(f"Encapsulated protocol {header.protocol:#04x} is not supported.")
    return decoder(parameters, payload)
