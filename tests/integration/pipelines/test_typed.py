"""JSON logs to typed tables as users run it: two programs, a schema in a file, another one at the next start."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import fastavro
import pyarrow.dataset
import pytest

from flumebeam.broker import DevelopmentBroker
from flumebeam.demo.proof import files_below
from flumebeam.pipelines import drain_to_hdfs, ingest
from tests.schema_registry import serving_schemas

_COLUMNS: list[dict[str, Any]] = [{"name": "n", "type": "int"}, {"name": "host", "type": "string"}]
_LATER = [{"name": "n", "type": "long"}, _COLUMNS[1], {"name": "seconds", "type": ["null", "double"], "default": None}]
_MISFITS = {
    7: (b'{"n": "7", "host": "a"}', "from number to string"),
    8: (b'{"n": 8}', "'host' is missing or null"),
    9: (b"plain text", "no JSON object"),
}


def record(columns: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "record", "name": "Line", "fields": columns}


def rows_below(target: Path, files: str) -> list[dict[str, Any]]:
    """Read old and new files together, as a table of the later schema."""
    paths = files_below(target)
    if files == "parquet":
        schema = pyarrow.schema([("n", pyarrow.int64()), ("host", pyarrow.string()), ("seconds", pyarrow.float64())])
        found: list[dict[str, Any]] = pyarrow.dataset.dataset(paths, schema=schema).to_table().to_pylist()
        return found
    found = []
    for path in paths:
        with path.open("rb") as file:
            found += fastavro.reader(file, reader_schema=record(_LATER))
    return found


@pytest.mark.parametrize("packing", [["--pack"], []], ids=["packed", "one a message"])
@pytest.mark.parametrize("files", ["parquet", "avro"])
def test_json_logs_become_one_table_of_two_schemas_with_misfits_beside_it(
    broker: DevelopmentBroker, tmp_path: Path, files: str, packing: list[str]
) -> None:
    target = tmp_path / "table"
    for turn, columns in enumerate((_COLUMNS, _LATER)):
        numbers = range(turn * 200, turn * 200 + 200)
        lines = [
            _MISFITS[number % 100][0]
            if number % 100 in _MISFITS
            else json.dumps({"n": number, "host": "web1", "seconds": number / 4, "more": [1]}).encode()
            for number in numbers
        ]
        log, schema = tmp_path / f"{turn}.log", tmp_path / f"{turn}.avsc"
        log.write_bytes(b"\n".join(lines) + b"\n")
        schema.write_text(json.dumps(record(columns)))

        put = ["--input", str(log), "--topic=logs/a", f"--tracker_dir={tmp_path / 'positions'}", *packing]
        assert ingest.main(put) == 0
        take = ["--queue=batch", f"--target={target}", f"--format={files}", f"--schema={schema}", "--codec=zstd"]
        assert drain_to_hdfs.main([*take, "--until_empty", "--idle_seconds=1"]) == 0

    fitting = [number for number in range(400) if number % 100 not in _MISFITS]
    assert len(files_below(target)) == 2
    assert sorted(rows_below(target, files), key=lambda row: row["n"]) == [
        {"n": number, "host": "web1", "seconds": number / 4 if number >= 200 else None} for number in fitting
    ]
    letters = [json.loads(line) for file in target.glob("_dead-letters/*") for line in file.read_text().splitlines()]
    found = sorted((base64.b64decode(letter["body"]), letter["cause"]) for letter in letters)
    wanted = sorted(misfit for misfit in _MISFITS.values() for _ in range(4))
    assert [body for body, _ in found] == [body for body, _ in wanted]
    assert all(cause in said for (_, said), (_, cause) in zip(found, wanted, strict=True))


def test_a_registry_is_asked_for_the_schema_once_when_the_drain_is_built(
    broker: DevelopmentBroker, tmp_path: Path
) -> None:
    log, target = tmp_path / "a.log", tmp_path / "table"
    log.write_text("".join(json.dumps({"n": number, "host": "web1"}) + "\n" for number in range(300)))
    assert ingest.main(["--input", str(log), "--topic=logs/a", f"--tracker_dir={tmp_path / 'positions'}"]) == 0

    with serving_schemas() as registry:
        latest = "/subjects/line/versions/latest"
        registry.answers[latest] = (200, json.dumps({"id": 1, "schema": json.dumps(record(_COLUMNS))}).encode())
        take = ["--queue=batch", f"--target={target}", "--format=avro", f"--schema={registry.url}{latest}"]
        assert drain_to_hdfs.main([*take, "--until_empty", "--idle_seconds=1"]) == 0
        assert registry.asked == [(latest, None)]

    rows = [row for path in files_below(target) for row in fastavro.reader(io.BytesIO(path.read_bytes()))]
    assert sorted(row["n"] for row in rows) == list(range(300))
