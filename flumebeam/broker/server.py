"""The asyncio shell around the core: sockets, time, and the faults of whole connections."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any, Final

from flumebeam.broker.client import Client
from flumebeam.broker.config import BrokerConfig
from flumebeam.broker.core.connection import Connection, ConnectionState
from flumebeam.broker.core.engine import Engine
from flumebeam.broker.core.journal import Issued, Record
from flumebeam.broker.fault_plan import FaultPlan
from flumebeam.broker.faults import (
    ActivateDr,
    Crash,
    CutConnections,
    FailOver,
    Fault,
    FreezeConnections,
    SlowConnections,
)
from flumebeam.broker.group_commit import GroupCommit
from flumebeam.broker.listeners import Codec
from flumebeam.broker.replica import MAX_LAG, Replica
from flumebeam.broker.sockets import Output, Sockets
from flumebeam.broker.store import Store
from flumebeam.broker.trace import Trace
from flumebeam.clock import Clock
from flumebeam.errors import ConfigurationError, FlumebeamError, StorageError, StorageFullError
from flumebeam.smf.messages import AnyMessage
from flumebeam.smf.values import Response

__all__ = ["BrokerServer"]

_TICK_SECONDS: Final = 0.5
_BURST_SECONDS: Final = 0.1
"""How much of an unused rate of ingress is kept for later."""
_logger = logging.getLogger("flumebeam.broker")
_tracer = logging.getLogger("flumebeam.broker.trace")


class BrokerServer:
    """A broker on one asyncio loop. All methods are called from that loop.

    Args:
        config: Limits and defaults.
        clock: Where message ids take their start from.
        give_up: Told of a failure after which it cannot go on; it is still to be closed.

    Raises:
        ConfigurationError: The TLS certificate or the directory of its data cannot be used.
    """

    def __init__(self, config: BrokerConfig, clock: Clock, give_up: Callable[[FlumebeamError], None]) -> None:
        self._config = config
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self.sockets = Sockets(config, self._client, lambda: self.engine.host.settings.trust)
        self._ticker: asyncio.TimerHandle | None = None
        self._give_up = give_up
        self._recovery: asyncio.Task[None] | None = None
        self._store: Store | None = None
        self._commits: GroupCommit[Output] | None = None
        self.faults = FaultPlan()
        self.site = "primary"
        """Which of the brokers is active: ``primary``, ``standby`` or ``dr``."""
        self._replica: Replica | None = None
        self._ingress_due = 0.0
        """When what was published would have come at the limit of the rate."""
        if config.data is not None:
            self._store = Store.open(Path(config.data), config.vpn, _new_spooler_id())
        try:
            self.engine = self._new_engine()
        except ConfigurationError:
            self._close_store()
            raise

    def _new_engine(self) -> Engine:
        store = self._store
        spooler_id = _new_spooler_id() if store is None else store.spooler_id
        engine = Engine(self._config, self.faults, spooler_id, self._clock.epoch_ms(), _logger.info, self.now())
        if self._config.dr_port is not None and self.site != "dr":
            there = () if store is None else store.records()
            self._replica = Replica(Store.in_memory(self._config.vpn, spooler_id), there)
            if store is None:
                engine.restore((), self.now())
        if store is not None:
            try:
                engine.restore(store.records(), self.now())
            except (LookupError, TypeError, ValueError) as error:
                raise store.damaged(error) from error
            self._commits = GroupCommit(store, self.sockets.send, self._recover, self._crashes)
        if self._config.replay_log_bytes is not None and engine.vpn.log is None:
            engine.put_replay_log(self._config.replay_log_bytes)
        return engine

    def _close_store(self) -> None:
        if self._store is not None:
            self._store.close()

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigurationError: The address cannot be listened on.
        """
        try:
            await self.sockets.accept()
        except ConfigurationError:
            self.sockets.release()
            self._close_store()
            raise
        self._tick()
        for listener in self.sockets.listeners:
            _logger.info("listening on %s (%s), VPN %s", listener.url, listener.option, self._config.vpn)

    async def close(self) -> None:
        """Stop listening, cut all connections, and make what has come until then durable."""
        if self._ticker is not None:
            self._ticker.cancel()
        if self._recovery is not None:
            await self._recovery
        await self.sockets.go_down()
        self.sockets.release()
        if self._commits is not None:
            with contextlib.suppress(StorageError):  # it was told when it happened
                await self._commits.durable()
            await self._commits.end()
        self._close_store()
        _logger.info("stopped")

    def _tick(self) -> None:
        self._look_at_disk()
        if self.sockets.speed != 0:
            self.engine.tick(self.now())
            self.flush()
        self._ticker = asyncio.get_running_loop().call_later(_TICK_SECONDS, self._tick)

    def now(self) -> float:
        """Return the loop's time, seconds."""
        return self._loop.time()

    # Connections

    def attach(self, client: Client, peer: str, option: str) -> Connection:
        """Return the core's state of a new connection to the listener of an option."""
        connection = self.engine.connect(self.now(), peer)
        site = _SITES.get(option, "primary")
        if site != self.site:
            connection.refusal = _PASSIVE[site if self.site == "primary" else "standby"]
        self.sockets.add(connection, client)
        return connection

    def trace(self, connection: Connection) -> Trace | None:
        """Return what writes the frames of a connection to the log, or None if nothing does."""
        return Trace(_tracer.info, connection.peer) if self._config.trace else None

    def detach(self, connection: Connection) -> None:
        """Note that a connection is gone."""
        self.sockets.remove(connection)
        self.engine.disconnect(connection, self.now())
        self.flush()

    def flush(self) -> None:
        """Write what the core has for its connections, and close those that it is done with.

        Where the broker keeps its data, this happens as soon as all that the core has done is durable.
        """
        engine = self.engine
        output: list[Output] = []
        for connection in engine.take_pending():
            closing = connection.state is ConnectionState.CLOSING
            portion = connection.portion
            output.append(Output(connection, connection.take_output(), closing, portion))
        records = engine.take_journal() if self._replica or self._commits else []
        if self._replica is not None:
            self._replica.add(records)
        if self._commits is None:
            self.sockets.send(output)
        else:
            self._commits.add(records, output)
        if self.faults:
            self._carry_out()
        for seconds, connection, message in engine.take_late():
            asyncio.get_running_loop().call_later(seconds, self._send_late, connection, message)

    def _send_late(self, connection: Connection, message: AnyMessage) -> None:
        if connection in self.sockets:
            connection.send(message)
            self.flush()

    def ingress_pause(self) -> float:
        """Return how long a client that has just published is not to be read, seconds."""
        rate = self._config.max_ingress_per_second
        if rate is None:
            return 0.0
        now = self.now()
        self._ingress_due = max(self._ingress_due, now - _BURST_SECONDS) + self.engine.take_ingress() / rate
        return max(0.0, self._ingress_due - now)

    # Durability

    async def durable(self) -> None:
        """Return when all that the core has done is durable, at once if the broker keeps no data.

        Raises:
            StorageError: It could not be made durable, and is or will be undone.
        """
        self.flush()
        if self._commits is not None:
            await self._commits.durable()

    def _look_at_disk(self) -> None:
        if self._store is None:
            return
        try:
            self.engine.refuse_storage(self._store.free_bytes() < self._config.min_free_disk_bytes)
        except StorageError as error:
            self._give_up(error)

    def _recover(self, error: StorageError) -> None:
        # What the core has done is not durable and will not be, so it is undone as by a crash: back to what is.
        _logger.error("%s", error)
        if isinstance(error, StorageFullError):
            self._recovery = asyncio.get_running_loop().create_task(self._recovered(self.restart(True, _TICK_SECONDS)))
        else:
            self._give_up(error)

    async def _recovered(self, recovery: Coroutine[Any, Any, None]) -> None:
        try:
            await recovery
        except (ConfigurationError, StorageError) as error:
            self._give_up(error)
        self._recovery = None
        self._carry_out()

    # Faults

    def _client(self, option: str, codec: Codec | None) -> Client:
        return Client(self, codec, option)

    def thaw(self, client: str | None = None) -> None:
        """End :meth:`Sockets.slow`; what was held goes on, as if it had been under way."""
        self.engine.excuse_silence(self.now())
        self.sockets.slow(None, client)
        self.flush()

    def add_faults(self, faults: Iterable[Fault]) -> None:
        """Append faults to the plan, and carry out those that wait for nothing.

        Raises:
            ConfigurationError: A crash of a broker that keeps no data.
        """
        faults = tuple(faults)
        if self._store is None and any(isinstance(fault, Crash) for fault in faults):
            raise ConfigurationError("Only a broker that keeps its data can crash at a point; give it a directory.")
        for kind, option in ((FailOver, "standby_port"), (ActivateDr, "dr_port")):
            if getattr(self._config, option) is None and any(isinstance(fault, kind) for fault in faults):
                raise ConfigurationError(f"There is no other broker to go on with; start one with {option}.")
        self.faults.add(*faults)
        self._carry_out()

    def _carry_out(self) -> None:
        loop = asyncio.get_running_loop()
        while self._recovery is None and (fault := self.faults.at_once()) is not None:
            if isinstance(fault, CutConnections):
                self.sockets.cut(fault.client)
            elif isinstance(fault, FreezeConnections | SlowConnections):
                self.sockets.slow(fault.bytes_per_second if isinstance(fault, SlowConnections) else 0, fault.client)
                if fault.seconds is not None:
                    loop.call_later(fault.seconds, self.thaw, fault.client)
            elif isinstance(fault, FailOver):
                self._recovery = loop.create_task(self._recovered(self.fail_over()))
            elif isinstance(fault, ActivateDr):
                self._recovery = loop.create_task(self._recovered(self.activate_dr(fault.lag)))
            else:
                again = self.restart(fault.keep_state, fault.down_seconds)
                self._recovery = loop.create_task(self._recovered(again))

    def _crashes(self, point: str) -> bool:
        crash = self.faults.strike(Crash, point=point) if self.faults else None
        if crash is None or self._recovery is not None:
            return False
        _logger.info("crash %s", point)
        self._recovery = asyncio.get_running_loop().create_task(self._recovered(self.restart(True, crash.down_seconds)))
        return True

    async def fail_over(self) -> None:
        """Lose the active broker of the pair; the other goes on with its state, ids and spool.

        Raises:
            ConfigurationError: There is no other, or its address cannot be used any more.
        """
        if self._config.standby_port is None or self.site == "dr":
            raise ConfigurationError("There is no standby broker to fail over to; start one with standby_port.")
        self.site = "standby" if self.site == "primary" else "primary"
        _logger.info("fail-over: the %s broker is active", self.site)
        await self.restart(True, 0.0)

    async def activate_dr(self, lag: int) -> None:
        """Lose the site; the one at the other goes on from its copy, with a spool of its own.

        Where the broker keeps its data, the copy takes the place of what was there, all at once.

        Args:
            lag: Messages that the copy is behind: the last ones published are lost.

        Raises:
            ConfigurationError: There is no other site, it is active, or the lag is more than is kept.
            StorageError: The copy cannot be kept: the broker stops.
        """
        replica = self._replica
        if replica is None:
            raise ConfigurationError("There is no other site to go on at; start one with dr_port.")
        if not 0 <= lag <= MAX_LAG:
            raise ConfigurationError(f"A copy is 0 to {MAX_LAG} messages behind, not {lag}.")
        self.flush()
        self.site, self._replica = "dr", None
        # New messages are younger than those of the copy, whose ids stay.
        state = [Issued(self.engine.host.ids.last, 0), *replica.state(lag)]
        replica.close()
        _logger.info("disaster: the other site is active, %s messages behind", lag)
        self.sockets.speed = None
        await self.sockets.go_down()
        self.engine = await self._engine_of_copy(state)
        await self.sockets.accept()

    async def _engine_of_copy(self, state: list[Record]) -> Engine:
        spooler_id, now = _new_spooler_id(), self.now()
        if self._store is None or self._commits is None:
            engine = Engine(self._config, self.faults, spooler_id, self._clock.epoch_ms(), _logger.info, now)
            engine.restore(state, now)
            engine.stop_journal()
            return engine
        await self._commits.end()
        try:
            self._store.replace(spooler_id, state)
        except StorageError as error:
            self._give_up(error)
            raise
        return self._new_engine()

    async def restart(self, keep_state: bool, down_seconds: float) -> None:
        """Go down and come back.

        Args:
            keep_state: Whether messages, positions and transactions are still known afterwards: all in memory, or
                what is durable where the broker keeps its data. Queues are in any case, as provisioning would make
                them again.
            down_seconds: How long nobody can connect.

        Raises:
            ConfigurationError: The data or an address cannot be used any more.
        """
        self.sockets.speed = None
        await self.sockets.go_down()
        if self._commits is not None:
            await self._commits.end()
        if self._store is not None and not keep_state:
            self._store.replace(_new_spooler_id(), ())
        if self._store is not None or not keep_state:
            former, self.engine = self.engine, self._new_engine()
            if not keep_state:
                self.engine.copy_setup(former)
                await self.durable()
            self._look_at_disk()
        await asyncio.sleep(down_seconds)
        await self.sockets.accept()


_SITES: Final = {"standby_port": "standby", "dr_port": "dr"}
_PASSIVE: Final = {
    "primary": Response(503, "Service Unavailable"),
    "standby": Response(503, "Service Unavailable"),
    "dr": Response(503, "Replication Is Standby"),
}
"""What those are told that log in at a broker that is not active."""


def _new_spooler_id() -> int:
    return secrets.randbits(60) | 1 << 60
