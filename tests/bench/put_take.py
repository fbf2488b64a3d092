"""One side of the channel on one lane: ``python -m tests.bench.put_take put|take``, for the suite ``lanes``."""

from __future__ import annotations

import argparse
from typing import Final

from flumebeam.batch import EventBatch
from flumebeam.channel.solace import SolaceChannel
from flumebeam.garbage import collecting_seldom
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.ports import Outcome
from tests.bench.workload import line, severity_of

__all__ = ["main"]

_WAIT_SECONDS: Final = 30.0


def _batch(first: int, count: int, size: int, *, headers: bool) -> EventBatch:
    bodies = [line(number, size) for number in range(first, first + count)]
    if not headers:
        return EventBatch.from_bodies(bodies)
    own = {"severity": list(map(severity_of, bodies)), "flumebeam.id": [f"{0:016x}-{n:016x}" for n in range(count)]}
    return EventBatch.from_bodies(bodies, {"host": "web1.example.com"}, own)


def _put(options: argparse.Namespace, channel: SolaceChannel) -> None:
    # Made before anything is sent: what it costs is not the channel's.
    batches = [
        _batch(first, min(options.transaction, options.events - first), options.size, headers=options.headers)
        for first in range(0, options.events, options.transaction)
    ]
    for batch in batches:
        with channel.transaction() as transaction:
            transaction.put(batch, options.topic)
            _must(transaction.commit())


def _take(options: argparse.Namespace, channel: SolaceChannel) -> None:
    taken = 0
    while taken < options.events:
        with channel.transaction() as transaction:
            room = min(options.transaction, options.events - taken)
            while room:
                batch = transaction.take(room, _WAIT_SECONDS)
                if not len(batch):
                    raise RuntimeError(f"Nothing came for {_WAIT_SECONDS:.0f} s after {taken} events.")
                room -= len(batch)
                taken += len(batch)
            _must(transaction.commit())


def _must(outcome: Outcome) -> None:
    if not outcome.committed:
        raise RuntimeError(f"A transaction ended as {outcome.kind.value}: {outcome.cause}")


def main() -> None:
    """Put or take so many events, in transactions."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.put_take")
    parser.add_argument("side", choices=["put", "take"])
    for name in ("--host", "--lane", "--topic", "--queue"):
        parser.add_argument(name, required=True)
    for name in ("--events", "--size", "--transaction"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--headers", action="store_true")
    options = parser.parse_args()
    connection = SolaceOptions(host=options.host, lane=options.lane)
    queue = options.queue if options.side == "take" else None
    with (
        collecting_seldom(),
        SolaceChannel(connection, queue=queue, max_transaction_messages=options.transaction) as channel,
    ):
        (_put if options.side == "put" else _take)(options, channel)


if __name__ == "__main__":
    main()
