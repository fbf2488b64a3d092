"""What several tests of the client do: fill a queue, and drink it."""

from __future__ import annotations

from time import monotonic

from flumebeam.batch import EventBatch
from flumebeam.deliveries import Receiver
from flumebeam.event import Event
from flumebeam.solace.session import VendorConnection


def numbered(*numbers: int) -> EventBatch:
    return EventBatch.from_bodies([b"%d" % number for number in numbers])


def fill(connection: VendorConnection, *numbers: int, topic: str = "logs/x") -> None:
    session = connection.transacted_session()
    for start in range(0, len(numbers), 256):
        session.publish(numbered(*numbers[start : start + 256]), topic)
        assert session.commit().committed
    session.close()


def drink(receiver: Receiver, count: int, seconds: float = 250.0) -> EventBatch:
    """Receive exactly ``count`` events."""
    batches: list[EventBatch] = []
    deadline = monotonic() + seconds
    while sum(map(len, batches)) < count and monotonic() < deadline:
        batches.append(receiver.receive(count - sum(map(len, batches)), 0.5))
    batch = EventBatch.concat(batches)
    assert len(batch) == count
    return batch


def acknowledge(receiver: Receiver, batch: EventBatch) -> None:
    assert batch.provenance is not None
    receiver.acknowledge(batch.provenance.ids)


def bodies(batch: EventBatch) -> list[bytes]:
    return [event.body for event in batch.events()]


def events(batch: EventBatch) -> list[Event]:
    return list(batch.events())
