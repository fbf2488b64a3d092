from __future__ import annotations

import json
import signal
import socket
from base64 import b64decode
from pathlib import Path

import pytest

from flumebeam.broker import BrokerConfig, DevelopmentBroker
from flumebeam.event import CAUSE_HEADER, TARGET_HEADER
from flumebeam.pipelines.ingest import main
from flumebeam.testing import running_broker
from tests.integration.pipelines.helpers import make_lines, spooled, start, stored
from tests.waiting import eventually


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "app.log"
    path.write_bytes(b"\n".join(make_lines(1500)))
    return path


def ingest(tmp_path: Path, log: Path, *arguments: str) -> int:
    return main([f"--input={log}", "--topic=logs/%{host}", f"--tracker_dir={tmp_path / 'tracker'}", *arguments])


def the_error(capfd: pytest.CaptureFixture[str]) -> str:
    [line] = capfd.readouterr().err.splitlines()
    assert line.startswith("flumebeam ingest: ")
    return line


@pytest.mark.parametrize("runner", [[], ["--runner=DirectRunner", "--prism_location=/nonexistent"]])
def test_every_line_arrives_as_it_was_with_its_headers(
    broker: DevelopmentBroker, tmp_path: Path, log: Path, runner: list[str]
) -> None:
    assert ingest(tmp_path, log, "--header=dc=eu", *runner) == 0

    events = stored(broker, "batch")
    assert [event.body for event in events] == make_lines(1500)
    host = socket.gethostname()
    assert {(e.headers["host"], e.headers["basename"], e.headers["dc"]) for e in events} == {(host, "app.log", "eu")}
    assert {event.headers["solace.topic"] for event in events} == {f"logs/{host}"}
    assert {event.headers.get("severity") for event in events} == {"info", "debug", "warn", "error", None}
    assert broker.queue("speed").messages == 1500


def test_ids_are_file_identity_and_offset_behind_the_line(broker: DevelopmentBroker, tmp_path: Path, log: Path) -> None:
    assert ingest(tmp_path, log) == 0

    ids = [event.headers["flumebeam.id"] for event in stored(broker, "batch")]
    ends, end = [], 0
    for line in make_lines(1500):
        end += len(line) + 1
        ends.append(end)
    ends[-1] -= 1
    assert [int(one.split("-")[1], 16) for one in ids] == ends
    assert len({one.split("-")[0] for one in ids}) == 1


def test_the_same_command_again_publishes_only_what_is_new(
    broker: DevelopmentBroker, tmp_path: Path, log: Path
) -> None:
    assert ingest(tmp_path, log) == 0
    assert ingest(tmp_path, log) == 0
    assert broker.queue("batch").messages == 1500
    with log.open("ab") as file:
        file.write(b"\nnew")

    assert ingest(tmp_path, log) == 0

    assert [event.body for event in stored(broker, "batch")][1500:] == [b"", b"new"]


def test_a_spool_directory_is_followed_until_ctrl_c_which_loses_nothing(
    broker: DevelopmentBroker, tmp_path: Path
) -> None:
    first, second = make_lines(700, seed=1), make_lines(300, seed=2)
    spooled(tmp_path, "1.log", first)
    running = start(broker, "ingest", f"--spool_dir={tmp_path}", "--follow", "--topic=logs/a")
    try:
        eventually((tmp_path / "1.log.COMPLETED").exists)
        spooled(tmp_path, "2.log", second)
        eventually((tmp_path / "2.log.COMPLETED").exists)

        running.send_signal(signal.SIGINT)

        out, _ = running.communicate(timeout=200)
        assert running.returncode == 0, out
    finally:
        running.kill()
        running.communicate()
    assert [event.body for event in stored(broker, "batch")] == first + second


