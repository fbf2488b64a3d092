"""Damaged AssuredCtrl messages."""

from __future__ import annotations

import pytest

from flumebeam.errors import ProtocolError
from flumebeam.smf.assuredctrl import (
    AckRange,
    AssuredControl,
    AssuredKind,
    Outcome,
    ReplayFrom,
    ReplayStart,
    decode_assured_control,
)
from flumebeam.smf.params import HeaderParameters


@pytest.mark.parametrize(
    "payload",
    [
        "0303",
        "040300000006",
        "030300000007",
        "01300386060000",
        "036300000006",
        "03030000000a" + "85040000",
        "030300000019" + "8513" + "00" * 16 + "04",
        "030b0000000a" + "1c040000",
        "030400000008" + "b302",
        "03040000000a" + "b3040100",
        "03040000000a" + "b3040200",
    ],
    ids=[
        *("short", "version", "length", "length in words", "kind", "short range", "unknown outcome", "record cut"),
        *("no start", "time cut", "message cut"),
    ],
)
def test_damaged_message_is_a_protocol_error(payload: str) -> None:
    with pytest.raises(ProtocolError):
        decode_assured_control(HeaderParameters(), bytes.fromhex(payload), pass_through=False)


@pytest.mark.parametrize(
    ("start", "raw"),
    [
        # As solace-pubsubplus 1.11 asks for a replay from the beginning, a time, and a message on.
        (ReplayStart(ReplayFrom.BEGINNING), "3300"),
        (ReplayStart(ReplayFrom.TIME, time_ns=0x1886CAF21C963200), "3301 1886caf21c963200"),
        (
            ReplayStart(ReplayFrom.MESSAGE, spooler_id=0x1122334455667788, message_id=1),
            "3302 1122334455667788 0000000000000001",
        ),
        (ReplayStart(9), "3309"),
    ],
)
def test_start_of_a_replay_is_written_as_clients_write_it(start: ReplayStart, raw: str) -> None:
    value = bytes.fromhex(raw)[1:]
    payload = bytes.fromhex("0304") + (8 + len(value)).to_bytes(4, "big") + bytes((0x33, 2 + len(value))) + value
    message = AssuredControl(kind=AssuredKind.BIND, start_replay=start)

    assert decode_assured_control(HeaderParameters(), payload, pass_through=False) == message
    assert message.encode().endswith(payload)


def test_outcome_may_be_written_out_for_accepted_messages() -> None:
    payload = bytes.fromhex("030300000019" + "8513" + "00" * 7 + "01" + "00" * 7 + "02" + "00")

    assert decode_assured_control(HeaderParameters(), payload, pass_through=False).acks == (
        AckRange(1, 2, Outcome.ACCEPTED),
    )
