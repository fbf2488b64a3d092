"""Damaged AssuredCtrl messages."""

from __future__ import annotations

import pytest

from flumebeam.errors import ProtocolError
from flumebeam.smf.assuredctrl import AckRange, Outcome, decode_assured_control
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
    ],
    ids=["short", "version", "length", "length in words", "kind", "short range", "unknown outcome", "record cut"],
)
def test_damaged_message_is_a_protocol_error(payload: str) -> None:
    with pytest.raises(ProtocolError):
        decode_assured_control(HeaderParameters(), bytes.fromhex(payload), pass_through=False)


def test_outcome_may_be_written_out_for_accepted_messages() -> None:
    payload = bytes.fromhex("030300000019" + "8513" + "00" * 7 + "01" + "00" * 7 + "02" + "00")

    assert decode_assured_control(HeaderParameters(), payload, pass_through=False).acks == (
        AckRange(1, 2, Outcome.ACCEPTED),
    )
