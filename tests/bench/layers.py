"""The programs of several suites: a steady publisher, a speed layer that notes latencies, and a batch layer.

``python -m tests.bench.layers publish|speed|count|batch``. The layers are built of the transforms that the ready
pipelines are built of; the batch layer's local file system waits for as long as a given file exists.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from flumebeam.batch import EventBatch
from flumebeam.channel.solace import SolaceChannel
from flumebeam.event import Event
from flumebeam.hdfs.filesystem import FileStat
from flumebeam.hdfs.local import LocalFileSystem
from flumebeam.pipelines import drain_to_hdfs
from flumebeam.pipelines.program import parse, run_built
from flumebeam.solace.config import SolaceOptions
from flumebeam.transforms.acknowledge import AcknowledgeBatches
from flumebeam.transforms.solace_read import ReadFromSolace
from tests.bench.latencies import LatencyNotes, stamped
from tests.bench.workload import line

__all__ = ["main"]

_TICK_SECONDS: Final = 0.005
"""The publisher commits a transaction so often."""
_BUNDLE_SECONDS: Final = 0.25
"""As the ready speed layer has it."""
_CHECK_SECONDS: Final = 0.05


# -- the publisher -----------------------------------------------------------------------------------------------------


def _publish(options: argparse.Namespace) -> None:
    """Put so many events a second, a transaction each tick, for as long as the file ``--while`` exists."""
    rest = line(0, options.size - len(stamped(b"")))
    with SolaceChannel(SolaceOptions(host=options.host)) as channel:
        begin = time.monotonic()
        sent = 0
        while Path(options.run).exists():
            due = int((time.monotonic() - begin) * options.rate) - sent
            if due <= 0:
                time.sleep(_TICK_SECONDS)
                continue
            with channel.transaction() as transaction:
                bodies = [stamped(rest) for _ in range(min(due, transaction.room))]
                transaction.put(EventBatch.from_bodies(bodies), options.topic)
                if not (outcome := transaction.commit()).committed:
                    raise RuntimeError(f"A transaction ended as {outcome.kind.value}: {outcome.cause}")
            sent += len(bodies)


# -- the speed layer ---------------------------------------------------------------------------------------------------


class _UserFunction(beam.DoFn):
    """What a pipeline's author would do with each event; here it takes the time."""

    def __init__(self, notes: str) -> None:
        self._path = notes
        self._notes: LatencyNotes | None = None

    def setup(self) -> None:
        self._notes = LatencyNotes(Path(self._path))

    def process(self, batch: EventBatch) -> Iterator[EventBatch]:
        for event in batch.events():
            self._user(event)
        yield batch

    def _user(self, event: Event) -> None:
        if self._notes is not None:
            self._notes.take(event.body)

    def finish_bundle(self) -> None:
        if self._notes is not None:
            self._notes.write()

    def teardown(self) -> None:
        if self._notes is not None:
            self._notes.close()
            self._notes = None


def _speed(options: argparse.Namespace) -> None:
    connection = SolaceOptions(host=options.host, lane=options.lane)
    seconds = options.bundle_seconds or _BUNDLE_SECONDS

    def build(pipeline: beam.Pipeline, _: PipelineOptions) -> None:
        (
            pipeline
            | "ReadSpeedQueue"
            >> ReadFromSolace(
                options.queue,
                connection=connection,
                bundle_seconds=seconds,
                transaction_messages=options.transaction_messages,
            )
            | "User" >> beam.ParDo(_UserFunction(options.notes)).with_output_types(EventBatch)
            | "TellSpeedQueue" >> AcknowledgeBatches()
        )

    run_built("speed", build, parse(options.beam, "speed", "", ()))


# -- a layer that counts its bundles -----------------------------------------------------------------------------------


class _CountBundles(beam.DoFn):
    """Appends a byte to a file for each bundle that had something."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._any = False

    def process(self, batch: EventBatch) -> Iterator[EventBatch]:
        self._any = True
        yield batch

    def finish_bundle(self) -> None:
        if self._any:
            with Path(self._path).open("ab") as file:
                file.write(b".")
        self._any = False


def _count(options: argparse.Namespace) -> None:
    connection, seconds = SolaceOptions(host=options.host), options.bundle_seconds

    def build(pipeline: beam.Pipeline, _: PipelineOptions) -> None:
        (
            pipeline
            | "Read"
            >> ReadFromSolace(
                options.queue,
                connection=connection,
                bundle_seconds=seconds,
                transaction_messages=options.transaction_messages,
            )
            | "Count" >> beam.ParDo(_CountBundles(options.bundles)).with_output_types(EventBatch)
            | "Tell" >> AcknowledgeBatches()
        )

    run_built("count", build, parse(options.beam, "count", "", ()))


# -- the batch layer ---------------------------------------------------------------------------------------------------


def _batch(options: argparse.Namespace) -> None:
    """Run ``drain_to_hdfs`` as it is, in a process whose local disk can be made to hang."""
    stall, write = Path(options.stall), LocalFileSystem.write

    def hanging_write(self: LocalFileSystem, path: str, chunks: Iterable[bytes]) -> FileStat:
        while stall.exists():
            time.sleep(_CHECK_SECONDS)
        return write(self, path, chunks)

    LocalFileSystem.write = hanging_write  # type: ignore[method-assign]
    arguments = ["--queue", options.queue, "--target", options.target, "--solace_host", options.host]
    run_built(drain_to_hdfs.NAME, drain_to_hdfs.build, parse(arguments, drain_to_hdfs.NAME, "", drain_to_hdfs.OPTIONS))


_LAYERS: Final[dict[str, Any]] = {"publish": _publish, "speed": _speed, "count": _count, "batch": _batch}


def main() -> None:
    """Run one of the programs until it is told to end."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.layers")
    parser.add_argument("layer", choices=_LAYERS)
    parser.add_argument("--host", required=True)
    parser.add_argument("--topic")
    parser.add_argument("--queue")
    parser.add_argument("--rate", type=int)
    parser.add_argument("--size", type=int)
    parser.add_argument("--run")
    parser.add_argument("--notes")
    parser.add_argument("--stall")
    parser.add_argument("--target")
    parser.add_argument("--bundles")
    parser.add_argument("--bundle-seconds", type=float)
    parser.add_argument("--transaction-messages", type=int, default=0)
    parser.add_argument("--lane", default="auto")
    parser.add_argument("--beam", nargs=argparse.REMAINDER, default=[], help="what follows says where it runs")
    options = parser.parse_args()
    _LAYERS[options.layer](options)


if __name__ == "__main__":
    main()
