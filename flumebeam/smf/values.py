"""Codecs of single values: how one parameter's content is written in bytes."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final, NamedTuple, TypeVar

from flumebeam.errors import ProtocolError

__all__ = [
    "BASE64",
    "FLAG",
    "RAW",
    "RESPONSE",
    "TEXT",
    "U8",
    "U16",
    "U32",
    "U32_PAIR",
    "U64",
    "Response",
    "ValueCodec",
    "decode_text",
    "known",
    "records",
]

_Member = TypeVar("_Member", bound=IntEnum)


class ValueCodec(NamedTuple):
    """How a value is written into a parameter and read from it.

    ``decode`` raises :class:`ProtocolError` on content that is not such a value.
    """

    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


class Response(NamedTuple):
    """The outcome of a request: an HTTP-like code and the text that clients match on."""

    code: int
    text: str


def _unsigned(size: int) -> ValueCodec:
    def encode(value: int) -> bytes:
        return value.to_bytes(size, "big")

    def decode(raw: bytes) -> int:
        if len(raw) != size:
            raise ProtocolError(f"An integer of {size} bytes was expected, {len(raw)} arrived.")
        return int.from_bytes(raw, "big")

    return ValueCodec(encode, decode)


def decode_text(raw: bytes) -> str:
    """Return UTF-8 text without its closing NUL, which is optional.

    Raises:
        ProtocolError: The bytes are not UTF-8, or hold a NUL in the middle.
    """
    try:
        text = raw.removesuffix(b"\0").decode()
    except UnicodeDecodeError as error:
        raise ProtocolError("A text parameter is not UTF-8.") from error
    if "\0" in text:
        raise ProtocolError("A text parameter holds a NUL before its end.")
    return text


def known(kind: type[_Member], code: int) -> _Member:
    """Return the member of ``kind`` with this code.

    Raises:
        ProtocolError: There is none.
    """
    try:
        return kind(code)
    except ValueError as error:
        raise ProtocolError(f"{kind.__name__} {code} is unknown.") from error


def _encode_text(text: str) -> bytes:
    return text.encode() + b"\0"


def _encode_base64(text: str) -> bytes:
    return base64.b64encode(text.encode())


def _decode_base64(raw: bytes) -> str:
    try:
        return decode_text(base64.b64decode(raw, validate=True))
    except binascii.Error as error:
        raise ProtocolError("A credential is not base64.") from error


def _encode_response(response: Response) -> bytes:
    return response.code.to_bytes(4, "big") + response.text.encode()


def _decode_response(raw: bytes) -> Response:
    if len(raw) < 4:
        raise ProtocolError("A response parameter is shorter than its code.")
    return Response(int.from_bytes(raw[:4], "big"), decode_text(raw[4:]))


def _decode_flag(raw: bytes) -> bool:
    if raw:
        raise ProtocolError("A parameter without value carries one.")
    return True


def records(layout: str, record: Callable[..., Any] = lambda *values: values) -> ValueCodec:
    """Return the codec of a list of equal records, a tuple in Python.

    Args:
        layout: ``struct`` layout of one record.
        record: Builds one record from the unpacked values.
    """
    packer = struct.Struct(layout)

    def encode(items: tuple[tuple[int, ...], ...]) -> bytes:
        return b"".join(packer.pack(*item) for item in items)

    def decode(raw: bytes) -> tuple[Any, ...]:
        if len(raw) % packer.size:
            raise ProtocolError(f"A list of {packer.size}-byte records has {len(raw)} bytes.")
        return tuple(record(*values) for values in packer.iter_unpack(raw))

    return ValueCodec(encode, decode)


def _pair() -> ValueCodec:
    pairs = records(">II")

    def decode(raw: bytes) -> tuple[int, int]:
        if len(raw) != 8:
            raise ProtocolError(f"A pair of counters has 8 bytes, not {len(raw)}.")
        pair: tuple[int, int] = pairs.decode(raw)[0]
        return pair

    return ValueCodec(lambda pair: pairs.encode((pair,)), decode)


U8: Final = _unsigned(1)
U16: Final = _unsigned(2)
U32: Final = _unsigned(4)
U64: Final = _unsigned(8)
U32_PAIR: Final = _pair()
RAW: Final = ValueCodec(bytes, bytes)
TEXT: Final = ValueCodec(_encode_text, decode_text)
BASE64: Final = ValueCodec(_encode_base64, _decode_base64)
RESPONSE: Final = ValueCodec(_encode_response, _decode_response)
FLAG: Final = ValueCodec(lambda _: b"", _decode_flag)
