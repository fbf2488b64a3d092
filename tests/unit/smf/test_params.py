"""Header parameters, beyond what the table of frames covers."""

from __future__ import annotations

import pytest

from flumebeam.errors import ProtocolError
from flumebeam.smf.params import HeaderParameters, decode_parameters, encode_parameters

FIXED = bytes.fromhex("038d00ff0000000000000000")


def test_padding_and_unknown_lightweight_parameters_are_skipped() -> None:
    raw = FIXED + b"\0" + b"\x26\0\3" + b"\x03\x03\x07" + b"\0"

    assert decode_parameters(raw) == HeaderParameters(priority=7)


@pytest.mark.parametrize(
    "item",
    [b"\x00\x01", b"\x10\x02\xff", b"\x20\x02\xff\xff", b"\x50\x03\x05xx", b"\xe0\x05\x00\x05x"],
    ids=["empty", "one byte", "two bytes", "counted by a byte", "counted by two"],
)
def test_unknown_extended_items_of_every_format_are_skipped(item: bytes) -> None:
    stream = item + b"\x30\x2e\0\0\0\4"
    raw = FIXED + bytes((0x1F, len(stream) + 2)) + stream

    assert decode_parameters(raw) == HeaderParameters(redelivery_count=4)


@pytest.mark.parametrize(
    "raw",
    [
        b"\x23\0\0",
        b"\x1f\x05\x40\x2c\0",
        b"\x1f\x04\x70\x01",
        b"\x1f\x05\x50\x01\x02",
        b"\x1f\x06\x60\x01\x00\x01",
        b"\x1f\x03\x40",
        b"\x18\x05\xff\xff\0",
    ],
    ids=["tag cut", "u64 cut", "format 7", "count too small", "u16 count too small", "word cut", "no utf-8"],
)
def test_damaged_parameters_are_a_protocol_error(raw: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_parameters(FIXED + raw)


def test_access_token_is_counted_by_two_bytes_as_the_client_writes_it() -> None:
    raw = encode_parameters(HeaderParameters(access_token="toktok"))

    # As solace-pubsubplus 1.11.0 sends it, but for the wider length of the parameter around it.
    assert raw.hex() == "1f0d" + "6031000b746f6b746f6b00"
    assert decode_parameters(FIXED + raw) == HeaderParameters(access_token="toktok")
    assert "toktok" not in repr(HeaderParameters(access_token="toktok"))


def test_extended_items_are_written_with_the_size_of_their_value() -> None:
    raw = encode_parameters(HeaderParameters(spooler_id=1, stable_id=2, redelivery_count=3))

    assert raw.hex() == "1f1c" + "402c0000000000000001" + "40290000000000000002" + "302e00000003"
