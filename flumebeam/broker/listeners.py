"""Where clients come in: plain, over TLS, compressed."""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from flumebeam.broker.config import BrokerConfig
from flumebeam.errors import ConfigurationError, ProtocolError

__all__ = ["Deflate", "Listener", "listeners", "tls_context"]

_PIECE_BYTES: Final = 1_048_576
"""Decompressed bytes handed on at once: a few bytes may stand for a thousand times as many."""
_TLS_SHUTDOWN_SECONDS: Final = 2.0
_RAW_DEFLATE: Final = -zlib.MAX_WBITS


class Deflate:
    """Raw deflate in both directions, one stream each for the life of a connection."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(_RAW_DEFLATE)
        self._deflate = zlib.compressobj(wbits=_RAW_DEFLATE)

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Yield what came in, in pieces of bounded size.

        Raises:
            ProtocolError: The bytes are not compressed, or the stream is damaged or has ended.
        """
        try:
            while data:
                if self._inflate.eof:
                    raise ProtocolError("Bytes came after the end of a compressed stream.")
                yield self._inflate.decompress(data, _PIECE_BYTES)
                data = self._inflate.unconsumed_tail or self._inflate.unused_data
        except zlib.error as error:
            raise ProtocolError(f"The stream is not compressed as this port has it ({error}).") from error

    def encode(self, data: bytes) -> bytes:
        """Return ``data`` compressed and flushed, so that the peer can read all of it."""
        return self._deflate.compress(data) + self._deflate.flush(zlib.Z_SYNC_FLUSH)


@dataclass(kw_only=True)
class Listener:
    """One address that clients connect to.

    Attributes:
        scheme: How clients name it: ``tcp`` or ``tcps``.
        host: Address.
        port: Port; 0 becomes a free one at the first :meth:`open` and stays that.
        context: TLS context, or None.
        codec: Makes the codec of a connection's bytes, or None.
        handshake_seconds: A TLS handshake that takes longer ends the connection.
    """

    scheme: str
    host: str
    port: int
    context: ssl.SSLContext | None = None
    codec: type[Deflate] | None = None
    handshake_seconds: float = 10.0
    _server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Address for clients."""
        return f"{self.scheme}://{self.host}:{self.port}"

    async def open(self, make: Callable[[Deflate | None], asyncio.Protocol]) -> None:
        """Listen; one that listens already is left alone.

        Args:
            make: Makes the protocol of a connection from the codec of its bytes.

        Raises:
            ConfigurationError: The address cannot be listened on.
        """
        if self._server is not None:
            return
        secure = self.context is not None
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: make(self.codec() if self.codec else None),
                self.host,
                self.port,
                ssl=self.context,
                ssl_handshake_timeout=self.handshake_seconds if secure else None,
                ssl_shutdown_timeout=_TLS_SHUTDOWN_SECONDS if secure else None,
            )
        except OSError as error:
            raise ConfigurationError(
                f"The broker cannot listen on {self.host}:{self.port} ({error.strerror or error}); "
                "stop what uses that port, or choose another one."
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Stop listening; connections that exist stay."""
        if self._server is not None:
            self._server.close()
            self._server = None


def tls_context(config: BrokerConfig) -> ssl.SSLContext:
    """Return the TLS context of the broker's certificate.

    Raises:
        ConfigurationError: The certificate, its key or the authority's certificate cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(config.tls_certificate or "", config.tls_key, password="")
    except OSError as error:
        raise ConfigurationError(
            f"The TLS certificate {config.tls_certificate} with key {config.tls_key or 'in the same file'} cannot be "
            f"used ({error}); give a certificate and its key without a passphrase in PEM form."
        ) from error
    if config.tls_client_ca is not None:
        try:
            context.load_verify_locations(config.tls_client_ca)
        except OSError as error:
            raise ConfigurationError(
                f"The certificate authority {config.tls_client_ca} cannot be used ({error}); give its certificate in "
                "PEM form."
            ) from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def listeners(config: BrokerConfig) -> list[Listener]:
    """Return the listeners that the options ask for, the plain one first.

    Raises:
        ConfigurationError: The TLS certificate cannot be used.
    """
    found = [Listener(scheme="tcp", host=config.host, port=config.port)]
    if config.tls_port is not None:
        found.append(
            Listener(
                scheme="tcps",
                host=config.host,
                port=config.tls_port,
                context=tls_context(config),
                handshake_seconds=config.login_timeout_seconds,
            )
        )
    if config.compressed_port is not None:
        found.append(Listener(scheme="tcp", host=config.host, port=config.compressed_port, codec=Deflate))
    return found
