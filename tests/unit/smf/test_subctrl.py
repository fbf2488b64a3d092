"""Damaged subscription requests."""

from __future__ import annotations

import pytest

from flumebeam.errors import ProtocolError
from flumebeam.smf.params import HeaderParameters
from flumebeam.smf.subctrl import decode_subscription_control


@pytest.mark.parametrize(
    "payload",
    ["80", "800000000706", "86000000060c", "82000000060c", "82000000090c03713100", "820000000a0c0371310005"],
    ids=["short", "length", "kind", "no name", "name cut", "topic cut"],
)
def test_damaged_subscription_is_a_protocol_error(payload: str) -> None:
    with pytest.raises(ProtocolError):
        decode_subscription_control(HeaderParameters(), bytes.fromhex(payload))
