"""Events that cannot be written go to a queue that somebody looks into, before their transaction is acknowledged."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from base64 import b64decode
from collections.abc import Callable, Sequence
from pathlib import Path

import fastavro
import pytest

from flumebeam.broker import DevelopmentBroker
from flumebeam.commitlog.steps import CrashPoint
from flumebeam.errors import ConfigurationError
from flumebeam.pipelines import drain_to_hdfs
from flumebeam.solace.config import SolaceOptions
from flumebeam.transforms.deadletter_topic import DeadLetterTopic
from tests.failures import Counted
from tests.integration.hdfs_write.drain import QUEUE
from tests.integration.pipelines.helpers import stored

Publish = Callable[[Sequence[bytes]], None]
TOPIC = "dead/letters"
GOOD = [b'{"n": %d}' % number for number in range(200)]
BAD = [b'{"n": "no number %d"}' % number for number in range(3)]


@pytest.fixture
def schema(tmp_path: Path) -> Path:
    path = tmp_path / "row.avsc"
    path.write_text(json.dumps({"type": "record", "name": "Row", "fields": [{"name": "n", "type": "long"}]}))
    return path


@pytest.fixture
def letters(broker: DevelopmentBroker) -> str:
    broker.create_queue("letters", subscriptions=[TOPIC])
    return "letters"


def options(target: Path, schema: Path, *more: str) -> list[str]:
    chosen = ["--format=avro", f"--schema={schema}", "--until_empty", "--idle_seconds=1", "--roll=transaction"]
    return [f"--queue={QUEUE}", f"--target={target}", f"--target_dead_letter_topic={TOPIC}", *chosen, *more]


def die_at(point: CrashPoint, arguments: Sequence[str]) -> int:
    """Run the drain in a process that is killed there."""
    program = (
        "import sys; from tests.faults.pipelines.killing import drain_that_dies; "
        "sys.exit(drain_that_dies(sys.argv[2:], sys.argv[1]))"
    )
    command = [sys.executable, "-c", program, point.name, *arguments]
    return subprocess.run(command, stdin=subprocess.DEVNULL, timeout=200, check=False).returncode


def rows(target: Path) -> list[bytes]:
    """Return the bodies of the rows that readers see."""
    found: list[bytes] = []
    for path in target.glob("FlumeData.*"):
        with path.open("rb") as file:
            found += [b'{"n": %d}' % row["n"] for row in fastavro.reader(file)]
    return found


def written(target: Path) -> int:
    """Count the rows that readers see."""
    return len(rows(target))


def kept_in_files(target: Path) -> list[dict[str, str]]:
    return [json.loads(line) for path in target.glob("_dead-letters/*") for line in path.read_text().splitlines()]


@pytest.mark.failure("poison message")
@pytest.mark.usefixtures("letters")
def test_what_cannot_be_written_is_published_with_its_cause_and_acknowledged(
    broker: DevelopmentBroker,
    publish: Publish,
    tmp_path: Path,
    schema: Path,
    monkeypatch: pytest.MonkeyPatch,
    counted: Counted,
) -> None:
    monkeypatch.setenv("SOLACE_HOST", broker.url)
    publish([*GOOD, *BAD])

    assert drain_to_hdfs.main(options(tmp_path / "target", schema)) == 0

    assert written(tmp_path / "target") == len(GOOD)
    assert not broker.queue(QUEUE).messages
    found = stored(broker, "letters")
    counted([*GOOD, *BAD], rows(tmp_path / "target"), refused=[event.body for event in found])
    assert sorted(event.body for event in found) == BAD
    assert all("n" in event.headers["flumebeam.cause"] for event in found)
    assert {event.headers["flumebeam.origin"] for event in found} == {QUEUE}
    assert len({event.headers["flumebeam.delivery"] for event in found}) == len(BAD)
    assert kept_in_files(tmp_path / "target") == []


@pytest.mark.failure("poison message")
@pytest.mark.usefixtures("letters")
@pytest.mark.parametrize("point", [CrashPoint.RECORD_WRITTEN, CrashPoint.COMMITTED])
def test_a_drain_killed_between_its_letters_and_their_acknowledgement_loses_none(
    broker: DevelopmentBroker,
    publish: Publish,
    tmp_path: Path,
    schema: Path,
    monkeypatch: pytest.MonkeyPatch,
    point: CrashPoint,
    counted: Counted,
) -> None:
    monkeypatch.setenv("SOLACE_HOST", broker.url)
    publish([*BAD, *GOOD])
    assert die_at(point, options(tmp_path / "target", schema)) == -signal.SIGKILL

    assert drain_to_hdfs.main(options(tmp_path / "target", schema)) == 0

    assert written(tmp_path / "target") == len(GOOD)
    found = stored(broker, "letters")
    assert {event.body for event in found} == {*BAD}
    # One that was published twice shows itself.
    deliveries = {event.headers["flumebeam.delivery"] for event in found}
    assert len(deliveries) == len(BAD)
    assert (len(found) > len(BAD)) is (point is CrashPoint.RECORD_WRITTEN)
    counted([*BAD, *GOOD], rows(tmp_path / "target"), refused=[event.body for event in found])


def test_letters_that_the_broker_refuses_are_kept_in_files_of_the_same_commit(
    broker: DevelopmentBroker, publish: Publish, tmp_path: Path, schema: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOLACE_HOST", broker.url)
    publish([*GOOD, *BAD])

    assert drain_to_hdfs.main(options(tmp_path / "target", schema)) == 0

    assert written(tmp_path / "target") == len(GOOD)
    assert not broker.queue(QUEUE).messages
    kept = kept_in_files(tmp_path / "target")
    assert sorted(b64decode(letter["body"]) for letter in kept) == BAD
    assert all(f"it cannot be published to {TOPIC}" in letter["cause"] for letter in kept)
    assert not any("flumebeam.cause" in letter["headers"] for letter in kept)


def test_letters_that_nobody_takes_stop_the_drain_and_stay_on_the_broker(
    broker: DevelopmentBroker,
    publish: Publish,
    tmp_path: Path,
    schema: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SOLACE_HOST", broker.url)
    publish([*GOOD, *BAD])

    assert drain_to_hdfs.main(options(tmp_path / "target", schema, "--target_dead_letters=")) == 1

    assert f"Have a queue subscribe to {TOPIC}, or give a directory" in capsys.readouterr().err
    left = broker.queue(QUEUE).messages
    assert left >= len(BAD)
    # A transaction without any of them may have been committed before.
    assert left + written(tmp_path / "target") == len(GOOD) + len(BAD)


def test_letters_need_a_topic() -> None:
    with pytest.raises(ConfigurationError, match="need a topic"):
        DeadLetterTopic(topic="", connection=SolaceOptions(host="tcp://localhost"))
