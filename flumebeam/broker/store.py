"""The broker's durable state in a SQLite database: journal records in, journal records out.

SQLite is in the standard library, its write-ahead log with ``synchronous=FULL`` makes a commit durable with one sync,
and it repairs itself after a crash at any point. The tables hold the state, not the journal, so nothing has to be
compacted and a start reads only what is there.

Commits come from a worker thread beside a busy loop, everything else while no commit is under way.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Final, Self

from flumebeam.broker.core.journal import (
    Configured,
    DeliveredAgain,
    InVpn,
    QueueDeleted,
    QueueSet,
    Record,
    Removed,
    Renumbered,
    Replayed,
    Stored,
    VpnDeleted,
    VpnSet,
)
from flumebeam.broker.core.profiles import Setup
from flumebeam.broker.store_holdings import Holdings
from flumebeam.broker.store_reading import read_records
from flumebeam.broker.store_rows import DROP_VPN, STATEMENTS, Scope
from flumebeam.broker.store_schema import TABLES, VERSION, upgrade
from flumebeam.errors import ConfigurationError, ProtocolError, StorageError, StorageFullError

__all__ = ["FILE_NAME", "Store"]

FILE_NAME: Final = "broker.sqlite"
_APPLICATION: Final = 0x666C756D
"""Says that a database is a flumebeam broker's: SQLite's own field for that."""
_LOCK_SECONDS: Final = 1.0
"""How long a broker that was just killed may take to be gone."""
_PAGE_BYTES: Final = 16_384
"""Four times SQLite's own: a message of 64 kB then costs half, and one of 200 bytes the same (measured)."""
_LOG_PAGES: Final = 4_096
"""Pages of the write-ahead log, 64 MB, after which the database itself is written. With SQLite's own 1,000 nearly every
page of a busy queue is written there as well, although the next messages overwrite it: a quarter of a commit.
"""
_CACHE_KIB: Final = 32_768
"""What of the database is kept in memory: transactions of some megabytes, where SQLite's own 2 MB are read again."""
_FIRST: Final = 1
"""Number of the first message VPN."""


