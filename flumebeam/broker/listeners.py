"""Where clients come in: plain, over TLS, compressed.

TLS is a codec of bytes here, as compression is, and not asyncio's: so a connection is known, counted, timed and cut
from its first byte on, its handshake included.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol

from flumebeam.broker.certificates import ServerTls
from flumebeam.broker.config import BrokerConfig
from flumebeam.broker.core.broker_settings import Trust
from flumebeam.errors import ConfigurationError, ProtocolError

__all__ = ["Codec", "Deflate", "Listener", "Tls", "listeners", "stop_listening"]

_TURNS_OF_AN_ACCEPT: Final = 3
_PIECE_BYTES: Final = 1_048_576
"""Decoded bytes handed on at once: compressed, a few may stand for a thousand times as many."""
_RAW_DEFLATE: Final = -zlib.MAX_WBITS


class Codec(Protocol):
    """What the bytes of one connection are packed in."""

    certified_name: str | None
    """Common name of the client's verified certificate, once there is one."""

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Yield what has come in, in pieces of bounded size.

        Raises:
            ProtocolError: The bytes are not what this port takes.
        """
        ...

    def owed(self) -> bytes:
        """Return what the peer is to be sent after :meth:`decode` for the codec's own sake."""
        ...

    def encode(self, data: bytes) -> bytes:
        """Return ``data`` packed, so that the peer can read all of it."""
        ...

    def farewell(self) -> bytes:
        """Return what tells the peer that nothing follows."""
        ...

    def let_end(self) -> None:
        """Go on without the codec when the peer ends it, if that can be done."""
        ...


