"""The way out of the broker's database: rows of its tables in, journal records out."""

from __future__ import annotations

import heapq
import itertools
import json
import math
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Final

from flumebeam.broker.core.broker_settings import read_setting
from flumebeam.broker.core.journal import (
    BrokerConfigured,
    Configured,
    Delivered,
    DeliveredAgain,
    InVpn,
    Issued,
    PublisherMoved,
    PublisherOpened,
    QueueSet,
    Record,
    Renumbered,
    SessionEnded,
    SessionOpened,
    Stored,
    Subscribed,
    VpnSet,
)
from flumebeam.broker.core.profiles import read_setup
from flumebeam.broker.core.queue_settings import QueueSettings
from flumebeam.broker.core.spool import SpooledMessage
from flumebeam.broker.core.vpn import VpnSettings
from flumebeam.broker.store_packs import decode_pack
from flumebeam.broker.store_rows import Scope
from flumebeam.smf.assuredctrl import AccessType, SessionState
from flumebeam.smf.pubmsg import MessageTemplate

__all__ = ["read_records"]

_LOADED_AT_ONCE: Final = 1_000


def read_records(connection: sqlite3.Connection, scopes: Mapping[str, Scope]) -> Iterator[Record]:
    """Yield records that make the state, in the order in which :func:`replay` wants them.

    Args:
        connection: The open database.
        scopes: What is known of each message VPN, by name.

    Raises:
        sqlite3.Error, ProtocolError, LookupError, TypeError, ValueError: The database is damaged.
    """
    yield from _identity(connection)
    for name, scope in scopes.items():
        yield InVpn(name)
        yield from _setup(connection, scope.vpn)
    yield from _messages(connection, scopes)
    for name, scope in scopes.items():
        yield InVpn(name)
        yield from _progress(connection, scope.vpn)
        yield from _resumables(connection, scope.vpn)


def _identity(connection: sqlite3.Connection) -> Iterator[Record]:
    run = connection.execute
    yield Issued(*run("SELECT message_id, handle FROM identity").fetchone())
    for kind, fields in run("SELECT kind, fields FROM broker"):
        yield BrokerConfigured(read_setting(kind, json.loads(fields)))
    for name, settings in run("SELECT name, settings FROM vpns WHERE settings IS NOT NULL ORDER BY id"):
        yield VpnSet(name, VpnSettings(**json.loads(settings)))


def _setup(connection: sqlite3.Connection, vpn: int) -> Iterator[Record]:
    run = connection.execute
    for kind, fields in run("SELECT kind, fields FROM setup WHERE vpn = ?", (vpn,)):
        yield Configured(read_setup(kind, json.loads(fields)))
    for name, access, owner, permission, settings in run(
        "SELECT name, access, owner, permission, settings FROM queues WHERE vpn = ? ORDER BY id", (vpn,)
    ):
        yield QueueSet(name, AccessType(access), owner, permission, QueueSettings(**json.loads(settings)))
    for queue, topic, by_client in run(
        "SELECT name, topic, by_client FROM subscriptions JOIN queues ON queues.id = queue WHERE vpn = ? "
        "ORDER BY position",
        (vpn,),
    ):
        yield Subscribed(queue, topic, bool(by_client))


def _messages(connection: sqlite3.Connection, scopes: Mapping[str, Scope]) -> Iterator[Record]:
    homes = {number: (name, queue) for name, scope in scopes.items() for queue, number in scope.queues.items()}
    templates: dict[bytes, MessageTemplate] = {}
    found = heapq.merge(_rows(connection, templates), _packs(connection, templates), key=lambda one: one[0].id)
    for queues, group in itertools.groupby(found, lambda one: one[1]):
        into = [homes[number] for number in queues]
        # No message is in queues of two message VPNs.
        yield InVpn(into[0][0])
        names = tuple(queue for _, queue in into)
        while chunk := [message for message, _ in itertools.islice(group, _LOADED_AT_ONCE)]:
            yield Stored(chunk, names)


def _rows(
    connection: sqlite3.Connection, templates: dict[bytes, MessageTemplate]
) -> Iterator[tuple[SpooledMessage, tuple[int, ...]]]:
    for *fields, queues in connection.execute(
        "SELECT id, head, summary, body, arrived, group_concat(queue) FROM messages JOIN entries ON message = id "
        "GROUP BY id ORDER BY id"
    ):
        yield _message(templates, *fields), tuple(sorted(map(int, queues.split(","))))


def _packs(
    connection: sqlite3.Connection, templates: dict[bytes, MessageTemplate]
) -> Iterator[tuple[SpooledMessage, tuple[int, ...]]]:
    for first, content in connection.execute("SELECT first, content FROM packs ORDER BY first"):
        held = [
            (queue, int.from_bytes(bits, "little"))
            for queue, bits in connection.execute(
                "SELECT queue, bits FROM held WHERE pack = ? ORDER BY queue", (first,)
            )
        ]
        for message in decode_pack(first, content, templates):
            offset = message.id - first
            queues = tuple([queue for queue, bits in held if bits >> offset & 1])
            if queues:
                yield message, queues


def _progress(connection: sqlite3.Connection, vpn: int) -> Iterator[Record]:
    run = connection.execute
    for name, delivered_to in run("SELECT name, delivered_to FROM queues WHERE vpn = ? AND delivered_to > 0", (vpn,)):
        yield Delivered(name, delivered_to)
    for record, statement in (
        (
            Renumbered,
            "SELECT name, message, delivery FROM marks JOIN queues ON queues.id = queue "
            "WHERE vpn = ? AND delivery IS NOT NULL ORDER BY queue, message",
        ),
        (
            DeliveredAgain,
            "SELECT name, message, deliveries FROM marks JOIN queues ON queues.id = queue "
            "WHERE vpn = ? AND deliveries IS NOT NULL ORDER BY queue, message",
        ),
    ):
        for name, rows in itertools.groupby(run(statement, (vpn,)), lambda row: row[0]):
            yield record(name, [(message, value) for _, message, value in rows])


def _resumables(connection: sqlite3.Connection, vpn: int) -> Iterator[Record]:
    run = connection.execute
    for name, number, owner, current, following, outcome in run(
        "SELECT name, id, owner, current, next, outcome FROM sessions WHERE vpn = ? ORDER BY rowid", (vpn,)
    ):
        yield SessionOpened(name, number, owner)
        if outcome is not None:
            yield SessionEnded(name, (current, following), SessionState(outcome))
    for name, number, owner, session, eager, last_id in run(
        "SELECT name, id, owner, session, eager, last_id FROM publishers WHERE vpn = ? ORDER BY rowid", (vpn,)
    ):
        yield PublisherOpened(name, number, owner, session, bool(eager))
        if last_id is not None:
            yield PublisherMoved(name, int(last_id))


def _message(
    templates: dict[bytes, MessageTemplate],
    message_id: int,
    head: bytes,
    summary: bytes,
    body: bytes,
    arrived: float | None,
) -> SpooledMessage:
    template = templates.get(head)
    if template is None:
        template = templates[head] = MessageTemplate(head)
    return SpooledMessage(message_id, template, summary, body, math.inf if arrived is None else arrived)
