"""The tables of the broker's database, and how one of an older version becomes one of this."""

from __future__ import annotations

import sqlite3
from typing import Final

__all__ = ["TABLES", "VERSION", "upgrade"]

_STEPS: Final = (
    """
    CREATE TABLE identity (spooler_id INTEGER NOT NULL, vpn TEXT NOT NULL, message_id INTEGER NOT NULL,
        handle INTEGER NOT NULL) STRICT;
    CREATE TABLE queues (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, access INTEGER NOT NULL, owner TEXT,
        permission INTEGER NOT NULL, settings TEXT NOT NULL, delivered_to INTEGER NOT NULL DEFAULT 0) STRICT;
    CREATE TABLE subscriptions (position INTEGER PRIMARY KEY, queue TEXT NOT NULL, topic TEXT NOT NULL,
        UNIQUE (queue, topic)) STRICT;
    CREATE TABLE messages (id INTEGER PRIMARY KEY, head BLOB NOT NULL, summary BLOB NOT NULL,
        body BLOB NOT NULL) STRICT;
    CREATE TABLE entries (message INTEGER NOT NULL, queue INTEGER NOT NULL, delivery INTEGER,
        PRIMARY KEY (message, queue)) STRICT, WITHOUT ROWID;
    CREATE TABLE publishers (name TEXT PRIMARY KEY, id INTEGER NOT NULL, owner TEXT NOT NULL, session TEXT,
        eager INTEGER NOT NULL, last_id TEXT) STRICT;
    CREATE TABLE sessions (name TEXT PRIMARY KEY, id INTEGER NOT NULL, owner TEXT NOT NULL, current INTEGER,
        next INTEGER, outcome INTEGER) STRICT;
    """,
    # Several message VPNs. The first one has number 1 and the name in identity, and settings once they are changed.
    """
    CREATE TABLE vpns (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, settings TEXT) STRICT;
    ALTER TABLE queues RENAME TO former_queues;
    CREATE TABLE queues (id INTEGER PRIMARY KEY, vpn INTEGER NOT NULL, name TEXT NOT NULL, access INTEGER NOT NULL,
        owner TEXT, permission INTEGER NOT NULL, settings TEXT NOT NULL, delivered_to INTEGER NOT NULL DEFAULT 0,
        UNIQUE (vpn, name)) STRICT;
    INSERT INTO queues SELECT id, 1, name, access, owner, permission, settings, delivered_to FROM former_queues;
    ALTER TABLE subscriptions RENAME TO former_subscriptions;
    CREATE TABLE subscriptions (position INTEGER PRIMARY KEY, queue INTEGER NOT NULL, topic TEXT NOT NULL,
        UNIQUE (queue, topic)) STRICT;
    INSERT INTO subscriptions SELECT position, id, topic FROM former_subscriptions JOIN former_queues ON queue = name;
    DROP TABLE former_subscriptions;
    DROP TABLE former_queues;
    ALTER TABLE publishers ADD COLUMN vpn INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE sessions ADD COLUMN vpn INTEGER NOT NULL DEFAULT 1;
    INSERT INTO vpns SELECT 1, vpn, NULL FROM identity;
    """,
    # How often a message was delivered, and when it came.
    """
    ALTER TABLE entries ADD COLUMN deliveries INTEGER;
    ALTER TABLE messages ADD COLUMN arrived REAL;
    """,
    # Client usernames and profiles. Passwords are in clear: this is a development broker.
    """
    CREATE TABLE setup (vpn INTEGER NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, fields TEXT NOT NULL,
        PRIMARY KEY (vpn, kind, name)) STRICT, WITHOUT ROWID;
    """,
    # Whether a client added a subscription, and not an administrator.
    """
    ALTER TABLE subscriptions ADD COLUMN by_client INTEGER NOT NULL DEFAULT 0;
    """,
    # What the broker as a whole is set up with; in setup there are templates of endpoints from here on.
    """
    CREATE TABLE broker (kind TEXT NOT NULL, name TEXT NOT NULL, fields TEXT NOT NULL,
        PRIMARY KEY (kind, name)) STRICT, WITHOUT ROWID;
    """,
    # Many messages in one row, and a bit for each of them that a queue holds, counted from the first id. What is known
    # of few of a queue's messages has a table of its own.
    """
    CREATE TABLE packs (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, messages INTEGER NOT NULL,
        content BLOB NOT NULL) STRICT;
    CREATE TABLE held (pack INTEGER NOT NULL, queue INTEGER NOT NULL, bits BLOB NOT NULL,
        PRIMARY KEY (pack, queue)) STRICT, WITHOUT ROWID;
    CREATE TABLE marks (queue INTEGER NOT NULL, message INTEGER NOT NULL, delivery INTEGER, deliveries INTEGER,
        PRIMARY KEY (queue, message)) STRICT, WITHOUT ROWID;
    INSERT INTO marks SELECT queue, message, delivery, deliveries FROM entries
        WHERE delivery IS NOT NULL OR deliveries IS NOT NULL;
    ALTER TABLE entries RENAME TO former_entries;
    CREATE TABLE entries (message INTEGER NOT NULL, queue INTEGER NOT NULL,
        PRIMARY KEY (message, queue)) STRICT, WITHOUT ROWID;
    INSERT INTO entries SELECT message, queue FROM former_entries;
    DROP TABLE former_entries;
    """,
)
"""What makes each version out of the one before, the first out of nothing. A step is never changed, only followed."""

VERSION: Final = len(_STEPS)
"""Version of the format that this code reads and writes."""
TABLES: Final = (
    "identity",
    "broker",
    "vpns",
    "setup",
    "queues",
    "subscriptions",
    "messages",
    "entries",
    "packs",
    "held",
    "marks",
    "publishers",
    "sessions",
)


def upgrade(connection: sqlite3.Connection, version: int) -> None:
    """Make a database of this version out of one of an older version, 0 for an empty one, in the open transaction."""
    for step in _STEPS[version:]:
        for statement in filter(str.strip, step.split(";")):
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {VERSION}")
