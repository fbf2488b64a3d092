"""Frames are written here by hand, item by item, as the broker delivers them."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flumebeam.solace import _frames
from flumebeam.solace._frames import FrameReader
from flumebeam.solace._placed_frames import PlacedFrame
from flumebeam.solace.incoming import ReceivedMessage

SPOOLER = bytes.fromhex("1122334455667788")


def item(kind: int, value: bytes) -> bytes:
    width = 1 if len(value) + 2 < 256 else 4
    return bytes([kind << 2 | width - 1]) + (1 + width + len(value)).to_bytes(width, "big") + value


def text(value: str) -> bytes:
    return item(7, value.encode() + b"\0")


def long_map(content: bytes) -> bytes:
    return b"\x2b" + (5 + len(content)).to_bytes(4, "big") + content


def metadata(fields: dict[str, bytes], properties: dict[str, bytes], kind: bytes = b"\x80\0") -> bytes:
    maps = b""
    if fields:
        maps += text("h") + long_map(b"".join(text(name) + value for name, value in fields.items()))
    if properties:
        maps += text("p") + long_map(b"".join(text(name) + value for name, value in properties.items()))
    content = item(6, kind) + long_map(maps)
    stream = b"\x2f" + (5 + len(content)).to_bytes(4, "big") + content
    return b"\x01\x00" + len(stream).to_bytes(3, "big") + stream


def frame(
    body: bytes = b"body",
    behind: bytes = b"",
    number: int = 7,
    *,
    redelivered: bool = False,
    permanent: int | None = None,
    extra: bytes = b"",
    topic: bytes = b"a/b",
) -> bytes:
    head = b"\x18" + bytes([len(topic) + 3]) + topic + b"\0"
    if behind:
        sizes = b"\x25" + len(body).to_bytes(4, "big") + b"\x45" + len(behind).to_bytes(4, "big")
        head += b"\x16" + bytes([2 + len(sizes)]) + sizes
    head += b"\x03\x03\x05" + b"\x17\x06\0\0\0\x02" + b"\x11\x0a" + number.to_bytes(8, "big")
    head += b"\x12\x0a" + (number - 1).to_bytes(8, "big")
    if redelivered:
        head += b"\x13\x02"
    extended = b"\x40\x2c" + SPOOLER
    if permanent is not None:
        extended += b"\x40\x29" + permanent.to_bytes(8, "big") + b"\x30\x2e\0\0\0\x01"
    head += b"\x1f" + bytes([2 + len(extended)]) + extended + extra
    size = 12 + len(head) + len(body) + len(behind)
    return b"\x1b\x8d\0\xff" + struct.pack(">II", 12 + len(head), size) + head + body + behind


def read(reader: FrameReader, whole: bytes) -> ReceivedMessage | None:
    placed = reader.place(whole)
    return placed.message() if isinstance(placed, PlacedFrame) else placed


@pytest.fixture
def reader() -> FrameReader:
    return FrameReader()


def test_a_message_is_read_with_all_its_fields(reader: FrameReader) -> None:
    fields = {
        "mi": text("id-1"),
        "mt": text("type"),
        "ci": text("c"),
        "ex": item(2, (5).to_bytes(8, "big")),
        "sn": item(2, (6).to_bytes(8, "big")),
        "si": text("sender"),
        "ts": item(2, (1_700_000_000_000).to_bytes(8, "big")),
        "ct": text("text/plain"),
        "ce": text("zstd"),
    }
    properties = {
        "host": text("wüb"),
        "long": text("x" * 70_000),
        "empty": text(""),
        "int": item(2, (-3).to_bytes(2, "big", signed=True)),
        "uint": item(3, b"\xff"),
        "yes": item(1, b"\x01"),
        "no": item(1, b"\0"),
        "float": item(4, struct.pack(">f", 0.5)),
        "double": item(4, struct.pack(">d", 1e300)),
        "bytes": item(6, b"a\0b"),
        "null": item(0, b""),
    }
    for number in (7, 8, 2**63):
        message = read(reader, frame(behind=metadata(fields, properties), number=number))

        assert message is not None
        assert message.delivery == SPOOLER + number.to_bytes(8, "big")
        assert message.message_id == f"rmid1:11223-34455667788-{number >> 32:08x}-{number & 0xFFFFFFFF:08x}"
        assert (message.body, message.topic, message.payload, message.priority) == (b"body", "a/b", "bytes", 5)
        assert message.properties == {
            "host": "wüb",
            "long": "x" * 70_000,
            "empty": "",
            "int": -3,
            "uint": 255,
            "yes": True,
            "no": False,
            "float": 0.5,
            "double": 1e300,
            "bytes": b"a\0b",
            "null": None,
        }
        assert message[7:] == (
            1_700_000_000_000,
            "sender",
            "id-1",
            "type",
            "c",
            None,
            6,
            5,
            5,
            "text/plain",
            "zstd",
        )


def test_messages_of_one_kind_differ_in_their_values_only(reader: FrameReader) -> None:
    for number in range(1, 50):
        behind = metadata({"ts": item(2, number.to_bytes(8, "big"))}, {"n": text(f"{number:04d}"), "s": text("same")})
        message = read(reader, frame(b"x" * number, behind, number))

        assert message is not None
        assert message.body == b"x" * number
        assert message.properties == {"n": f"{number:04d}", "s": "same"}
        assert message.sender_timestamp == number
    assert len(reader._layouts) == len(reader._heads) == 1


def test_values_of_other_lengths_that_add_up_are_not_mixed_up(reader: FrameReader) -> None:
    for one, two in (("aa", "b"), ("a", "bb"), ("aa", "b")):
        message = read(reader, frame(behind=metadata({}, {"x": text(one), "y": text(two)})))

        assert message is not None
        assert message.properties == {"x": one, "y": two}


def test_a_redelivery_keeps_its_permanent_id(reader: FrameReader) -> None:
    message = read(reader, frame(number=9, redelivered=True, permanent=5))

    assert message is not None
    assert message.redelivered
    assert message.delivery == SPOOLER + (5).to_bytes(8, "big")


def test_a_message_without_metadata_is_all_body(reader: FrameReader) -> None:
    message = read(reader, frame(b"all of it"))

    assert message is not None
    assert (message.body, message.properties, message.payload) == (b"all of it", {}, "bytes")


@pytest.mark.parametrize(
    "odd",
    [
        frame(behind=metadata({}, {}, b"\x07\0")),  # text
        frame(behind=metadata({}, {}, b"\x80\x80")),  # a reply
        frame(behind=metadata({"rt": item(8, b"\0inbox\0")}, {})),
        frame(behind=metadata({"zz": text("new")}, {})),
        frame(behind=metadata({}, {"map": long_map(b"")})),
        frame(behind=metadata({}, {"char": item(5, b"\0a")})),
        frame(behind=b"\x02\x00"),
        frame(extra=b"\x1e\x03\x01"),
        frame(topic=b"a\0b"),
        frame()[:-1],
        b"",
        b"\0" * 12,
    ],
)
def test_whatever_is_uncommon_is_left_to_the_getters(reader: FrameReader, odd: bytes) -> None:
    assert read(reader, odd) is None
    assert read(reader, odd) is None


def test_texts_are_what_the_getters_make_of_them(reader: FrameReader) -> None:
    behind = metadata({"si": item(7, b"s\0t\0")}, {"nul": text("a\0b"), "half": item(7, b"\xff\0"), "good": text("ü")})

    message = read(reader, frame(behind=behind))

    assert message is not None
    assert message.properties == {"nul": "a", "half": "\ufffd", "good": "ü"}
    assert message.sender_id == "s"


def test_only_what_has_no_content_type_waits_to_be_read(reader: FrameReader) -> None:
    assert isinstance(reader.place(frame()), PlacedFrame)
    assert isinstance(reader.place(frame(behind=metadata({"mi": text("a")}, {}))), PlacedFrame)
    assert isinstance(reader.place(frame(behind=metadata({"ct": text("a/b")}, {}))), ReceivedMessage)


def test_no_bytes_make_it_fail() -> None:
    whole = frame(behind=metadata({"mi": text("id"), "ts": item(2, bytes(8))}, {"host": text("h")}))
    reader = FrameReader()

    @given(st.integers(0, len(whole) - 1), st.integers(0, 255), st.integers(0, len(whole)))
    def check(at: int, value: int, end: int) -> None:
        broken = bytearray(whole[: max(end, at + 1)])
        broken[at] = value
        read(reader, bytes(broken))

    check()


def test_what_is_remembered_has_a_limit(reader: FrameReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_frames, "_MAX_KNOWN", 4)
    tables: list[Any] = [reader._heads, reader._layouts, reader._sizes, reader._head_cuts, reader._metadata_cuts]
    for number in range(1, 40):
        assert read(reader, frame(b"x" * number, metadata({}, {"n": text("y" * number)}), topic=b"t" * number))
        assert all(len(table) <= 4 for table in tables)
