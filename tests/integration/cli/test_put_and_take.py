"""``flumebeam put`` and ``flumebeam take`` as users run them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flumebeam.broker import DevelopmentBroker
from flumebeam.testing import running_broker
from tests.programs import Programs, until


@pytest.fixture
def broker() -> Iterator[DevelopmentBroker]:
    with running_broker(reject_on_no_match=True) as made:
        made.create_queue("logs", subscriptions=["logs/>"])
        yield made


@pytest.fixture
def programs(broker: DevelopmentBroker, tmp_path: Path) -> Iterator[Programs]:
    made = Programs(tmp_path, {"SOLACE_HOST": broker.url})
    yield made
    made.close()


def run(broker: DevelopmentBroker, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "flumebeam", *arguments],
        input=stdin,
        capture_output=True,
        timeout=200,
        check=False,
        env={**os.environ, "SOLACE_HOST": broker.url},
    )


def test_lines_of_files_and_of_standard_input_are_put_and_taken_as_they_were(
    broker: DevelopmentBroker, tmp_path: Path
) -> None:
    lines = [b"first", b"", b"\xff\x00 bytes\r", *(b"%d" % number for number in range(600))]
    (tmp_path / "a.log").write_bytes(b"\n".join(lines) + b"\n")

    done = run(
        broker, "put", str(tmp_path / "a.log"), "-", "--topic", "logs/%{host}", "--header", "host=web1", stdin=b"x"
    )

    assert (done.returncode, done.stderr) == (0, b"604 lines committed in 4 transactions.\n")
    assert broker.queue("logs").messages == 604
    taken = run(broker, "take", "logs")
    assert (taken.returncode, taken.stderr) == (0, b"604 events taken.\n")
    assert taken.stdout == b"\n".join([*lines, b"x"]) + b"\n"
    assert broker.queue("logs").messages == 0


def test_a_queue_is_put_to_by_name_and_looked_at_without_being_emptied(broker: DevelopmentBroker) -> None:
    lines = b"".join(b"%d\n" % number for number in range(1000))
    broker.create_queue("own")
    run(broker, "put", "--queue", "own", "--header", "host=web1", stdin=lines)

    for _ in range(2):
        seen = run(broker, "take", "own", "--browse")
        assert (seen.stdout, seen.stderr) == (lines, b"1,000 events seen.\n")
    first = run(broker, "take", "own", "--browse", "--count", "1", "--format", "json")
    event = json.loads(first.stdout)
    assert event["body"] == "0"
    assert event["headers"]["host"] == "web1"
    assert event["headers"]["solace.topic"] == "own"
    full = run(broker, "take", "own", "--count", "2", "--format", "full").stdout
    assert b"host: web1\n" in full
    assert b"\n\n0\n\n" in full
    assert broker.queue("own").messages == 998


def test_a_body_that_is_no_text_is_base64_in_json(broker: DevelopmentBroker) -> None:
    run(broker, "put", "--topic", "logs/x", stdin=b"\xff\n")

    assert json.loads(run(broker, "take", "logs", "--format", "json").stdout)["body_base64"] == "/w=="


def test_a_file_is_appended_to_and_keeps_what_was_there(broker: DevelopmentBroker, tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"before\n")
    run(broker, "put", "--topic", "logs/x", stdin=b"1\n2\n3\n")

    run(broker, "take", "logs", "--count", "2", "--output", str(tmp_path / "out"))

    assert (tmp_path / "out").read_bytes() == b"before\n1\n2\n"
    assert broker.queue("logs").messages == 1


def test_what_is_piped_in_is_committed_at_once_and_followed(
    programs: Programs, broker: DevelopmentBroker, tmp_path: Path
) -> None:
    follower = programs.start("take", "logs", "--follow")
    with subprocess.Popen(
        [sys.executable, "-m", "flumebeam", "put", "--topic", "logs/x"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "SOLACE_HOST": broker.url},
    ) as writer:
        assert writer.stdin is not None
        for text in ("one\n", "two\n"):
            writer.stdin.write(text.encode())
            writer.stdin.flush()
            until(lambda text=text: follower.out.endswith(text), f"{text!r} comes through")
        writer.send_signal(signal.SIGINT)  # it may still wait for the answer to its last commit
        assert writer.wait(200) == 130
        assert writer.stderr is not None
        assert writer.stderr.read().endswith(b"2 lines committed in 2 transactions.\n")
    until(lambda: not broker.queue("logs").messages, "all is acknowledged")
    follower.send(signal.SIGINT)
    follower.ends_well()

    assert follower.out == "one\ntwo\n"
    assert follower.err == "2 events taken.\n"
    assert broker.queue("logs").messages == 0


def test_a_reader_that_goes_away_takes_no_more_than_it_could_read(broker: DevelopmentBroker) -> None:
    run(broker, "put", "--topic", "logs/x", stdin=b"0123456789" * 20 + b"\n" + b"line\n" * 100_000)

    command = f"{sys.executable} -m flumebeam take logs | head -c 100 >/dev/null"
    done = subprocess.run(
        ["sh", "-c", command],
        capture_output=True,
        timeout=200,
        check=True,
        env={**os.environ, "SOLACE_HOST": broker.url},
    )

    assert b"Traceback" not in done.stderr
    assert b"events taken.\n" in done.stderr
    assert broker.queue("logs").messages > 50_000


@pytest.mark.parametrize(
    ("arguments", "stdin", "status", "said"),
    [
        (["put"], b"", 2, "flumebeam: Name where the lines go, by one of --topic and --queue.\n"),
        (["put", "--topic", "logs/%x"], b"", 2, "position 5: write %{header} or %%.\n"),
        (["put", "--topic", "logs/a", "--header", "x"], b"", 2, "--header must look like NAME=VALUE"),
        (["put", "gone.log", "--topic", "logs/a"], b"", 1, "gone.log cannot be read: No such file or directory."),
        (
            ["put", "--topic", "nobody/here"],
            b"x\n",
            1,
            "A line was refused: the broker refused the transaction: no queue",
        ),
        (["put", "--queue", "gone"], b"x\n", 1, "A line was refused"),
        (["take", "gone"], b"", 1, "'gone' in message VPN 'default' at tcp://127.0.0.1"),
        (["take", "gone", "--browse"], b"", 1, "does not exist"),
        (["take", "logs", "--output", "/proc/none"], b"", 2, "/proc/none cannot be written"),
        (["take", "logs", "--solace-host", "localhost:1"], b"", 1, "No broker answers at tcp://localhost:1"),
        (["put", "--topic", "a", "--solace-vpn", "x"], b"x\n", 1, "message VPN 'x'"),
    ],
)
def test_a_mistake_is_one_line_and_no_traceback(
    broker: DevelopmentBroker, arguments: list[str], stdin: bytes, status: int, said: str
) -> None:
    done = run(broker, *arguments, stdin=stdin)

    assert said in done.stderr.decode()
    assert done.returncode == status
    assert b"Traceback" not in done.stderr


def test_a_connection_that_is_cut_loses_and_hides_nothing(programs: Programs, broker: DevelopmentBroker) -> None:
    run(broker, "put", "--topic", "logs/x", stdin=b"".join(b"%d\n" % n for n in range(20_000)))
    taker = programs.start("take", "logs", "--idle-seconds", "3")
    until(lambda: broker.queue("logs").messages < 19_000, "something is taken")
    broker.cut_connections()
    taker.ends_well()

    taken = [int(line) for line in taker.out.split()]
    assert sorted(set(taken)) == list(range(20_000))
    assert broker.queue("logs").messages == 0
