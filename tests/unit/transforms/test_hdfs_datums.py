"""Bodies that are Avro datums, through the sink: events of two schemas never share a file, and nothing is lost."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import apache_beam as beam
import fastavro
import pyarrow as pa
import pytest

from flumebeam.batch import EventBatch
from flumebeam.commitlog.rolling import RollOptions
from flumebeam.errors import ConfigurationError
from flumebeam.formats import DatumOptions, open_format
from flumebeam.formats.own_schemas import SCHEMA_LITERAL_HEADER
from flumebeam.testing.memory_queue import MemoryQueue
from flumebeam.transforms.window_write import WriteWindowsToFiles
from tests.unit.transforms.sinks import drain

SCHEMAS = [
    json.dumps({"type": "record", "name": "Row", "fields": [{"name": "n", "type": kind}]})
    for kind in ("long", "string")
]


def datum(schema: str, number: int) -> bytes:
    target = io.BytesIO()
    value = {"n": number if "long" in schema else str(number)}
    fastavro.schemaless_writer(target, fastavro.parse_schema(json.loads(schema)), value)
    return target.getvalue()


def with_schemas(batch: EventBatch) -> EventBatch:
    """Give events the schema that the first byte of their bodies stands for, instead of that byte."""
    bodies = batch.bodies.to_pylist()
    schemas = [SCHEMAS[int(body[:1])] if body[:1] in (b"0", b"1") else None for body in bodies]
    cut = replace(batch, bodies=pa.array([body[1:] for body in bodies], pa.binary()))
    return cut.with_column(SCHEMA_LITERAL_HEADER, pa.array(schemas, pa.string()))


def files(target: Path) -> dict[str, list[Any]]:
    """What readers see: rows, by the names of their files."""
    found = {}
    for path in target.iterdir():
        if path.is_file() and path.name[0] not in "._":
            with path.open("rb") as file:
                found[path.name] = [row["n"] for row in fastavro.reader(file)]
    return found


def letters(target: Path) -> dict[bytes, str]:
    lines = [json.loads(line) for file in target.glob("_dead-letters/*") for line in file.read_text().splitlines()]
    return {base64.b64decode(line["body"]): line["cause"] for line in lines}


@pytest.mark.parametrize("roll", [None, RollOptions(), RollOptions.flume()])
def test_each_datum_is_a_record_and_each_other_body_a_dead_letter(
    queue: MemoryQueue, tmp_path: Path, roll: RollOptions | None
) -> None:
    queue.put(b"-" + (datum(SCHEMAS[0], number) if number % 40 else b"?%d" % number) for number in range(200))

    avro = open_format("avro", codec="deflate", table=DatumOptions(schema=SCHEMAS[0]))
    drain(queue, tmp_path, beam.Map(with_schemas), format=avro, roll=roll, max_events=60)

    found = files(tmp_path)
    assert sorted(value for values in found.values() for value in values) == [n for n in range(200) if n % 40]
    assert letters(tmp_path) == {
        b"?%d" % number: "The body is not one Avro datum of the schema: it has bytes left."
        for number in range(0, 200, 40)
    }
    assert len(queue.acknowledged) == 200
    if roll == RollOptions():
        assert len(found) == 1


@pytest.mark.parametrize("roll", [None, RollOptions(), RollOptions.flume()])
def test_events_of_two_schemas_never_share_a_file(queue: MemoryQueue, tmp_path: Path, roll: RollOptions | None) -> None:
    queue.put(
        (b"%d" % (number % 2) if number % 10 else b"-") + datum(SCHEMAS[number % 2], number) for number in range(200)
    )

    avro = open_format("avro", table=DatumOptions())
    drain(queue, tmp_path, beam.Map(with_schemas), format=avro, roll=roll, max_events=60)

    found = files(tmp_path)
    kinds = [{type(value) for value in values} for values in found.values()]
    assert all(len(kind) == 1 for kind in kinds)
    assert sorted(int(value) for values in found.values() for value in values) == [n for n in range(200) if n % 10]
    assert len({name.split(".")[1] for name in found}) == 2
    assert set(letters(tmp_path).values()) == {
        "The event has no schema: it needs the header flume.avro.schema.literal or flume.avro.schema.url."
    }
    assert len(letters(tmp_path)) == 20
    assert len(queue.acknowledged) == 200
    if roll == RollOptions():
        assert len(found) == 2


def test_files_of_windows_want_one_schema() -> None:
    with pytest.raises(ConfigurationError, match="hold events of one schema"):
        WriteWindowsToFiles("/logs", format=open_format("avro", table=DatumOptions()))
    WriteWindowsToFiles("/logs", format=open_format("avro", table=DatumOptions(schema='"long"')))
