"""The development broker as an object: in a thread of its own, with methods that any thread may call."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from flumebeam.broker.config import BrokerConfig
from flumebeam.broker.core.acl import AclProfile
from flumebeam.broker.core.profiles import ClientProfile, ClientUsername
from flumebeam.broker.core.queue_status import QueueStatus
from flumebeam.broker.core.replay_ids import parse_message_id
from flumebeam.broker.faults import Fault, SlowConnections
from flumebeam.broker.listeners import Listener
from flumebeam.broker.server import BrokerServer
from flumebeam.clock import Clock, SystemClock
from flumebeam.errors import ConfigurationError, FlumebeamError
from flumebeam.smf.assuredctrl import ReplayFrom, ReplayStart

__all__ = ["DevelopmentBroker", "running_broker"]

_CALL_SECONDS: Final = 30.0
_START_SECONDS: Final = 600.0
"""A broker that keeps its data reads it first: some 10 s for a million messages."""

T = TypeVar("T")


class DevelopmentBroker:
    """A broker for laptops and tests that speaks SMF, Solace's wire protocol, and holds everything in memory.

    With ``data`` in its configuration it keeps that on disk as well: what a client was told, and what a method here
    has done when it returns, survives ``kill -9``. A method raises ``StorageError`` if it could not be made durable.

    It runs in a daemon thread of its own. All methods may be called from any thread. Use it as a context manager, or
    call :meth:`start` and :meth:`stop`.

    Args:
        config: Where it listens, whom it lets in, and its limits.
        clock: Where message ids take their start from.
    """

    def __init__(self, config: BrokerConfig | None = None, *, clock: Clock | None = None) -> None:
        self._config = config or BrokerConfig()
        self._clock = clock or SystemClock()
        self._thread: threading.Thread | None = None
        self._started: Future[BrokerServer] = Future()
        self._stopped = threading.Event()
        self._failure: FlumebeamError | None = None
        self._semp_urls: dict[str, str] = {}
        self._loop: asyncio.AbstractEventLoop
        self._ending: asyncio.Event

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    # Life

    def start(self) -> None:
        """Start the broker and return when it listens.

        Raises:
            ConfigurationError: It was started before, or its address cannot be listened on.
        """
        if self._thread is not None:
            raise ConfigurationError("This broker was started before; make a new one.")
        serve = partial(asyncio.run, self._serve())
        self._thread = threading.Thread(target=serve, name="flumebeam-broker", daemon=True)
        self._thread.start()
        self._started.result(_START_SECONDS)

    async def _serve(self) -> None:
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        failure: FlumebeamError | None = None
        async with contextlib.AsyncExitStack() as stack:
            try:
                server = await self._open(stack)
            except FlumebeamError as error:
                failure = error
            else:
                self._started.set_result(server)
                await self._ending.wait()
        self._stopped.set()
        if failure is not None:
            self._started.set_exception(failure)

    async def _open(self, stack: contextlib.AsyncExitStack) -> BrokerServer:
        server = BrokerServer(self._config, self._clock, self._give_up)
        await server.start()
        stack.push_async_callback(server.close)
        if self._config.semp_port is not None or self._config.semp_tls_port is not None:
            # Imported here: an HTTP server takes longer to import than a broker to start.
            from flumebeam.broker.semp.http import SempServer

            management = SempServer(self._config, server)
            await management.start()
            stack.push_async_callback(management.close)
            self._semp_urls = management.urls
        return server

    def _give_up(self, error: FlumebeamError) -> None:
        self._failure = error
        self._ending.set()

    def stop(self) -> None:
        """Cut all connections and end the thread; a broker that does not run is left alone."""
        if self._thread is None or self._started.exception(_CALL_SECONDS) is not None:
            return
        if not self._stopped.is_set():
            self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(_CALL_SECONDS)

    def wait(self) -> None:
        """Return when the broker has stopped, for programs that do nothing else.

        Raises:
            FlumebeamError: It stopped because it could not go on: where it keeps its data failed.
        """
        self._stopped.wait()
        if self._failure is not None:
            raise self._failure

    @property
    def config(self) -> BrokerConfig:
        """Its options."""
        return self._config

    @property
    def port(self) -> int:
        """Port that it listens on."""
        return self._running().listeners[0].port

    @property
    def url(self) -> str:
        """Address for clients, such as ``tcp://127.0.0.1:55555``."""
        return self._running().listeners[0].url

    @property
    def tls_url(self) -> str:
        """Address for clients that speak TLS, such as ``tcps://127.0.0.1:55443``.

        Raises:
            ConfigurationError: The broker has no TLS port.
        """
        return self._listener("tls_port").url

    @property
    def compressed_url(self) -> str:
        """Address for clients that compress, such as ``tcp://127.0.0.1:55003``.

        Raises:
            ConfigurationError: The broker has no port for compressed connections.
        """
        return self._listener("compressed_port").url

    @property
    def semp_url(self) -> str:
        """Address of management over HTTP, such as ``http://127.0.0.1:8080``.

        Raises:
            ConfigurationError: The broker has no port for it.
        """
        return self._management("http", "semp_port")

    @property
    def semp_tls_url(self) -> str:
        """Address of management over HTTPS, such as ``https://127.0.0.1:1943``.

        Raises:
            ConfigurationError: The broker has no port for it.
        """
        return self._management("https", "semp_tls_port")

    def _management(self, scheme: str, option: str) -> str:
        self._running()
        if scheme not in self._semp_urls:
            raise ConfigurationError(f"The broker has no such port; start it with {option}.")
        return self._semp_urls[scheme]

    def _listener(self, option: str) -> Listener:
        for listener in self._running().listeners:
            if listener.option == option:
                return listener
        raise ConfigurationError(f"The broker has no such port; start it with {option}.")

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
        return self._call(lambda server: server.cut_connections(client))

    def refuse_connections(self) -> None:
        """Refuse new connections; those that exist stay."""
        self._call(lambda server: server.refuse_connections())

    def accept_connections(self) -> None:
        """Accept connections again, on the same port.

        Raises:
            ConfigurationError: Somebody else has taken the port.
        """
        self._wait(self._running().accept_connections())

    def freeze(self, client: str | None = None) -> None:
        """Let no byte in or out of the connections of one client name, or all, as a host that hangs."""
        self._call(lambda server: server.freeze(client))

    def slow(self, bytes_per_second: int, client: str | None = None) -> None:
        """Limit the speed of the connections of one client name, or all, in each direction.

        Raises:
            ConfigurationError: The speed is not above 0.
        """
        speed = SlowConnections(bytes_per_second=bytes_per_second).bytes_per_second
        self._call(lambda server: server.slow(speed, client))

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
        self._wait(self._running().restart(keep_state, down_seconds), down_seconds + _START_SECONDS)

    # Pair

    @property
    def standby_url(self) -> str:
        """Address of the standby broker.

        Raises:
            ConfigurationError: There is none.
        """
        return self._listener("standby_port").url

    @property
    def dr_url(self) -> str:
        """Address of the broker at the other site.

        Raises:
            ConfigurationError: There is none.
        """
        return self._listener("dr_port").url

    def fail_over(self) -> None:
        """Lose the active broker of the pair, and return when the other has taken over.

        It goes on with the same ids, spool, positions and sessions (with ``data``, with what is durable). What may have
        been delivered comes again marked redelivered. The one that was lost comes back as the standby, which refuses
        logins.

        Raises:
            ConfigurationError: There is no standby.
        """
        self._wait(self._running().fail_over(), _START_SECONDS)

    def activate_dr(self, lag: int = 0) -> None:
        """Lose the site with all its brokers, and return when the one at the other site is active.

        It goes on from a copy, with a spool of its own: publishers start anew and send again what is unacknowledged,
        transacted sessions are unknown, and what was delivered comes again.

        Args:
            lag: Messages that the copy is behind. They are lost, and what was consumed after them comes again.

        Raises:
            ConfigurationError: There is no other site, it is active already, or the lag is more than is kept.
        """
        self._wait(self._running().activate_dr(lag), _START_SECONDS)

    # The way into the thread

    def _running(self) -> BrokerServer:
        if self._thread is None or self._stopped.is_set():
            raise ConfigurationError("The broker is not running; start it first.")
        return self._started.result(_CALL_SECONDS)

    def _call(self, operation: Callable[[BrokerServer], T]) -> T:
        server = self._running()

        async def run() -> T:
            result = operation(server)
            await server.durable()
            return result

        return self._wait(run())

    def _wait(self, work: Coroutine[Any, Any, T], seconds: float = _CALL_SECONDS) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)


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
