"""Tables that tie parameter codes to the fields of a dataclass, driven in both directions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from flumebeam.errors import ProtocolError
from flumebeam.smf.values import ValueCodec

__all__ = ["Field", "FieldTable", "encode_parameter", "walk_parameters"]


class Field(NamedTuple):
    """One parameter: its code on the wire, its field in Python, and how the value is written.

    ``repeated`` parameters may occur several times; their field is a tuple.
    """

    code: int
    name: str
    codec: ValueCodec
    repeated: bool = False


class FieldTable:
    """The parameters of one message kind. Encoding follows the order of the table."""

    def __init__(self, fields: Iterable[Field]) -> None:
        self._fields = tuple(fields)
        self._by_code = {field.code: field for field in self._fields}

    def decode(self, parameters: Iterable[tuple[int, bytes]]) -> dict[str, Any]:
        """Return the known parameters as keyword arguments; unknown codes are skipped, as the protocol wants it.

        Raises:
            ProtocolError: A known parameter's content is not what it should be.
        """
        values: dict[str, Any] = {}
        for code, raw in parameters:
            field = self._by_code.get(code)
            if field is None:
                continue
            value = field.codec.decode(raw)
            values[field.name] = (*values.get(field.name, ()), value) if field.repeated else value
        return values

    def encode(self, source: object, write: Callable[[int, bytes], bytes]) -> bytes:
        """Return the parameters that are set in ``source``; None, False and () mean absent.

        Args:
            source: Object with one attribute per field of the table.
            write: Frames one parameter, given its code and its encoded value.
        """
        return b"".join(write(code, value) for code, value in self._encoded(source))

    def _encoded(self, source: object) -> Iterator[tuple[int, bytes]]:
        for field in self._fields:
            value = getattr(source, field.name)
            if field.repeated:
                for item in value:
                    yield field.code, field.codec.encode(item)
            elif value is not None and value is not False:
                yield field.code, field.codec.encode(value)


def encode_parameter(code: int, value: bytes) -> bytes:
    """Frame one parameter with a one-byte length, or the long form where that is too small."""
    size = len(value) + 2
    if size <= 0xFF:
        return bytes((code, size)) + value
    return bytes((code, 0)) + (size + 4).to_bytes(4, "big") + value


def walk_parameters(raw: bytes, start: int, code_mask: int) -> Iterator[tuple[int, int, int]]:
    """Yield ``(code, value start, value end)`` of the parameters in ``raw`` from ``start`` on.

    Args:
        raw: Bytes that end with the last parameter.
        start: Offset of the first parameter.
        code_mask: Bits of the first byte that are the code; the others are handling hints.

    Raises:
        ProtocolError: A length runs past the end or is smaller than its own header.
    """
    position, end = start, len(raw)
    while position < end:
        code = raw[position] & code_mask
        if raw[position] == 0:
            position += 1
            continue
        if position + 2 > end:
            raise ProtocolError("A parameter ends inside its header.")
        size, value = raw[position + 1], position + 2
        if size == 0:
            size, value = int.from_bytes(raw[position + 2 : position + 6], "big"), position + 6
        following = position + size
        if following < value or following > end:
            raise ProtocolError(f"A parameter of {size} bytes does not fit into its frame.")
        yield code, value, following
        position = following
