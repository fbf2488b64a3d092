"""The HTTP shell of management."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from flumebeam.broker.config import BrokerConfig
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
        self._host = config.semp_host
        self._server = server
        self._service = SempService(config.semp_username, config.semp_password)
        self._sampler: asyncio.TimerHandle | None = None
        self._runner = web.ServerRunner(
            web.Server(self._respond), handle_signals=False, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS
        )
        self.port = config.semp_port or 0
        """Port that it listens on; the one it got, where the configuration says 0."""

    @property
    def url(self) -> str:
        """Address for programs, such as ``http://127.0.0.1:8080``."""
        return f"http://{self._host}:{self.port}"

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigurationError: The address cannot be listened on.
        """
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self.port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise ConfigurationError(
                f"Management cannot listen on {self._host}:{self.port} ({error.strerror or error}); "
                "stop what uses that port, choose another one, or do without (--semp-port, --no-semp)."
            ) from error
        self.port = self._runner.addresses[0][1]
        self._sample()

    async def close(self) -> None:
        """Stop listening and close connections."""
        if self._sampler is not None:
            self._sampler.cancel()
        await self._runner.cleanup()

    def _sample(self) -> None:
        self._service.rates.sample(self._server.now(), self._server.engine.vpn.queues)
        self._sampler = asyncio.get_running_loop().call_later(_SAMPLE_SECONDS, self._sample)

    async def _respond(self, http: web.BaseRequest) -> web.StreamResponse:
        if http.path in _HEALTH:
            return web.Response(status=200 if self._server.available else 503)
        request = Request(
            method=http.method,
            target=http.raw_path,
            base=f"http://{http.host}",
            authorization=http.headers.get("Authorization"),
            body=await http.read(),
        )
        vpn = self._server.engine.vpn
        reply = self._service.answer(request, vpn)
        if http.method != "GET":
            vpn.settle()
            await self._server.durable()
        headers = {"WWW-Authenticate": 'Basic realm="SEMP"'} if reply.status == web.HTTPUnauthorized.status_code else {}
        return web.json_response(reply.body, status=reply.status, headers=headers)
