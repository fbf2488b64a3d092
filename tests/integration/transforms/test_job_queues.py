"""Topics read by a queue of the job: gone when it ends, and kept where something would be lost."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import apache_beam as beam
import pytest

from flumebeam.batch import EventBatch
from flumebeam.broker import DevelopmentBroker
from flumebeam.errors import ConfigurationError
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.session import connect
from flumebeam.transforms.acknowledge import AcknowledgeBatches
from flumebeam.transforms.running import run_pipeline
from flumebeam.transforms.solace_read import ReadFromSolace
from tests.integration.transforms.test_solace_read import SEEN, Sink, bodies, numbers
from tests.waiting import eventually


@pytest.fixture(autouse=True)
def _nothing_seen_yet() -> None:
    SEEN.clear()


def names(broker: DevelopmentBroker) -> set[str]:
    return {queue.name for queue in broker.queues()} - {"logs"}


def put(connection: SolaceOptions, batch: EventBatch) -> None:
    with connect(connection) as opened:
        session = opened.transacted_session()
        session.publish(batch, "logs/app")
        assert session.commit().committed


def run(connection: SolaceOptions, sink: Sink, **options: object) -> None:
    pipeline = beam.Pipeline(runner="FnApiRunner")
    read = ReadFromSolace(connection=connection, **options)  # type: ignore[arg-type]
    pipeline | read | beam.ParDo(sink) | AcknowledgeBatches()
    run_pipeline(pipeline)


def run_while_publishing(broker: DevelopmentBroker, connection: SolaceOptions, sink: Sink, **options: object) -> str:
    """Run a read of ``logs/>`` by a queue of its own; publish once it is there; return its name."""
    found: list[str] = []

    def publish() -> None:
        eventually(lambda: any(queue.subscriptions for queue in broker.queues() if queue.name != "logs"))
        found.extend(names(broker))
        put(connection, EventBatch.from_bodies(numbers(20)))

    publisher = threading.Thread(target=publish)
    publisher.start()
    try:
        run(connection, sink, topics=["logs/>"], **options)
    finally:
        publisher.join()
    return found[0]


def test_a_queue_without_a_name_is_made_for_the_job_and_removed_at_its_end_and_both_are_said(
    broker: DevelopmentBroker, connection: SolaceOptions, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "flumebeam"):
        name = run_while_publishing(broker, connection, Sink(stop_after=20))

    assert bodies() == numbers(20)
    assert name.startswith("flumebeam-")
    assert names(broker) == set()
    assert f"Queue {name} is made for this job, and removed" in caplog.text


def test_it_stays_if_it_is_to_be_kept(broker: DevelopmentBroker, connection: SolaceOptions) -> None:
    name = run_while_publishing(broker, connection, Sink(stop_after=20), keep_queue=True)

    assert names(broker) == {name}
    assert broker.queue(name).subscriptions == ("logs/>",)


def test_a_job_that_fails_keeps_it_and_another_one_reads_on(
    broker: DevelopmentBroker, connection: SolaceOptions, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Exception, match="Disk full"), caplog.at_level(logging.WARNING, "flumebeam"):
        run_while_publishing(broker, connection, Sink(fail_at=b"0"))
    (name,) = names(broker)
    assert f"so queue {name} stays: read on with queue='{name}'" in caplog.text
    SEEN.clear()

    run(connection, Sink(stop_after=20), queue=name)

    assert bodies() == numbers(20)


def test_several_flows_share_it(broker: DevelopmentBroker, connection: SolaceOptions) -> None:
    run_while_publishing(broker, connection, Sink(stop_after=20), flows=2)

    assert sorted(bodies()) == sorted(numbers(20))
    assert names(broker) == set()


DRIVER = textwrap.dedent("""
    import sys
    import apache_beam as beam
    from flumebeam.transforms import AcknowledgeBatches, ReadFromSolace, run_pipeline

    def show(batch):
        print(len(batch), flush=True)
        return batch

    pipeline = beam.Pipeline(runner="FnApiRunner")
    pipeline | ReadFromSolace(topics=["logs/>"]) | beam.Map(show) | AcknowledgeBatches()
    run_pipeline(pipeline)
""")


@pytest.mark.parametrize(("number", "stays"), [(signal.SIGINT, False), (signal.SIGKILL, True)])
def test_ctrl_c_removes_it_and_a_killed_driver_has_said_that_it_stays(
    broker: DevelopmentBroker, connection: SolaceOptions, tmp_path: Path, number: signal.Signals, stays: bool
) -> None:
    (tmp_path / "driver.py").write_text(DRIVER)
    driver = subprocess.Popen(
        [sys.executable, str(tmp_path / "driver.py")],
        env={**os.environ, "SOLACE_HOST": broker.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        eventually(lambda: any(queue.subscriptions for queue in broker.queues() if queue.name != "logs"))
        put(connection, EventBatch.from_bodies(numbers(3)))
        assert driver.stdout is not None
        # They come in one batch, or in several.
        seen = 0
        while seen < 3 and (line := driver.stdout.readline()):
            seen += int(line)
        assert seen == 3
        (name,) = names(broker)
        driver.send_signal(number)
        _, said = driver.communicate(timeout=100)
    finally:
        driver.kill()
        driver.wait()

    assert driver.returncode == (-number if stays else 0), said
    assert names(broker) == ({name} if stays else set())
    assert re.search(rf"Queue {name} is made for this job.*is killed before, or does not wait, the queue stays", said)


def test_a_queue_that_cannot_be_removed_is_told(
    broker: DevelopmentBroker, connection: SolaceOptions, caplog: pytest.LogCaptureFixture
) -> None:
    from flumebeam.transforms.job_queues import _end

    with caplog.at_level(logging.WARNING, "flumebeam"):
        _end(SolaceOptions(host="localhost:1"), "flumebeam-x", well=True)

    assert "Queue flumebeam-x could not be removed and stays: No broker answers" in caplog.text


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "name of the queue to read from is empty"),
        ({"topics": "logs/>"}, "topics are a list"),
        ({"queue": "q", "topics": ["a"], "keep_queue": True}, "a queue that is named stays"),
    ],
)
def test_what_cannot_be_meant_is_refused(options: dict[str, object], why: str) -> None:
    with pytest.raises(ConfigurationError, match=f"(?i){why}"):
        ReadFromSolace(connection=SolaceOptions(), **options)  # type: ignore[arg-type]
