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
from flumebeam.broker.core.spool import SpooledMessage

__all__ = ["DROP_VPN", "STATEMENTS", "Arrivals", "Departures", "Scope"]

_MAX_ROWS: Final = 256
"""Rows of one statement; SQLite takes 32,766 parameters, and a statement of each size is kept compiled."""


class Scope(NamedTuple):
    """A message VPN: its number in the store, and the numbers of its queues by name."""

    vpn: int
    queues: dict[str, int]


class Arrivals:
    """Messages that came, to be written together."""

    def __init__(self) -> None:
        self._messages: list[Any] = []
        self._entries: list[Any] = []

    def add(self, messages: Sequence[SpooledMessage], queues: Sequence[int]) -> None:
        """Gather messages that went into these queues, given by their numbers in the store."""
        for message in messages:
            self._messages += (message.id, message.template.head(), message.summary, message.body, message.arrived)
            for queue in queues:
                self._entries += (message.id, queue)

    def write(self, connection: sqlite3.Connection) -> None:
        """Write what was gathered, and begin anew."""
        _execute(connection, "INSERT INTO messages VALUES {}", "(?,?,?,?,?)", self._messages)
        _execute(connection, "INSERT INTO entries (message, queue) VALUES {}", "(?,?)", self._entries)
        self._messages.clear()
        self._entries.clear()


class Departures:
    """Messages that left their queues, to be deleted together."""

    def __init__(self) -> None:
        self._queues: dict[int, list[int]] = {}

    def add(self, queue: int, messages: Sequence[int]) -> None:
        """Gather messages that left a queue, given by their ids."""
        self._queues.setdefault(queue, []).extend(messages)

    def write(self, connection: sqlite3.Connection) -> None:
        """Write what was gathered, and begin anew."""
        for queue, messages in self._queues.items():
            # Asked for as pairs, SQLite would search all entries.
            _execute(
                connection, "DELETE FROM entries WHERE queue = ? AND message IN (VALUES {})", "(?)", messages, queue
            )
        for messages in self._queues.values():
            _execute(
                connection,
                "DELETE FROM messages WHERE id IN (VALUES {}) "
                "AND NOT EXISTS (SELECT 1 FROM entries WHERE message = id)",
                "(?)",
                messages,
            )
        self._queues.clear()


def _execute(connection: sqlite3.Connection, statement: str, row: str, values: list[Any], *leading: int) -> None:
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
