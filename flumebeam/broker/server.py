"""The asyncio shell around the core: sockets, time, and the faults of whole connections."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from typing import Final

from flumebeam.broker.config import BrokerConfig
from flumebeam.broker.core.connection import Connection, ConnectionState
from flumebeam.broker.core.engine import Engine
from flumebeam.broker.faults import FaultPlan
from flumebeam.broker.listeners import Codec, Listener, listeners
from flumebeam.clock import Clock
from flumebeam.errors import ConfigurationError, ProtocolError

__all__ = ["BrokerServer"]

_TICK_SECONDS: Final = 0.5
_TURNS_OF_AN_ACCEPT: Final = 3
"""Turns of the loop between asyncio's accepting a connection and its being known here."""
_logger = logging.getLogger("flumebeam.broker")


class BrokerServer:
    """A broker on one asyncio loop. All methods are called from that loop.

    Args:
        config: Limits and defaults.
        clock: Where message ids take their start from.

    Raises:
        ConfigurationError: The TLS certificate cannot be used.
    """

    def __init__(self, config: BrokerConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self.listeners: list[Listener] = listeners(config)
        """Where clients come in, the plain one first."""
        self._clients: dict[Connection, _Client] = {}
        self._empty = asyncio.Event()
        """Set while no connection exists; transports report their end in a later turn of the loop."""
        self._empty.set()
        self._frozen = False
        self._ticker: asyncio.TimerHandle | None = None
        self.faults = FaultPlan()
        self.engine = self._new_engine()

    def _new_engine(self) -> Engine:
        spooler_id = secrets.randbits(60) | 1 << 60
        return Engine(self._config, self.faults, spooler_id, self._clock.epoch_ms(), _logger.info)

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigurationError: The address cannot be listened on.
        """
        await self.accept_connections()
        self._tick()
        for listener in self.listeners:
            _logger.info("listening on %s, VPN %s", listener.url, self._config.vpn)

    async def close(self) -> None:
        """Stop listening and cut all connections."""
        if self._ticker is not None:
            self._ticker.cancel()
        self.refuse_connections()
        for _ in range(_TURNS_OF_AN_ACCEPT):
            await asyncio.sleep(0)
        self.cut_connections()
        await self._empty.wait()
        _logger.info("stopped")

    def _tick(self) -> None:
        if not self._frozen:
            self.engine.tick(self.now())
            self.flush()
        self._ticker = asyncio.get_running_loop().call_later(_TICK_SECONDS, self._tick)

    def now(self) -> float:
        """Return the loop's time, seconds."""
        return asyncio.get_running_loop().time()

    # Connections

    def attach(self, client: _Client, peer: str) -> Connection:
        """Return the core's state of a new connection."""
        connection = self.engine.connect(self.now(), peer)
        self._clients[connection] = client
        self._empty.clear()
        if self._frozen:
            client.hold(True)
        return connection

    def detach(self, connection: Connection) -> None:
        """Note that a connection is gone."""
        del self._clients[connection]
        if not self._clients:
            self._empty.set()
        self.engine.disconnect(connection, self.now())
        self.flush()

    def flush(self) -> None:
        """Write what the core has for its connections, and close those that it is done with."""
        if self._frozen:
            return
        for connection in self.engine.take_pending():
            client = self._clients.get(connection)
            if client is not None:
                client.write(self._config.max_unsent_bytes)

    # Faults

    async def accept_connections(self) -> None:
        """Listen again, on the same ports.

        Raises:
            ConfigurationError: An address cannot be listened on.
        """
        try:
            for listener in self.listeners:
                await listener.open(lambda codec: _Client(self, codec))
        except ConfigurationError:
            self.refuse_connections()
            raise

    def refuse_connections(self) -> None:
        """Stop listening; connections that exist stay."""
        for listener in self.listeners:
            listener.close()

    def cut_connections(self, client: str | None = None) -> int:
        """Break connections without a word and return how many.

        Args:
            client: Client name of the one to cut; None cuts all.
        """
        doomed = [shell for connection, shell in self._clients.items() if client in (None, connection.client_name)]
        for shell in doomed:
            shell.abort()
        return len(doomed)

    def freeze(self) -> None:
        """Let no byte in or out. Connections stay open, new ones are accepted and never answered."""
        self._frozen = True
        for client in self._clients.values():
            client.hold(True)

    def thaw(self) -> None:
        """End :meth:`freeze`; what was held goes on, as if it had been under way."""
        if not self._frozen:
            return
        self._frozen = False
        self.engine.excuse_silence(self.now())
        for client in list(self._clients.values()):
            client.hold(False)
        self.flush()

    async def restart(self, keep_state: bool, down_seconds: float) -> None:
        """Go down and come back.

        Args:
            keep_state: Whether messages, positions and transactions are still known afterwards. Queues are in any
                case, as provisioning would make them again.
            down_seconds: How long nobody can connect.
        """
        self._frozen = False
        self.refuse_connections()
        self.cut_connections()
        await self._empty.wait()
        if not keep_state:
            former, self.engine = self.engine, self._new_engine()
            self.engine.copy_queues(former)
        await asyncio.sleep(down_seconds)
        await self.accept_connections()


class _Client(asyncio.Protocol):
    """One connection's socket.

    Args:
        server: Whose connection it is.
        codec: What its bytes are packed in, or None.
    """

    def __init__(self, server: BrokerServer, codec: Codec | None) -> None:
        self._server = server
        self._codec = codec
        self._connection: Connection
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what loop.create_server makes
        self._transport = transport
        host, port = transport.get_extra_info("peername")[:2]
        self._connection = self._server.attach(self, f"{host}:{port}")

    def data_received(self, data: bytes) -> None:
        server = self._server
        if self._codec is None:
            server.engine.receive(self._connection, data, server.now())
        else:
            self._unpack(data, self._codec)
        server.flush()

    def _unpack(self, data: bytes, codec: Codec) -> None:
        server, connection = self._server, self._connection
        try:
            for piece in codec.decode(data):
                connection.certified_name = codec.certified_name
                server.engine.receive(connection, piece, server.now())
                # What a few bytes stand for is not answered all at once either.
                server.flush()
        except ProtocolError as error:
            _logger.info("%s broke the protocol: %s", connection.client_name or connection.peer, error)
            connection.close()
        owed = codec.owed()
        if owed:
            self._transport.write(owed)

    def connection_lost(self, error: Exception | None) -> None:
        self._server.detach(self._connection)

    def pause_writing(self) -> None:
        self._server.engine.writable(self._connection, False, self._server.now())

    def resume_writing(self) -> None:
        self._server.engine.writable(self._connection, True, self._server.now())
        self._server.flush()

    def write(self, max_unsent_bytes: int) -> None:
        """Write what the core has for this connection, and close it if the core is done with it."""
        connection, transport = self._connection, self._transport
        if connection.output:
            output = connection.take_output()
            transport.write(output if self._codec is None else self._codec.encode(output))
        if transport.get_write_buffer_size() > max_unsent_bytes:
            _logger.warning("%s does not read what it is sent: closed", connection.client_name or connection.peer)
            transport.abort()
        elif connection.state is ConnectionState.CLOSING:
            if transport.is_closing():
                # It was asked to close before and its peer does not take the last bytes.
                transport.abort()
            elif self._codec is not None:
                transport.write(self._codec.farewell())
            transport.close()
        elif connection.starved and connection.writable:
            # One write per turn of the loop, so that a fast reader does not keep the others waiting.
            asyncio.get_running_loop().call_soon(self.resume_writing)

    def hold(self, held: bool) -> None:
        """Stop or start reading."""
        with contextlib.suppress(RuntimeError):  # the transport is closing
            if held:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def abort(self) -> None:
        """Break the connection."""
        self._transport.abort()
