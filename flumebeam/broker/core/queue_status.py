"""What a queue holds at one moment, as a program is shown it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["QueueStatus"]


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """What a queue holds at one moment.

    Attributes:
        name: Its name.
        access: ``"exclusive"`` or ``"non-exclusive"``.
        durable: Whether it outlives the flow that made it.
        messages: Messages in it, delivered but unacknowledged ones included.
        unacknowledged: Messages delivered and not yet settled.
        received: Messages that were ever put into it.
        bytes: Bodies of all its messages.
        consumers: Flows bound to it, browsers left out.
        subscriptions: Topics that feed it.
        counts: Messages that it did not take or gave up, by the vendor's name of the counter; only what is not 0.
        partitions_served: How many of its partitions each client serves, by client name.
    """

    name: str
    access: str
    durable: bool
    messages: int
    unacknowledged: int
    received: int
    bytes: int
    consumers: int
    subscriptions: tuple[str, ...]
    counts: dict[str, int]
    partitions_served: dict[str, int]