class Deflate:
    """Raw deflate in both directions, one stream each for the life of a connection."""

    certified_name: str | None = None

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(_RAW_DEFLATE)
        self._deflate = zlib.compressobj(wbits=_RAW_DEFLATE)

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Yield what has come in, as :meth:`Codec.decode`."""
        try:
            while data:
                if self._inflate.eof:
                    raise ProtocolError("Bytes came after the end of a compressed stream.")
                yield self._inflate.decompress(data, _PIECE_BYTES)
                data = self._inflate.unconsumed_tail or self._inflate.unused_data
        except zlib.error as error:
            raise ProtocolError(f"The stream is not compressed as this port has it ({error}).") from error

    def owed(self) -> bytes:
        """Return nothing: compression has no handshake."""
        return b""

    def encode(self, data: bytes) -> bytes:
        """Return ``data`` compressed and flushed."""
        return self._deflate.compress(data) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    def farewell(self) -> bytes:
        """Return nothing: clients do not look for the end of the stream."""
        return b""

    def let_end(self) -> None:
        """Do nothing: nobody ends compression."""


class Tls:
    """The server's side of TLS.

    Args:
        context: Certificate, and whether clients need one.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self.certified_name: str | None = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._established = False
        self._may_end = self._ended = False

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Yield what has come in, as :meth:`Codec.decode`; nothing during the handshake."""
        if self._ended:
            yield data
            return
        self._incoming.write(data)
        try:
            if not self._established:
                self._tls.do_handshake()
                self._established = True
                self.certified_name = _common_name(self._tls)
            while True:
                piece = self._tls.read(_PIECE_BYTES)
                if not piece:
                    break
                yield piece
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            return
        except ssl.SSLError as error:
            raise ProtocolError(f"TLS failed: {error.reason or error}.") from error
        if self._may_end:
            # The peer has said farewell and waits for ours; what follows is plain.
            self._say_farewell()
            self._ended = True
            rest = self._incoming.read()
            if rest:
                yield rest

    def let_end(self) -> None:
        """Go on in plain text when the peer ends TLS."""
        self._may_end = True

    def _say_farewell(self) -> None:
        with contextlib.suppress(ssl.SSLError):  # it asks for the peer's own farewell, or there was no handshake
            self._tls.unwrap()

    def owed(self) -> bytes:
        """Return the next part of the handshake, or an alert."""
        return self._outgoing.read()

    def encode(self, data: bytes) -> bytes:
        """Return ``data`` encrypted, or behind the end of TLS as it is."""
        if self._ended:
            return self._outgoing.read() + data
        self._tls.write(data)
        return self._outgoing.read()

    def farewell(self) -> bytes:
        """Return the alert that ends the stream."""
        if not self._ended:
            self._say_farewell()
        return self._outgoing.read()


def _common_name(tls: ssl.SSLObject) -> str | None:
    # A sequence of relative names, each a sequence of pairs; the typing of ssl says less than it is.
    subject: Any = (tls.getpeercert() or {}).get("subject", ())
    return dict(pair for part in subject for pair in part).get("commonName")


@dataclass(kw_only=True)
class Listener:
    """One address that clients connect to.

    Attributes:
        option: Name of the option that asks for it.
        scheme: How clients name it: ``tcp`` or ``tcps``.
        host: Address.
        port: Port; 0 becomes a free one at the first :meth:`open` and stays that.
        codec: Makes the codec of a connection's bytes, or None.
    """

    option: str
    scheme: str
    host: str
    port: int
    codec: Callable[[], Codec] | None = None
    _server: asyncio.Server | None = None
    _kept: list[socket.socket] = field(default_factory=list)
    """Bound to the port and deaf while nothing listens: else the kernel might give it to somebody else."""

    @property
    def url(self) -> str:
        """Address for clients."""
        return f"{self.scheme}://{self.host}:{self.port}"

    @property
    def is_open(self) -> bool:
        """Whether clients can connect."""
        return self._server is not None

    async def open(self, make: Callable[[Codec | None], asyncio.BaseProtocol]) -> None:
        """Listen; one that listens already is left alone.

        Args:
            make: Makes the protocol of a connection from the codec of its bytes.

        Raises:
            ConfigurationError: The address cannot be listened on.
        """
        if self._server is not None:
            return
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: make(self.codec() if self.codec else None), self.host, self.port
            )
        except OSError as error:
            raise ConfigurationError(
                f"The broker cannot listen on {self.host}:{self.port} ({error.strerror or error}); "
                "stop what uses that port, or choose another one."
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]
        self.release()

    async def close(self) -> None:
        """Stop listening; connections that exist stay, and so does the port, until :meth:`release`."""
        if self._server is not None:
            server, self._server = self._server, None
            addresses = [(each.family, each.getsockname()) for each in server.sockets]
            await stop_listening(server)
            self._kept = [_keep(family, address) for family, address in addresses]

    def release(self) -> None:
        """Give the port up if nothing listens."""
        while self._kept:
            self._kept.pop().close()


async def stop_listening(server: asyncio.Server) -> None:
    """Close a server's sockets once its protocols know of every connection that was accepted.

    asyncio makes a connection known in the third turn of the loop behind its accept. To one whose server is closed by
    then it fails half made, and nobody closes its socket (measured with Python 3.11).

    Args:
        server: One that listens on the loop that runs.
    """
    loop = asyncio.get_running_loop()
    for each in server.sockets:
        loop.remove_reader(each.fileno())
    for _ in range(_TURNS_OF_AN_ACCEPT):
        await asyncio.sleep(0)
    server.close()


def _keep(family: int, address: Any) -> socket.socket:
    kept = socket.socket(family, socket.SOCK_STREAM)
    # A listener, which asyncio gives the same option, may bind the port beside it.
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with contextlib.suppress(OSError):  # somebody was quicker, which open() tells
        kept.bind(address)
    return kept


def _tls(tls: ServerTls) -> Tls:
    return Tls(tls.context())


def listeners(config: BrokerConfig, trust: Callable[[], Trust]) -> list[Listener]:
    """Return the listeners that the options ask for, the plain one first.

    Args:
        config: The options.
        trust: Returns what administrators have set about certificates.

    Raises:
        ConfigurationError: The TLS certificate cannot be used.
    """
    host = config.host
    found = [Listener(option="port", scheme="tcp", host=host, port=config.port)]
    if config.tls_port is not None:
        tls = ServerTls(config, trust, config.tls_client_ca)
        codec = partial(_tls, tls)
        found.append(Listener(option="tls_port", scheme="tcps", host=host, port=config.tls_port, codec=codec))
    if config.compressed_port is not None:
        port = config.compressed_port
        found.append(Listener(option="compressed_port", scheme="tcp", host=host, port=port, codec=Deflate))
    for option, standby in (("standby_port", config.standby_port), ("dr_port", config.dr_port)):
        if standby is not None:
            found.append(Listener(option=option, scheme="tcp", host=host, port=standby))
    return found
