"""What is set on a queue: whether it is open, its limits, its kind, and what usernames may do with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any, Final

from flumebeam.broker.core.partitions import MAX_PARTITIONS
from flumebeam.errors import ConfigurationError

__all__ = ["DISCARD_BEHAVIORS", "Permission", "QueueSettings"]

DISCARD_BEHAVIORS: Final = ("always", "when-queue-enabled", "never")
"""When a publisher is told that a queue does not take its message."""


class Permission(IntEnum):
    """What a username may do with a queue; each includes those before it."""

    NO_ACCESS = 0
    READ_ONLY = 1
    """Browse it."""
    CONSUME = 2
    MODIFY_TOPIC = 3
    """Change its subscriptions."""
    DELETE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """Whether a queue is open, and its limits.

    Attributes:
        ingress_enabled: Whether it takes messages.
        egress_enabled: Whether clients may bind to it.
        max_bytes: Bodies it may hold.
        max_unacked: Deliveries of one flow that may wait for settlement.
        max_consumers: Flows that may be bound to it.
        max_message_bytes: Largest body that it takes.
        reject_on_discard: When the publisher of a message that the queue does not take is told: ``"always"``, unless
            the queue is shut (``"when-queue-enabled"``), or ``"never"``. If told, no queue gets the message.
        reject_low_priority: Whether messages of a priority below 4 are not taken while the queue holds more than...
        low_priority_limit: ... this many messages.
        redelivery_enabled: Whether a message may be delivered more than once.
        max_redeliveries: How often a message is delivered again before the queue gives it up; 0 does not limit it.
        delivery_count: Whether consumers may ask how often a message was delivered.
        dead_message_queue: Queue that gets what this one gives up, if it exists and the message is eligible.
        respect_priority: Whether messages of a higher priority are delivered first.
        delivery_delay_seconds: How long a message waits after it came before it is delivered.
        respect_ttl: Whether messages expire.
        max_ttl_seconds: How long a message may wait, if its publisher does not say less; 0 does not limit it.
        last_value: Whether only the newest message is kept.
        partitions: Parts that a non-exclusive queue is divided into; 0 does not divide it.
        rebalance_delay_seconds: How long after a flow came or went its partitions are shared out again.
        max_handoff_seconds: How long a partition that moves to another flow waits for its messages to be settled.
        kept: What else was set, by the vendor's names: it is shown and has no effect here.
    """

    ingress_enabled: bool = True
    egress_enabled: bool = True
    max_bytes: int
    max_unacked: int
    max_consumers: int
    max_message_bytes: int = 10_000_000
    reject_on_discard: str = "when-queue-enabled"
    reject_low_priority: bool = False
    low_priority_limit: int = 0
    redelivery_enabled: bool = True
    max_redeliveries: int = 0
    delivery_count: bool = True
    dead_message_queue: str = "#DEAD_MSG_QUEUE"
    respect_priority: bool = False
    delivery_delay_seconds: int = 0
    respect_ttl: bool = False
    max_ttl_seconds: int = 0
    last_value: bool = False
    partitions: int = 0
    rebalance_delay_seconds: int = 5
    max_handoff_seconds: int = 3
    kept: Mapping[str, Any] = field(default_factory=dict)

    def changed(self, given: Mapping[str, object]) -> QueueSettings:
        """Return these settings with some of them replaced.

        Args:
            given: New values by field.

        Raises:
            ConfigurationError: There is no such setting, or the value is of the wrong type, negative, or no choice.
        """
        for name, value in given.items():
            there = getattr(self, name, None)
            if name not in self.__slots__:
                raise ConfigurationError(f"A queue has no setting {name}; choose from {', '.join(self.__slots__)}.")
            if type(value) is not type(there) or (isinstance(value, int) and value < 0):
                raise ConfigurationError(f"{name} of a queue cannot be {value!r}; its default is {there!r}.")
        if given.get("reject_on_discard", "never") not in DISCARD_BEHAVIORS:
            raise ConfigurationError(f"reject_on_discard of a queue is one of {', '.join(DISCARD_BEHAVIORS)}.")
        made = replace(self, **given)  # type: ignore[arg-type]
        if made.partitions > MAX_PARTITIONS:
            raise ConfigurationError(f"A queue has up to {MAX_PARTITIONS} partitions, not {made.partitions}.")
        return made
