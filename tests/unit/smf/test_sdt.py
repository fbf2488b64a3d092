"""Structured data: properties of messages."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flumebeam.errors import ProtocolError
from flumebeam.smf.fields import encode_parameter
from flumebeam.smf.sdt import Properties, decode_properties
from tests.unit.structured import item, structured, summary_of

SUMMARY = 0x16


def decode(payload: bytes, options: dict[str, bytes]) -> Properties:
    return decode_properties(encode_parameter(SUMMARY, options["contents_summary"]), payload)


def block(raw: bytes) -> tuple[bytes, dict[str, bytes]]:
    """A payload whose metadata is one block of structured data."""
    metadata = b"\x01" + struct.pack(">I", len(raw)) + raw
    return metadata, {"contents_summary": summary_of(b"", metadata)}


def test_bytes_of_the_vendors_client_are_read() -> None:
    # Published with application message id A1 and user property k = v; the body is m3.
    body = bytes.fromhex(
        "6d3301000000322f00000032180480002b000000291c0468002b0000000f1c056d69001c054131001c0470002b0000000d1c046b001c047600"
    )

    assert decode_properties(bytes.fromhex("960622024237"), body) == Properties({"mi": "A1"}, {"k": "v"})


def test_values_of_each_type_come_out_as_they_went_in() -> None:
    values = {"s": "ä", "i": -(2**40), "f": 0.5, "b": True, "n": None}
    written = values | {
        "u": item(3, b"\xff"),
        "f4": item(4, struct.pack(">f", 2.5)),
        "c": item(5, "x".encode("utf-16-be")),
        "y": item(6, b"\0\1"),
        "d": item(8, b"\0a/b\0"),
        "m": item(10, b""),
    }
    read = decode(*structured(b"body", written, {"ci": "7"}))

    assert read.user == values | {"u": 255, "f4": 2.5, "c": "x", "y": b"\0\1", "d": "a/b"}
    assert read.headers == {"ci": "7"}


@pytest.mark.parametrize(
    ("summary", "body"),
    [
        (b"", b"body"),
        (encode_parameter(0x18, b"t\0"), b"body"),
        (encode_parameter(SUMMARY, b"\x22\x04"), b"body"),
        (encode_parameter(SUMMARY, b"\x42\x05"), b"\x01\x01\0\0\0"),
        (encode_parameter(SUMMARY, b"\x42\x01"), b"\0"),
    ],
)
def test_message_without_structured_data_has_no_properties(summary: bytes, body: bytes) -> None:
    assert decode_properties(summary, body) == Properties()


def test_what_is_no_map_of_properties_is_left_out() -> None:
    inner = item(
        10, item(7, b"h\0") + item(7, b"x\0") + item(7, b"p\0") + item(0, b"") + item(7, b"q\0") + item(0, b"")
    )

    assert decode(*block(item(0, b"") + item(11, inner))) == Properties()


@pytest.mark.parametrize(
    "raw",
    [
        b"\x2f",
        b"\x2c\x01",
        b"\x2c\x09",
        item(11, item(10, item(6, b"h"))),
        item(11, item(10, item(7, b"h\0"))),
        item(11, item(10, item(7, b"p\0") + item(10, item(7, b"a\0") + item(4, b"123")))),
    ],
)
def test_damaged_structured_data_is_an_error_of_the_protocol(raw: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(*block(raw))


@pytest.mark.parametrize(
    ("elements", "body"), [(b"\x40", b""), (b"\x42\x03", b"\x02\0\0"), (b"\x42\x05", b"\x01\0\0\0\x09")]
)
def test_damaged_lists_are_an_error_of_the_protocol(elements: bytes, body: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_properties(encode_parameter(SUMMARY, elements), body)


@given(st.binary(max_size=80), st.binary(max_size=20))
def test_any_bytes_give_properties_or_an_error_of_the_protocol(raw: bytes, elements: bytes) -> None:
    for payload, options in (block(raw), block(item(11, item(10, raw))), (raw, {"contents_summary": elements})):
        try:
            assert isinstance(decode(payload, options), Properties)
        except ProtocolError:
            continue
