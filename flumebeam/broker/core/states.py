"""The states of what clients open, as tables: what may happen in which state, and where it leads.

The core goes through these tables, and the diagrams in the documentation are made from them, by
:mod:`flumebeam.broker.diagram`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, TypeVar

__all__ = [
    "CONNECTION",
    "FLOW",
    "RESUMABLE",
    "TABLES",
    "TRANSACTION",
    "ConnectionState",
    "FlowState",
    "ResumableState",
    "TransactionState",
    "after",
]

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


class FlowState(Enum):
    """Whether a consumer flow receives."""

    UNBOUND = "unbound"
    ACTIVE = "active"
    STANDBY = "standby"
    """Its queue is exclusive, and another flow was bound before it."""


class TransactionState(Enum):
    """How far the open transaction of a transacted session has come."""

    OPEN = "open"
    INTERRUPTED = "interrupted"
    """It began in an earlier life of the broker, which has taken what was staged with it."""
    COMMITTED = "committed"
    ROLLED_BACK = "rolled back"


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

FLOW: Final = {
    (FlowState.UNBOUND, "bound"): FlowState.ACTIVE,
    (FlowState.UNBOUND, "bound behind another"): FlowState.STANDBY,
    (FlowState.STANDBY, "first in line"): FlowState.ACTIVE,
    (FlowState.ACTIVE, "unbound"): FlowState.UNBOUND,
    (FlowState.STANDBY, "unbound"): FlowState.UNBOUND,
}
"""``unbound`` is a client's wish, a lost connection, a deleted or changed queue. Only an exclusive queue binds a flow
behind another; those of other queues are all active."""
TRANSACTION: Final = {
    (TransactionState.OPEN, "commit carried out"): TransactionState.COMMITTED,
    (TransactionState.OPEN, "rolled back"): TransactionState.ROLLED_BACK,
    (TransactionState.OPEN, "broker restarted"): TransactionState.INTERRUPTED,
    (TransactionState.INTERRUPTED, "rolled back"): TransactionState.ROLLED_BACK,
    (TransactionState.COMMITTED, "next one begins"): TransactionState.OPEN,
    (TransactionState.ROLLED_BACK, "next one begins"): TransactionState.OPEN,
}
"""``rolled back`` is a client's wish, or a commit that failed. The next transaction begins at once."""

TABLES: Final[Mapping[str, Mapping[tuple[Any, str], Any]]] = {
    "Connection": CONNECTION,
    "Consumer flow": FLOW,
    "Transaction of a transacted session": TRANSACTION,
    "Publisher flow, transacted session, held deliveries of a consumer flow, temporary queue": RESUMABLE,
}


def after(table: Mapping[tuple[S, str], S], state: S, event: str) -> S:
    """Return the state that follows.

    Raises:
        KeyError: This cannot happen in this state.
    """
    return table[state, event]
