"""The hot path of acknowledgements: that of one message, in the form in which the vendor's client sends it.

A client that acknowledges when thousands of messages have come sends a frame for each, though they are in order
(measured with solace-pubsubplus 1.11). All but five numbers is equal in all of these frames, so it is compared at once
instead of walking through their parameters.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from flumebeam.smf.assuredctrl import AckRange
from flumebeam.smf.header import Frame

__all__ = ["SingleAck", "single_ack"]

_HEAD: Final = bytes.fromhex("0309 0001 0000000c 00000037")
_PAYLOAD: Final = struct.Struct(">6s2sI2sQ2sB2sQQ")
_EQUAL: Final = tuple(map(bytes.fromhex, ("03030000002b", "8606", "820a", "8303", "8512")))
"""Version, kind and size; then what is before flow id, last acknowledged id, window, and range."""


class SingleAck(NamedTuple):
    """What an acknowledgement says; the names are those of :class:`~flumebeam.smf.assuredctrl.AssuredControl`."""

    flow_id: int
    last_acked: int
    window: int
    acks: tuple[AckRange]


def single_ack(frame: Frame) -> SingleAck | None:
    """Return what a frame acknowledges, or ``None`` if it is of another form, or no acknowledgement at all."""
    head, payload = frame
    if len(payload) != _PAYLOAD.size or head != _HEAD:
        return None
    kind, flow, flow_id, last, last_acked, credit, window, acked, low, high = _PAYLOAD.unpack(payload)
    if (kind, flow, last, credit, acked) != _EQUAL:
        return None
    return SingleAck(flow_id, last_acked, window, (AckRange(low, high),))
