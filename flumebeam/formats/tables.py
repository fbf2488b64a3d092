"""Typed tables: bodies of JSON or delimited text as rows of declared columns, parsed as columns all the way.

The bodies of a batch become one block, which Arrow parses at once. So that no body can shift, split or swallow another
one's row, each is marked in the block with a word drawn by chance: a row begins with a mark only where a body begins,
so as many rows as bodies, all of them marked, are one row for each body.
"""

from __future__ import annotations

import re
import secrets
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json

from flumebeam.batch import EventBatch
from flumebeam.errors import ConfigurationError, MisfitError
from flumebeam.event import RESERVED_PREFIX, TIMESTAMP_HEADER
from flumebeam.formats.columns import content, joined
from flumebeam.formats.schemas import TableSchema

__all__ = ["SOURCE_COLUMNS", "TableOptions"]

SOURCE_COLUMNS: Final = pa.schema(
    [
        pa.field("source_queue", pa.string()),
        pa.field("source_id", pa.string()),
        pa.field("source_time", pa.timestamp("ms", "UTC")),
    ]
)
"""Where an event came from: the queue; the delivery id, which is unique; the time that paths are made from, if the
event carries one."""

_TIME_HEADERS: Final = (TIMESTAMP_HEADER, RESERVED_PREFIX + "sender-timestamp")
_HEX: Final = np.frombuffer(b"".join(b"%02x" % byte for byte in range(256)), dtype="S2")
_ID_BYTES: Final = 16
_ROW: Final = re.compile(r"(?:in row|string index) (\d+)$|Row #(\d+): ")
_VALUE: Final = re.compile(r"couldn't parse: ?(.+)$|Failed to parse string: '(.+)' as ", re.DOTALL)
_MOST_SUSPECTS: Final = 3
_BODIES: Final = ("json", "csv")
_UNKNOWN: Final = ("drop", "refuse")
_AVRO_OF: Final[Mapping[pa.DataType, Any]] = {
    pa.string(): "string",
    pa.binary(): "bytes",
    pa.timestamp("ms", "UTC"): {"type": "long", "logicalType": "timestamp-millis"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TableOptions:
    """How events become rows.

    Attributes:
        schema: Columns that a body has.
        body: What bodies are: ``json``, one object each; ``csv``, delimited fields in the order of the columns.
        delimiter: Character between fields.
        quote: Character around fields that hold delimiters, doubled where it stands for itself; empty for none.
        unknown: What is done with fields of an object that the schema lacks: ``drop``, or ``refuse`` their events.
        body_column: Name of one more column, with the body as it came; empty for none.
        headers: Headers that get a column each, ``string`` or null; characters that names cannot have become ``_``.
        source: Whether rows get :data:`SOURCE_COLUMNS`.

    Raises:
        ConfigurationError: A value that cannot work, or two columns of one name.
    """

    schema: TableSchema
    body: str = "json"
    delimiter: str = ","
    quote: str = '"'
    unknown: str = "drop"
    body_column: str = ""
    headers: tuple[str, ...] = ()
    source: bool = False

    def __post_init__(self) -> None:
        if self.body not in _BODIES or self.unknown not in _UNKNOWN:
            raise ConfigurationError(
                f"The bodies of a table are {' or '.join(_BODIES)}, and unknown fields {' or '.join(_UNKNOWN)}; got "
                f"{self.body!r} and {self.unknown!r}."
            )
        for name, sign, shortest in (("delimiter", self.delimiter, 1), ("quote", self.quote, 0)):
            if not shortest <= len(sign) <= 1 or not sign.isascii() or sign in ("\r", "\n", "\0"):
                raise ConfigurationError(f"A {name} is one ASCII character within a line, got {sign!r}.")
        if self.body == "csv":
            for field in self.schema.arrow:
                if pa.types.is_nested(field.type):
                    raise ConfigurationError(f"Delimited text cannot hold column {field.name!r}, {field.type}.")
        for name, count in Counter(field.name.lower() for field in self.columns).items():
            if count > 1 or not re.fullmatch("[a-z_][a-z0-9_]*", name):
                raise ConfigurationError(
                    f"Columns need names of their own, of letters, digits and _, in whatever case: {name!r}."
                )

    @property
    def columns(self) -> pa.Schema:
        """All columns: what may not be missing is not nullable, but what stands within another column always is."""
        declared = [field.with_type(_nullable(field.type, pa.date32())) for field in self.schema.arrow]
        return pa.schema([*declared, *self._added()])

    @property
    def record(self) -> Mapping[str, Any]:
        """The Avro schema of its rows."""
        record = dict(self.schema.record)
        added: list[dict[str, Any]] = [
            {"name": field.name, "type": ["null", _AVRO_OF[field.type]], "default": None}
            if field.nullable
            else {"name": field.name, "type": _AVRO_OF[field.type]}
            for field in self._added()
        ]
        return {**record, "fields": [*record["fields"], *added]}

    def _added(self) -> list[pa.Field]:
        fields = [pa.field(re.sub("[^A-Za-z0-9_]", "_", name), pa.string()) for name in self.headers]
        if self.body_column:
            fields.append(pa.field(self.body_column, pa.binary(), nullable=False))
        return [*fields, *(SOURCE_COLUMNS if self.source else ())]

    def rows(self, batch: EventBatch) -> pa.RecordBatch:
        """Return the events of a batch as rows, in order. No Python object is made for an event.

        Raises:
            MisfitError: A body does not fit; it says which column, if it is the only event.
        """
        own = self.schema.arrow
        if not len(batch):
            return pa.RecordBatch.from_pylist([], schema=self.columns)
        try:
            parsed = (_of_json if self.body == "json" else _of_csv)(self, batch.bodies)
            typed = [_typed(parsed[index], field) for index, field in enumerate(own)]
        except (pa.ArrowException, ValueError) as error:
            raise MisfitError(
                f"The body does not fit the schema: {error}", _suspects(str(error), batch.bodies)
            ) from error
        return pa.RecordBatch.from_arrays([*typed, *self._added_values(batch)], schema=self.columns)

    def _added_values(self, batch: EventBatch) -> list[pa.Array]:
        values: list[pa.Array] = [batch.header(name) for name in self.headers]
        if self.body_column:
            values.append(batch.bodies)
        if self.source:
            origin = batch.provenance
            queue = pa.scalar(None if origin is None else origin.queue, type=pa.string())
            ids = pa.nulls(len(batch), pa.string()) if origin is None else _id_texts(origin.ids)
            values += [pa.repeat(queue, len(batch)), ids, _times(batch)]
        return values


def _of_json(options: TableOptions, bodies: pa.BinaryArray) -> list[pa.Array]:
    """Parse objects, marked by a first field of their own."""
    if not _all(pc.starts_with(bodies, b"{")):
        bodies = pc.replace_substring_regex(bodies, pattern=rb"^[ \t\r\n]+", replacement=b"")
        is_object = pc.starts_with(bodies, b"{")
        if not _all(is_object):
            raise MisfitError("The body is no JSON object.", _first(pc.invert(is_object)))
    mark = secrets.token_hex(_ID_BYTES)
    marked = pc.binary_replace_slice(bodies, 0, 1, f'{{"{mark}":0,'.encode())
    is_empty = pc.match_substring_regex(bodies, rb"^\{[ \t\r\n]*\}[ \t\r\n]*$")
    if pc.any(is_empty).as_py():
        marked = pc.if_else(is_empty, pa.scalar(f'{{"{mark}":0}}'.encode(), type=pa.binary()), marked)
    block = content(joined(marked, pa.scalar(b"\n", type=pa.binary())))
    if b"\0" in block:
        # The parser would take it for the end of everything.
        suspects = _first(pc.match_substring(bodies, b"\0"))
        raise MisfitError("The body is no JSON object: it holds a zero byte.", suspects)
    own = options.schema.arrow
    table = pyarrow.json.read_json(
        pa.BufferReader(block),
        read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=len(block) + 1),
        parse_options=pyarrow.json.ParseOptions(
            # JSON has no dates, and Arrow would take numbers for them.
            explicit_schema=pa.schema(
                [(mark, pa.int8()), *((field.name, _nullable(field.type, pa.string())) for field in own)]
            ),
            unexpected_field_behavior="error" if options.unknown == "refuse" else "ignore",
        ),
    ).combine_chunks()
    if len(table) != len(bodies) or table.column(mark).null_count:
        # What follows the first object of a body is a row without a mark.
        extra = _first(_whole(table.column(mark)).is_null())
        raise MisfitError("The body is no JSON object, or several.", [row - 1 for row in extra if row])
    return [_whole(table.column(field.name)) for field in own]


def _of_csv(options: TableOptions, bodies: pa.BinaryArray) -> list[pa.Array]:
    """Parse delimited fields, marked by a first and a last field of their own."""
    mark = secrets.token_hex(_ID_BYTES).encode()
    delimiter = options.delimiter.encode()
    bodies = pc.replace_substring_regex(bodies, pattern=rb"\r$", replacement=b"")
    begin, end = (pa.scalar(text, type=pa.binary()) for text in (mark + delimiter, delimiter + mark + b"\n"))
    block = content(joined(begin, bodies, end))
    own = options.schema.arrow
    names = ["begin", *(f"c{index}" for index in range(len(own))), "end"]
    table = pyarrow.csv.read_csv(
        pa.BufferReader(block),
        read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=names),
        parse_options=pyarrow.csv.ParseOptions(
            delimiter=options.delimiter,
            quote_char=options.quote or False,
            ignore_empty_lines=False,
            newlines_in_values=True,
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict(zip(names, [pa.binary(), *own.types, pa.binary()], strict=True)),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    ).combine_chunks()
    if len(table) != len(bodies) or not all(_all(pc.equal(table.column(name), mark)) for name in ("begin", "end")):
        raise MisfitError("The body is not one line of delimited text.")
    return [
        pc.fill_null(column, "") if not field.nullable and field.type in (pa.string(), pa.binary()) else column
        for field, column in zip(own, map(_whole, table.columns[1:-1]), strict=True)
    ]


def _nullable(kind: pa.DataType, dates: pa.DataType) -> pa.DataType:
    """Return a type whose inner fields may all be null, as those of a record that is null itself are for Arrow.

    Args:
        kind: As declared.
        dates: What dates within it become.
    """
    if pa.types.is_date32(kind):
        return dates
    if pa.types.is_list(kind):
        return pa.list_(pa.field("element", _nullable(kind.value_type, dates)))
    if pa.types.is_struct(kind):
        return pa.struct(
            [(field.name, _nullable(field.type, dates)) for field in map(kind.field, range(kind.num_fields))]
        )
    return kind


def _typed(column: pa.Array, field: pa.Field) -> pa.Array:
    column = column.cast(_nullable(field.type, pa.date32()))
    column.validate(full=True)
    _check_present(column, field, field.name)
    return column


def _check_present(column: pa.Array, field: pa.Field, path: str) -> None:
    """Raise MisfitError if something is null that must not be."""
    if not field.nullable and column.null_count:
        # What stands within another column is not one for each event.
        suspects = _first(column.is_null()) if path == field.name else []
        raise MisfitError(f"The body does not fit the schema: column {path!r} is missing or null.", suspects)
    if pa.types.is_struct(field.type):
        there = column.drop_null()
        for index in range(field.type.num_fields):
            inner = field.type.field(index)
            _check_present(there.field(index), inner, f"{path}.{inner.name}")
    elif pa.types.is_list(field.type):
        _check_present(column.flatten(), field.type.value_field, f"{path}[]")


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array, whatever the number of its chunks."""
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _suspects(said: str, bodies: pa.BinaryArray) -> list[int]:
    """Return who may have made Arrow say something: it tells a row, or the value that it could not convert.

    A body that is not one object, or one line, moves the rows behind it, so these are guesses.
    """
    if (row := _ROW.search(said)) is not None:
        place = int(row[1]) if row[1] else int(row[2]) - 1
        return [guess for guess in (place, place - 1) if 0 <= guess < len(bodies)]
    if (value := _VALUE.search(said)) is not None:
        return _first(pc.match_substring(bodies, (value[1] or value[2]).encode()), _MOST_SUSPECTS)
    return []


def _first(condition: pa.BooleanArray, most: int = 1) -> list[int]:
    """Return the first places where something is true."""
    places: list[int] = pc.indices_nonzero(condition)[:most].to_pylist()
    return places


def _all(condition: pa.Array | pa.ChunkedArray) -> bool:
    return bool(pc.all(pc.fill_null(condition, False)).as_py())


def _id_texts(ids: pa.FixedSizeBinaryArray) -> pa.StringArray:
    """Return delivery ids as ``DeliveryId`` prints them."""
    raw = np.frombuffer(ids.buffers()[1], np.uint8, _ID_BYTES * len(ids), _ID_BYTES * ids.offset)
    digits = np.ascontiguousarray(_HEX[raw].reshape(len(ids), _ID_BYTES)).view(np.uint8).reshape(len(ids), -1)
    text = np.insert(digits, _ID_BYTES, ord("-"), axis=1)
    offsets = pa.array(np.arange(len(ids) + 1, dtype=np.int32) * np.int32(text.shape[1]))
    return pa.StringArray.from_buffers(len(ids), offsets.buffers()[1], pa.py_buffer(text.tobytes()))


def _times(batch: EventBatch) -> pa.Array:
    texts = pc.coalesce(*(_numbers(batch.header(name)) for name in _TIME_HEADERS))
    return texts.cast(pa.int64()).cast(pa.timestamp("ms", "UTC"))


def _numbers(texts: pa.StringArray) -> pa.StringArray:
    return pc.if_else(pc.match_substring_regex(texts, "^[0-9]{1,15}$"), texts, pa.scalar(None, pa.string()))
