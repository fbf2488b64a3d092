"""Who is told of complete partitions."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from flumebeam.commitlog.hooks import CommandHook, HttpHook, PartitionEvent, PartitionEventKind, parse_hook
from flumebeam.errors import ConfigurationError, HookError
from tests.ports import refusing_port

EVENT = PartitionEvent(PartitionEventKind.LATE, "hdfs://nn/logs/", "dt=2024-01-01", 1_704_153_600_000)
FACTS = {
    "event": "late",
    "target": "hdfs://nn/logs/",
    "partition": "dt=2024-01-01",
    "location": "hdfs://nn/logs/dt=2024-01-01",
    "end": "2024-01-02T00:00:00.000Z",
}


def test_an_event_is_one_line_of_json() -> None:
    assert json.loads(EVENT.to_json()) == FACTS
    assert "\n" not in EVENT.to_json()


def test_a_command_gets_the_event_as_json_and_as_variables(tmp_path: Path) -> None:
    script = (
        "import os, sys; open(sys.argv[1], 'w').write(sys.stdin.read() + '|'.join(os.environ['FLUMEBEAM_' + name]"
        " for name in ('EVENT', 'TARGET', 'PARTITION', 'LOCATION')))"
    )
    there = tmp_path / "a file"
    parse_hook(f"command:{sys.executable} -c \"{script}\" '{there}'", 30.0)(EVENT)

    line, _, variables = there.read_text().partition("\n")
    assert json.loads(line) == FACTS
    assert variables == "late|hdfs://nn/logs/|dt=2024-01-01|hdfs://nn/logs/dt=2024-01-01"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((sys.executable, "-c", "print('no table'); raise SystemExit(3)"), "ended with status 3 and said: no table"),
        (("/nowhere/program",), "cannot be run: No such file"),
        ((sys.executable, "-c", "import time; time.sleep(60)"), "did not end within 0.2 s"),
    ],
)
def test_a_command_that_fails_is_a_clear_error(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(HookError, match=message):
        CommandHook(words, 0.2 if "sleep" in words[-1] else 30.0)(EVENT)


class Server(HTTPServer):
    """Keeps what is posted, and answers as told."""

    status = 204
    got: tuple[str, bytes] = ("", b"")


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got = (self.headers["Content-Type"], body)
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def test_an_address_gets_the_event_as_json(server: Server) -> None:
    parse_hook(f"http://127.0.0.1:{server.server_port}/done", 30.0)(EVENT)

    kind, body = server.got
    assert (kind, json.loads(body)) == ("application/json", FACTS)


@pytest.mark.parametrize("status", [302, 404, 503])
def test_an_address_that_does_not_say_yes_is_a_clear_error(server: Server, status: int) -> None:
    server.status = status
    with pytest.raises(HookError, match=f"answered {status}"):
        HttpHook(f"http://127.0.0.1:{server.server_port}/", 30.0)(EVENT)


def test_an_address_that_does_not_answer_is_a_clear_error() -> None:
    with refusing_port() as port, pytest.raises(HookError, match="does not answer"):
        HttpHook(f"http://127.0.0.1:{port}/", 30.0)(EVENT)


@pytest.mark.parametrize("text", ["", "command:", "command:'", "ftp://host/", "touch file"])
def test_a_hook_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_hook(text, 30.0)
