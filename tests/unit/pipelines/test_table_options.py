from __future__ import annotations

from pathlib import Path

import pytest

from flumebeam.errors import ConfigurationError
from flumebeam.formats import (
    AvroDatumFormat,
    AvroOwnSchemaFormat,
    AvroTableFormat,
    Format,
    ParquetFormat,
    ParquetTableFormat,
)
from flumebeam.pipelines.table_options import TableTargetOptions

SCHEMA = '{"type": "record", "name": "Row", "fields": [{"name": "n", "type": "int"}]}'


@pytest.fixture
def schema(tmp_path: Path) -> str:
    file = tmp_path / "row.avsc"
    file.write_text(SCHEMA)
    return str(file)


def chosen(name: str, *arguments: str) -> Format:
    return TableTargetOptions(list(arguments)).file_format(name, "snappy")


def test_with_a_schema_files_are_tables(schema: str) -> None:
    format = chosen(
        "avro",
        f"--schema={schema}",
        "--body=csv",
        r"--body_delimiter=\t",
        "--body_quote=",
        "--unknown_fields=refuse",
        "--body_column=raw",
        "--header_columns=host,basename",
        "--source_columns",
    )

    assert isinstance(format, AvroTableFormat)
    table = format.table
    assert (format.codec, table.schema.text, table.body, table.delimiter, table.quote) == (
        "snappy",
        SCHEMA,
        "csv",
        "\t",
        "",
    )
    assert (table.unknown, table.body_column, table.headers, table.source) == (
        "refuse",
        "raw",
        ("host", "basename"),
        True,
    )
    assert isinstance(chosen("parquet", f"--schema={schema}"), ParquetTableFormat)


def test_without_a_schema_events_are_written_as_they_are() -> None:
    assert chosen("parquet") == ParquetFormat("snappy")


@pytest.mark.parametrize("option", ["--body=csv", "--source_columns", "--header_columns=a", "--body_column=raw"])
def test_what_means_nothing_without_a_schema_is_refused(option: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{option.split('=')[0]} is for typed tables"):
        chosen("parquet", option)


def test_bodies_that_are_datums_have_one_schema_or_their_own(schema: str) -> None:
    assert chosen("avro", "--body=avro", f"--schema={schema}") == AvroDatumFormat(SCHEMA, "snappy")
    assert chosen("avro", "--body=avro") == AvroOwnSchemaFormat(codec="snappy")
    server = "http://registry:8081"
    assert chosen("avro", "--body=avro", f"--schema_server={server}") == AvroOwnSchemaFormat(server, codec="snappy")
    framed = chosen("avro", "--body=confluent", f"--schema_server={server}")
    assert framed == AvroOwnSchemaFormat(server, framed=True, codec="snappy")


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("parquet", ["--body=avro"], "go to files of format avro, not 'parquet'"),
        ("avro", ["--body=avro", "--source_columns"], "--source_columns is for json and csv"),
        ("avro", ["--body=avro", "--schema=SCHEMA", "--schema_server=http://a"], "leave out one of them"),
        ("avro", ["--body=avro", "--schema_server=registry"], "must be http://HOST:PORT"),
        ("avro", ["--body=confluent"], "give a server of schemas"),
        ("avro", ["--body=confluent", "--schema=SCHEMA"], "leave out one of them"),
        ("avro", ["--body=confluent", "--body_quote="], "leave it out with confluent"),
        ("avro", ["--schema=SCHEMA", "--schema_server=http://a"], "is for --body avro and confluent"),
    ],
)
def test_what_means_nothing_for_datums_is_refused(schema: str, name: str, arguments: list[str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        chosen(name, *(argument.replace("SCHEMA", schema) for argument in arguments))
