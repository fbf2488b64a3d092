"""The sockets of a broker: where clients come in, those that are there, and the faults of whole connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from flumebeam.broker.config import BrokerConfig
from flumebeam.broker.core.broker_settings import Trust
from flumebeam.broker.core.connection import Connection
from flumebeam.broker.listeners import Codec, Listener, listeners
from flumebeam.errors import ConfigurationError

if TYPE_CHECKING:
    from flumebeam.broker.client import Client

__all__ = ["Output", "Sockets"]


class Output(NamedTuple):
    """What a connection is to be sent, whether it is closed after that, and the portion of the journal it leans on."""

    connection: Connection
    data: bytes
    closing: bool
    portion: int


class Sockets:
    """The listeners and connections of a broker on one asyncio loop.

    Args:
        config: Where it listens, and what a connection may have unsent.
        make: Makes the client of a new connection, from the option of its listener and what its bytes are packed in.
        trust: Returns what administrators have set about certificates.

    Raises:
        ConfigurationError: The TLS certificate cannot be used.
    """

    def __init__(
        self, config: BrokerConfig, make: Callable[[str, Codec | None], Client], trust: Callable[[], Trust]
    ) -> None:
        self._make = make
        self._max_unsent_bytes = config.max_unsent_bytes
        self.listeners: list[Listener] = listeners(config, trust)
        """Where clients come in, the plain one first."""
        self._clients: dict[Connection, Client] = {}
        self._empty = asyncio.Event()
        """Set while no connection exists; transports report their end in a later turn of the loop."""
        self._empty.set()
        self.speed: int | None = None
        """Bytes a second of each new connection; 0 while the broker is frozen, None without a limit."""

    def __contains__(self, connection: Connection) -> bool:
        return connection in self._clients

    def add(self, connection: Connection, client: Client) -> None:
        """Note the client of a new connection."""
        self._clients[connection] = client
        self._empty.clear()

    def remove(self, connection: Connection) -> None:
        """Note that a connection is gone."""
        del self._clients[connection]
        if not self._clients:
            self._empty.set()

    def send(self, output: list[Output]) -> None:
        """Write what is for connections that still exist, and close those that are done with."""
        for connection, data, closing, _ in output:
            client = self._clients.get(connection)
            if client is not None:
                client.write(data, closing, self._max_unsent_bytes)

    async def go_down(self) -> None:
        """Refuse and cut everything, and return when no connection exists any more."""
        await self.refuse()
        self.cut()
        await self._empty.wait()

    async def accept(self) -> None:
        """Listen; again on the same ports if there was a time without.

        Raises:
            ConfigurationError: An address cannot be listened on.
        """
        try:
            for listener in self.listeners:
                await listener.open(partial(self._make, listener.option))
        except ConfigurationError:
            await self.refuse()
            raise

    @property
    def available(self) -> bool:
        """Whether clients can connect and are answered."""
        return self.speed != 0 and all(listener.is_open for listener in self.listeners)

    async def refuse(self) -> None:
        """Stop listening; connections that exist stay, and the ports are kept."""
        for listener in self.listeners:
            await listener.close()

    def release(self) -> None:
        """Give up the ports that nothing listens on."""
        for listener in self.listeners:
            listener.release()

    def cut(self, client: str | None = None) -> int:
        """Break connections without a word and return how many.

        Args:
            client: Client name of the one to cut; None cuts all.
        """
        doomed = [shell for connection, shell in self._clients.items() if client in (None, connection.client_name)]
        for shell in doomed:
            shell.abort()
        return len(doomed)

    def slow(self, bytes_per_second: int | None, client: str | None = None) -> None:
        """Limit the speed of connections in each direction.

        Args:
            bytes_per_second: The limit; 0 freezes, None ends it.
            client: Client name of the one to slow down; None slows all, new connections included.
        """
        if client is None:
            self.speed = bytes_per_second
        for connection, shell in list(self._clients.items()):
            if client in (None, connection.client_name):
                shell.limit(bytes_per_second)
