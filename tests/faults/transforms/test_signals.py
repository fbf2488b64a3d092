from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import eventually

_PATIENCE = 250.0

DRIVER = textwrap.dedent("""
    import sys, time
    import apache_beam as beam
    from flumebeam.testing.memory_queue import MemoryQueue, MemoryReceiverFactory
    from flumebeam.transforms.acknowledge import AcknowledgeBatches
    from flumebeam.transforms.receiver_read import ReadFromReceivers
    from flumebeam.transforms.running import run_pipeline

    class Sink(beam.DoFn):
        def process(self, batch):
            print("writing", flush=True)
            time.sleep(float(sys.argv[1]))
            yield batch

    queue = MemoryQueue("queue")
    queue.put([b"x"] * 10)
    pipeline = beam.Pipeline(runner="FnApiRunner")
    pipeline | ReadFromReceivers(MemoryReceiverFactory("queue")) | beam.ParDo(Sink()) | AcknowledgeBatches()
    result = run_pipeline(pipeline, stop_seconds=float(sys.argv[2]))
    print(result.state, len(queue.acknowledged), len(queue.open), flush=True)
""")


class Driver:
    """A pipeline in a process of its own, seen through what it prints."""

    def __init__(self, script: Path, write_seconds: float, stop_seconds: float) -> None:
        self._err = script.with_name("driver.err")
        with self._err.open("wb") as err:
            command = [sys.executable, str(script), str(write_seconds), str(stop_seconds)]
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err, text=True)
        assert self.process.stdout is not None
        self._lines = self.process.stdout
        # A driver that hangs is killed, which ends every wait of the test.
        self._patience = threading.Timer(_PATIENCE, self.process.kill)
        self._patience.start()

    def line(self) -> str:
        return self._lines.readline().strip()

    def send(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    def hears_the_first(self) -> None:
        """Wait until it says that a signal has come: two that come at once have no order."""
        eventually(lambda: b"Once more" in self._err.read_bytes() or self.process.poll() is not None, _PATIENCE)
        assert self.process.poll() is None, self._err.read_text()

    def close(self) -> None:
        self._patience.cancel()
        self.process.kill()
        self.process.wait()
        self._lines.close()


@pytest.fixture
def drivers(tmp_path: Path) -> Iterator[list[Driver]]:
    (tmp_path / "driver.py").write_text(DRIVER)
    started: list[Driver] = []
    yield started
    for driver in started:
        driver.close()


def start(drivers: list[Driver], tmp_path: Path, write_seconds: float, stop_seconds: float = 30) -> Driver:
    drivers.append(Driver(tmp_path / "driver.py", write_seconds, stop_seconds))
    assert drivers[-1].line() == "writing"
    return drivers[-1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_ends_a_run_as_done_with_everything_acknowledged(
    drivers: list[Driver], tmp_path: Path, number: signal.Signals
) -> None:
    driver = start(drivers, tmp_path, write_seconds=0.5)

    driver.send(number)

    assert driver.line() == "DONE 10 0"
    assert driver.process.wait(_PATIENCE) == 0


def test_a_second_signal_ends_a_process_whose_sink_is_stuck(drivers: list[Driver], tmp_path: Path) -> None:
    driver = start(drivers, tmp_path, write_seconds=600)

    driver.send(signal.SIGTERM)
    driver.hears_the_first()
    driver.send(signal.SIGINT)

    assert driver.process.wait(_PATIENCE) == 128 + signal.SIGINT


def test_a_stop_that_does_not_come_to_an_end_ends_the_process(drivers: list[Driver], tmp_path: Path) -> None:
    driver = start(drivers, tmp_path, write_seconds=600, stop_seconds=0.5)

    driver.send(signal.SIGINT)

    assert driver.process.wait(_PATIENCE) == 128 + signal.SIGINT
