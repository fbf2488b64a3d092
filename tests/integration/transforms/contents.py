"""What a queue of the test's broker holds."""

from __future__ import annotations

from flumebeam.broker import DevelopmentBroker
from flumebeam.event import Event
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.session import connect

__all__ = ["BROKERS", "stored"]

BROKERS: dict[str, DevelopmentBroker] = {}
"""Those that run, by their address."""


def stored(connection: SolaceOptions, queue: str = "logs") -> list[Event]:
    """Take out of a queue what is in it now, none of it packed."""
    there = BROKERS[connection.host].queue(queue).messages
    events: list[Event] = []
    with connect(connection) as opened:
        receiver = opened.receiver(queue)
        while len(events) < there:
            batch = receiver.receive(there - len(events), 60)
            assert batch.provenance is not None, f"{len(events)} of {there} events came"
            events += batch.events()
            receiver.acknowledge(batch.provenance.ids)
        receiver.close()
    return events