class Store:
    """The database of one broker. No other broker can open it meanwhile.

    Args:
        directory: Where it is.
        connection: The open database.
    """

    def __init__(self, directory: Path, connection: sqlite3.Connection) -> None:
        self._directory = directory
        self._connection = connection
        self._scopes: dict[str, Scope]
        """What is known of each message VPN."""
        self._holdings: Holdings
        self._last_queue: int
        self._look()
        self.spooler_id, self._vpn = connection.execute("SELECT spooler_id, vpn FROM identity").fetchone()
        """Identity of the message spool that it holds, and the first message VPN."""

    def _look(self) -> None:
        """Find out what is there, at the start and after what failed."""
        run = self._connection.execute
        self._scopes = {
            name: Scope(number, dict(run("SELECT name, id FROM queues WHERE vpn = ?", (number,))))
            for number, name in run("SELECT id, name FROM vpns").fetchall()
        }
        (self._last_queue,) = run("SELECT coalesce(max(id), 0) FROM queues").fetchone()
        self._holdings = Holdings(self._connection)
        self._holdings.load()

    @classmethod
    def open(cls, directory: Path, vpn: str, spooler_id: int) -> Self:
        """Open the database in a directory, and create what is not there.

        Args:
            directory: Created if it does not exist.
            vpn: Name of the broker's first message VPN.
            spooler_id: Identity of the message spool, if it is new.

        Raises:
            ConfigurationError: It cannot be created or read, is damaged, was written by a newer version, has another
                first message VPN, or is in use by another broker.
        """
        file = directory / FILE_NAME
        try:
            directory.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(file, _LOCK_SECONDS, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise ConfigurationError(
                f"The broker cannot keep its data in {directory} ({error}); choose a directory that it may write to."
            ) from error
        try:
            _prepare(connection, directory, vpn, spooler_id)
            return cls(directory, connection)
        except sqlite3.Error as error:
            connection.close()
            raise _refusal(directory, error) from error
        except ConfigurationError:
            connection.close()
            raise

    @classmethod
    def in_memory(cls, vpn: str, spooler_id: int) -> Self:
        """Return an empty database that ends with its process; the arguments are those of :meth:`open`."""
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        _prepare(connection, Path(), vpn, spooler_id)
        return cls(Path(), connection)

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def free_bytes(self) -> int:
        """Return what room the disk has.

        Raises:
            StorageError: The directory is not there any more.
        """
        try:
            return shutil.disk_usage(self._directory).free
        except OSError as error:
            raise StorageError(f"The broker's directory {self._directory} is lost: {error}.") from error

    # In

    def commit(self, records: Iterable[Record]) -> None:
        """Make records durable, all or none.

        Raises:
            StorageFullError: The disk or a quota is full. Nothing has changed.
            StorageError: The database failed otherwise.
        """
        run = self._connection.execute
        try:
            run("BEGIN IMMEDIATE")
            self._apply(records)
            run("COMMIT")
        except sqlite3.Error as error:
            known = self._undo()
            text = f"The broker cannot write its data in {self._directory}: {error}"
            if _code(error) == sqlite3.SQLITE_FULL and known:
                raise StorageFullError(f"{text}; make room on that disk.") from error
            raise StorageError(f"{text}.") from error

    def replace(self, spooler_id: int, records: Iterable[Record]) -> None:
        """Forget everything, take another identity, and make records durable instead, all or none.

        Raises:
            StorageError: The database failed. Nothing has changed.
        """
        run = self._connection.execute
        try:
            run("BEGIN IMMEDIATE")
            for table in TABLES:
                run(f"DELETE FROM {table}")  # noqa: S608 - names of our own
            _begin(self._connection, spooler_id, self._vpn)
            self._look()
            self._apply(records)
            run("COMMIT")
        except sqlite3.Error as error:
            self._undo()
            raise StorageError(f"The broker cannot replace its data in {self._directory}: {error}.") from error
        self.spooler_id = spooler_id

    def _undo(self) -> bool:
        """Roll back, and return whether what is there can still be read."""
        with contextlib.suppress(sqlite3.Error):  # SQLite may have rolled back by itself
            self._connection.execute("ROLLBACK")
        try:
            self._look()
        except (sqlite3.Error, LookupError):
            return False
        return True

    def _apply(self, records: Iterable[Record]) -> None:
        holdings = self._holdings
        scope = self._scopes[self._vpn]
        for record in records:
            if isinstance(record, Stored):
                holdings.arrive(record.messages, tuple([scope.queues[name] for name in record.queues]))
            elif isinstance(record, Removed):
                holdings.depart(scope.queues[record.queue], record.message_ids)
            elif isinstance(record, InVpn):
                scope = self._scopes[record.name]
            elif isinstance(record, QueueDeleted):
                # Its name may come again, its number does not.
                self._drop_queue(scope.queues.pop(record.name))
            elif isinstance(record, Renumbered):
                holdings.mark(scope.queues[record.queue], record.ids, counts=False)
            elif isinstance(record, DeliveredAgain):
                holdings.mark(scope.queues[record.queue], record.counts, counts=True)
            elif isinstance(record, Replayed):
                holdings.come_again(scope.queues[record.queue], record.message_ids)
            elif isinstance(record, QueueSet):
                self._set_queue(scope, record)
            elif isinstance(record, Configured):
                self._configure(scope, record.value)
            elif isinstance(record, VpnSet):
                self._set_vpn(record)
            elif isinstance(record, VpnDeleted):
                self._drop_vpn(self._scopes.pop(record.name).vpn)
            else:
                statement, parameters = STATEMENTS[type(record)]
                self._connection.execute(statement, parameters(record, scope))
        holdings.write()

    def _set_vpn(self, record: VpnSet) -> None:
        scope = self._scopes.get(record.name)
        if scope is None:
            # Numbers come again: nothing of a message VPN outlives it.
            number = max((other.vpn for other in self._scopes.values()), default=0) + 1
            scope = self._scopes[record.name] = Scope(number, {})
        self._connection.execute(
            "INSERT INTO vpns VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET settings = excluded.settings",
            (scope.vpn, record.name, json.dumps(asdict(record.settings))),
        )

    def _configure(self, scope: Scope, value: Setup) -> None:
        self._connection.execute(
            "INSERT INTO setup VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET fields = excluded.fields",
            (scope.vpn, type(value).__name__, value.name, json.dumps(asdict(value))),
        )

    def _drop_vpn(self, number: int) -> None:
        for statement in DROP_VPN:
            self._connection.execute(statement, (number,))

    def _set_queue(self, scope: Scope, record: QueueSet) -> None:
        if record.name not in scope.queues:
            self._last_queue += 1
            scope.queues[record.name] = self._last_queue
        self._connection.execute(
            "INSERT INTO queues (id, vpn, name, access, owner, permission, settings) VALUES (?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET access = excluded.access, owner = excluded.owner, "
            "permission = excluded.permission, settings = excluded.settings",
            (
                scope.queues[record.name],
                scope.vpn,
                record.name,
                int(record.access),
                record.owner,
                int(record.permission),
                json.dumps(asdict(record.settings)),
            ),
        )

    def _drop_queue(self, number: int) -> None:
        self._connection.execute("DELETE FROM subscriptions WHERE queue = ?", (number,))
        self._connection.execute("DELETE FROM queues WHERE id = ?", (number,))

    # Out

    def records(self) -> Iterator[Record]:
        """Yield records that make the state, in the order in which :func:`replay` wants them.

        Raises:
            ConfigurationError: The database is damaged.
        """
        try:
            yield from read_records(self._connection, self._scopes)
        except (sqlite3.Error, ProtocolError, LookupError, TypeError, ValueError) as error:
            raise self.damaged(error) from error

    def damaged(self, error: Exception) -> ConfigurationError:
        """Return what a user is told when what was read makes no sense."""
        return _refusal(self._directory, error)


def _prepare(connection: sqlite3.Connection, directory: Path, vpn: str, spooler_id: int) -> None:
    run = connection.execute
    # In this mode the lock is held until the end, and nothing is shared with other processes.
    run("PRAGMA locking_mode = EXCLUSIVE")
    (application,), (version,) = run("PRAGMA application_id").fetchone(), run("PRAGMA user_version").fetchone()
    (tables,) = run("SELECT count(*) FROM sqlite_schema").fetchone()
    if application != _APPLICATION and (application or tables):
        raise ConfigurationError(f"{directory / FILE_NAME} is not a broker's database; choose another directory.")
    if version > VERSION:
        raise ConfigurationError(
            f"The broker's data in {directory} was written by a newer flumebeam (format {version}, this one knows "
            f"{VERSION}); use that version, or choose another directory."
        )
    run(f"PRAGMA page_size = {_PAGE_BYTES}")  # of a new database; an older one keeps what it has
    run("PRAGMA journal_mode = WAL")
    run("PRAGMA synchronous = FULL")
    run(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
    run(f"PRAGMA cache_size = -{_CACHE_KIB}")
    run("BEGIN IMMEDIATE")
    upgrade(connection, version)
    if not tables:
        _begin(connection, spooler_id, vpn)
        run(f"PRAGMA application_id = {_APPLICATION}")
    run("COMMIT")
    (found,) = run("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise sqlite3.DatabaseError(found)
    (owner,) = run("SELECT vpn FROM identity").fetchone()
    if owner != vpn:
        raise ConfigurationError(
            f"The broker's data in {directory} belongs to the message VPN {owner}, not {vpn}; choose another directory."
        )


def _begin(connection: sqlite3.Connection, spooler_id: int, vpn: str) -> None:
    connection.execute("INSERT INTO identity VALUES (?, ?, 0, 0)", (spooler_id, vpn))
    connection.execute("INSERT INTO vpns VALUES (?, ?, NULL)", (_FIRST, vpn))


def _refusal(directory: Path, error: Exception) -> ConfigurationError:
    code = _code(error)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        text = f"The broker's data in {directory} is in use by another broker; stop it, or choose another directory."
    elif code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_PERM):
        text = f"The broker cannot keep its data in {directory} ({error}); make it writable, or choose another one."
    else:
        text = f"The broker's data in {directory} is damaged ({error}); restore it, or choose another directory."
    return ConfigurationError(text)


def _code(error: Exception) -> int:
    extended: int | None = getattr(error, "sqlite_errorcode", None)
    return sqlite3.SQLITE_OK if extended is None else extended & 0xFF
