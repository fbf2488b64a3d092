"""Where schemas come from: files, and a real HTTP server that answers as registries do."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from flumebeam.errors import ConfigurationError, ConnectionFailedError, FlumebeamError
from flumebeam.formats.schema_places import LOGIN_VARIABLE, schema_text
from tests.schema_registry import SchemaServer, serving_schemas

SCHEMA = '{"type": "record", "name": "Row", "fields": [{"name": "n", "type": "int"}]}'
LATEST = "/subjects/logs-value/versions/latest"


@pytest.fixture(autouse=True)
def _no_login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LOGIN_VARIABLE, raising=False)


@pytest.fixture
def server() -> Iterator[SchemaServer]:
    with serving_schemas() as served:
        yield served


def version(**more: object) -> bytes:
    return json.dumps({"subject": "logs-value", "version": 3, "id": 7, "schema": SCHEMA, **more}).encode()


def failed(place: str) -> tuple[type[FlumebeamError], str]:
    with pytest.raises(FlumebeamError) as caught:
        schema_text(place)
    return caught.type, str(caught.value)


def test_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "row.avsc"
    file.write_text(SCHEMA)

    assert schema_text(str(file)) == SCHEMA
    assert failed(str(tmp_path / "none.avsc")) == (
        ConfigurationError,
        f"The schema {tmp_path}/none.avsc cannot be read: [Errno 2] No such file or directory: '{tmp_path}/none.avsc'.",
    )


def test_a_registry_may_answer_the_schema_itself_or_an_object_that_holds_it(server: SchemaServer) -> None:
    server.answers = {
        LATEST: (200, version()),
        LATEST + "/schema": (200, SCHEMA.encode()),
        "/schemas/ids/7": (200, json.dumps({"schema": SCHEMA, "schemaType": "AVRO", "references": []}).encode()),
        "/row.avsc": (200, b"\xef\xbb\xbf" + SCHEMA.encode()),
        "/moved": (302, b"/row.avsc"),
    }

    assert [schema_text(server.url + path) for path in server.answers] == [SCHEMA] * 5


def test_a_login_comes_from_the_address_or_from_the_environment(
    server: SchemaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers = {"/s": (200, SCHEMA.encode())}
    schema_text(server.url + "/s")
    monkeypatch.setenv(LOGIN_VARIABLE, "reader:a:b")
    schema_text(server.url + "/s")
    schema_text(server.url.replace("://", "://me%40there:p%2Fw@") + "/s")

    def header(user: str, password: str) -> str:
        authorization = requests.Request("GET", "http://a", auth=(user, password)).prepare().headers["Authorization"]
        return str(authorization)

    assert [login for _, login in server.asked] == [None, header("reader", "a:b"), header("me@there", "p/w")]


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        ((404, b""), ConfigurationError, "There is no schema at {} (status 404); a registry has schemas at "),
        ((401, b"{}"), ConfigurationError, "refuses {} (status 401): check user and password."),
        ((403, b"{}"), ConfigurationError, "refuses {} (status 403): check user and password."),
        ((410, b"{}"), ConfigurationError, "does not give {} (status 410): check the address."),
        ((503, b"{}"), ConnectionFailedError, "at {} cannot answer now (status 503): try again."),
        ((429, b"{}"), ConnectionFailedError, "at {} cannot answer now (status 429): try again."),
        ((200, b"<html>"), ConfigurationError, "{} answers no schema, but something that is no JSON;"),
        ((200, b"\xff"), ConfigurationError, "{} answers no schema, but something that is no JSON;"),
        ((200, b"{}"), ConfigurationError, "{} answers no schema; a registry has schemas at /subjects/"),
        ((200, version(schemaType="PROTOBUF")), ConfigurationError, "at {} is of type PROTOBUF: take one of type AVRO"),
        ((200, version(references=[{}])), ConfigurationError, "at {} refers to other subjects"),
        ((302, b"ftp://a/s"), ConfigurationError, "The schema at {} cannot be read (InvalidSchema): check it."),
        (
            (302, b"/s?token=hidden"),
            ConfigurationError,
            "The schema at {} cannot be read (TooManyRedirects): check it.",
        ),
        ((200, b" " * (4 << 20) + b"[]"), ConfigurationError, "The answer of {} is too large for a schema"),
    ],
)
def test_what_goes_wrong_is_one_sentence_without_the_login_and_the_query(
    server: SchemaServer, answer: tuple[int, bytes], kind: type[FlumebeamError], said: str
) -> None:
    server.answers = {"/s?token=hidden": answer}

    error, text = failed(server.url.replace("://", "://me:secret@") + "/s?token=hidden")

    assert (error, said.format(server.url + "/s") in text) == (kind, True), text
    assert not any(word in text for word in ("me:", "secret", "token", "hidden", "\n"))


def test_a_refusal_without_a_login_says_where_to_give_one(server: SchemaServer) -> None:
    server.answers = {"/s": (401, b"")}

    assert failed(server.url + "/s") == (
        ConfigurationError,
        f"The schema's server refuses {server.url}/s (status 401): give USER:PASSWORD as {LOGIN_VARIABLE}.",
    )


def test_a_server_that_is_not_there_or_hangs_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/s"
        with pytest.raises(ConnectionFailedError, match=r"does not answer .ReadTimeout.: start it, or take a file"):
            schema_text(url, timeout_seconds=0.1)

    assert failed(url.replace("://", "://me:secret@")) == (
        ConnectionFailedError,
        f"The schema's server at {url} does not answer (ConnectionError): start it, or take a file.",
    )


@pytest.mark.parametrize("url", ["http://", "http://me:secret@", "http://me:secret@host:port/s", "http://[me:secret/s"])
def test_an_address_that_is_none_is_told_without_showing_it(url: str) -> None:
    assert failed(url) == (
        ConfigurationError,
        "The address of the schema cannot be read: give http://HOST:PORT/PATH.",
    )
