"""One side of the broker, through Beam or by a plain loop: ``python -m tests.bench.sides WAY SIDE``.

Both ways are one process with the same batches, the same client and the same transactions or receipts; the loop is what
one writes over our own client where there is no Beam. So the difference is what Beam costs. Reads drop their events.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Final

import apache_beam as beam

from flumebeam.batch import EventBatch
from flumebeam.channel.solace import SolaceChannel
from flumebeam.errors import PublishRefusedError
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.session import connect
from flumebeam.transforms import AcknowledgeBatches, ReadFromSolace, WriteToSolace, run_pipeline

__all__ = ["SIDES", "WAYS", "main"]

WAYS: Final = ("beam", "loop")
SIDES: Final = ("read", "transacted", "persistent")
_BATCH: Final = 2_560
"""Events that are made at once: ten whole transactions."""
_TRANSACTION: Final = 256
_READ_EVENTS: Final = 5_000
_WAIT_SECONDS: Final = 30.0


def _batches(events: int, size: int) -> Iterator[EventBatch]:
    for first in range(0, events, _BATCH):
        yield _batch(first, min(_BATCH, events - first), size)


def _batch(first: int, count: int, size: int) -> EventBatch:
    bodies = [b"%010d " % number + b"x" * (size - 11) for number in range(first, first + count)]
    return EventBatch.from_bodies(bodies, {"host": "web1"}, {"severity": ["info", "error"] * (count // 2)})


def _pass(batch: EventBatch) -> EventBatch:
    return batch


def _through_beam(options: argparse.Namespace) -> None:
    connection = SolaceOptions(host=options.host)
    pipeline = beam.Pipeline(runner="FnApiRunner")
    if options.side == "read":
        read = ReadFromSolace(options.queue, connection=connection, max_events=options.events)
        pipeline | read | beam.Map(_pass) | AcknowledgeBatches()
    else:
        shares = [
            (first, min(_BATCH, options.events - first), options.size) for first in range(0, options.events, _BATCH)
        ]
        (
            pipeline
            | beam.Create(shares, reshuffle=False)
            | beam.MapTuple(_batch).with_output_types(EventBatch)
            | WriteToSolace(options.topic, connection=connection, mode=options.side)
        )
    run_pipeline(pipeline)


def _by_a_loop(options: argparse.Namespace) -> None:
    connection = SolaceOptions(host=options.host)
    if options.side == "read":
        _take(connection, options.queue, options.events)
    elif options.side == "transacted":
        _put(connection, options)
    else:
        _send(connection, options)


def _take(options: SolaceOptions, queue: str, events: int) -> None:
    taken = 0
    with connect(options) as connection:
        receiver = connection.receiver(queue)
        while taken < events:
            batch = receiver.receive(_READ_EVENTS, _WAIT_SECONDS)
            if batch.provenance is None:
                raise RuntimeError(f"Nothing came for {_WAIT_SECONDS:.0f} s after {taken} events.")
            receiver.acknowledge(batch.provenance.ids)
            taken += len(batch)


def _put(connection: SolaceOptions, options: argparse.Namespace) -> None:
    with SolaceChannel(connection) as channel:
        for batch in _batches(options.events, options.size):
            for begin in range(0, len(batch), _TRANSACTION):
                with channel.transaction() as transaction:
                    transaction.put(batch.slice(begin, _TRANSACTION), options.topic)
                    if not (outcome := transaction.commit()).committed:
                        raise RuntimeError(f"A transaction ended as {outcome.kind.value}: {outcome.cause}")


def _send(options: SolaceOptions, arguments: argparse.Namespace) -> None:
    with connect(options) as connection:
        publisher = connection.publisher()
        for batch in _batches(arguments.events, arguments.size):
            for begin in range(0, len(batch), _TRANSACTION):
                if any(publisher.send(batch.slice(begin, _TRANSACTION), arguments.topic)):
                    raise PublishRefusedError("The broker refused a message.")


def main() -> None:
    """Run one side to its end."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.sides")
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("side", choices=SIDES)
    parser.add_argument("--host", required=True)
    parser.add_argument("--topic")
    parser.add_argument("--queue")
    parser.add_argument("--size", type=int, default=200)
    parser.add_argument("--events", type=int, required=True)
    options = parser.parse_args()
    (_through_beam if options.way == "beam" else _by_a_loop)(options)


if __name__ == "__main__":
    main()
