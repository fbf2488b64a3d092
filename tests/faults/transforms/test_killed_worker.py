from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections import Counter
from pathlib import Path

import pytest

from flumebeam.batch import EventBatch
from flumebeam.broker import DevelopmentBroker
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.session import connect
from flumebeam.testing import running_broker
from tests.waiting import eventually

READER = textwrap.dedent("""
    import sys, time
    import apache_beam as beam
    from flumebeam.solace.config import SolaceOptions
    from flumebeam.transforms.acknowledge import AcknowledgeBatches
    from flumebeam.transforms.running import run_pipeline
    from flumebeam.transforms.solace_read import ReadFromSolace

    class Sink(beam.DoFn):
        def process(self, batch):
            for body in batch.bodies.to_pylist():
                print(body.decode(), flush=True)
            if sys.argv[2] != "-" and sys.argv[2].encode() in batch.bodies.to_pylist():
                print("stuck", flush=True)
                time.sleep(600)
            yield batch

    pipeline = beam.Pipeline(runner="FnApiRunner")
    source = ReadFromSolace("logs", connection=SolaceOptions(host=sys.argv[1]), bundle_events=100,
                            max_events=int(sys.argv[4]), acknowledge=sys.argv[3])
    batches = pipeline | source | beam.ParDo(Sink())
    if sys.argv[3] == "commit-step":
        batches | AcknowledgeBatches()
    run_pipeline(pipeline)
""")

EVENTS = 1_000


def fill(broker: DevelopmentBroker) -> None:
    broker.create_queue("logs", subscriptions=["logs/>"])
    with connect(SolaceOptions(host=broker.url)) as connection:
        session = connection.transacted_session()
        for start in range(0, EVENTS, 200):
            session.publish(EventBatch.from_bodies([b"%d" % number for number in range(start, start + 200)]), "logs/a")
            assert session.commit().committed


def read(script: Path, broker: DevelopmentBroker, stuck_at: str, acknowledge: str) -> list[str]:
    """Read all that is there; kill the reader without a word where it is stuck; return what its sink has seen."""
    # Counted when nobody holds any of it: no pause of a busy machine is taken for the end.
    eventually(lambda: broker.queue("logs").consumers == 0)
    events = str(broker.queue("logs").messages)
    process = subprocess.Popen(
        [sys.executable, str(script), broker.url, stuck_at, acknowledge, events], stdout=subprocess.PIPE, text=True
    )
    patience = threading.Timer(250, process.kill)
    patience.start()
    seen = []
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            if line.strip() == "stuck":
                process.kill()
                break
            seen.append(line.strip())
    code = process.wait()
    patience.cancel()
    assert code == (0 if stuck_at == "-" else -9)
    return seen


@pytest.mark.parametrize("acknowledge", ["commit-step", "bundle-finalization"])
def test_a_killed_reader_loses_nothing_and_repeats_only_what_was_not_acknowledged(
    tmp_path: Path, acknowledge: str
) -> None:
    script = tmp_path / "reader.py"
    script.write_text(READER)
    with running_broker() as broker:
        fill(broker)

        first = read(script, broker, "555", acknowledge)
        second = read(script, broker, "-", acknowledge)

        assert broker.queue("logs").messages == 0
    times = Counter(first + second)
    assert set(times) == {str(number) for number in range(EVENTS)}
    assert max(times.values()) == 2
    # Acknowledgements of the client travel within a second: what the kill overtook comes again as well.
    assert second == [str(number) for number in range(EVENTS - len(second), EVENTS)]
    assert EVENTS - len(second) <= 555
