"""The HTTP shell of management."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

from aiohttp import web

from flumebeam.broker.certificates import ServerTls, tls_context
from flumebeam.broker.config import BrokerConfig
from flumebeam.broker.core.broker_settings import Trust
from flumebeam.broker.listeners import stop_listening
from flumebeam.broker.semp.monitoring import all_traffic
from flumebeam.broker.semp.rates import Counted
from flumebeam.broker.semp.replies import Request
from flumebeam.broker.semp.service import SempService
from flumebeam.broker.server import BrokerServer
from flumebeam.errors import ConfigurationError

__all__ = ["SempServer"]

_SAMPLE_SECONDS: Final = 1.0
_SHUTDOWN_SECONDS: Final = 1.0
_HEALTH: Final = frozenset(("/health-check/direct-active", "/health-check/guaranteed-active"))


class SempServer:
    """Management of a broker, on the broker's own loop: requests and messages never run at the same time.

    Args:
        config: Where to listen, and the administrator's credentials.
        server: The broker.
    """

    def __init__(self, config: BrokerConfig, server: BrokerServer) -> None:
        self._config = config
        self._server = server
        self._service = SempService()
        self._sampler: asyncio.TimerHandle | None = None
        self._http = web.Server(self._respond, access_log=None)
        self._listening: list[asyncio.Server] = []
        self.urls: dict[str, str] = {}
        """Addresses by scheme: ``http`` and ``https``, as far as the configuration has them."""

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigurationError: An address cannot be listened on, or the certificate cannot be used.
        """
        config = self._config
        try:
            if config.semp_port is not None:
                await self._listen("http", config.semp_port, None)
            if config.semp_tls_port is not None:
                await self._listen("https", config.semp_tls_port, self._tls_context())
        except ConfigurationError:
            await self.close()
            raise
        self._sample()

    def _tls_context(self) -> ssl.SSLContext:
        # Administrators have passwords, so nobody is asked for a client certificate.
        tls = ServerTls(self._config, lambda: Trust(self._server.engine.host.settings.trust.certificate, ()))
        context = tls_context(self._config)

        def choose(connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, former: ssl.SSLContext) -> None:
            connection.context = tls.context()

        context.sni_callback = choose
        return context

    async def _listen(self, scheme: str, port: int, context: ssl.SSLContext | None) -> None:
        host = self._config.semp_host
        try:
            server = await asyncio.get_running_loop().create_server(self._http, host, port, ssl=context)
        except OSError as error:
            raise ConfigurationError(
                f"Management cannot listen on {host}:{port} ({error.strerror or error}); "
                "stop what uses that port, choose another one, or do without (--semp-port, --no-semp)."
            ) from error
        self._listening.append(server)
        self.urls[scheme] = f"{scheme}://{host}:{server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        """Stop listening and close connections."""
        if self._sampler is not None:
            self._sampler.cancel()
        for server in self._listening:
            await stop_listening(server)
        for connection in self._http.connections:
            # Cut, not closed: over TLS a close waits for the peer's farewell, longer than the loop lives.
            if connection.transport is not None:
                connection.transport.abort()
        await self._http.shutdown(_SHUTDOWN_SECONDS)

    def _sample(self) -> None:
        vpns = self._server.engine.host.vpns.values()
        counted: list[Counted] = [queue for vpn in vpns for queue in vpn.queues.values()]
        counted += (traffic for vpn in vpns for traffic in all_traffic(vpn))
        self._service.rates.sample(self._server.now(), counted)
        self._sampler = asyncio.get_running_loop().call_later(_SAMPLE_SECONDS, self._sample)

    async def _respond(self, http: web.BaseRequest) -> web.StreamResponse:
        if http.path in _HEALTH:
            return web.Response(status=200 if self._server.sockets.available else 503)
        request = Request(
            method=http.method,
            target=http.raw_path,
            base=f"{http.scheme}://{http.host}",
            authorization=http.headers.get("Authorization"),
            body=await http.read(),
        )
        engine = self._server.engine
        reply = self._service.answer(request, engine.host)
        if http.method != "GET":
            engine.settle()
            await self._server.durable()
        headers = {"WWW-Authenticate": 'Basic realm="SEMP"'} if reply.status == web.HTTPUnauthorized.status_code else {}
        return web.json_response(reply.body, status=reply.status, headers=headers)
