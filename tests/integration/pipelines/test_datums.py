"""Avro datums from the broker to containers, as users run it: by one schema, by those in headers, without a server."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import fastavro
import pytest

from flumebeam.batch import EventBatch
from flumebeam.broker import DevelopmentBroker
from flumebeam.demo.proof import files_below
from flumebeam.formats.own_schemas import SCHEMA_LITERAL_HEADER, SCHEMA_URL_HEADER
from flumebeam.pipelines import drain_to_hdfs
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.session import connect
from tests.ports import refusing_port
from tests.schema_registry import serving_schemas

Publish = Callable[[Sequence[bytes], dict[str, str]], None]
ACCESS = {"type": "record", "name": "Access", "fields": [{"name": "n", "type": "long"}]}
LOGIN = {"type": "record", "name": "Login", "fields": [{"name": "user", "type": "string"}]}


@pytest.fixture
def publish(broker: DevelopmentBroker) -> Publish:
    def publish_all(bodies: Sequence[bytes], headers: dict[str, str]) -> None:
        with connect(SolaceOptions(host=broker.url)) as opened:
            session = opened.transacted_session()
            session.publish(EventBatch.from_bodies(list(bodies), headers), "logs/a")
            assert session.commit().committed

    return publish_all


def datum(schema: dict[str, Any], value: dict[str, Any]) -> bytes:
    target = io.BytesIO()
    fastavro.schemaless_writer(target, fastavro.parse_schema(schema), value)
    return target.getvalue()


def drain(target: Path, *more: str) -> int:
    fixed = ["--queue=batch", f"--target={target}", "--format=avro", "--body=avro", "--until_empty"]
    return drain_to_hdfs.main([*fixed, "--idle_seconds=1", "--codec=deflate", *more])


def tables(target: Path) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the name of the schema and the rows of each file."""
    found = []
    for path in files_below(target):
        reader = fastavro.reader(io.BytesIO(path.read_bytes()))
        found.append((reader.writer_schema["name"], list(reader)))
    return sorted(found, key=lambda table: table[0])


def causes(target: Path) -> dict[bytes, str]:
    lines = [json.loads(line) for file in target.glob("_dead-letters/*") for line in file.read_text().splitlines()]
    return {base64.b64decode(line["body"]): line["cause"] for line in lines}


def test_datums_of_the_schema_of_a_registry(publish: Publish, tmp_path: Path) -> None:
    publish([datum(ACCESS, {"n": number}) for number in range(100)] + [b""], {})

    with serving_schemas() as registry:
        registry.answers["/latest"] = (200, json.dumps({"id": 1, "schema": json.dumps(ACCESS)}).encode())
        assert drain(tmp_path, f"--schema={registry.url}/latest") == 0

    assert tables(tmp_path) == [("Access", [{"n": number} for number in range(100)])]
    assert causes(tmp_path) == {b"": "The body is not one Avro datum of the schema: it ends too early."}


def test_datums_of_the_schemas_that_their_headers_name(publish: Publish, tmp_path: Path) -> None:
    with serving_schemas() as registry:
        registry.answers["/login"] = (200, json.dumps(LOGIN).encode())
        for turn in range(2):
            numbers = range(turn * 50, turn * 50 + 50)
            publish([datum(ACCESS, {"n": number}) for number in numbers], {SCHEMA_LITERAL_HEADER: json.dumps(ACCESS)})
            publish([datum(LOGIN, {"user": str(n)}) for n in numbers], {SCHEMA_URL_HEADER: registry.url + "/login"})
        publish([b"none"], {})
        publish([b"elsewhere"], {SCHEMA_URL_HEADER: "http://elsewhere/login"})
        publish([b"missing"], {SCHEMA_URL_HEADER: registry.url + "/missing"})
        assert drain(tmp_path, f"--schema_server={registry.url}") == 0
        assert sorted(path for path, _ in registry.asked) == ["/login", "/missing"]

    assert tables(tmp_path) == [
        ("Access", [{"n": number} for number in range(100)]),
        ("Login", [{"user": str(number)} for number in range(100)]),
    ]
    found = causes(tmp_path)
    assert found.keys() == {b"none", b"elsewhere", b"missing"}
    assert "it needs the header" in found[b"none"]
    assert "is not on the server" in found[b"elsewhere"]
    assert "There is no schema at" in found[b"missing"]


def test_datums_in_frames_are_written_without_them(publish: Publish, tmp_path: Path) -> None:
    publish([b"\0\0\0\0\x07" + datum(ACCESS, {"n": number}) for number in range(100)], {})
    publish([datum(ACCESS, {"n": 100})], {})

    with serving_schemas() as registry:
        registry.answers["/schemas/ids/7"] = (200, json.dumps({"schema": json.dumps(ACCESS)}).encode())
        assert drain(tmp_path, "--body=confluent", f"--schema_server={registry.url}") == 0

    assert tables(tmp_path) == [("Access", [{"n": number} for number in range(100)])]
    (cause,) = causes(tmp_path).values()
    assert "does not begin with the frame" in cause


def test_a_server_that_is_away_ends_the_drain_in_a_sentence_and_loses_nothing(
    broker: DevelopmentBroker, publish: Publish, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with refusing_port() as port:
        away = f"http://127.0.0.1:{port}"
        publish([datum(LOGIN, {"user": "a"})], {SCHEMA_URL_HEADER: away + "/login"})

        assert drain(tmp_path, f"--schema_server={away}") == 1

    (said,) = capsys.readouterr().err.splitlines()
    assert f"The schema's server at {away}/login does not answer (ConnectionError)" in said
    assert broker.queue("batch").messages == 1
    assert files_below(tmp_path) == []
    assert causes(tmp_path) == {}
