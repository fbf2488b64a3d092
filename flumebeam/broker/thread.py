"""A broker in a thread of its own: its life, its addresses, and the way into the thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from flumebeam.broker.config import BrokerConfig
from flumebeam.broker.listeners import Listener
from flumebeam.broker.server import BrokerServer
from flumebeam.clock import Clock, SystemClock
from flumebeam.errors import ConfigurationError, FlumebeamError

__all__ = ["START_SECONDS", "BrokerThread"]

_CALL_SECONDS: Final = 30.0
START_SECONDS: Final = 600.0
"""A broker that keeps its data reads it first: some 10 s for a million messages."""

T = TypeVar("T")


class BrokerThread:
    """A broker that any thread may start, ask and stop. It runs in a daemon thread.

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
        self._started.result(START_SECONDS)

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
        return self._running().sockets.listeners[0].port

    @property
    def url(self) -> str:
        """Address for clients, such as ``tcp://127.0.0.1:55555``."""
        return self._running().sockets.listeners[0].url

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

    def _management(self, scheme: str, option: str) -> str:
        self._running()
        if scheme not in self._semp_urls:
            raise ConfigurationError(f"The broker has no such port; start it with {option}.")
        return self._semp_urls[scheme]

    def _listener(self, option: str) -> Listener:
        for listener in self._running().sockets.listeners:
            if listener.option == option:
                return listener
        raise ConfigurationError(f"The broker has no such port; start it with {option}.")

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
