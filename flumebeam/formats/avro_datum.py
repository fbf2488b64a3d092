"""Whether bytes are exactly one Avro datum of a schema, without making a Python object of it.

Datums are joined to blocks as they are, and one that is none would break its whole block for every reader. fastavro's
own reader is no judge of that: it takes the branch -1 of a union and an int of 40 bits, which Java's readers refuse,
and deep recursion kills its process. So bytes are walked here, by functions that are made once for a schema.

Encoding: https://avro.apache.org/docs/1.12.0/specification/#binary-encoding
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, Final, TypeAlias

import fastavro
import pyarrow as pa
import pyarrow.compute as pc

from flumebeam.errors import ConfigurationError, MisfitError
from flumebeam.formats.columns import content

__all__ = ["check_datums", "datum_schema"]

_Walk: TypeAlias = Callable[[bytes, int, int], int]
"""Takes data, where a value begins and where its datum ends; returns where the value ends, or raises.

What lies behind the datum's end may be read: whoever walks a datum compares its end."""

_MORE: Final = 0x80
_LONG_BYTES: Final = 10
_INT_BYTES: Final = 5
_LAST_OF_INT: Final = 0x0F
_SCHEMAS: Final = 1_000
_OF_SCHEMA: Final = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RecursionError,
    fastavro.schema.SchemaParseException,
    fastavro.schema.UnknownType,
)


class _NoDatumError(Exception):
    """What is wrong with the bytes."""


def datum_schema(text: str) -> Any:
    """Return an Avro schema, of any type, as JSON gives it.

    Raises:
        ConfigurationError: It is none.
    """
    _walk_of(text)
    return json.loads(text)


def check_datums(text: str, bodies: pa.BinaryArray) -> None:
    """Raise MisfitError, with its place, at the first body that is not exactly one datum.

    Work is done for each value of each body: about a third of a microsecond.

    Args:
        text: The schema.
        bodies: Type ``binary``, no nulls.

    Raises:
        ConfigurationError: The text is no schema.
        MisfitError: A body is no datum.
    """
    walk = _walk_of(text)
    data = content(bodies)
    begin = end = 0
    for place, size in enumerate(pc.binary_length(bodies).to_pylist()):
        begin, end = end, end + size
        try:
            stop = walk(data, begin, end)
        except (_NoDatumError, IndexError, UnicodeDecodeError, RecursionError) as error:
            said = _CAUSES.get(type(error)) or str(error)
        else:
            if stop == end:
                continue
            said = "it has bytes left" if stop < end else "it ends too early"
        raise MisfitError(f"The body is not one Avro datum of the schema: {said}.", [place])


_CAUSES: Final[Mapping[type[Exception], str]] = {
    IndexError: "it ends too early",
    RecursionError: "it is nested too deeply",
    UnicodeDecodeError: "a string in it is no UTF-8",
}


@lru_cache(_SCHEMAS)
def _walk_of(text: str) -> _Walk:
    try:
        return _walk(fastavro.parse_schema(json.loads(text)), {})
    except _OF_SCHEMA as error:
        raise ConfigurationError(f"The schema of the bodies must be an Avro schema as JSON: {error!r}.") from error


