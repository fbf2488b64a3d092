"""The statements that ``flumebeam hdfs ddl`` prints, run by those they are for."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flumebeam.batch import EventBatch
from flumebeam.cli.hdfs import app
from flumebeam.formats import TableOptions, TableSchema, open_format
from flumebeam.hdfs.filesystem import FileSystem
from flumebeam.testing.hdfs import fresh_directory
from tests.readers.java_readers import JavaReaders

pytestmark = [pytest.mark.slow]

_SCHEMA = {
    "type": "record",
    "name": "Everything",
    "fields": [
        {"name": "b", "type": "boolean"},
        {"name": "i", "type": "int"},
        {"name": "l", "type": "long"},
        {"name": "f", "type": "float"},
        {"name": "d", "type": "double"},
        {"name": "s", "type": "string"},
        {"name": "y", "type": "bytes"},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "ms", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "us", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}], "default": None},
        {"name": "m", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {
            "name": "place",
            "type": ["null", {"type": "record", "name": "Place", "fields": [{"name": "x", "type": "int"}]}],
            "default": None,
        },
    ],
}
_BODY = {
    "b": True,
    "i": -7,
    "l": 1 << 40,
    "f": 0.5,
    "d": 0.25,
    "s": "ü",
    "y": "x",
    "day": "2024-02-29",
    "ms": "2024-02-29T01:02:03.004Z",
    "us": "2024-02-29T01:02:03.000005Z",
    "m": "12.34",
    "tags": ["a", "b"],
    "place": {"x": 3},
}
_FOUND = {name: value for name, value in _BODY.items() if name not in ("i", "us")} | {
    "y": "eA==",
    "m": 12.34,
    "host": "web1",
}
"""A row as Spark prints it as JSON, but for what differs between rows."""


def statements(schema: Path, table: str, target: str, files: str, engine: str, *more: str) -> list[str]:
    """Return what the command prints, statement by statement."""
    arguments = ["ddl", "--schema", str(schema), "--table", table, "--target", target]
    run = CliRunner().invoke(app, [*arguments, "--format", files, "--engine", engine, *more])
    assert run.exit_code == 0, run.output
    return [statement.strip() for statement in run.output.split(";") if statement.strip()]


def put_files(storage: FileSystem, root: str, files: str) -> None:
    """Write two partitions of two files each, of which each has three events, beside what readers must not see."""
    table = TableOptions(schema=TableSchema(json.dumps(_SCHEMA)), headers=("host",))
    for number in range(4):
        batch = EventBatch.from_bodies([json.dumps(_BODY | {"i": number}).encode()] * 3, {"host": "web1"})
        pieces = [*open_format(files, table=table).encode([batch])]
        storage.write(f"{root}/day_of=2024-02-2{8 + number % 2}/f{number}.{files}", pieces)
        storage.write(f"{root}/.flumebeam.logs/_q/_parts/_e/_{number}", pieces)
    storage.write(f"{root}/_dead-letters/_dead.jsonl", [b"{}\n"])


@pytest.mark.timeout(600)
@pytest.mark.parametrize("engine", ["spark", "hive"])
@pytest.mark.parametrize("files", ["parquet", "avro"])
def test_the_printed_statements_make_a_table_of_all_events_and_their_partitions(
    readers: JavaReaders, storage: FileSystem, tmp_path: Path, files: str, engine: str
) -> None:
    root, name = fresh_directory(), f"events_{engine}_{files}"
    put_files(storage, root, files)
    schema = tmp_path / "row.avsc"
    schema.write_text(json.dumps(_SCHEMA))

    more = ("--path", "day_of=%Y-%m-%d", "--header-columns", "host")
    for statement in statements(schema, name, readers.filesystem + root, files, engine, *more):
        readers.ask("spark-sql", statement)

    def select(what: str) -> list[Any]:
        return [json.loads(row) for row in readers.ask("spark-sql", f"SELECT {what} FROM {name}")]  # noqa: S608

    assert Counter((row["day_of"], row["i"]) for row in select("day_of, i")) == {
        ("2024-02-28", 0): 3,
        ("2024-02-29", 1): 3,
        ("2024-02-28", 2): 3,
        ("2024-02-29", 3): 3,
    }
    assert select("count(*) AS n") == [{"n": 12}]
    found = select("*")[0]
    assert {name: found[name] for name in found if name not in ("i", "us", "day_of")} == _FOUND
    # As JSON it would be cut to milliseconds.
    micros = "cast(us AS string)" if (engine, files) != ("hive", "avro") else "cast(timestamp_micros(us) AS string)"
    assert select(f"{micros} AS us")[0] == {"us": "2024-02-29 01:02:03.000005"}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("engine", ["spark", "hive"])
@pytest.mark.parametrize("files", ["parquet", "avro"])
def test_a_table_of_a_later_schema_has_nulls_for_older_files(
    readers: JavaReaders, storage: FileSystem, tmp_path: Path, files: str, engine: str
) -> None:
    root, name = fresh_directory(), f"later_{engine}_{files}"
    columns: list[dict[str, Any]] = [{"name": "k", "type": "int"}]
    for number in range(2):
        schema = json.dumps({"type": "record", "name": "Row", "fields": columns})
        batch = EventBatch.from_bodies([json.dumps({"k": number, "c": "x"}).encode()])
        format = open_format(files, table=TableOptions(schema=TableSchema(schema)))
        storage.write(f"{root}/f{number}.{files}", format.encode([batch]))
        (tmp_path / "row.avsc").write_text(schema)
        columns.append({"name": "c", "type": ["null", "string"], "default": None})

    for statement in statements(tmp_path / "row.avsc", name, readers.filesystem + root, files, engine):
        readers.ask("spark-sql", statement)

    rows = [json.loads(row) for row in readers.ask("spark-sql", f"SELECT * FROM {name} ORDER BY k")]  # noqa: S608
    assert rows == [{"k": 0}, {"k": 1, "c": "x"}]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("files", ["parquet", "avro"])
def test_hives_own_parser_takes_the_statements_for_hive(readers: JavaReaders, tmp_path: Path, files: str) -> None:
    schema = tmp_path / "row.avsc"
    schema.write_text(json.dumps(_SCHEMA))

    more = ("--path", "day_of=%Y-%m-%d", "--header-columns", "host")
    create, repair = statements(schema, "logs.events", "hdfs://namenode/logs", files, "hive", *more)

    assert "tok_createtable" in readers.ask("hive parser", create)
    assert "tok_msck" in readers.ask("hive parser", repair)
