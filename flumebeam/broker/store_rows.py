"""How journal records are written to the store: rows by the hundred in one statement, the rest one by one.

Every call into SQLite gives up the interpreter's lock and has to win it back from a busy loop, which may take
milliseconds. So what comes per message is gathered.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Final, NamedTuple

from flumebeam.broker.core.journal import (
    BrokerConfigured,
    BrokerUnconfigured,
    Delivered,
    Issued,
    PublisherClosed,
    PublisherMoved,
    PublisherOpened,
    SessionClosed,
    SessionEnded,
    SessionOpened,
    Subscribed,
    Unconfigured,
    Unsubscribed,
)

__all__ = ["DROP_VPN", "STATEMENTS", "Scope", "execute_rows"]

_MAX_ROWS: Final = 256
"""Rows of one statement; SQLite takes 32,766 parameters, and a statement of each size is kept compiled."""


class Scope(NamedTuple):
    """A message VPN: its number in the store, and the numbers of its queues by name."""

    vpn: int
    queues: dict[str, int]


def execute_rows(
    connection: sqlite3.Connection, statement: str, row: str, values: Sequence[Any], *leading: int
) -> None:
    """Carry out a statement for many rows, some hundred at once.

    Args:
        connection: The database.
        statement: With braces where the rows go.
        row: Parameters of one row.
        values: Of all rows, one after the other.
        leading: What comes before the rows each time.
    """
    # In powers of two, so that few different statements are compiled.
    width = row.count("?")
    position, rows = 0, _MAX_ROWS
    while position < len(values):
        while (len(values) - position) // width < rows:
            rows //= 2
        chunk = values[position : position + rows * width]
        connection.execute(statement.format(",".join([row] * rows)), (*leading, *chunk))
        position += rows * width


STATEMENTS: Final[dict[type, tuple[str, Callable[[Any, Scope], tuple[Any, ...]]]]] = {
    Issued: ("UPDATE identity SET message_id = ?, handle = ?", lambda it, scope: tuple(it)),
    BrokerConfigured: (
        "INSERT INTO broker VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET fields = excluded.fields",
        lambda it, scope: (type(it.value).__name__, it.value.name, json.dumps(asdict(it.value))),
    ),
    BrokerUnconfigured: ("DELETE FROM broker WHERE kind = ? AND name = ?", lambda it, scope: tuple(it)),
    Unconfigured: (
        "DELETE FROM setup WHERE vpn = ? AND kind = ? AND name = ?",
        lambda it, scope: (scope.vpn, it.kind, it.name),
    ),
    Subscribed: (
        "INSERT INTO subscriptions (queue, topic, by_client) VALUES (?, ?, ?)",
        lambda it, scope: (scope.queues[it.queue], it.topic, it.by_client),
    ),
    Unsubscribed: (
        "DELETE FROM subscriptions WHERE queue = ? AND topic = ?",
        lambda it, scope: (scope.queues[it.queue], it.topic),
    ),
    Delivered: (
        "UPDATE queues SET delivered_to = ? WHERE id = ?",
        lambda it, scope: (it.message_id, scope.queues[it.queue]),
    ),
    PublisherOpened: (
        "INSERT INTO publishers (name, id, owner, session, eager, vpn) VALUES (?, ?, ?, ?, ?, ?)",
        lambda it, scope: (it.name, it.id, it.owner, it.session, int(it.eager_acks), scope.vpn),
    ),
    # Clients choose these ids, 64 bits without sign, which SQLite's numbers do not hold.
    PublisherMoved: (
        "UPDATE publishers SET last_id = ? WHERE name = ?",
        lambda it, scope: (str(it.last_id), it.name),
    ),
    PublisherClosed: ("DELETE FROM publishers WHERE name = ?", lambda it, scope: tuple(it)),
    SessionOpened: (
        "INSERT INTO sessions (name, id, owner, vpn) VALUES (?, ?, ?, ?)",
        lambda it, scope: (it.name, it.id, it.owner, scope.vpn),
    ),
    SessionEnded: (
        "UPDATE sessions SET current = ?, next = ?, outcome = ? WHERE name = ?",
        lambda it, scope: (*it.transaction, int(it.outcome), it.name),
    ),
    SessionClosed: ("DELETE FROM sessions WHERE name = ?", lambda it, scope: tuple(it)),
}
"""What writes a record that comes alone."""

DROP_VPN: Final = (
    "DELETE FROM publishers WHERE vpn = ?",
    "DELETE FROM sessions WHERE vpn = ?",
    "DELETE FROM setup WHERE vpn = ?",
    "DELETE FROM vpns WHERE id = ?",
)
"""What forgets a message VPN whose queues are gone, given by its number."""
