"""What docs/files.md says of schemas that change: files of an old and a new one, read together by others' readers."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.dataset
import pytest

from flumebeam.batch import EventBatch
from flumebeam.formats import TableOptions, TableSchema, open_format

_KEPT = {"name": "k", "type": "int"}


def optional(kind: str) -> list[str]:
    return ["null", kind]


def column(kind: Any, name: str = "c", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **more}


def record(*columns: dict[str, Any]) -> str:
    return json.dumps({"type": "record", "name": "Row", "fields": [_KEPT, *columns]})


def written(files: str, schema: str, values: dict[str, Any]) -> bytes:
    table = TableOptions(schema=TableSchema(schema))
    return b"".join(open_format(files, table=table).encode([EventBatch.from_bodies([json.dumps(values).encode()])]))


def read_avro(schema: str, *contents: bytes) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for data in contents:
        rows += fastavro.reader(io.BytesIO(data), reader_schema=json.loads(schema))
    return rows


def read_parquet(schema: str, directory: Path, *contents: bytes) -> list[dict[str, Any]]:
    for number, data in enumerate(contents):
        (directory / f"{number}.parquet").write_bytes(data)
    columns = TableOptions(schema=TableSchema(schema)).columns
    rows: list[dict[str, Any]] = pyarrow.dataset.dataset(directory, schema=columns).to_table().to_pylist()
    return sorted(rows, key=lambda row: row["k"])


_GOOD = [
    pytest.param(
        record(), {}, record(column(optional("string"), default=None)), {"c": "x"}, None, "x", id="new column"
    ),
    pytest.param(record(column("int")), {"c": 1}, record(column("long")), {"c": 1 << 40}, 1, 1 << 40, id="int to long"),
    pytest.param(
        record(column("float")), {"c": 0.5}, record(column("double")), {"c": 0.1}, 0.5, 0.1, id="float to double"
    ),
    pytest.param(
        record(column("int")), {"c": 1}, record(column(optional("int"))), {}, 1, None, id="required to nullable"
    ),
]


@pytest.mark.parametrize(("old", "before", "new", "after", "then", "now"), _GOOD)
def test_a_change_that_may_be_made_is_read_together(
    tmp_path: Path, old: str, before: dict[str, Any], new: str, after: dict[str, Any], then: Any, now: Any
) -> None:
    wanted = [{"k": 1, "c": then}, {"k": 2, "c": now}]

    for files, read in (("avro", read_avro), ("parquet", lambda schema, *data: read_parquet(schema, tmp_path, *data))):
        assert read(new, written(files, old, {"k": 1, **before}), written(files, new, {"k": 2, **after})) == wanted


def test_a_column_that_is_left_out_is_skipped_in_old_files(tmp_path: Path) -> None:
    old, new = record(column("string")), record()

    for files, read in (("avro", read_avro), ("parquet", lambda schema, *data: read_parquet(schema, tmp_path, *data))):
        data = written(files, old, {"k": 1, "c": "x"}), written(files, new, {"k": 2})
        assert read(new, *data) == [{"k": 1}, {"k": 2}]


@pytest.mark.parametrize(
    ("old", "before", "new"),
    [
        pytest.param(record(column("int")), {"c": 1}, record(column("int", name="d")), id="a new name"),
        pytest.param(record(column("string")), {"c": "x"}, record(column("int")), id="another type"),
        pytest.param(record(column(optional("int"))), {}, record(column("int")), id="nullable to required"),
    ],
)
def test_for_any_other_change_old_files_cannot_be_read_by_the_new_schema(
    tmp_path: Path, old: str, before: dict[str, Any], new: str
) -> None:
    with pytest.raises((fastavro.schema.SchemaParseException, fastavro.read.SchemaResolutionError)):
        read_avro(new, written("avro", old, {"k": 1, **before}))
    try:
        (row,) = read_parquet(new, tmp_path, written("parquet", old, {"k": 1, **before}))
    except (pa.ArrowException, ValueError):
        return
    # Arrow does not look at what a schema requires.
    assert row[json.loads(new)["fields"][1]["name"]] is None
