"""Single values."""

from __future__ import annotations

import pytest

from flumebeam.errors import ProtocolError
from flumebeam.smf import values
from flumebeam.smf.clientctrl import Capability
from flumebeam.smf.values import Response, ValueCodec, known, records


@pytest.mark.parametrize(
    ("codec", "value", "raw"),
    [
        (values.U8, 255, b"\xff"),
        (values.U32, 1, b"\0\0\0\1"),
        (values.U64, 2**64 - 1, b"\xff" * 8),
        (values.U32_PAIR, (1, 2), b"\0\0\0\1\0\0\0\2"),
        (values.RAW, b"\0x", b"\0x"),
        (values.TEXT, "ä", "ä\0".encode()),
        (values.BASE64, "user1", b"dXNlcjE="),
        (values.RESPONSE, Response(200, "OK"), b"\0\0\0\xc8OK"),
        (values.FLAG, True, b""),
        (records(">BB"), ((1, 2), (3, 4)), b"\1\2\3\4"),
    ],
)
def test_value_is_written_and_read(codec: ValueCodec, value: object, raw: bytes) -> None:
    assert codec.encode(value) == raw
    assert codec.decode(raw) == value


def test_text_may_lack_its_nul() -> None:
    assert values.TEXT.decode(b"abc") == "abc"


@pytest.mark.parametrize(
    ("codec", "raw"),
    [
        (values.U32, b"\0"),
        (values.U32_PAIR, b""),
        (values.U32_PAIR, b"\0" * 16),
        (values.U32_PAIR, b"\0"),
        (values.TEXT, b"\xff\0"),
        (values.TEXT, b"a\0b\0"),
        (values.BASE64, b"a"),
        (values.BASE64, b"/w=="),
        (values.BASE64, "ä".encode()),
        (values.RESPONSE, b"\0\0\0"),
        (values.FLAG, b"x"),
        (records(">BB"), b"\1"),
    ],
)
def test_damaged_value_is_a_protocol_error(codec: ValueCodec, raw: bytes) -> None:
    with pytest.raises(ProtocolError):
        codec.decode(raw)


def test_unknown_code_is_a_protocol_error_that_names_its_kind() -> None:
    assert known(Capability, 2) is Capability.CONSUMER_FLOWS
    with pytest.raises(ProtocolError, match="Capability 99 is unknown"):
        known(Capability, 99)
