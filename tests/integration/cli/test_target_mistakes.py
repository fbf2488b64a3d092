"""What a user sees when the target cannot be written: one line that names it, and nothing acknowledged."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path

import pytest

from flumebeam.batch import EventBatch
from flumebeam.broker import DevelopmentBroker
from flumebeam.channel.solace import SolaceChannel
from flumebeam.event import Event
from flumebeam.exits import Exit
from flumebeam.solace.config import SolaceOptions
from tests.ports import refusing_port
from tests.programs import Program, Programs


@pytest.fixture
def queue(broker: DevelopmentBroker) -> str:
    """A queue with ten events."""
    name = f"q-{uuid.uuid4().hex[:12]}"
    broker.create_queue(name, subscriptions=[f"for/{name}"])
    with SolaceChannel(SolaceOptions(host=broker.url)) as channel, channel.transaction() as transaction:
        transaction.put(EventBatch.from_events(Event(b"event %d" % number) for number in range(10)), f"for/{name}")
        assert transaction.commit().committed
    return name


def the_line(program: Program, status: Exit = Exit.FAILED) -> str:
    """Return the only line that the drain said before it ended with that status."""
    ended = program.wait()
    assert program.out == ""
    [line] = program.err.splitlines()
    assert line.startswith("flumebeam drain_to_hdfs: ")
    assert ended == status
    return line


def drain(programs: Programs, queue: str, target: str | Path) -> Program:
    return programs.fork("drain_to_hdfs", f"--queue={queue}", f"--target={target}", "--patience_seconds=0.5")


@pytest.mark.parametrize("below", ["", "/logs"], ids=["is a file", "is below a file"])
def test_a_file_where_a_directory_should_be_is_named(
    programs: Programs, broker: DevelopmentBroker, queue: str, tmp_path: Path, below: str
) -> None:
    (tmp_path / "file").write_text("somebody else's")

    line = the_line(drain(programs, queue, f"{tmp_path}/file{below}"))

    assert f"{tmp_path}/file is in the way" in line
    assert "choose another target" in line
    assert (tmp_path / "file").read_text() == "somebody else's"
    assert broker.queue(queue).messages == 10


def test_a_read_only_target_is_named(programs: Programs, broker: DevelopmentBroker, queue: str, tmp_path: Path) -> None:
    # A mount that only the program sees: it binds every user, root too, where permissions do not.
    namespaces = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
    mount = [*namespaces, "sh", "-c", f'mount -t tmpfs -o ro tmpfs "{tmp_path}/out" || exit 77; exec "$@"', "sh"]
    if shutil.which("unshare") is None:
        pytest.skip("unshare is missing; on Debian: apt-get install util-linux")
    (tmp_path / "out").mkdir()
    arguments = [f"--queue={queue}", f"--target={tmp_path}/out"]

    program = programs.start("run", "drain_to_hdfs", *arguments, prefix=mount)
    if program.wait() == 77 or program.err.startswith("unshare:"):
        pytest.skip("this system lets nobody mount in a namespace of their own (a container without user ones)")

    line = the_line(program)
    assert f"{tmp_path}/out" in line
    assert "read-only" in line.lower()
    assert broker.queue(queue).messages == 10


def test_an_hdfs_that_nobody_answers_is_named_with_what_to_check(
    programs: Programs, broker: DevelopmentBroker, queue: str
) -> None:
    with refusing_port() as port:
        line = the_line(drain(programs, queue, f"webhdfs://127.0.0.1:{port}/logs"))

    assert f"127.0.0.1:{port} refuses connections" in line
    assert "/logs" in line
    assert "check that it is up and that the address is right" in line
    assert broker.queue(queue).messages == 10


def test_an_hdfs_of_an_unknown_host_is_named(programs: Programs, broker: DevelopmentBroker, queue: str) -> None:
    line = the_line(drain(programs, queue, "hdfs://no-such-host.invalid/logs"))

    assert "no-such-host.invalid:9870" in line
    assert "check" in line
    assert broker.queue(queue).messages == 10


def test_something_that_is_no_hdfs_is_named(programs: Programs, broker: DevelopmentBroker, queue: str) -> None:
    line = the_line(drain(programs, queue, f"webhdfs://127.0.0.1:{broker.port}/logs"))

    assert f"127.0.0.1:{broker.port}" in line
    assert broker.queue(queue).messages == 10


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("s3://bucket/logs", ["'s3://bucket/logs'", "unknown scheme 's3'", "hdfs://namenode/directory"]),
        ("hdfs:///logs", ["'hdfs:///logs'", "names no host"]),
    ],
)
def test_an_address_that_cannot_be_a_target_is_the_users_mistake(
    programs: Programs, queue: str, target: str, words: list[str]
) -> None:
    line = the_line(drain(programs, queue, target), Exit.USAGE)

    assert all(word in line for word in words), line
