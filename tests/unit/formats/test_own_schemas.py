"""Schemas in headers, as Flume's serializer takes them; addresses lead to a real HTTP server."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import fastavro
import pytest

from flumebeam.batch import EventBatch
from flumebeam.errors import ConfigurationError, ConnectionFailedError, FormatError, MisfitError
from flumebeam.formats import AvroOwnSchemaFormat
from flumebeam.formats import own_schemas as own_schemas_module
from flumebeam.formats.own_schemas import SCHEMA_LITERAL_HEADER, SCHEMA_URL_HEADER
from tests.schema_registry import SchemaServer, serving_schemas

LONG, TEXT = '"long"', '"string"'


@pytest.fixture
def server() -> Iterator[SchemaServer]:
    with serving_schemas() as served:
        yield served


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_schemas_module, "_SCHEMAS", type(own_schemas_module._SCHEMAS)())


def batch(*bodies: bytes, urls: list[str | None] | None = None, literals: list[str | None] | None = None) -> EventBatch:
    nothing: list[str | None] = [None] * len(bodies)
    columns = {SCHEMA_URL_HEADER: urls or nothing, SCHEMA_LITERAL_HEADER: literals or nothing}
    return EventBatch.from_bodies(list(bodies), None, columns)


def refused(format: AvroOwnSchemaFormat, events: EventBatch) -> tuple[str, tuple[int, ...]]:
    with pytest.raises(MisfitError) as caught:
        format.check(events)
    return str(caught.value), caught.value.suspects


def read(data: Iterator[bytes]) -> list[Any]:
    return list(fastavro.reader(io.BytesIO(b"".join(data))))


def test_events_are_told_apart_by_what_their_schemas_say_and_not_by_where_they_are(server: SchemaServer) -> None:
    server.answers = {"/long": (200, LONG.encode()), "/text": (200, b' "string"')}
    format = AvroOwnSchemaFormat(server.url)
    long, text = server.url + "/long", server.url + "/text"
    events = batch(
        b"\x02",
        b"\x02a",
        b"\x04",
        b"\x06",
        b"?",
        urls=[long, text, None, long, None],
        literals=[TEXT, None, LONG, "", None],
    )

    parts: dict[str, list[EventBatch]] = {}
    for word, part in format.divide(events):
        parts.setdefault(word, []).append(part)

    (without,) = (word for word in parts if word.startswith("no-schema-"))
    assert parts.pop(without)[0].bodies.to_pylist() == [b"?"]
    assert sorted(map(repr, (read(format.encode(part)) for part in parts.values()))) == ["['a']", "[1, 3, 2]"]
    assert sorted(path for path, _ in server.asked) == ["/long", "/text"]


@pytest.mark.parametrize("header", [SCHEMA_LITERAL_HEADER, SCHEMA_URL_HEADER])
def test_a_batch_of_one_schema_is_not_taken_apart(server: SchemaServer, header: str) -> None:
    server.answers = {"/long": (200, LONG.encode())}
    value = LONG if header == SCHEMA_LITERAL_HEADER else server.url + "/long"
    format = AvroOwnSchemaFormat(server.url)
    shared = EventBatch.from_bodies([b"\x02", b"\x04"], {header: value})
    columns = EventBatch.from_bodies([b"\x02", b"\x04"], None, {header: [value, value]})

    ((word, whole),), ((other, alike),) = format.divide(shared), format.divide(columns)

    assert whole is shared
    assert alike is columns
    assert word == other
    assert read(format.encode([shared, EventBatch.empty(), columns])) == [1, 2, 1, 2]


def test_events_without_a_schema_and_bodies_that_are_no_datum_are_told(server: SchemaServer) -> None:
    server.answers = {"/html": (200, b"<html>")}
    format = AvroOwnSchemaFormat(server.url)

    assert refused(format, EventBatch.from_bodies([b"a"])) == (
        "The event has no schema: it needs the header flume.avro.schema.literal or flume.avro.schema.url.",
        (0,),
    )
    assert refused(format, batch(b"\x02", b"\x02", b"\x02a", literals=[LONG, None, LONG]))[1] in ((1,), (2,))
    said, places = refused(format, batch(b"\x02a", b"\x02", b"\x02b", literals=[TEXT, LONG, LONG]))
    assert (said.rpartition(": ")[2], places) == ("it has bytes left.", (2,))
    assert "must be an Avro schema as JSON" in refused(format, batch(b"", literals=['"no"']))[0]
    assert "answers no schema" in refused(format, batch(b"", urls=[server.url + "/html"]))[0]
    with pytest.raises(FormatError, match="different schemas"):
        read(format.encode([batch(b"\x02", literals=[LONG]), batch(b"\x02a", literals=[TEXT])]))


@pytest.mark.parametrize(
    "url", ["http://other/s", "file:///etc/passwd", "http://{}@other/s", "https://{}/s", "http://[", ""]
)
def test_addresses_lead_to_the_named_server_only(server: SchemaServer, url: str) -> None:
    events = batch(b"", urls=[url.format(server.url.removeprefix("http://"))])

    for format in (AvroOwnSchemaFormat(server.url), AvroOwnSchemaFormat()):
        assert any(
            words in refused(format, events)[0]
            for words in ("is not on the server of", "must be http", "cannot be read")
        )
    assert server.asked == []


def test_an_address_without_a_schema_is_asked_once_a_minute(
    server: SchemaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    format, events = AvroOwnSchemaFormat(server.url), batch(b"\x02", urls=[server.url + "/new"])
    refused(format, events)
    refused(format, events)
    assert len(server.asked) == 1

    server.answers = {"/new": (200, LONG.encode())}
    now = own_schemas_module._SCHEMAS._clock.monotonic() + 60
    monkeypatch.setattr(own_schemas_module._SCHEMAS, "_clock", type("Later", (), {"monotonic": lambda self: now})())
    format.check(events)
    format.check(events)
    assert len(server.asked) == 2


def test_the_login_of_the_server_is_used_and_never_shown(server: SchemaServer) -> None:
    secret = server.url.replace("://", "://me:secret@")
    refused(AvroOwnSchemaFormat(secret, framed=True), EventBatch.from_bodies([framed(1, b"")]))
    (login,) = (login for _, login in server.asked)

    assert login is not None
    said, _ = refused(AvroOwnSchemaFormat(secret), batch(b"", urls=["http://other/s"]))
    assert said.endswith(f"is not on the server of schemas, which is {server.url}.")


def test_what_a_process_keeps_is_bounded(server: SchemaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_schemas_module, "_MOST_SCHEMAS", 2)
    server.answers = {f"/{name}": (200, LONG.encode()) for name in "abc"}
    format = AvroOwnSchemaFormat(server.url)

    for name in ("1", "2", "3", "a", "b"):
        events = batch(b"\x02", urls=[f"{server.url}/{name}"])
        if name.isdigit():
            refused(format, events)
        else:
            format.check(events)

    assert refused(format, batch(b"\x02", urls=[server.url + "/c"]))[0].startswith(
        "This process has read schemas from 2"
    )
    format.check(batch(b"\x02", urls=[server.url + "/a"]))


def test_a_server_that_does_not_answer_is_no_fault_of_the_event() -> None:
    with serving_schemas() as server:
        format, events = AvroOwnSchemaFormat(server.url), batch(b"\x02", urls=[server.url + "/s"])

    for ask in (format.check, lambda events: list(format.divide(events))):
        with pytest.raises(ConnectionFailedError, match="does not answer"):
            ask(events)


def test_options_that_cannot_work_are_told() -> None:
    for wrong in ({"codec": "gzip"}, {"block_bytes": 0}, {"server": "registry:8081"}, {"server": "http://"}):
        with pytest.raises(ConfigurationError):
            AvroOwnSchemaFormat(**wrong)  # type: ignore[arg-type]


def test_a_schema_that_appears_between_two_looks_gets_no_file_together_with_another(server: SchemaServer) -> None:
    format = AvroOwnSchemaFormat(server.url)
    early, late = (batch(b"\x02", urls=[f"{server.url}/{name}"]) for name in ("early", "late"))

    words = [word for events in (early, late, early) for word, _ in format.divide(events)]

    assert words[0] == words[2] != words[1]


def framed(number: int, datum: bytes) -> bytes:
    return b"\0" + number.to_bytes(4) + datum


def test_a_frame_names_the_schema_of_a_registry_and_is_left_out_of_the_file(server: SchemaServer) -> None:
    server.answers = {
        "/schemas/ids/7": (200, b'{"schema": "\\"long\\""}'),
        "/schemas/ids/4294967295": (200, b'{"schema": "\\"string\\""}'),
    }
    format = AvroOwnSchemaFormat(server.url + "/", framed=True)
    events = EventBatch.from_bodies(
        [framed(7, b"\x02"), framed(2**32 - 1, b"\x02a"), framed(7, b"\x04"), b"\0\0\0\0", b"\x01\0\0\0\x07\x02"]
    )

    parts = {word: part for word, part in format.divide(events)}

    without = {word for word in parts if word.startswith("no-schema-")}
    assert len(without) == 1
    files = [read(format.encode([part])) for word, part in parts.items() if word not in without]
    assert sorted(map(repr, files)) == ["['a']", "[1, 2]"]
    assert sorted(path for path, _ in server.asked) == ["/schemas/ids/4294967295", "/schemas/ids/7"]


def test_what_is_wrong_with_a_frame_or_behind_it_is_told(server: SchemaServer) -> None:
    server.answers = {"/schemas/ids/7": (200, b'{"schema": "\\"long\\""}')}
    format = AvroOwnSchemaFormat(server.url, framed=True)

    for body, cause in (
        (b"", "does not begin with the frame"),
        (b"\0\0\0\0", "does not begin with the frame"),
        (b"\x01\0\0\0\x07\x02", "does not begin with the frame"),
        (framed(8, b"\x02"), f"There is no schema at {server.url}/schemas/ids/8 (status 404)"),
        (framed(7, b""), "it ends too early"),
        (framed(7, b"\x02\x02"), "it has bytes left"),
    ):
        said, places = refused(format, EventBatch.from_bodies([framed(7, b"\x02"), body]))
        assert cause in said
        assert places == (1,)
