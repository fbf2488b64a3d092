"""The broker's core: connections, bytes and the time in; connections with output or a wish to be closed out.

The shell calls :meth:`Engine.connect`, :meth:`Engine.receive`, :meth:`Engine.writable`, :meth:`Engine.disconnect` and
:meth:`Engine.tick`, and after each of them takes :meth:`Engine.take_pending` and writes what these connections have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from flumebeam.broker.config import BrokerConfig
from flumebeam.broker.core.connection import Connection, ConnectionState
from flumebeam.broker.core.consuming import handle_ack, handle_bind, handle_unbind
from flumebeam.broker.core.journal import Issued, PublisherMoved, Record
from flumebeam.broker.core.login import handle_client_control
from flumebeam.broker.core.provisioning import (
    handle_create,
    handle_delete,
    handle_subscription,
    invalid_queue_name,
    subscribe_queue,
)
from flumebeam.broker.core.publishing import (
    acknowledge,
    handle_close_publisher,
    handle_message,
    handle_open_publisher,
)
from flumebeam.broker.core.queues import Permission, QueueStatus
from flumebeam.broker.core.replay import replay
from flumebeam.broker.core.spool import Spool
from flumebeam.broker.core.transacting import handle_transaction
from flumebeam.broker.core.vpn import OK, Vpn
from flumebeam.broker.faults import FaultPlan
from flumebeam.errors import ConfigurationError, ProtocolError, QueueError
from flumebeam.smf.assuredctrl import AccessType, AssuredControl, AssuredKind
from flumebeam.smf.clientctrl import ClientControl
from flumebeam.smf.header import Frame, Protocol
from flumebeam.smf.messages import KeepAlive, decode_frame
from flumebeam.smf.subctrl import SubscriptionControl

__all__ = ["Engine"]

Handler = Callable[[Vpn, Connection, Any], None]

_ROOM_FOR_STRANGERS: Final = 2
"""Connections beyond the limit are accepted, to be told at login, up to this multiple of the limit."""
_MESSAGE: Final = int(Protocol.MESSAGE)
_RESERVED_IDS: Final = 1 << 20
_RESERVED_HANDLES: Final = 1 << 10
"""Reserved ahead in the journal, so that most events need no record of what they gave out."""
ACCESS: Final = {"exclusive": AccessType.EXCLUSIVE, "non-exclusive": AccessType.NON_EXCLUSIVE}
PERMISSIONS: Final = {permission.name.lower().replace("_", "-"): permission for permission in Permission}


def _ignore(vpn: Vpn, connection: Connection, message: object) -> None:
    """The client's confirmation of a flow change needs no action."""


def _keepalive(vpn: Vpn, connection: Connection, message: KeepAlive) -> None:
    connection.send(message)


def _assured(vpn: Vpn, connection: Connection, message: AssuredControl) -> None:
    _ASSURED_HANDLERS[message.kind](vpn, connection, message)


_ASSURED_HANDLERS: Final[dict[AssuredKind, Handler]] = {
    AssuredKind.OPEN_PUBLISHER: handle_open_publisher,
    AssuredKind.CLOSE_PUBLISHER: handle_close_publisher,
    AssuredKind.ACK: handle_ack,
    AssuredKind.BIND: handle_bind,
    AssuredKind.UNBIND: handle_unbind,
    AssuredKind.CREATE: handle_create,
    AssuredKind.DELETE: handle_delete,
    AssuredKind.TRANSACTION: handle_transaction,
    AssuredKind.FLOW_CHANGE: _ignore,
}
_HANDLERS: Final[dict[type, Handler]] = {
    ClientControl: handle_client_control,
    SubscriptionControl: handle_subscription,
    AssuredControl: _assured,
    KeepAlive: _keepalive,
}
_BEFORE_LOGIN: Final = frozenset((ClientControl, KeepAlive))


