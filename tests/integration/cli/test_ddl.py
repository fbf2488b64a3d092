from __future__ import annotations

from pathlib import Path

import pytest

from flumebeam.cli.main import main
from tests.ports import refusing_port
from tests.schema_registry import serving_schemas

SCHEMA = '{"type": "record", "name": "Row", "fields": [{"name": "n", "type": "int"}]}'


def test_a_schema_is_printed_as_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schema = tmp_path / "row.avsc"
    schema.write_text(SCHEMA)
    arguments = ["hdfs", "ddl", "--schema", str(schema), "--target", "hdfs://namenode/logs", "--path", "dt=%Y-%m-%d"]

    with pytest.raises(SystemExit, match="0"):
        main([*arguments, "--source-columns", "--header-columns", "basename"])

    assert capsys.readouterr().out.splitlines() == [
        "CREATE EXTERNAL TABLE `events` (",
        "  `n` INT,",
        "  `basename` STRING,",
        "  `source_queue` STRING,",
        "  `source_id` STRING,",
        "  `source_time` TIMESTAMP",
        ")",
        "PARTITIONED BY (`dt` STRING)",
        "STORED AS PARQUET",
        "LOCATION 'hdfs://namenode/logs';",
        "MSCK REPAIR TABLE `events`;",
    ]
    with pytest.raises(SystemExit, match="2"):
        main([*arguments, "--format", "text"])
    assert "Only avro and parquet hold typed tables" in capsys.readouterr().err


def test_a_schema_of_a_registry_is_printed_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    with serving_schemas() as registry:
        registry.answers["/subjects/row/versions/latest/schema"] = (200, SCHEMA.encode())
        place = f"{registry.url}/subjects/row/versions/latest/schema"
        with pytest.raises(SystemExit, match="0"):
            main(["hdfs", "ddl", "--schema", place, "--target", "/logs"])

    assert "  `n` INT" in capsys.readouterr().out.splitlines()

    with refusing_port() as port, pytest.raises(SystemExit, match="1"):
        main(["hdfs", "ddl", "--schema", f"http://127.0.0.1:{port}/schema", "--target", "/logs"])
    (said,) = capsys.readouterr().err.splitlines()
    assert "does not answer (ConnectionError): start it, or take a file." in said