def test_what_nobody_wants_stops_the_ingest_and_stays_in_the_file(
    broker: DevelopmentBroker, tmp_path: Path, log: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([f"--input={log}", "--topic=other", f"--tracker_dir={tmp_path / 'tracker'}"]) == 1
    assert the_error(capfd).startswith("flumebeam ingest: An event for topic 'other' was refused")

    assert ingest(tmp_path, log) == 0
    assert [event.body for event in stored(broker, "batch")] == make_lines(1500)


def test_dead_letters_are_kept_with_their_cause_and_the_ingest_goes_on(
    broker: DevelopmentBroker, tmp_path: Path
) -> None:
    log = tmp_path / "app.log"
    log.write_bytes(b"INFO fine\nERROR unwanted\nINFO fine, too\n")
    arguments = [f"--input={log}", f"--tracker_dir={tmp_path / 'tracker'}", f"--dead_letters={tmp_path / 'dead'}"]
    broker.delete_queue("speed")
    broker.delete_queue("batch")
    broker.create_queue("batch", subscriptions=["logs/info"])

    assert main([*arguments, "--topic=logs/%{severity}"]) == 0
    assert main([*arguments, "--topic=logs/%{severity}"]) == 0

    assert [event.body for event in stored(broker, "batch")] == [b"INFO fine", b"INFO fine, too"]
    [kept] = (tmp_path / "dead").iterdir()
    [letter] = [json.loads(line) for line in kept.read_text().splitlines()]
    assert (b64decode(letter["body"]), letter["target"]) == (b"ERROR unwanted", "logs/error")


def test_dead_letters_go_to_a_topic_if_one_is_named(broker: DevelopmentBroker, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_bytes(b"INFO fine\nERROR unwanted\n")
    arguments = [f"--input={log}", f"--tracker_dir={tmp_path / 'tracker'}", "--dead_letter_topic=dead/logs"]
    broker.delete_queue("speed")
    broker.delete_queue("batch")
    broker.create_queue("batch", subscriptions=["logs/info"])
    broker.create_queue("dead", subscriptions=["dead/>"])

    assert main([*arguments, "--topic=logs/%{severity}"]) == 0
    assert main([*arguments, "--topic=logs/%{severity}"]) == 0

    (letter,) = stored(broker, "dead")
    assert (letter.body, letter.headers[TARGET_HEADER]) == (b"ERROR unwanted", "logs/error")
    assert "no queue is subscribed" in letter.headers[CAUSE_HEADER]
    assert main([*arguments, "--topic=logs/%{severity}", "--dead_letters=dead"]) == 2


def test_a_wrong_password_is_one_clear_line(
    tmp_path: Path, log: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_broker(BrokerConfig(port=0, users={"default": "right"})) as broker:
        monkeypatch.setenv("SOLACE_PASSWORD", "wr0ng-secret")

        assert ingest(tmp_path, log, f"--solace_host={broker.url}") == 1

    line = the_error(capfd)
    assert "password" in line
    assert "wr0ng-secret" not in line


def test_a_broker_that_is_down_is_one_clear_line(tmp_path: Path, log: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{unused.getsockname()[1]}"

        assert ingest(tmp_path, log, f"--solace_host={host}") == 1

    assert f"No broker answers at tcp://{host}" in the_error(capfd)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--topic=logs/a"], "by one of --input"),
        (["--input=/nonexistent.log", "--topic=logs/a"], "The file /nonexistent.log does not exist"),
        (["--input=/etc/hostname"], "--topic is missing"),
        (["--input=/etc/hostname", "--topic=logs//a"], "has an empty level"),
    ],
)
def test_a_mistake_is_one_clear_line(
    broker: DevelopmentBroker,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    sentence: str,
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    assert main(arguments) == 2

    assert sentence in the_error(capfd)


def test_the_key_of_partitions_and_the_policies_are_options(
    broker: DevelopmentBroker, tmp_path: Path, log: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert ingest(tmp_path, log, "--on_unknown=hope") == 2
    assert "must be one of retry, dead-letter, stop" in the_error(capfd)
    assert ingest(tmp_path, log, "--partition_key=basename", "--on_over_quota=stop") == 0
    assert {event.headers["JMSXGroupID"] for event in stored(broker, "batch")} == {"app.log"}
