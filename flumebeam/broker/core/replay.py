"""A broker's state from the records that a store gives back: what is there, never what has gone.

A store hands over its content in an order in which everything comes after what it refers to: what was issued, message
VPNs, queues with their subscriptions, messages by id, then what happened to them, sessions, publisher flows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from flumebeam.broker.core.access import initial_setup, take_setup
from flumebeam.broker.core.host import Host
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
from flumebeam.broker.core.publishers import PublisherFlow
from flumebeam.broker.core.queue_settings import Permission
from flumebeam.broker.core.replay_log import LOG_PREFIX
from flumebeam.broker.core.transactions import TransactedSession
from flumebeam.broker.core.vpn import Vpn
from flumebeam.broker.core.vpns import add_vpn, configure_vpn

__all__ = ["replay"]


def replay(host: Host, records: Iterable[Record], now: float) -> set[str]:
    """Build up the state of a broker in which nothing has happened yet, and return the message VPNs that were found.

    The clients of all publisher flows and sessions are away, and have their usual time to come back.

    Args:
        host: The broker.
        records: What a store gives back.
        now: Time, seconds of the shell's clock.

    Raises:
        LookupError: A record refers to something that no record before it has made.
        TypeError: A record tells of something that has gone.
        ValueError: A record holds a value that does not exist.
    """
    vpn = host.vpns[host.config.vpn]
    found = set()
    for record in records:
        if isinstance(record, InVpn):
            vpn = host.vpns[record.name]
        elif isinstance(record, VpnSet):
            _vpn_set(host, record, now)
            found.add(record.name)
        elif isinstance(record, BrokerConfigured):
            host.settings.take(record.value)
        elif isinstance(record, Issued):
            host.ids.last = max(host.ids.last, record.message_id)
            host.last_handle = record.handle
        else:
            handler = _HANDLERS.get(type(record))
            if handler is None:
                raise TypeError(f"{type(record).__name__} records are not part of a state.")
            handler(vpn, record)
    return found


def _vpn_set(host: Host, record: VpnSet, now: float) -> None:
    vpn = host.vpns.get(record.name)
    if vpn is None:
        add_vpn(host, record.name, record.settings, initial_setup(host.config, {}), now)
    else:
        configure_vpn(vpn, record.settings)


def _configured(vpn: Vpn, record: Configured) -> None:
    take_setup(vpn, record.value)


def _queue_set(vpn: Vpn, record: QueueSet) -> None:
    if record.name.startswith(LOG_PREFIX):
        vpn.put_log(record.name.removeprefix(LOG_PREFIX), record.settings)
        return
    vpn.add_queue(record.name, record.access, record.owner, Permission(record.permission), settings=record.settings)


def _subscribed(vpn: Vpn, record: Subscribed) -> None:
    queue = vpn.queues[record.queue]
    queue.subscriptions[record.topic] = not record.by_client
    vpn.routes.add(record.topic, queue)


def _stored(vpn: Vpn, record: Stored) -> None:
    size = sum(vpn.spool.adopt(message, len(record.queues)) for message in record.messages)
    for name in record.queues:
        vpn.holder(name).extend(record.messages, size)


def _delivered(vpn: Vpn, record: Delivered) -> None:
    queue = vpn.queues[record.queue]
    queue.delivered_to = queue.noted_to = record.message_id
    for entry in queue.waiting():
        if entry.message.id > record.message_id:
            break
        entry.deliveries = 1


def _delivered_again(vpn: Vpn, record: DeliveredAgain) -> None:
    counts = dict(record.counts)
    for entry in vpn.queues[record.queue].waiting():
        entry.deliveries = counts.get(entry.message.id, entry.deliveries)


def _renumbered(vpn: Vpn, record: Renumbered) -> None:
    delivery_ids = dict(record.ids)
    for entry in vpn.queues[record.queue].waiting():
        entry.delivery_id = delivery_ids.get(entry.message.id, entry.delivery_id)


def _session_opened(vpn: Vpn, record: SessionOpened) -> None:
    config = vpn.config
    session = TransactedSession(
        record.id, record.name, record.owner, config.max_transaction_messages, config.max_transaction_bytes
    )
    session.interrupt()
    vpn.sessions.keep(record.name, session)
    vpn.sessions.leave(record.name, vpn.now)


def _session_ended(vpn: Vpn, record: SessionEnded) -> None:
    vpn.sessions[record.name].remember(record.transaction, record.outcome)


def _publisher_opened(vpn: Vpn, record: PublisherOpened) -> None:
    session = None if record.session is None else vpn.sessions[record.session]
    flow = PublisherFlow(record.id, record.name, record.owner, session, record.eager_acks)
    if session is not None:
        session.publisher = flow
    vpn.publishers.keep(record.name, flow)
    vpn.publishers.leave(record.name, vpn.now)


def _publisher_moved(vpn: Vpn, record: PublisherMoved) -> None:
    vpn.publishers[record.name].resume_after(record.last_id)


_HANDLERS: Final[dict[type, Callable[[Vpn, Any], None]]] = {
    Configured: _configured,
    QueueSet: _queue_set,
    Subscribed: _subscribed,
    Stored: _stored,
    Delivered: _delivered,
    DeliveredAgain: _delivered_again,
    Renumbered: _renumbered,
    SessionOpened: _session_opened,
    SessionEnded: _session_ended,
    PublisherOpened: _publisher_opened,
    PublisherMoved: _publisher_moved,
}
