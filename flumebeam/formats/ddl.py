"""The statements that tell Hive or Spark of a typed table's files."""

from __future__ import annotations

import re
from typing import Final

import pyarrow as pa

from flumebeam.errors import ConfigurationError
from flumebeam.formats.tables import TableOptions

__all__ = ["ENGINES", "create_table"]

ENGINES: Final = ("hive", "spark")
"""Whose statements :func:`create_table` knows."""

_TYPES: Final = {
    pa.binary(): "BINARY",
    pa.bool_(): "BOOLEAN",
    pa.date32(): "DATE",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.int32(): "INT",
    pa.int64(): "BIGINT",
    pa.string(): "STRING",
}


def create_table(engine: str, name: str, table: TableOptions, *, target: str, path: str = "", files: str) -> str:
    """Return the statements for an external table over the files of a target.

    Args:
        engine: One of :data:`ENGINES`.
        name: Of the table, with its database if it has one: ``logs.access``.
        table: How events become rows.
        target: Directory of the files, as an address that the engine can read.
        path: Directory below it, with escapes. Names without escapes in front belong to the place of the table; each
            other one is ``column=...``, a partition column of text.
        files: Name of the format, ``avro`` or ``parquet``.

    Raises:
        ConfigurationError: No such engine, or names or a path that tables cannot have.
    """
    if engine not in ENGINES:
        raise ConfigurationError(f"Statements are for {' or '.join(ENGINES)}, not {engine!r}.")
    if not re.fullmatch(r"(\w+\.)?\w+", name, re.ASCII):
        raise ConfigurationError(f"A table is called NAME or DATABASE.NAME, with letters, digits and _; got {name!r}.")
    place, partitions = _partitions(target, path, {field.name.lower() for field in table.columns})
    # Hive's reader of Avro takes every timestamp for one in milliseconds.
    micros = "BIGINT" if (engine, files) == ("hive", "avro") else "TIMESTAMP"
    columns = [f"`{field.name}` {_sql(field.type, micros)}" for field in table.columns]
    keys = [f"`{key}` STRING" for key in partitions]
    location = "'" + place.replace("\\", "\\\\").replace("'", "\\'") + "'"
    quoted = ".".join(f"`{part}`" for part in name.split("."))
    if engine == "hive":
        lines = [f"CREATE EXTERNAL TABLE {quoted} (", ",\n".join(f"  {column}" for column in columns), ")"]
        lines += [f"PARTITIONED BY ({', '.join(keys)})"] if keys else []
        lines += [f"STORED AS {files.upper()}"]
    else:
        lines = [f"CREATE TABLE {quoted} (", ",\n".join(f"  {column}" for column in columns + keys), ")"]
        lines += [f"USING {files}"]
        lines += [f"PARTITIONED BY ({', '.join(f'`{key}`' for key in partitions)})"] if keys else []
    lines += [f"LOCATION {location};"]
    if keys:
        lines += [f"MSCK REPAIR TABLE {quoted};"]
    return "\n".join(lines)


def _partitions(target: str, path: str, columns: set[str]) -> tuple[str, list[str]]:
    """Return where a table is, and its partition columns."""
    place, keys = target.rstrip("/"), list[str]()
    for part in filter(None, path.split("/")):
        found = re.fullmatch(r"(\w+)=.+", part, re.ASCII)
        if found:
            keys.append(found[1])
        elif not keys and "%" not in part:
            place += "/" + part
        else:
            raise ConfigurationError(
                f"{part!r} in the path {path!r} is no partition: write column={part}, such as dt=%Y-%m-%d."
            )
    for key in keys:
        if key.lower() in columns or keys.count(key) > 1:
            raise ConfigurationError(f"The partition {key!r} has the name of another column: choose one of its own.")
    return place or "/", keys


def _sql(kind: pa.DataType, micros: str) -> str:
    if pa.types.is_timestamp(kind):
        return micros if kind.unit == "us" else "TIMESTAMP"
    if pa.types.is_decimal(kind):
        return f"DECIMAL({kind.precision},{kind.scale})"
    if pa.types.is_list(kind):
        return f"ARRAY<{_sql(kind.value_type, micros)}>"
    if pa.types.is_struct(kind):
        inner = (kind.field(index) for index in range(kind.num_fields))
        return "STRUCT<" + ", ".join(f"`{field.name}`: {_sql(field.type, micros)}" for field in inner) + ">"
    return _TYPES[kind]
