"""Topics read through a queue of the job on Prism, by workers of a pool: one is killed, or the job ends well."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from os import kill
from pathlib import Path
from signal import SIGKILL

import pytest

from flumebeam.batch import EventBatch
from flumebeam.broker import DevelopmentBroker
from flumebeam.pipelines.launching import worker_command
from flumebeam.pipelines.worker_pool import WorkerPool
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.session import connect
from flumebeam.testing import running_broker
from flumebeam.testing.prism import prism_program
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(1200)  # the first one may have to build Prism

DRIVER = textwrap.dedent("""
    import os, sys, time
    from pathlib import Path

    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions
    from flumebeam.solace.config import SolaceOptions
    from flumebeam.transforms import AcknowledgeBatches, ReadFromSolace, run_pipeline

    url, queue, events, stuck_at, directory, *options = sys.argv[1:]

    class Sink(beam.DoFn):
        def process(self, batch):
            if stuck_at.encode() in batch.bodies.to_pylist():
                (Path(directory) / "new").write_text(str(os.getpid()))
                (Path(directory) / "new").rename(Path(directory) / "stuck")
                time.sleep(600)
            with (Path(directory) / "seen").open("ab") as seen:
                seen.write(b"".join(body + b"\\n" for body in batch.bodies.to_pylist()))
            yield batch

    where = {"queue": queue} if queue else {"topics": ["logs/>"]}
    pipeline = beam.Pipeline(options=PipelineOptions(options))
    read = ReadFromSolace(**where, connection=SolaceOptions(host=url), max_events=int(events), bundle_events=100)
    pipeline | read | beam.ParDo(Sink()) | AcknowledgeBatches()
    run_pipeline(pipeline)
""")
EVENTS = 1_000


@pytest.fixture
def broker() -> Iterator[DevelopmentBroker]:
    with running_broker() as made:
        yield made


@contextmanager
def driver(
    directory: Path, broker: DevelopmentBroker, queue: str, events: int, stuck_at: str
) -> Iterator[subprocess.Popen[str]]:
    (directory / "driver.py").write_text(DRIVER)
    with WorkerPool(worker_command()) as pool:
        process = subprocess.Popen(
            [
                *(
                    sys.executable,
                    str(directory / "driver.py"),
                    broker.url,
                    queue,
                    str(events),
                    stuck_at,
                    str(directory),
                ),
                *("--runner=PrismRunner", f"--prism_location={prism_program()}"),
                *("--environment_type=EXTERNAL", f"--environment_config={pool.endpoint}"),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def publish(broker: DevelopmentBroker) -> None:
    """Publish all events once the job's queue takes them."""
    eventually(lambda: any(queue.subscriptions for queue in broker.queues()))
    with connect(SolaceOptions(host=broker.url)) as connection:
        session = connection.transacted_session()
        for start in range(0, EVENTS, 200):
            session.publish(EventBatch.from_bodies([b"%d" % number for number in range(start, start + 200)]), "logs/a")
            assert session.commit().committed


def seen(directory: Path) -> Counter[int]:
    return Counter(map(int, (directory / "seen").read_text().split()))


def test_a_worker_that_is_killed_loses_nothing_and_the_driver_names_the_queue_with_the_rest(
    broker: DevelopmentBroker, tmp_path: Path
) -> None:
    with driver(tmp_path, broker, "", EVENTS, "555") as job:
        publish(broker)
        eventually((tmp_path / "stuck").exists)
        kill(int((tmp_path / "stuck").read_text()), SIGKILL)
        _, said = job.communicate(timeout=300)
    assert job.returncode == 1
    assert "RunnerError: The job ended as FAILED" in said
    (name,) = re.findall(r"The job failed, so queue (\S+) stays: read on with queue='\1'", said)
    # Counted when nobody holds any of it: no pause of a busy machine is taken for the end.
    eventually(lambda: broker.queue(name).consumers == 0)
    left = broker.queue(name).messages
    assert left >= EVENTS - sum(seen(tmp_path).values())

    with driver(tmp_path, broker, name, left, "-") as job:
        _, said = job.communicate(timeout=300)

    assert job.returncode == 0, said
    assert broker.queue(name).messages == 0
    assert set(seen(tmp_path)) == set(range(EVENTS))
    assert max(seen(tmp_path).values()) <= 2


def test_on_prism_the_queue_is_removed_when_the_job_ends(broker: DevelopmentBroker, tmp_path: Path) -> None:
    with driver(tmp_path, broker, "", EVENTS, "-") as job:
        publish(broker)
        _, said = job.communicate(timeout=300)

    assert job.returncode == 0, said
    assert seen(tmp_path) == Counter(range(EVENTS))
    assert broker.queues() == ()
