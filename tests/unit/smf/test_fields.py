"""Parameters with one- and four-byte lengths, and tables of them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from flumebeam.errors import ProtocolError
from flumebeam.smf.fields import Field, FieldTable, encode_parameter, walk_parameters
from flumebeam.smf.values import FLAG, U8


@dataclass
class Sample:
    one: int | None = None
    many: tuple[int, ...] = ()
    flag: bool = False


TABLE = FieldTable((Field(1, "one", U8), Field(2, "many", U8, repeated=True), Field(3, "flag", FLAG)))


def test_absent_values_are_not_written_and_repeated_ones_each() -> None:
    assert TABLE.encode(Sample(), encode_parameter) == b""
    assert TABLE.encode(Sample(0, (1, 2), True), encode_parameter) == b"\1\3\0" + b"\2\3\1" + b"\2\3\2" + b"\3\2"


def test_unknown_parameters_are_skipped() -> None:
    assert TABLE.decode([(9, b"?"), (2, b"\5"), (2, b"\6"), (1, b"\7"), (3, b"")]) == {
        "many": (5, 6),
        "one": 7,
        "flag": True,
    }


@pytest.mark.parametrize("size", [0, 253, 254, 255, 70_000])
def test_length_takes_the_long_form_where_one_byte_is_too_small(size: int) -> None:
    raw = encode_parameter(5, b"x" * size)

    assert [(code, end - value) for code, value, end in walk_parameters(raw, 0, 0x3F)] == [(5, size)]
    assert len(raw) == size + (2 if size <= 253 else 6)


def test_zero_bytes_between_parameters_are_padding() -> None:
    assert [code for code, _, _ in walk_parameters(b"\0\0\x81\3x\0", 0, 0x3F)] == [1]


@pytest.mark.parametrize("raw", [b"\1", b"\1\1", b"\1\4x", b"\1\0\0\0\0\5", b"\1\0\0\0", b"\1\0\xff\xff\xff\xff"])
def test_length_that_does_not_fit_is_a_protocol_error(raw: bytes) -> None:
    with pytest.raises(ProtocolError):
        list(walk_parameters(raw, 0, 0x3F))
