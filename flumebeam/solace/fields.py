"""The fields that a published message gets beside its body, topic and headers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flumebeam.errors import ConfigurationError
from flumebeam.event import EVENT_ID_HEADER

__all__ = ["DELIVERY_HEADER", "ORIGIN_HEADER", "PARTITION_KEY_PROPERTY", "PLAIN_FIELDS", "MessageFields"]

PARTITION_KEY_PROPERTY: Final = "JMSXGroupID"
"""User property by which the broker chooses the partition of a partitioned queue."""

ORIGIN_HEADER: Final = "flumebeam.origin"
"""With provenance: the queue, directory or file that an event came from."""

DELIVERY_HEADER: Final = "flumebeam.delivery"
"""With provenance: the identity of its delivery there, unique in the world."""

_MAX_PRIORITY: Final = 255
_MAX_TTL_SECONDS: Final = 10 * 365 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFields:
    """What a message gets. Where a *header* is named, each event's own value counts, and an event without it has none.

    A header that is named may be one of a received message's fields, such as ``solace.correlation-id``: that is how
    such a field is published again.

    Attributes:
        partition_key: Header with the partition key: events of one key stay in one partition, in order.
        correlation_id: Header with the correlation id.
        application_message_id: Header with the application message id; ``flumebeam.id`` is the same however often a
            source with positions delivers an event.
        priority: 0 to 255, or a header with it; a text that is no such number is refused.
        time_to_live_seconds: How long a message may wait in a queue that respects it; 0 for ever.
        dmq_eligible: Whether a message that a queue gives up goes to its dead message queue; otherwise it is deleted.
        provenance: Publish where each event came from, as :data:`ORIGIN_HEADER` and :data:`DELIVERY_HEADER`.

    Raises:
        ConfigurationError: A value is out of its range.
    """

    partition_key: str = ""
    correlation_id: str = ""
    application_message_id: str = EVENT_ID_HEADER
    priority: int | str | None = None
    time_to_live_seconds: float = 0.0
    dmq_eligible: bool = True
    provenance: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.priority, int) and not 0 <= self.priority <= _MAX_PRIORITY:
            raise ConfigurationError(f"A message's priority is from 0 to {_MAX_PRIORITY}, not {self.priority}.")
        if not 0 <= self.time_to_live_seconds <= _MAX_TTL_SECONDS:
            raise ConfigurationError(f"The time to live is 0 to {_MAX_TTL_SECONDS} s, not {self.time_to_live_seconds}.")

    @property
    def differ_by_event(self) -> bool:
        """Whether events of one batch may get different ones, so that they cannot share a message."""
        return bool(self.partition_key or self.correlation_id or isinstance(self.priority, str) or self.provenance)

    @property
    def time_to_live_ms(self) -> int:
        """Time to live in milliseconds; 0 for ever."""
        return round(self.time_to_live_seconds * 1000)


PLAIN_FIELDS: Final = MessageFields()
"""No more than the application message id."""
