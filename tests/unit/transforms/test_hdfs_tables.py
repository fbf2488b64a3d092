"""Typed tables through the sink: rows and dead letters are of one commit, and files of one schema."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import fastavro
import pyarrow.parquet as pq
import pytest

from flumebeam.commitlog.rolling import RollOptions
from flumebeam.formats import Format, TableOptions, TableSchema, open_format
from flumebeam.testing.memory_queue import MemoryQueue
from tests.unit.transforms.sinks import drain, finals


def table(kind: Any, name: str = "parquet") -> Format:
    record = {"type": "record", "name": "Row", "fields": [{"name": "n", "type": kind}]}
    return open_format(name, table=TableOptions(schema=TableSchema(json.dumps(record)), source=True))


def rows(target: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for path in finals(target):
        if path.suffix == ".parquet":
            found += pq.read_table(path, partitioning=None).to_pylist()
        else:
            with path.open("rb") as file:
                found += fastavro.reader(file)
    return found


@pytest.mark.parametrize("name", ["parquet", "avro"])
@pytest.mark.parametrize("roll", [None, RollOptions(), RollOptions.flume()])
def test_each_message_is_a_row_or_a_dead_letter_once(
    queue: MemoryQueue, tmp_path: Path, name: str, roll: RollOptions | None
) -> None:
    queue.put(b'{"n":%d}' % number if number % 40 else b'{"n":"%d"}' % number for number in range(200))

    drain(queue, tmp_path, format=table("int", name), roll=roll, max_events=60)

    found = rows(tmp_path)
    assert sorted(row["n"] for row in found) == [number for number in range(200) if number % 40]
    letters = [json.loads(line) for file in tmp_path.glob("_dead-letters/*") for line in file.read_text().splitlines()]
    assert sorted(base64.b64decode(letter["body"]) for letter in letters) == sorted(
        b'{"n":"%d"}' % number for number in range(0, 200, 40)
    )
    assert all("Column(/n) changed from number to string" in letter["cause"] for letter in letters)
    assert len(queue.acknowledged) == 200
    assert {row["source_queue"] for row in found} == {queue.name}
    assert len({row["source_id"] for row in found}) == len(found)


@pytest.mark.parametrize("name", ["parquet", "avro"])
def test_another_schema_at_the_next_start_makes_files_of_its_own(queue: MemoryQueue, tmp_path: Path, name: str) -> None:
    for kind in ("int", "long"):
        queue.put(b'{"n":%d}' % number for number in range(100))
        drain(queue, tmp_path, format=table(kind, name), roll=RollOptions(), max_events=60)

    assert len(finals(tmp_path)) == 2
    assert len(rows(tmp_path)) == 200
