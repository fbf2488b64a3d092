"""The contract between sources that must be told and the steps that tell them.

A *receiver* delivers batches under delivery ids and keeps them open until it is told, by id, what has become durable.
A consumer flow of a queue is one, a reader of files is one, a Flume agent waiting for its answer is one. Whoever makes
events durable emits :class:`Durable` values; a later step in the same process looks the receiver up and tells it.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

import pyarrow as pa

from flumebeam.batch import EventBatch
from flumebeam.event import Event
from flumebeam.ids import delivery_ids

__all__ = ["DeadLetter", "Durable", "Receiver"]

_SEPARATORS: Final = (",", ":")


@dataclass(frozen=True, slots=True, eq=False)
class Durable:
    """Deliveries that a sink has made durable; plain data that a runner may pickle.

    Attributes:
        receiver: Identity of the receiver that delivered them.
        ids: Their delivery ids, type ``fixed_size_binary[16]``.
    """

    receiver: str
    ids: pa.FixedSizeBinaryArray


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that was refused, and would be refused again.

    Attributes:
        event: The event as it was to be written, with its provenance.
        target: Where it was to go, for example the topic.
        cause: Why it was refused, for people.
    """

    event: Event
    target: str
    cause: str

    def durables(self) -> Iterator[Durable]:
        """Yield what may be acknowledged once the dead letter itself is kept somewhere; nothing without a source."""
        if (origin := self.event.provenance) is not None:
            yield Durable(origin.receiver, delivery_ids([origin.delivery]))

    def line(self) -> str:
        """Return it as a line of JSON: ``target``, ``cause``, ``headers``, and ``body`` in base64."""
        facts = {
            "target": self.target,
            "cause": self.cause,
            "headers": dict(self.event.headers),
            "body": b64encode(self.event.body).decode("ascii"),
        }
        return json.dumps(facts, separators=_SEPARATORS) + "\n"


class Receiver(Protocol):
    """Something that delivers batches and is told what has become durable.

    One thread at a time calls ``receive``; ``acknowledge`` and ``close`` may come from another one.
    """

    @property
    def receiver_id(self) -> str:
        """Identity of this receiver: fresh for each bind, unique in the world, usable as a file name."""
        ...

    @property
    def unacknowledged(self) -> int:
        """Deliveries handed out by ``receive`` and not acknowledged."""
        ...

    def receive(self, max_events: int, timeout: float) -> EventBatch:
        """Return up to ``max_events`` events; wait at most ``timeout`` seconds for the first one.

        Returns:
            A batch whose provenance carries :attr:`receiver_id` and the delivery ids; empty if nothing came.

        Raises:
            ConnectionFailedError: The source is gone for longer than its reconnect policy allows.
        """
        ...

    def acknowledge(self, ids: pa.FixedSizeBinaryArray) -> None:
        """Tell the source that these deliveries are durable. Idempotent; ids that are not open are ignored.

        Raises:
            ConnectionFailedError: The source can no longer be told; it will deliver them again.
        """
        ...

    def close(self) -> bool:
        """Give back what is not acknowledged and release everything. Idempotent, bounded in time.

        Returns:
            Whether everything that was handed out had been acknowledged, and the source is known to have got all of
            that: none of it will ever be delivered again. False says nothing.
        """
        ...
