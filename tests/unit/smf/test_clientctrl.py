"""Damaged logins and capabilities."""

from __future__ import annotations

import pytest

from flumebeam.errors import ProtocolError
from flumebeam.smf.clientctrl import Capabilities, Capability, ClientControl, decode_client_control
from flumebeam.smf.messages import decode_frame
from flumebeam.smf.params import HeaderParameters
from flumebeam.smf.stream import FrameReader


@pytest.mark.parametrize(
    "payload",
    [
        "0100",
        "020000000006",
        "010000000007",
        "010900000006",
        "010000000008" + "0500",
        "01000000000b" + "0500000004",
        "01000000000b" + "0500000006",
        "01000000000b" + "0900000005",
        "01000000000c" + "090000000608",
        "01000000000e" + "09000000080800" + "00",
    ],
    ids=[
        "short",
        "version",
        "length",
        "kind",
        "parameter header cut",
        "parameter too short",
        "parameter too long",
        "no capabilities",
        "capability bits cut",
        "capability item cut",
    ],
)
def test_damaged_login_is_a_protocol_error(payload: str) -> None:
    with pytest.raises(ProtocolError):
        decode_client_control(HeaderParameters(), bytes.fromhex(payload))


def test_capabilities_without_size_limits_are_a_protocol_error() -> None:
    with pytest.raises(ProtocolError, match="size limits"):
        decode_client_control(HeaderParameters(), bytes.fromhex("01000000000d" + "09000000070800"))


@pytest.mark.parametrize("granted", [frozenset(), frozenset(Capability), frozenset({Capability.BROWSER})])
def test_capabilities_are_read_as_they_were_written(granted: frozenset[Capability]) -> None:
    capabilities = Capabilities(granted=granted, max_guaranteed_bytes=1, max_direct_bytes=2**32 - 1)
    (frame,) = FrameReader(10_000).receive(ClientControl(capabilities=capabilities).encode())

    assert decode_frame(frame) == ClientControl(capabilities=capabilities)
