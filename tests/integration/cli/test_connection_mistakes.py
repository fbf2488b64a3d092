"""What a user sees when the connection does not work: one line that says what to do, and an exit status."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from flumebeam.broker import DevelopmentBroker
from flumebeam.exits import Exit
from tests.ports import refusing_port
from tests.programs import Program, Programs

READERS = ("speed_layer", "drain_to_hdfs")
PIPELINES = (*READERS, "ingest")


def arguments_for(name: str, directory: Path) -> list[str]:
    """Return options with which a pipeline would work."""
    if name == "ingest":
        log = directory / "app.log"
        log.write_bytes(b"INFO one line\n")
        return [f"--input={log}", "--topic=logs/a"]
    return ["--queue=logs", *([f"--target={directory / 'out'}"] if name == "drain_to_hdfs" else [])]


def the_line(program: Program, name: str, status: Exit = Exit.FAILED) -> str:
    """Return the only line that a program said before it ended with that status."""
    ended = program.wait()
    assert program.out == ""
    [line] = program.err.splitlines()
    assert line.startswith(f"flumebeam {name}: ")
    assert ended == status
    return line


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed_port() -> Iterator[int]:
    with refusing_port() as port:
        yield port


@pytest.mark.parametrize("name", PIPELINES)
def test_a_wrong_password_names_user_and_broker_and_how_to_set_it(
    programs: Programs, broker: DevelopmentBroker, tmp_path: Path, name: str
) -> None:
    environment = {"SOLACE_USERNAME": "operator", "SOLACE_PASSWORD": "wr0ng-s3cret"}
    program = programs.fork(name, *arguments_for(name, tmp_path), environment=environment)

    line = the_line(program, name)

    assert "'operator'" in line
    assert broker.url in line
    assert "SOLACE_PASSWORD" in line
    assert "wr0ng-s3cret" not in line


@pytest.mark.parametrize("name", PIPELINES)
def test_a_wrong_vpn_names_vpn_and_broker_and_how_to_set_it(
    programs: Programs, broker: DevelopmentBroker, tmp_path: Path, name: str
) -> None:
    program = programs.fork(name, *arguments_for(name, tmp_path), "--solace_vpn=nowhere")

    line = the_line(program, name)

    assert "'nowhere'" in line
    assert broker.url in line
    assert "SOLACE_VPN" in line


@pytest.mark.parametrize("name", READERS)
def test_an_unknown_queue_is_named_with_vpn_and_broker(
    programs: Programs, broker: DevelopmentBroker, tmp_path: Path, name: str
) -> None:
    program = programs.fork(name, *arguments_for(name, tmp_path), "--queue=no-such-queue")

    line = the_line(program, name)

    assert "'no-such-queue' in message VPN 'default'" in line
    assert broker.url in line
    assert "create it, or check its name" in line


@pytest.mark.parametrize("name", PIPELINES)
def test_a_broker_that_is_down_is_named(programs: Programs, tmp_path: Path, closed_port: int, name: str) -> None:
    host = f"tcp://127.0.0.1:{closed_port}"

    line = the_line(programs.fork(name, *arguments_for(name, tmp_path), f"--solace_host={host}"), name)

    assert f"No broker answers at {host}" in line
    assert "SOLACE_HOST" in line


def test_a_host_that_takes_connections_and_is_no_broker_is_named_within_seconds(
    programs: Programs, tmp_path: Path, silent_port: int
) -> None:
    host = f"tcp://127.0.0.1:{silent_port}"

    line = the_line(programs.fork("ingest", *arguments_for("ingest", tmp_path), f"--solace_host={host}"), "ingest")

    assert f"No broker answers at {host}" in line


@pytest.mark.parametrize("module", ["flumebeam", "flumebeam.pipelines.speed_layer"])
def test_the_command_and_the_module_say_the_same(programs: Programs, closed_port: int, module: str) -> None:
    host = f"tcp://127.0.0.1:{closed_port}"
    command = ["run", "speed_layer"] if module == "flumebeam" else []

    line = the_line(programs.start_module(module, *command, "--queue=logs", f"--solace_host={host}"), "speed_layer")

    assert line == (
        f"flumebeam speed_layer: No broker answers at {host} (communication error): "
        "start it, or set --solace_host or SOLACE_HOST."
    )


def test_the_right_password_lets_in(programs: Programs, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("right\n")
    arguments = ["--queue=logs", "--until_empty", "--idle_seconds=0.1", "--quiet"]
    given = [
        programs.fork(
            "speed_layer", *arguments, environment={"SOLACE_USERNAME": "operator", "SOLACE_PASSWORD": "right"}
        ),
        programs.fork("speed_layer", *arguments, "--solace_username=operator", f"--solace_password_file={secret}"),
    ]

    for program in given:
        program.ends_well()
        assert program.err == ""


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nosuch"], "flumebeam: There is no pipeline 'nosuch'; there are: "),
        (["drain_to_hdfs", "--queue=logs"], "flumebeam drain_to_hdfs: --target is missing: give a directory"),
        (["ingest", "--queue=logs"], "flumebeam ingest: There is no option --queue; --help lists the options."),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line_and_status_2(
    programs: Programs, arguments: list[str], line: str
) -> None:
    program = programs.start("run", *arguments)

    assert program.wait() == Exit.USAGE
    assert (program.out, len(program.err.splitlines())) == ("", 1)
    assert program.err.startswith(line)
