"""The states of what clients open, as tables: what may happen in which state, and where it leads.

The core goes through these tables, and the diagrams in the documentation are made from them, by
:mod:`flumebeam.broker.diagram`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, TypeVar

__all__ = ["CONNECTION", "RESUMABLE", "TABLES", "ConnectionState", "ResumableState", "after"]

S = TypeVar("S", bound=Enum)


class ConnectionState(Enum):
    """Where a connection is in its life."""

    CONNECTED = "connected"
    """It may only log in."""
    LOGGED_IN = "logged in"
    CLOSING = "closing"
    """What is in the output is still to be sent, then it is closed. Input is ignored."""


class ResumableState(Enum):
    """Where something is that outlives its connection."""

    OPEN = "open"
    AWAY = "away"
    """Its client has lost the connection, and may come back to it by name."""
    FORGOTTEN = "forgotten"


CONNECTION: Final = {
    (ConnectionState.CONNECTED, "login accepted"): ConnectionState.LOGGED_IN,
    (ConnectionState.CONNECTED, "closed"): ConnectionState.CLOSING,
    (ConnectionState.LOGGED_IN, "closed"): ConnectionState.CLOSING,
    (ConnectionState.CLOSING, "closed"): ConnectionState.CLOSING,
}
"""``closed`` is a refused login, a broken protocol, a displaced or silent client, a fault, a lost connection."""
RESUMABLE: Final = {
    (ResumableState.FORGOTTEN, "opened"): ResumableState.OPEN,
    (ResumableState.OPEN, "opened"): ResumableState.OPEN,
    (ResumableState.AWAY, "opened"): ResumableState.OPEN,
    (ResumableState.OPEN, "connection lost"): ResumableState.AWAY,
    (ResumableState.AWAY, "connection lost"): ResumableState.AWAY,
    (ResumableState.AWAY, "retention over"): ResumableState.FORGOTTEN,
    (ResumableState.OPEN, "closed"): ResumableState.FORGOTTEN,
    (ResumableState.AWAY, "closed"): ResumableState.FORGOTTEN,
    (ResumableState.FORGOTTEN, "closed"): ResumableState.FORGOTTEN,
}
"""Publisher flows, transacted sessions, what consumer flows hold, temporary queues. A session that is forgotten is
rolled back."""

TABLES: Final[Mapping[str, Mapping[tuple[Any, str], Any]]] = {
    "Connection": CONNECTION,
    "Publisher flow, transacted session, held deliveries of a consumer flow, temporary queue": RESUMABLE,
}


def after(table: Mapping[tuple[S, str], S], state: S, event: str) -> S:
    """Return the state that follows.

    Raises:
        KeyError: This cannot happen in this state.
    """
    return table[state, event]
