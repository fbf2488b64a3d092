"""Batches of one-letter events, and channels that fail, for tests of publishing."""

from __future__ import annotations

from collections.abc import Iterable

from flumebeam.batch import EventBatch
from flumebeam.channel.base import Transaction
from flumebeam.channel.memory import MemoryChannel
from flumebeam.errors import ConnectionFailedError
from flumebeam.event import Event, Provenance
from flumebeam.ids import DeliveryId

BAD = {"header": "a\0b"}
"""A header that the client would cut: refused when it is put."""


class UnreachableChannel(MemoryChannel):
    """A channel whose first transactions, as many as there are errors, cannot begin."""

    def __init__(self, errors: Iterable[ConnectionFailedError]) -> None:
        super().__init__()
        self._errors = list(errors)

    def transaction(self) -> Transaction:
        transaction = super().transaction()
        if self._errors:
            error = self._errors.pop(0)

            def cannot() -> None:
                raise error

            transaction.begin = cannot  # type: ignore[method-assign]
        return transaction


def batch(bodies: str, bad: str = "") -> EventBatch:
    return EventBatch.from_events(
        Event(
            letter.encode(),
            BAD if letter in bad else {"header": letter},
            Provenance("receiver", "file", DeliveryId(1, number)),
        )
        for number, letter in enumerate(bodies)
    )


def stored(channel: MemoryChannel) -> str:
    return b"".join(message.body for message in channel.queue.take(1_000, 0)).decode()
