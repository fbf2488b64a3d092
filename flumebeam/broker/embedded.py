"""The development broker as an object: in a thread of its own, with methods that any thread may call."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from flumebeam.broker.config import BrokerConfig
from flumebeam.broker.core.acl import AclProfile
from flumebeam.broker.core.profiles import ClientProfile, ClientUsername
from flumebeam.broker.core.queue_status import QueueStatus
from flumebeam.broker.core.replay_ids import parse_message_id
from flumebeam.broker.faults import Fault, SlowConnections
from flumebeam.broker.server import BrokerServer
from flumebeam.broker.thread import START_SECONDS, BrokerThread
from flumebeam.errors import ConfigurationError
from flumebeam.smf.assuredctrl import ReplayFrom, ReplayStart

__all__ = ["DevelopmentBroker", "running_broker"]


class DevelopmentBroker(BrokerThread):
    """A broker for laptops and tests that speaks SMF, Solace's wire protocol, and holds everything in memory.

    With ``data`` in its configuration it keeps that on disk as well: what a client was told, and what a method here
    has done when it returns, survives ``kill -9``. A method raises ``StorageError`` if it could not be made durable.

    It runs in a daemon thread of its own. All methods may be called from any thread. Use it as a context manager, or
    call :meth:`start` and :meth:`stop`.

    Args:
        config: Where it listens, whom it lets in, and its limits.
        clock: Where message ids take their start from.
    """

    # Message VPNs

    def create_vpn(self, name: str, users: Mapping[str, str | None] | None = None) -> None:
        """Create a message VPN: clients, queues and topics of its own.

        Args:
            name: 1 to 32 bytes.
            users: Client usernames and their passwords, where None accepts any; by default ``default`` with any.

        Raises:
            ConfigurationError: The name is not valid, or in use.
        """
        given = {"default": None} if users is None else dict(users)
        self._call(lambda server: server.engine.create_vpn(name, given))

    def delete_vpn(self, name: str) -> None:
        """Delete a message VPN with all that is in it, and disconnect its clients.

        Raises:
            ConfigurationError: There is none of this name, or it is the first one.
        """

        def delete(server: BrokerServer) -> None:
            server.engine.delete_vpn(name)
            server.flush()

        self._call(delete)

    def vpns(self) -> tuple[str, ...]:
        """Return the names of the message VPNs, in order."""
        return self._call(lambda server: tuple(sorted(server.engine.host.vpns)))

    def configure(self, *values: ClientUsername | AclProfile | ClientProfile, vpn: str | None = None) -> None:
        """Add or replace client usernames and profiles. What they say applies at once, also to clients that are there.

        Args:
            *values: In an order in which profiles come before the usernames that have them.
            vpn: Name of the message VPN; None is the first one.

        Raises:
            ConfigurationError: There is no such message VPN, or no such profile.
        """

        def put(server: BrokerServer) -> None:
            server.engine.configure(values, vpn)
            server.flush()

        self._call(put)

    # Queues

    def create_queue(
        self,
        name: str,
        access: str = "exclusive",
        subscriptions: Iterable[str] = (),
        *,
        owner: str | None = None,
        permission: str = "delete",
        vpn: str | None = None,
        **settings: Any,
    ) -> None:
        """Create a durable queue, or add subscriptions to one that exists.

        Args:
            name: 1 to 200 bytes.
            access: ``"exclusive"`` (one consumer at a time) or ``"non-exclusive"`` (all in turn).
            subscriptions: Topics that feed it, wildcards allowed.
            owner: Username that may do everything with it.
            permission: What others may do: ``"no-access"``, ``"read-only"``, ``"consume"``, ``"modify-topic"`` or
                ``"delete"``, each including those before it.
            vpn: Name of the message VPN, here as in what follows; None is the first one, that of the configuration.
            **settings: Limits, kinds, and what becomes of messages that nobody consumes, such as ``partitions=8`` or
                ``dead_message_queue="dead"``: the fields of ``QueueSettings``. A queue that exists keeps its own.

        Raises:
            ConfigurationError: The name, the access type, the permission, the message VPN, a setting or a subscription
                is not valid.
            QueueError: The queue exists with another access type.
        """
        topics = tuple(subscriptions)
        self._call(lambda server: server.engine.create_queue(name, access, topics, owner, permission, vpn, **settings))

    def delete_queue(self, name: str, *, vpn: str | None = None) -> None:
        """Delete a queue with all that is in it, and unbind its consumers.

        Raises:
            QueueError: There is no such queue.
        """

        def delete(server: BrokerServer) -> None:
            server.engine.delete_queue(name, vpn)
            server.flush()

        self._call(delete)

    def queue(self, name: str, *, vpn: str | None = None) -> QueueStatus:
        """Return what a queue holds now.

        Raises:
            QueueError: There is no such queue.
        """
        return self._call(lambda server: server.engine.queue(name, vpn))

    def keep_replay_log(self, max_bytes: int = 100_000_000, *, vpn: str | None = None) -> None:
        """Keep guaranteed messages that are published from now on, to be replayed, or change how many.

        Args:
            max_bytes: Bodies that are kept; beyond it the oldest go.
            vpn: Name of the message VPN; None is the first one.

        Raises:
            ConfigurationError: There is no such message VPN, or the limit is not above 0.
        """
        self._call(lambda server: server.engine.put_replay_log(max_bytes, vpn=vpn))

    def start_replay(
        self, queue: str, *, from_time: float | None = None, after: str | None = None, vpn: str | None = None
    ) -> None:
        """Empty a queue, and deliver what the replay log has for it once more. Its consumers bind again by themselves.

        Args:
            queue: Name of the queue.
            from_time: Begin at this time, seconds since 1970 UTC; without it and ``after`` at the beginning.
            after: Begin behind the message with this replication group message id, as clients show it.
            vpn: Name of the message VPN; None is the first one.

        Raises:
            ConfigurationError: There is no such message VPN, ``after`` is no id, or both starts are given.
            QueueError: There is no such queue or no replay log, or it does not go back that far.
        """
        start = ReplayStart(ReplayFrom.BEGINNING)
        if from_time is not None and after is not None:
            raise ConfigurationError("A replay begins at a time or behind a message; give one of them.")
        if from_time is not None:
            start = ReplayStart(ReplayFrom.TIME, time_ns=int(from_time * 1_000_000_000))
        elif after is not None:
            try:
                start = parse_message_id(after)
            except ValueError as error:
                raise ConfigurationError(str(error)) from error
        self._call(lambda server: server.engine.start_replay(queue, start, vpn))

    def create_topic_endpoint(
        self,
        name: str,
        topic: str | None = None,
        access: str = "exclusive",
        *,
        owner: str | None = None,
        permission: str = "delete",
        vpn: str | None = None,
        **settings: Any,
    ) -> None:
        """Create a durable topic endpoint, or let one that exists be fed by a topic.

        Args:
            name: 1 to 200 bytes.
            topic: What feeds it, wildcards allowed; None leaves it to its consumer. Another one than before deletes
                what it holds.
            access: ``"exclusive"`` or ``"non-exclusive"``.
            owner: Username that may do everything with it.
            permission: What others may do, as for queues.
            vpn: Name of the message VPN.
            **settings: As for queues.

        Raises:
            ConfigurationError: An argument is not valid.
            QueueError: The topic endpoint exists with another access type.
        """

        def create(server: BrokerServer) -> None:
            server.engine.create_topic_endpoint(name, access, topic, owner, permission, vpn, **settings)
            server.flush()

        self._call(create)

    def delete_topic_endpoint(self, name: str, *, vpn: str | None = None) -> None:
        """Delete a topic endpoint with all that is in it, and unbind its consumers.

        Raises:
            QueueError: There is no such topic endpoint.
        """

        def delete(server: BrokerServer) -> None:
            server.engine.delete_topic_endpoint(name, vpn)
            server.flush()

        self._call(delete)

    def topic_endpoint(self, name: str, *, vpn: str | None = None) -> QueueStatus:
        """Return what a topic endpoint holds now.

        Raises:
            QueueError: There is no such topic endpoint.
        """
        return self._call(lambda server: server.engine.topic_endpoint(name, vpn))

    def queues(self, *, vpn: str | None = None) -> tuple[QueueStatus, ...]:
        """Return what all queues hold now, by name."""
        return self._call(lambda server: server.engine.queues(vpn))

    def clients(self, *, vpn: str | None = None) -> tuple[str, ...]:
        """Return the names of the clients that are logged in, in order."""
        return self._call(lambda server: tuple(sorted(server.engine.clients(vpn))))

    # Faults

    def fault(self, *faults: Fault) -> None:
        """Append faults to the plan; they strike in order, each at its next occasion.

        Raises:
            ConfigurationError: A crash of a broker that keeps no data.
        """
        self._call(lambda server: server.add_faults(faults))

    def pending_faults(self) -> int:
        """Return how many faults of the plan have not struck yet."""
        return self._call(lambda server: len(server.faults))

    def forget_faults(self) -> None:
        """Empty the plan."""
        self._call(lambda server: server.faults.clear())

    def cut_connections(self, client: str | None = None) -> int:
        """Break the connections of one client name, or all, without a word; return how many."""
        return self._call(lambda server: server.sockets.cut(client))

    def refuse_connections(self) -> None:
        """Refuse new connections; those that exist stay."""
        self._wait(self._running().sockets.refuse())

    def accept_connections(self) -> None:
        """Accept connections again, on the same port.

        Raises:
            ConfigurationError: Somebody else has taken the port.
        """
        self._wait(self._running().sockets.accept())

    def freeze(self, client: str | None = None) -> None:
        """Let no byte in or out of the connections of one client name, or all, as a host that hangs."""
        self._call(lambda server: server.sockets.slow(0, client))

    def slow(self, bytes_per_second: int, client: str | None = None) -> None:
        """Limit the speed of the connections of one client name, or all, in each direction.

        Raises:
            ConfigurationError: The speed is not above 0.
        """
        speed = SlowConnections(bytes_per_second=bytes_per_second).bytes_per_second
        self._call(lambda server: server.sockets.slow(speed, client))

    def thaw(self, client: str | None = None) -> None:
        """End :meth:`freeze` and :meth:`slow`."""
        self._call(lambda server: server.thaw(client))

    def restart(self, keep_state: bool, down_seconds: float = 0.0) -> None:
        """Go down, come back on the same port, and return when it listens again.

        Args:
            keep_state: Whether messages, publisher positions and transactions survive; with ``data``, those that a
                killed broker would find again. Durable queues do in any case, without their messages if this is False.
            down_seconds: How long nobody can connect.
        """
        self._wait(self._running().restart(keep_state, down_seconds), down_seconds + START_SECONDS)

    # Pair

    def fail_over(self) -> None:
        """Lose the active broker of the pair, and return when the other has taken over.

        It goes on with the same ids, spool, positions and sessions (with ``data``, with what is durable). What may have
        been delivered comes again marked redelivered. The one that was lost comes back as the standby, which refuses
        logins.

        Raises:
            ConfigurationError: There is no standby.
        """
        self._wait(self._running().fail_over(), START_SECONDS)

    def activate_dr(self, lag: int = 0) -> None:
        """Lose the site with all its brokers, and return when the one at the other site is active.

        It goes on from a copy, with a spool of its own: publishers start anew and send again what is unacknowledged,
        transacted sessions are unknown, and what was delivered comes again.

        Args:
            lag: Messages that the copy is behind. They are lost, and what was consumed after them comes again.

        Raises:
            ConfigurationError: There is no other site, it is active already, or the lag is more than is kept.
        """
        self._wait(self._running().activate_dr(lag), START_SECONDS)


@contextlib.contextmanager
def running_broker(config: BrokerConfig | None = None, **overrides: Any) -> Iterator[DevelopmentBroker]:
    """Run a development broker for the length of a ``with`` block.

    Args:
        config: Its options; by default those of :class:`BrokerConfig` on a free port.
        **overrides: Options that replace those of ``config``.

    Yields:
        The broker, listening.

    Raises:
        ConfigurationError: An option is wrong, or the address cannot be listened on.
    """
    with DevelopmentBroker(replace(config or BrokerConfig(port=0), **overrides)) as broker:
        yield broker
