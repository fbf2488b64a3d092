"""Reading messages that no well-behaved program would send; they are made with the native library itself."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import solace

from flumebeam.solace._reader import MessageReader, metadata_kind
from flumebeam.solace.incoming import Destination

LIBRARY = ctypes.CDLL(solace.CORE_LIB._name, handle=solace.CORE_LIB._handle)


class _Destination(ctypes.Structure):
    _fields_ = (("type", ctypes.c_int), ("name", ctypes.c_char_p))


def call(name: str, *arguments: Any) -> None:
    assert getattr(LIBRARY, f"solClient_{name}")(*arguments) == 0, name


@pytest.fixture
def message() -> Iterator[ctypes.c_void_p]:
    handle = ctypes.c_void_p()
    call("msg_alloc", ctypes.byref(handle))
    yield handle
    call("msg_free", ctypes.byref(handle))


def with_properties(message: ctypes.c_void_p, fill: Callable[[ctypes.c_void_p], None]) -> dict[str, Any]:
    container = ctypes.c_void_p()
    call("msg_createUserPropertyMap", message, ctypes.byref(container), ctypes.c_uint32(4096))
    fill(container)
    call("container_closeMapStream", ctypes.byref(container))
    return MessageReader()._properties(message.value or 0)


def test_every_native_type_is_read_as_what_it_is(message: ctypes.c_void_p) -> None:
    def fill(box: ctypes.c_void_p) -> None:
        call("container_addBoolean", box, ctypes.c_bool(True), b"boolean")
        call("container_addUint8", box, ctypes.c_uint8(255), b"uint8")
        call("container_addInt8", box, ctypes.c_int8(-128), b"int8")
        call("container_addUint16", box, ctypes.c_uint16(65535), b"uint16")
        call("container_addInt16", box, ctypes.c_int16(-32768), b"int16")
        call("container_addUint32", box, ctypes.c_uint32(2**32 - 1), b"uint32")
        call("container_addInt32", box, ctypes.c_int32(-(2**31)), b"int32")
        call("container_addUint64", box, ctypes.c_uint64(2**64 - 1), b"uint64")
        call("container_addInt64", box, ctypes.c_int64(-(2**63)), b"int64")
        call("container_addFloat", box, ctypes.c_float(0.5), b"float")
        call("container_addDouble", box, ctypes.c_double(1e300), b"double")
        call("container_addWchar", box, ctypes.c_uint16(0xE4), b"char")
        call("container_addString", box, b"text", b"text")
        call("container_addByteArray", box, b"a\0b", ctypes.c_uint32(3), b"bytes")
        call("container_addNull", box, b"null")
        destination = _Destination(1, b"q9")
        call("container_addDestination", box, ctypes.byref(destination), ctypes.sizeof(destination), b"queue")

    assert with_properties(message, fill) == {
        "boolean": True,
        "uint8": 255,
        "int8": -128,
        "uint16": 65535,
        "int16": -32768,
        "uint32": 2**32 - 1,
        "int32": -(2**31),
        "uint64": 2**64 - 1,
        "int64": -(2**63),
        "float": 0.5,
        "double": 1e300,
        "char": "ä",
        "text": "text",
        "bytes": b"a\0b",
        "null": None,
        "queue": Destination("q9"),
    }


def test_text_that_is_not_utf_8_is_read_with_replacement_characters(message: ctypes.c_void_p) -> None:
    def fill(box: ctypes.c_void_p) -> None:
        call("container_addString", box, b"gr\xfc\xdfe", b"text")
        call("container_addString", box, b"x", b"n\xe4me")
        call("container_addWchar", box, ctypes.c_uint16(0xD800), b"half")

    assert with_properties(message, fill) == {"text": "gr��e", "n�me": "x", "half": "�"}


def test_containers_within_containers_are_read(message: ctypes.c_void_p) -> None:
    def fill(box: ctypes.c_void_p) -> None:
        inner, list_ = ctypes.c_void_p(), ctypes.c_void_p()
        call("container_openSubMap", box, ctypes.byref(inner), b"map")
        call("container_openSubStream", inner, ctypes.byref(list_), b"list")
        call("container_addInt32", list_, ctypes.c_int32(7), None)
        call("container_addString", list_, b"x", None)
        call("container_closeMapStream", ctypes.byref(list_))
        call("container_addString", inner, b"behind", b"b")
        call("container_closeMapStream", ctypes.byref(inner))
        call("container_addString", box, b"last", b"z")

    assert with_properties(message, fill) == {"map": {"list": [7, "x"], "b": "behind"}, "z": "last"}


def test_a_message_without_properties_has_none(message: ctypes.c_void_p) -> None:
    assert MessageReader()._properties(message.value or 0) == {}


def test_a_message_that_no_broker_has_stored_has_no_identity(message: ctypes.c_void_p) -> None:
    assert MessageReader().take(message.value or 0) is None


FRAME = bytes.fromhex(
    "1b8d00ff 0000004d 00000083 9809 6c6f67732f7800 030304 900301 010600000001 9606220b422b 170600000002"
    "110a01a205474f680002 120a01a205474f680001 1f0c402c18c77d7a34cbf1ae"
    "1f0000000b68656c6c6f00"
    "01000000262f00000026180407002b0000001d1c0468002b000000141c0574730008 0a000001a205474f70"
)


def test_the_metadata_of_a_frame_names_its_payload() -> None:
    assert metadata_kind(FRAME) == 0x07
    assert metadata_kind(FRAME.replace(b"\x18\x04\x07\x00", b"\x18\x04\x80\x00")) == 0x80
    assert metadata_kind(FRAME.replace(b"\x96\x06\x22\x0b\x42\x2b", b"\x96\x06\x22\x0b\x02\x2b")) is None


@pytest.mark.parametrize("length", range(len(FRAME)))
def test_a_frame_cut_anywhere_is_read_without_an_error(length: int) -> None:
    assert metadata_kind(FRAME[:length]) in (None, 0x07)


def test_any_header_ends_the_search() -> None:
    for byte in range(256):
        metadata_kind(FRAME[:12] + bytes([byte]) * 65)
    metadata_kind(FRAME[:12] + b"\x96\x00\x00\x00\x00\x00" + FRAME[18:])
