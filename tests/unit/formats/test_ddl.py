from __future__ import annotations

import json

import pytest

from flumebeam.errors import ConfigurationError
from flumebeam.formats import TableOptions, TableSchema
from flumebeam.formats.ddl import create_table

_RECORD = {
    "type": "record",
    "name": "Row",
    "fields": [
        {"name": "host", "type": "string"},
        {"name": "cost", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}]},
        {
            "name": "marks",
            "type": {
                "type": "array",
                "items": {"type": "record", "name": "M", "fields": [{"name": "n", "type": "long"}]},
            },
        },
    ],
}
TABLE = TableOptions(schema=TableSchema(json.dumps(_RECORD)), headers=("basename",))


def test_hive_gets_an_external_table_with_its_partitions() -> None:
    text = create_table("hive", "lake.logs", TABLE, target="hdfs://nn/data/", path="a/dt=%Y/h=%H", files="avro")

    assert text == (
        "CREATE EXTERNAL TABLE `lake`.`logs` (\n"
        "  `host` STRING,\n"
        "  `cost` DECIMAL(9,2),\n"
        "  `at` TIMESTAMP,\n"
        "  `marks` ARRAY<STRUCT<`n`: BIGINT>>,\n"
        "  `basename` STRING\n"
        ")\n"
        "PARTITIONED BY (`dt` STRING, `h` STRING)\n"
        "STORED AS AVRO\n"
        "LOCATION 'hdfs://nn/data/a';\n"
        "MSCK REPAIR TABLE `lake`.`logs`;"
    )


def test_spark_has_partitions_among_the_columns() -> None:
    text = create_table("spark", "logs", TABLE, target="hdfs://nn/it's", path="dt=%Y", files="parquet")

    assert text.splitlines()[-6:] == [
        "  `dt` STRING",
        ")",
        "USING parquet",
        "PARTITIONED BY (`dt`)",
        r"LOCATION 'hdfs://nn/it\'s';",
        "MSCK REPAIR TABLE `logs`;",
    ]


@pytest.mark.parametrize(
    ("engine", "files", "kind"),
    [("hive", "avro", "BIGINT"), ("hive", "parquet", "TIMESTAMP"), ("spark", "avro", "TIMESTAMP")],
)
def test_microseconds_are_a_number_where_hive_would_take_them_for_milliseconds(
    engine: str, files: str, kind: str
) -> None:
    micros = {"type": "long", "logicalType": "timestamp-micros"}
    fields = [{"name": "at", "type": micros}, {"name": "all", "type": {"type": "array", "items": micros}}]
    table = TableOptions(schema=TableSchema(json.dumps({"type": "record", "name": "R", "fields": fields})))

    text = create_table(engine, "t", table, target="/data", files=files)

    assert f"`at` {kind},\n  `all` ARRAY<{kind}>" in text


@pytest.mark.parametrize("engine", ["hive", "spark"])
def test_a_table_without_partitions_needs_no_repair(engine: str) -> None:
    text = create_table(engine, "logs", TABLE, target="/data", files="parquet")

    assert "PARTITIONED" not in text
    assert text.endswith("LOCATION '/data';")


@pytest.mark.parametrize(
    ("engine", "name", "path", "said"),
    [
        ("presto", "t", "", "hive or spark"),
        ("hive", "my table", "", "letters, digits and _"),
        ("hive", "t", "%Y/%m", "'%Y' in the path '%Y/%m' is no partition"),
        ("hive", "t", "dt=%Y/hourly", "'hourly' in the path"),
        ("hive", "t", "HOST=%Y", "name of another column"),
        ("hive", "t", "d=%Y/d=%m", "name of another column"),
    ],
)
def test_what_is_no_table_is_told(engine: str, name: str, path: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        create_table(engine, name, TABLE, target="/data", path=path, files="avro")