def _walk(kind: Any, named: dict[str, _Walk]) -> _Walk:
    """Return the function that walks values of a type, given those of the types that have a name by now."""
    if isinstance(kind, list):
        return partial(_union, [_walk(branch, named) for branch in kind])
    if isinstance(kind, str):
        return _PRIMITIVES.get(kind) or named[kind]
    base = kind["type"]
    if base in ("record", "error"):
        fields: list[_Walk] = []
        # Fields may refer to the record that they stand in.
        named[kind["name"]] = walk = partial(_record, fields)
        fields += [_walk(field["type"], named) for field in kind["fields"]]
        return walk
    if base == "enum":
        named[kind["name"]] = walk = partial(_enum, len(kind["symbols"]))
        return walk
    if base == "fixed":
        named[kind["name"]] = walk = partial(_fixed, kind["size"])
        return walk
    if base == "array":
        return partial(_blocks, (_walk(kind["items"], named),))
    if base == "map":
        return partial(_blocks, (_string, _walk(kind["values"], named)))
    return _walk(base, named)


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Return a long, and where it ends."""
    value = shift = 0
    for byte in data[at : at + _LONG_BYTES]:
        at += 1
        value |= (byte & ~_MORE) << shift
        if byte < _MORE:
            return (value >> 1) ^ -(value & 1), at
        shift += 7
    raise _NoDatumError("a number in it does not end")


def _length(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Return how many bytes follow, and from where."""
    size, at = (data[at] >> 1, at + 1) if data[at] < _MORE and not data[at] & 1 else _number(data, at)
    if not 0 <= size <= end - at:
        raise _NoDatumError(f"a length in it is {size}, with {max(end - at, 0)} bytes left")
    return size, at


def _null(data: bytes, at: int, end: int) -> int:
    return at


def _boolean(data: bytes, at: int, end: int) -> int:
    if data[at] > 1:
        raise _NoDatumError(f"a boolean in it is {data[at]}")
    return at + 1


def _long(data: bytes, at: int, end: int) -> int:
    last = at + _LONG_BYTES - 1
    while data[at] >= _MORE:
        if at == last:
            raise _NoDatumError("a number in it does not end")
        at += 1
    return at + 1


def _int(data: bytes, at: int, end: int) -> int:
    last = at + _INT_BYTES - 1
    while data[at] >= _MORE:
        if at == last:
            raise _NoDatumError("an int in it is out of range")
        at += 1
    if at == last and data[at] > _LAST_OF_INT:
        raise _NoDatumError("an int in it is out of range")
    return at + 1


def _bytes(data: bytes, at: int, end: int) -> int:
    size, at = _length(data, at, end)
    return at + size


def _string(data: bytes, at: int, end: int) -> int:
    size, at = _length(data, at, end)
    data[at : at + size].decode()
    return at + size


def _fixed(size: int, data: bytes, at: int, end: int) -> int:
    return at + size


def _enum(symbols: int, data: bytes, at: int, end: int) -> int:
    index, at = _number(data, at)
    if not 0 <= index < symbols:
        raise _NoDatumError(f"an enum in it has no symbol {index}")
    return at


def _union(branches: list[_Walk], data: bytes, at: int, end: int) -> int:
    index, at = (data[at] >> 1, at + 1) if data[at] < _MORE and not data[at] & 1 else _number(data, at)
    if not 0 <= index < len(branches):
        raise _NoDatumError(f"a union in it has no branch {index}")
    return branches[index](data, at, end)


def _record(fields: list[_Walk], data: bytes, at: int, end: int) -> int:
    for walk in fields:
        at = walk(data, at, end)
    return at


def _blocks(items: tuple[_Walk, ...], data: bytes, at: int, end: int) -> int:
    """Walk an array or a map: blocks of items, each after their number; the number 0 ends them."""
    while True:
        count, at = _number(data, at)
        if not count:
            return at
        stop = -1
        if count < 0:
            # Minus the number, and the block's size, so that readers may skip it.
            size, at = _length(data, at, end)
            stop = at + size
        for _ in range(abs(count)):
            begin = at
            for walk in items:
                at = walk(data, at, end)
            if at == begin:
                # Items without a byte, as nulls are, would be counted for ever.
                break
            if at > end:
                raise _NoDatumError("it ends too early")
        if stop not in (-1, at):
            raise _NoDatumError("a block in it has another size than it says")


_PRIMITIVES: Final[Mapping[str, _Walk]] = {
    "boolean": _boolean,
    "bytes": _bytes,
    "double": partial(_fixed, 8),
    "float": partial(_fixed, 4),
    "int": _int,
    "long": _long,
    "null": _null,
    "string": _string,
}