class Engine:
    """One broker without its sockets.

    Args:
        config: Limits and defaults.
        faults: What is to go wrong.
        spooler_id: Identity of the message spool, drawn at random for each broker without memory of another.
        epoch_ms: Time of its creation, milliseconds since 1970 UTC; message ids start from it.
        report: Told of logins, binds and the like, one readable line each.
    """

    def __init__(
        self,
        config: BrokerConfig,
        faults: FaultPlan,
        spooler_id: int,
        epoch_ms: int,
        report: Callable[[str], None],
    ) -> None:
        self._config = config
        self._report = report
        self._vpn = Vpn(config, Spool(spooler_id, epoch_ms), faults, report)
        self._issued = Issued(0, 0)

    # Events of the shell

    def connect(self, now: float, peer: str) -> Connection:
        """Return the state of a new connection."""
        connection = Connection(self._config, self._vpn.pending, now, peer)
        self._vpn.connections.add(connection)
        if len(self._vpn.connections) > self._config.max_connections * _ROOM_FOR_STRANGERS:
            connection.close()
        return connection

    def receive(self, connection: Connection, data: bytes, now: float) -> None:
        """Take bytes from a client. Bytes that break the protocol close the connection, whatever they are."""
        vpn = self._vpn
        vpn.now = connection.heard_at = now
        try:
            for frame in connection.reader.receive(data):
                if frame[0][1] & 0x3F == _MESSAGE and connection.state is ConnectionState.LOGGED_IN:
                    handle_message(vpn, connection, frame)
                else:
                    self._dispatch(connection, frame)
        except ProtocolError as error:
            self._report(f"{connection.client_name or connection.peer} broke the protocol: {error}")
            connection.close()
        for flow in connection.acks_due:
            vpn.note(PublisherMoved(flow.name, flow.last_id))
            acknowledge(vpn, connection, flow, flow.last_id)
        connection.acks_due.clear()
        vpn.settle()

    def _dispatch(self, connection: Connection, frame: Frame) -> None:
        if connection.state is ConnectionState.CLOSING:
            return
        message = decode_frame(frame)
        kind = type(message)
        if connection.state is ConnectionState.CONNECTED and kind not in _BEFORE_LOGIN:
            raise ProtocolError("The first message must be a login.")
        _HANDLERS[kind](self._vpn, connection, message)

    def writable(self, connection: Connection, writable: bool, now: float) -> None:
        """Note whether a client keeps up with reading, and go on delivering if it does again."""
        connection.writable = writable
        if writable and connection.starved:
            connection.starved = False
            self._vpn.now = now
            self._vpn.touch(flow.queue for flow in connection.consumers.values())
            self._vpn.settle()

    def disconnect(self, connection: Connection, now: float) -> None:
        """Note that a connection is gone."""
        self._vpn.now = now
        self._vpn.drop(connection)
        connection.state = ConnectionState.CLOSING
        self._vpn.pending.discard(connection)
        self._vpn.settle()

    def tick(self, now: float) -> None:
        """Do what only time asks for: close silent connections, forget what nobody came back for."""
        vpn = self._vpn
        vpn.now = now
        for connection in vpn.connections:
            if now - connection.heard_at > connection.silence_limit:
                self._report(f"{connection.client_name or connection.peer} was silent for too long")
                connection.close()
        vpn.expire()
        vpn.settle()

    def excuse_silence(self, now: float) -> None:
        """Start all time-outs of silence again, after a time in which nobody could be heard."""
        for connection in self._vpn.connections:
            connection.heard_at = now

    def take_pending(self) -> Iterable[Connection]:
        """Return the connections that have output or are to be closed, and forget them."""
        pending = list(self._vpn.pending)
        self._vpn.pending.clear()
        return pending

    # Durability

    def restore(self, records: Iterable[Record], now: float) -> None:
        """Take over what an earlier life has made durable, before anything else, and keep a journal from now on.

        Raises:
            LookupError, TypeError, ValueError: The records make no consistent state.
        """
        vpn = self._vpn
        vpn.now = now
        replay(vpn, records)
        vpn.spool.journal = []

    def take_journal(self) -> list[Record]:
        """Return what has changed since the last call, empty if no journal is kept.

        What the core has put out until now may be sent when these records, and those taken before, are durable.
        """
        vpn, spool = self._vpn, self._vpn.spool
        if spool.journal is None:
            return []
        records, spool.journal = spool.journal, []
        if spool.last_id > self._issued.message_id or vpn.last_handle > self._issued.handle:
            self._issued = Issued(spool.last_id + _RESERVED_IDS, vpn.last_handle + _RESERVED_HANDLES)
            records.append(self._issued)
        return records

    def refuse_storage(self, refused: bool) -> None:
        """Refuse, or accept again, whatever would add to the spool."""
        self._vpn.storage_full = refused

    # Administration

    @property
    def vpn(self) -> Vpn:
        """The message VPN, for administration: whoever changes it calls :meth:`Vpn.settle` and has output flushed."""
        return self._vpn

    def copy_queues(self, former: Engine) -> None:
        """Create the durable queues that another broker has, without their messages, and its usernames."""
        self._vpn.users = dict(former._vpn.users)
        for queue in former._vpn.queues.values():
            if queue.durable:
                copy = self._vpn.add_queue(
                    queue.name, queue.access, queue.owner, queue.permission, settings=queue.settings
                )
                for topic in queue.subscriptions:
                    subscribe_queue(self._vpn, copy, topic)

    def clients(self) -> dict[str, Connection]:
        """Return the connections by client name."""
        return self._vpn.clients

    def create_queue(
        self,
        name: str,
        access: str,
        subscriptions: Iterable[str],
        owner: str | None = None,
        permission: str = "delete",
    ) -> None:
        """Create a durable queue, or add subscriptions to one that exists.

        Args:
            name: 1 to 200 bytes.
            access: ``"exclusive"`` or ``"non-exclusive"``.
            subscriptions: Topics that feed it.
            owner: Username that may do everything with it.
            permission: What others may do: ``"no-access"``, ``"read-only"``, ``"consume"``, ``"modify-topic"`` or
                ``"delete"``, each including those before it.

        Raises:
            ConfigurationError: The name, the access type, the permission or a subscription is not valid.
            QueueError: The queue exists with another access type, or there are too many.
        """
        vpn = self._vpn
        if permission not in PERMISSIONS:
            raise ConfigurationError(f"{permission!r} is no permission; choose one of {', '.join(PERMISSIONS)}.")
        if access not in ACCESS:
            raise ConfigurationError(f'The access type of a queue is "exclusive" or "non-exclusive", not {access!r}.')
        if invalid_queue_name(name):
            raise ConfigurationError(f"{name!r} cannot be the name of a queue: it needs 1 to 200 bytes.")
        queue = vpn.queues.get(name)
        if queue is None:
            if len(vpn.queues) >= vpn.config.max_queues:
                raise QueueError(f"The broker has {len(vpn.queues)} queues already; delete some or raise max_queues.")
            queue = vpn.add_queue(name, ACCESS[access], owner, PERMISSIONS[permission])
        elif queue.access is not ACCESS[access]:
            raise QueueError(f"Queue {name} exists already and is {queue.status().access}.")
        for topic in subscriptions:
            response = subscribe_queue(vpn, queue, topic)
            if response is not OK and topic not in queue.subscriptions:
                raise ConfigurationError(f"Queue {name} cannot subscribe to {topic!r}: {response.text}.")

    def delete_queue(self, name: str) -> None:
        """Delete a queue with all that is in it, and unbind its consumers.

        Raises:
            QueueError: There is no such queue.
        """
        queue = self._vpn.queues.get(name)
        if queue is None:
            raise QueueError(f"There is no queue {name}.")
        self._vpn.remove_queue(queue)
        self._vpn.settle()

    def queues(self) -> tuple[QueueStatus, ...]:
        """Return the status of all queues, by name."""
        return tuple(queue.status() for _, queue in sorted(self._vpn.queues.items()))

    def queue(self, name: str) -> QueueStatus:
        """Return the status of a queue.

        Raises:
            QueueError: There is no such queue.
        """
        queue = self._vpn.queues.get(name)
        if queue is None:
            raise QueueError(f"There is no queue {name}; create it first.")
        return queue.status()
