"""The broker's core: connections, bytes and the time in; connections with output or a wish to be closed out.

The shell calls :meth:`Engine.connect`, :meth:`Engine.receive`, :meth:`Engine.writable`, :meth:`Engine.disconnect` and
:meth:`Engine.tick`, and after each of them takes :meth:`Engine.take_pending` and writes what these connections have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, Final

from flumebeam.broker.config import BrokerConfig
from flumebeam.broker.core.access import initial_setup, put_setup
from flumebeam.broker.core.broker_settings import Administrator
from flumebeam.broker.core.connection import Connection, ConnectionState
from flumebeam.broker.core.consuming import handle_ack, handle_bind, handle_unbind
from flumebeam.broker.core.creating import handle_create, handle_delete, handle_unsubscribe
from flumebeam.broker.core.host import Host, Late
from flumebeam.broker.core.journal import PublisherMoved, Record
from flumebeam.broker.core.login import handle_client_control
from flumebeam.broker.core.operations import Operations
from flumebeam.broker.core.provisioning import handle_subscription
from flumebeam.broker.core.publishing import acknowledge, handle_close_publisher, handle_message, handle_open_publisher
from flumebeam.broker.core.replay import replay
from flumebeam.broker.core.spool import MessageIds
from flumebeam.broker.core.transacting import handle_transaction
from flumebeam.broker.core.vpn import Vpn, VpnSettings
from flumebeam.broker.core.vpns import add_vpn, note_vpn
from flumebeam.broker.fault_plan import FaultPlan
from flumebeam.errors import ProtocolError
from flumebeam.smf.assuredctrl import AssuredControl, AssuredKind
from flumebeam.smf.clientctrl import ClientControl
from flumebeam.smf.header import Frame, Protocol
from flumebeam.smf.messages import KeepAlive, decode_frame
from flumebeam.smf.single_ack import single_ack
from flumebeam.smf.subctrl import SubscriptionControl

__all__ = ["Engine"]

Handler = Callable[[Vpn, Connection, Any], None]

_ROOM_FOR_STRANGERS: Final = 2
"""Connections beyond the limit are accepted, to be told at login, up to this multiple of the limit."""
_MESSAGE: Final = int(Protocol.MESSAGE)
_LOGGED_IN: Final = ConnectionState.LOGGED_IN


def _administrator(config: BrokerConfig) -> Administrator:
    """Return the administrator of the configuration, who may do everything after each start."""
    return Administrator(name=config.semp_username, password=config.semp_password, access="admin")


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
    AssuredKind.UNSUBSCRIBE: handle_unsubscribe,
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


class Engine(Operations):
    """One broker without its sockets.

    Args:
        config: Limits and defaults.
        faults: What is to go wrong.
        spooler_id: Identity of the message spool, drawn at random for each broker without memory of another.
        epoch_ms: Time of its creation, milliseconds since 1970 UTC; message ids start from it.
        report: Told of logins, binds and the like, one readable line each.
        now: The same time on the shell's clock, seconds.
    """

    def __init__(
        self,
        config: BrokerConfig,
        faults: FaultPlan,
        spooler_id: int,
        epoch_ms: int,
        report: Callable[[str], None],
        now: float = 0.0,
    ) -> None:
        self._config = config
        self._ingress = 0
        self._report = report
        host = Host(config, MessageIds(spooler_id, epoch_ms), faults, report)
        host.clock_offset = epoch_ms / 1000 - now
        host.settings.take(_administrator(config))
        first = add_vpn(host, config.vpn, VpnSettings.of(config), initial_setup(config, config.users), 0.0)
        for name, users in config.more_vpns.items():
            add_vpn(host, name, VpnSettings.of(config), initial_setup(config, users), 0.0)
        super().__init__(host, first)

    # Events of the shell

    def connect(self, now: float, peer: str) -> Connection:
        """Return the state of a new connection."""
        connection = Connection(self._config, self._vpn, now, peer)
        self._host.connections.add(connection)
        if len(self._host.connections) > self._config.max_connections * _ROOM_FOR_STRANGERS:
            connection.close()
        return connection

    def receive(self, connection: Connection, data: bytes, now: float) -> None:
        """Take bytes from a client. Bytes that break the protocol close the connection, whatever they are."""
        vpn = connection.vpn
        vpn.now = connection.heard_at = now
        messages = 0
        try:
            frames = connection.reader.receive(data)
            if self._config.max_ingress_per_second is not None:
                frames = self._metered(frames)
            if vpn.faults:
                frames = vpn.faults.watch(frames, connection.break_off)
            for frame in frames:
                if frame[0][1] & 0x3F == _MESSAGE and connection.state is _LOGGED_IN:
                    messages += 1
                    handle_message(vpn, connection, frame)
                else:
                    self._dispatch(connection, frame)
                    # A login has led it into its own.
                    vpn = connection.vpn
        except ProtocolError as error:
            self._report(f"{connection.client_name or connection.peer} broke the protocol: {error}")
            connection.close()
        connection.traffic.received += messages
        connection.traffic.received_bytes += len(data)
        for flow in connection.acks_due:
            vpn.note(PublisherMoved(flow.name, flow.last_id))
            acknowledge(vpn, connection, flow, flow.last_id)
        connection.acks_due.clear()
        vpn.settle()

    def _metered(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        for frame in frames:
            self._ingress += frame[0][1] & 0x3F == _MESSAGE
            yield frame

    def take_ingress(self) -> int:
        """Return how many messages have come since the last call, 0 if their number is not limited."""
        ingress, self._ingress = self._ingress, 0
        return ingress

    def _dispatch(self, connection: Connection, frame: Frame) -> None:
        if connection.state is ConnectionState.CLOSING:
            return
        if connection.state is _LOGGED_IN and (ack := single_ack(frame)) is not None:
            handle_ack(connection.vpn, connection, ack)
            return
        message = decode_frame(frame)
        kind = type(message)
        if connection.state is ConnectionState.CONNECTED and kind not in _BEFORE_LOGIN:
            raise ProtocolError("The first message must be a login.")
        _HANDLERS[kind](connection.vpn, connection, message)

    def writable(self, connection: Connection, writable: bool, now: float) -> None:
        """Note whether a client keeps up with reading, and go on delivering if it does again."""
        connection.writable = writable
        if writable and connection.starved:
            connection.starved = False
            vpn = connection.vpn
            vpn.now = now
            vpn.touch(flow.queue for flow in connection.consumers.values())
            vpn.settle()

    def disconnect(self, connection: Connection, now: float) -> None:
        """Note that a connection is gone."""
        vpn = connection.vpn
        vpn.now = now
        vpn.drop(connection)
        connection.advance("closed")
        self._host.pending.discard(connection)
        vpn.settle()

    def tick(self, now: float) -> None:
        """Do what only time asks for: close silent connections, forget what nobody came back for."""
        for connection in self._host.connections:
            if now - connection.heard_at > connection.silence_limit:
                self._report(f"{connection.client_name or connection.peer} was silent for too long")
                connection.close()
        for vpn in self._host.vpns.values():
            vpn.now = now
            vpn.expire()
            vpn.settle()

    def excuse_silence(self, now: float) -> None:
        """Start all time-outs of silence again, after a time in which nobody could be heard."""
        for connection in self._host.connections:
            connection.heard_at = now

    def take_pending(self) -> Iterable[Connection]:
        """Return the connections that have output or are to be closed, and forget them."""
        pending = list(self._host.pending)
        self._host.pending.clear()
        return pending

    def take_late(self) -> list[Late]:
        """Return the answers that are to be sent later than now, each with its seconds, and forget them."""
        late, self._host.late = self._host.late, []
        return late

    # Durability

    def restore(self, records: Iterable[Record], now: float) -> None:
        """Take over what an earlier life has made durable, before anything else, and keep a journal from now on.

        Raises:
            LookupError, TypeError, ValueError: The records make no consistent state.
        """
        for vpn in self._host.vpns.values():
            vpn.now = now
        found = replay(self._host, records, now)
        self._host.start_journal()
        own = _administrator(self._config)
        if self._host.settings.administrators[own.name] != own:
            self._host.put_setting(own)
        for name in self._config.more_vpns:
            if name not in found:
                note_vpn(self._host.vpns[name])
        for name, users in ((self._vpn.name, self._config.users), *self._config.more_vpns.items()):
            vpn = self._host.vpns[name]
            for user, password in users.items():
                # What else a store says about a username of the configuration stays.
                if password is not None and vpn.users[user].password != password:
                    put_setup(vpn, replace(vpn.users[user], password=password))
        for vpn in self._host.vpns.values():
            for queue in list(vpn.queues.values()):
                queue.give_up_exhausted()
            # Some queues have something to let go of.
            vpn.touch(vpn.queues.values())
            vpn.settle()

    def stop_journal(self) -> None:
        """Keep no journal any more."""
        self._host.stop_journal()

    def take_journal(self) -> list[Record]:
        """Return what has changed since the last call, empty if no journal is kept.

        What the core has put out until now may be sent when these records, and those taken before, are durable.
        """
        return self._host.take_journal()

    def refuse_storage(self, refused: bool) -> None:
        """Refuse, or accept again, whatever would add to the spool."""
        self._host.storage_full = refused
