"""The event: what Flume calls one record on its way, and the names of headers that have a meaning here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from flumebeam.ids import DeliveryId

__all__ = [
    "BASENAME_HEADER",
    "CAUSE_HEADER",
    "EVENT_ID_HEADER",
    "FILE_HEADER",
    "HOST_HEADER",
    "REPEATED_HEADER",
    "RESERVED_PREFIX",
    "SEVERITY_HEADER",
    "TARGET_HEADER",
    "TIMESTAMP_HEADER",
    "Event",
    "Provenance",
    "is_reserved",
]

TIMESTAMP_HEADER: Final = "timestamp"
"""Event time, milliseconds since 1970 UTC as decimal text (Flume's name and unit)."""

HOST_HEADER: Final = "host"
"""The machine an event was read on (Flume's name)."""

FILE_HEADER: Final = "file"
"""Absolute path of the file an event was read from (Flume's ``fileHeader``)."""

BASENAME_HEADER: Final = "basename"
"""Name of that file without its directory (Flume's ``basenameHeader``)."""

SEVERITY_HEADER: Final = "severity"
"""Level of a log line in lower case: fatal, error, warn, info, debug, trace."""

EVENT_ID_HEADER: Final = "flumebeam.id"
"""Identity of an event at its source, stable over repeats: file identity and offset, see :class:`DeliveryId`."""

REPEATED_HEADER: Final = "flumebeam.repeated"
"""``true`` on an event that was published again because nobody could say whether it is there: it may be there twice."""

CAUSE_HEADER: Final = "flumebeam.cause"
"""Why an event is a dead letter, for people."""

TARGET_HEADER: Final = "flumebeam.target"
"""Where a dead letter was to go: a path below the target, or a topic."""

RESERVED_PREFIX: Final = "solace."
"""Headers below this prefix are the broker message's own fields: readable like any other, never published."""


def is_reserved(name: str) -> bool:
    """Tell whether a header is one of the broker message's own fields, which are read-only.

    Args:
        name: Header name.
    """
    return name.startswith(RESERVED_PREFIX)


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where an event came from; set by sources, never travels with a published message.

    Attributes:
        receiver: Identity of the receiver (one bind of one flow, or one run of a file source) that delivered it.
        queue: Name of the queue, or of the directory or file.
        delivery: Identity of the delivery, unique in the world.
        redelivered: Whether the broker said that it may have been delivered before.
    """

    receiver: str
    queue: str
    delivery: DeliveryId
    redelivered: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """One event: a body and its headers.

    Attributes:
        body: The record itself; may be empty.
        headers: Text to text. Names below :data:`RESERVED_PREFIX` are read-only fields of the broker message.
        provenance: Where it came from; ``None`` for an event made by a program.
    """

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    provenance: Provenance | None = None
