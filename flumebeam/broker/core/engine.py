"""The broker's core: connections, bytes and the time in; connections with output or a wish to be closed out.

The shell calls :meth:`Engine.connect`, :meth:`Engine.receive`, :meth:`Engine.writable`, :meth:`Engine.disconnect` and
:meth:`Engine.tick`, and after each of them takes :meth:`Engine.take_pending` and writes what these connections have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from flumebeam.broker.config import BrokerConfig
from flumebeam.broker.core.access import all_setup, drop_setup, has_profiles, initial_setup, put_setup
from flumebeam.broker.core.connection import Connection, ConnectionState
from flumebeam.broker.core.consuming import handle_ack, handle_bind, handle_unbind
from flumebeam.broker.core.creating import handle_create, handle_delete, handle_unsubscribe
from flumebeam.broker.core.host import Host, Late
from flumebeam.broker.core.journal import PublisherMoved, Record
from flumebeam.broker.core.login import handle_client_control
from flumebeam.broker.core.profiles import ClientUsername, Setup
from flumebeam.broker.core.provisioning import (
    handle_subscription,
    subscribe_queue,
)
from flumebeam.broker.core.publishing import (
    acknowledge,
    handle_close_publisher,
    handle_message,
    handle_open_publisher,
)
from flumebeam.broker.core.queue_status import QueueStatus
from flumebeam.broker.core.replay import replay
from flumebeam.broker.core.replaying import start_replay
from flumebeam.broker.core.setting_up import (
    find_queue,
    find_topic_endpoint,
    set_up_queue,
    set_up_topic_endpoint,
)
from flumebeam.broker.core.spool import MessageIds
from flumebeam.broker.core.transacting import handle_transaction
from flumebeam.broker.core.vpn import OK, Vpn, VpnSettings
from flumebeam.broker.core.vpns import add_vpn, configure_vpn, create_vpn, delete_vpn, invalid_vpn_name, note_vpn
from flumebeam.broker.fault_plan import FaultPlan
from flumebeam.errors import ConfigurationError, ProtocolError, QueueError
from flumebeam.smf.assuredctrl import AssuredControl, AssuredKind, ReplayStart
from flumebeam.smf.clientctrl import ClientControl
from flumebeam.smf.header import Frame, Protocol
from flumebeam.smf.messages import KeepAlive, decode_frame
from flumebeam.smf.subctrl import SubscriptionControl

__all__ = ["Engine"]

Handler = Callable[[Vpn, Connection, Any], None]

_ROOM_FOR_STRANGERS: Final = 2
"""Connections beyond the limit are accepted, to be told at login, up to this multiple of the limit."""
_MESSAGE: Final = int(Protocol.MESSAGE)


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


class Engine:
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
        self._host = Host(config, MessageIds(spooler_id, epoch_ms), faults, report)
        self._host.clock_offset = epoch_ms / 1000 - now
        self._vpn = add_vpn(self._host, config.vpn, VpnSettings.of(config), initial_setup(config, config.users), 0.0)
        for name, users in config.more_vpns.items():
            add_vpn(self._host, name, VpnSettings.of(config), initial_setup(config, users), 0.0)

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
                if frame[0][1] & 0x3F == _MESSAGE and connection.state is ConnectionState.LOGGED_IN:
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

    # Administration

    @property
    def host(self) -> Host:
        """All message VPNs, for administration: whoever changes them calls :meth:`settle` and has output flushed."""
        return self._host

    @property
    def vpn(self) -> Vpn:
        """The message VPN of the configuration, which is always there."""
        return self._vpn

    def settle(self) -> None:
        """Deliver what an administrator's change has made deliverable."""
        for vpn in self._host.vpns.values():
            vpn.settle()

    def copy_setup(self, former: Engine) -> None:
        """Take over what is set up in another broker: message VPNs, usernames, durable queues without messages."""
        for name in self._host.vpns.keys() - former._host.vpns.keys():
            delete_vpn(self._host.vpns[name])
        for name, source in former._host.vpns.items():
            vpn = self._host.vpns.get(name)
            if vpn is None:
                vpn = create_vpn(self._host, name, source.settings, all_setup(source), source.now)
            else:
                if vpn.settings != source.settings:
                    configure_vpn(vpn, source.settings)
                _copy_setup(vpn, source)
            for queue in source.queues.values():
                if queue.durable:
                    copy = vpn.add_queue(
                        queue.name, queue.access, queue.owner, queue.permission, settings=queue.settings
                    )
                    for topic in queue.subscriptions:
                        subscribe_queue(vpn, copy, topic)
            if source.log is not None:
                vpn.put_log(source.log.log_name, source.log.settings)

    def create_vpn(self, name: str, users: Mapping[str, str | None]) -> None:
        """Create a message VPN.

        Args:
            name: 1 to 32 bytes.
            users: Client usernames and their passwords; None accepts any password.

        Raises:
            ConfigurationError: The name is not valid, or in use.
        """
        if invalid_vpn_name(name):
            raise ConfigurationError(
                f"{name!r} cannot be the name of a message VPN: it needs 1 to 32 bytes, no * or ?."
            )
        if name in self._host.vpns:
            raise ConfigurationError(f"There is a message VPN {name} already; choose another name.")
        if len(self._host.vpns) >= self._config.max_vpns:
            raise ConfigurationError(f"The broker has {len(self._host.vpns)} message VPNs already; raise max_vpns.")
        settings = VpnSettings.of(self._config)
        create_vpn(self._host, name, settings, initial_setup(self._config, users), self._vpn.now)

    def delete_vpn(self, name: str) -> None:
        """Delete a message VPN with all that is in it, and disconnect its clients.

        Raises:
            ConfigurationError: There is none of this name, or it is the one of the configuration.
        """
        vpn = self._find_vpn(name)
        if vpn is self._vpn:
            raise ConfigurationError(f"The message VPN {name} is the broker's first one, which cannot be deleted.")
        delete_vpn(vpn)

    def configure(self, values: Iterable[Setup], vpn: str | None = None) -> None:
        """Add or replace client usernames and profiles.

        Raises:
            ConfigurationError: There is no such message VPN, or a username has a profile that is not there.
        """
        home = self._find_vpn(vpn)
        for value in values:
            if isinstance(value, ClientUsername) and not has_profiles(home, value):
                raise ConfigurationError(f"Client username {value.name} has a profile that is not there; add it first.")
            put_setup(home, value)

    def _find_vpn(self, name: str | None) -> Vpn:
        vpn = self._vpn if name is None else self._host.vpns.get(name)
        if vpn is None:
            raise ConfigurationError(f"There is no message VPN {name}; create it first.")
        return vpn

    def clients(self, vpn: str | None = None) -> dict[str, Connection]:
        """Return the connections by client name.

        Args:
            vpn: Name of the message VPN, here as in what follows; None is the one of the configuration.
        """
        return self._find_vpn(vpn).clients

    def create_queue(
        self,
        name: str,
        access: str,
        subscriptions: Iterable[str],
        owner: str | None = None,
        permission: str = "delete",
        vpn: str | None = None,
        **settings: Any,
    ) -> None:
        """Create a durable queue, or add subscriptions to one that exists.

        Args:
            name: 1 to 200 bytes.
            access: ``"exclusive"`` or ``"non-exclusive"``.
            subscriptions: Topics that feed it.
            owner: Username that may do everything with it.
            permission: What others may do: ``"no-access"``, ``"read-only"``, ``"consume"``, ``"modify-topic"`` or
                ``"delete"``, each including those before it.
            vpn: Name of the message VPN.
            **settings: Fields of :class:`QueueSettings`, by default as the broker's options have them.

        Raises:
            ConfigurationError: The name, the access type, the permission, the message VPN, a setting or a subscription
                is not valid.
            QueueError: The queue exists with another access type, or there are too many.
        """
        home = self._find_vpn(vpn)
        queue = set_up_queue(home, name, access, owner, permission, settings)
        for topic in subscriptions:
            response = subscribe_queue(home, queue, topic)
            if response is not OK and topic not in queue.subscriptions:
                raise ConfigurationError(f"Queue {name} cannot subscribe to {topic!r}: {response.text}.")

    def delete_queue(self, name: str, vpn: str | None = None) -> None:
        """Delete a queue with all that is in it, and unbind its consumers.

        Raises:
            QueueError: There is no such queue.
        """
        home = self._find_vpn(vpn)
        home.remove_queue(find_queue(home, name))
        home.settle()

    def put_replay_log(self, max_bytes: int, name: str = "replay", vpn: str | None = None) -> None:
        """Create or change the replay log of a message VPN.

        Args:
            max_bytes: Bodies that it holds; beyond it the oldest go.
            name: Its name, if it is not there yet.
            vpn: Name of the message VPN.

        Raises:
            ConfigurationError: There is no such message VPN, or the limit is not above 0.
        """
        if max_bytes <= 0:
            raise ConfigurationError(f"A replay log cannot hold {max_bytes} bytes; give it more than 0.")
        home = self._find_vpn(vpn)
        home.put_log(name, replace(home.default_settings(), max_bytes=max_bytes))
        home.settle()

    def start_replay(self, queue: str, start: ReplayStart, vpn: str | None = None) -> None:
        """Empty a queue, and give it what the replay log has for it.

        Args:
            queue: Name of the queue.
            start: From where on.
            vpn: Name of the message VPN.

        Raises:
            ConfigurationError: There is no such message VPN.
            QueueError: There is no such queue, or it cannot be given a replay.
        """
        home = self._find_vpn(vpn)
        target = find_queue(home, queue)
        response = start_replay(home, target, start)
        if response is not OK:
            raise QueueError(f"Queue {queue} cannot be given a replay: {response.text}.")
        home.settle()

    def queues(self, vpn: str | None = None) -> tuple[QueueStatus, ...]:
        """Return the status of all queues, by name."""
        queues = sorted(self._find_vpn(vpn).queues.items())
        return tuple(queue.status() for _, queue in queues if not queue.is_topic_endpoint)

    def queue(self, name: str, vpn: str | None = None) -> QueueStatus:
        """Return the status of a queue.

        Raises:
            QueueError: There is no such queue.
        """
        return find_queue(self._find_vpn(vpn), name).status()

    def create_topic_endpoint(
        self,
        name: str,
        access: str,
        topic: str | None,
        owner: str | None = None,
        permission: str = "delete",
        vpn: str | None = None,
        **settings: Any,
    ) -> None:
        """Create a durable topic endpoint, or let one that exists be fed by a topic.

        Args:
            name: 1 to 200 bytes.
            access: ``"exclusive"`` or ``"non-exclusive"``.
            topic: What feeds it; None leaves it to its consumer. Another one than before deletes what it holds.
            owner: Username that may do everything with it.
            permission: What others may do, as for queues.
            vpn: Name of the message VPN.
            **settings: Fields of :class:`QueueSettings`, by default as the broker's options have them.

        Raises:
            ConfigurationError: An argument is not valid.
            QueueError: The topic endpoint exists with another access type, or there are too many endpoints.
        """
        home = self._find_vpn(vpn)
        set_up_topic_endpoint(home, name, access, topic, owner, permission, settings)
        home.settle()

    def delete_topic_endpoint(self, name: str, vpn: str | None = None) -> None:
        """Delete a topic endpoint with all that is in it, and unbind its consumers.

        Raises:
            QueueError: There is no such topic endpoint.
        """
        home = self._find_vpn(vpn)
        home.remove_queue(find_topic_endpoint(home, name))
        home.settle()

    def topic_endpoint(self, name: str, vpn: str | None = None) -> QueueStatus:
        """Return the status of a topic endpoint.

        Raises:
            QueueError: There is no such topic endpoint.
        """
        return find_topic_endpoint(self._find_vpn(vpn), name).status()


def _copy_setup(vpn: Vpn, source: Vpn) -> None:
    wanted = {(type(value), value.name): value for value in all_setup(source)}
    for value in list(all_setup(vpn)):
        if (type(value), value.name) not in wanted:
            drop_setup(vpn, value)
        elif wanted[type(value), value.name] == value:
            del wanted[type(value), value.name]
    for value in wanted.values():
        put_setup(vpn, value)
