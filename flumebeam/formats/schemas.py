"""The declared schema of a table: an Avro record, and the Arrow columns that it stands for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeAlias

import fastavro
import pyarrow as pa

from flumebeam.errors import ConfigurationError
from flumebeam.formats.schema_places import schema_text

__all__ = ["AvroType", "TableSchema"]

AvroType: TypeAlias = Any
"""A type of an Avro schema as JSON gives it: a name, a list for a union, or an object. Names are resolved."""

_PRIMITIVES: Final = {
    "boolean": pa.bool_(),
    "bytes": pa.binary(),
    "double": pa.float64(),
    "float": pa.float32(),
    "int": pa.int32(),
    "long": pa.int64(),
    "string": pa.string(),
}
_LOGICAL: Final = {
    ("int", "date"): pa.date32(),
    ("long", "timestamp-micros"): pa.timestamp("us", "UTC"),
    ("long", "timestamp-millis"): pa.timestamp("ms", "UTC"),
}
_MOST_DIGITS: Final = 38
_OPTION_PARTS: Final = 2


@dataclass(frozen=True, slots=True)
class TableSchema:
    """What columns a table has. Picklable; equal if its text is.

    Types: ``boolean``, ``int``, ``long``, ``float``, ``double``, ``bytes``, ``string``; ``date``, ``timestamp-millis``,
    ``timestamp-micros`` and ``decimal`` of bytes; unions of one type with ``null``; arrays; records within. Other
    logical types count as the type below them, as the Avro specification says.

    Args:
        text: An Avro schema of a record, as JSON.

    Raises:
        ConfigurationError: It is no such schema, or has a type that a table cannot.
    """

    text: str

    def __post_init__(self) -> None:
        _columns(self.text)

    @classmethod
    def read(cls, place: str) -> TableSchema:
        """Return the schema that a file holds (``.avsc``), or that a registry answers: read once, here.

        Args:
            place: Path, or ``http://...``; see :func:`flumebeam.formats.schema_places.schema_text`.

        Raises:
            ConfigurationError: It cannot be read, or is no such schema.
            ConnectionFailedError: Its server does not answer.
        """
        return cls(schema_text(place))

    @property
    def record(self) -> Mapping[str, Any]:
        """The Avro schema of a row."""
        record: dict[str, Any] = json.loads(self.text)
        return record

    @property
    def arrow(self) -> pa.Schema:
        """Its columns; what may not be missing is not nullable."""
        return _columns(self.text)


@cache
def _columns(text: str) -> pa.Schema:
    try:
        declared = json.loads(text)
        fastavro.parse_schema(declared)
    except (ValueError, fastavro.schema.SchemaParseException, fastavro.schema.UnknownType) as error:
        raise ConfigurationError(f"The schema of a table must be an Avro schema as JSON: {error!r}.") from error
    except (TypeError, LookupError, AttributeError) as error:
        raise ConfigurationError("The schema of a table must be an Avro schema as JSON; this is none.") from error
    if not isinstance(declared, dict) or declared.get("type") != "record":
        raise ConfigurationError("The schema of a table must be an Avro record, with a field for each column.")
    return pa.schema(list(_arrow(declared, "")))


def _arrow(kind: AvroType, where: str) -> pa.DataType:
    if isinstance(kind, str):
        if kind in _PRIMITIVES:
            return _PRIMITIVES[kind]
    elif isinstance(kind, dict):
        base = kind["type"]
        if base == "record" and kind["fields"]:
            return pa.struct([_field(field["name"], field["type"], where) for field in kind["fields"]])
        if base == "array":
            return pa.list_(_field("element", kind["items"], where))
        if base == "bytes" and kind.get("logicalType") == "decimal":
            return _decimal(kind, where)
        if base in _PRIMITIVES:
            return _LOGICAL.get((base, kind.get("logicalType", "")), _PRIMITIVES[base])
    raise ConfigurationError(
        f"A table has no columns of type {json.dumps(kind)}, as {where!r} wants: take {', '.join(_PRIMITIVES)}, a "
        "logical type of them, an array, a record with fields that is written out, or a union of one of these with "
        "null."
    )


def _field(name: str, kind: AvroType, where: str) -> pa.Field:
    where = f"{where}.{name}" if where else name
    if not isinstance(kind, list):
        return pa.field(name, _arrow(kind, where), nullable=False)
    others = [one for one in kind if one != "null"]
    if len(kind) != _OPTION_PARTS or len(others) != 1:
        raise ConfigurationError(f"A union in the schema of a table is one type and null; {where!r} is {kind}.")
    return pa.field(name, _arrow(others[0], where), nullable=True)


def _decimal(kind: Mapping[str, Any], where: str) -> pa.DataType:
    precision, scale = kind.get("precision"), kind.get("scale", 0)
    if isinstance(precision, int) and isinstance(scale, int) and 0 <= scale <= precision <= _MOST_DIGITS:
        return pa.decimal128(precision, scale)
    raise ConfigurationError(
        f"A decimal has a precision of 1 to {_MOST_DIGITS} and a scale up to it; {where!r} has {precision} and {scale}."
    )
