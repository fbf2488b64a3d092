from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from flumebeam.errors import ConfigurationError
from flumebeam.formats import TableSchema


def schema_of(kind: Any) -> TableSchema:
    return TableSchema(json.dumps({"type": "record", "name": "Row", "fields": [{"name": "c", "type": kind}]}))


@pytest.mark.parametrize(
    ("kind", "column"),
    [
        ("int", pa.int32()),
        ("long", pa.int64()),
        ({"type": "string"}, pa.string()),
        ({"type": "int", "logicalType": "date"}, pa.date32()),
        ({"type": "long", "logicalType": "timestamp-millis"}, pa.timestamp("ms", "UTC")),
        ({"type": "long", "logicalType": "timestamp-micros"}, pa.timestamp("us", "UTC")),
        ({"type": "string", "logicalType": "uuid"}, pa.string()),
        ({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}, pa.decimal128(9, 2)),
        ({"type": "array", "items": ["null", "float"]}, pa.list_(pa.field("element", pa.float32()))),
        (
            {"type": "record", "name": "In", "fields": [{"name": "d", "type": "double"}]},
            pa.struct([pa.field("d", pa.float64(), nullable=False)]),
        ),
    ],
)
def test_a_type_of_avro_is_a_type_of_columns(kind: Any, column: pa.DataType) -> None:
    assert schema_of(kind).arrow.field("c") == pa.field("c", column, nullable=False)
    assert schema_of(["null", kind]).arrow.field("c") == pa.field("c", column)
    assert schema_of([kind, "null"]).arrow.field("c").nullable


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ({"type": "map", "values": "int"}, "no columns of type"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, "as 'c' wants"),
        ("null", "no columns of type"),
        (["int", "string"], "one type and null"),
        (["null", "int", "string"], "one type and null"),
        ({"type": "record", "name": "In", "fields": []}, "a record with fields"),
        ({"type": "record", "name": "In", "fields": [{"name": "e", "type": "null"}]}, "as 'c.e' wants"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 50}, "precision of 1 to 38"),
        ("nothing", "must be an Avro schema"),
    ],
)
def test_what_a_table_cannot_have_is_told(kind: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        schema_of(kind)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", '"int"', '{"type": "record"}', '{"type": "array", "items": "int"}']
)
def test_what_is_no_schema_of_a_record_is_told(text: str) -> None:
    with pytest.raises(ConfigurationError, match="must be an Avro"):
        TableSchema(text)


def test_a_schema_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "row.avsc"
    file.write_text(schema_of("int").text)

    assert TableSchema.read(str(file)) == schema_of("int")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        TableSchema.read(str(tmp_path / "other.avsc"))
