"""One connection's socket: bytes between the transport and the core, at full speed, slowly, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

from flumebeam.broker.core.connection import Connection
from flumebeam.broker.listeners import Codec
from flumebeam.errors import ProtocolError

if TYPE_CHECKING:
    from flumebeam.broker.server import BrokerServer

__all__ = ["Client", "portion_after"]

_PACE_SECONDS: Final = 0.02
"""Time between two portions of a slow connection."""
_READ_BYTES: Final = 262_144
"""What is read at once; a connection that gets little touches little of it."""
_FIRST_BYTES: Final = 16_384
_LEAST_BYTES: Final = 4_096
_TURN_SECONDS: Final = 0.005
"""What others may have to wait for one connection's bytes: acknowledgements one by one take thirty times what as many
bytes of messages do, 45 ms for all that is read at once."""
_STREAM_MESSAGES: Final = 256
"""Messages of a transaction after which more of it is taken to be on the way."""
_GATHER_SECONDS: Final = 0.001
"""How long they are left to gather in the kernel. To read and to wake for each costs as much as to handle it, and the
client pays for waking; a millisecond in a transaction that takes several is not seen."""
_logger = logging.getLogger("flumebeam.broker")


def portion_after(size: int, came: int, seconds: float) -> int:
    """Return how many bytes a connection's next portion has at most.

    Args:
        size: Bytes that the last one had at most.
        came: Bytes that it had.
        seconds: What they took.
    """
    if seconds > _TURN_SECONDS:
        return max(_LEAST_BYTES, size // 2)
    return min(_READ_BYTES, 2 * size) if came == size and seconds < _TURN_SECONDS / 2 else size


class Client(asyncio.BufferedProtocol):
    """One connection's socket.

    Args:
        server: Whose connection it is.
        codec: What its bytes are packed in, or None.
        option: Option of the listener that it came to.
    """

    def __init__(self, server: BrokerServer, codec: Codec | None, option: str) -> None:
        self._server = server
        self._option = option
        self._codec = codec
        self._connection: Connection
        self._transport: asyncio.Transport
        # Bytes made by the transport for each portion are as large as the largest one could be: from the kernel, and
        # back to it, which costs as much as to read them.
        self._room = memoryview(bytearray(_READ_BYTES))
        self._portion_bytes = _FIRST_BYTES
        """What is read at once for now."""
        self._bytes_per_second: int | None = None
        """Speed in each direction; 0 is frozen, None unlimited."""
        self._arrived, self._unsent = bytearray(), bytearray()
        """What waits for its time, if the speed is limited."""
        self._closing = False
        self._full = False
        """Whether the transport has enough for now."""
        self._pacer: asyncio.TimerHandle | None = None

    # Events of the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what loop.create_server makes
        self._transport = transport
        host, port = transport.get_extra_info("peername")[:2]
        self._connection = self._server.attach(self, f"{host}:{port}", self._option)
        self._trace = self._server.trace(self._connection)
        if self._server.sockets.speed is not None:
            self.limit(self._server.sockets.speed)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next bytes go."""
        return self._room[: self._portion_bytes]

    def buffer_updated(self, nbytes: int) -> None:
        """Hand bytes to the core, now or in time."""
        data = bytes(self._room[:nbytes])
        if self._bytes_per_second is None:
            begun = self._server.now()
            self._take(data)
            self._portion_bytes = portion_after(self._portion_bytes, nbytes, self._server.now() - begun)
        else:
            self._arrived += data
            self._hold()

    def connection_lost(self, error: Exception | None) -> None:
        """End."""
        if self._pacer is not None:
            self._pacer.cancel()
        if self._trace is not None:
            self._trace.lost()
        self._server.detach(self._connection)

    def pause_writing(self) -> None:
        """Tell the core that the client does not keep up."""
        self._full = True
        self._server.engine.writable(self._connection, False, self._server.now())

    def resume_writing(self) -> None:
        """Tell the core that the client has caught up."""
        self._full = False
        self._go_on()

    def _go_on(self) -> None:
        if self._full or self._unsent or self._bytes_per_second == 0:
            return
        self._server.engine.writable(self._connection, True, self._server.now())
        self._server.flush()

    # In

    def _take(self, data: bytes) -> None:
        server = self._server
        if server.faults and self._connection.client_name:
            cut = server.faults.cut_after(len(data), sent=False)
            if cut is not None:
                self._decode(data[:cut])
                self.abort()
                return
        self._decode(data)

    def _decode(self, data: bytes) -> None:
        server = self._server
        if self._codec is None:
            if self._trace is not None:
                self._trace.received(data)
            server.engine.receive(self._connection, data, server.now())
        else:
            self._unpack(data, self._codec)
        server.flush()
        pause = server.ingress_pause()
        if pause == 0.0 and self._connection.staged > _STREAM_MESSAGES:
            pause = _GATHER_SECONDS
        if pause > 0:
            self._hold()
            asyncio.get_running_loop().call_later(pause, self._read_on)

    def _unpack(self, data: bytes, codec: Codec) -> None:
        server, connection = self._server, self._connection
        try:
            for piece in codec.decode(data):
                connection.certified_name = codec.certified_name
                if self._trace is not None:
                    self._trace.received(piece)
                server.engine.receive(connection, piece, server.now())
                if connection.ends_tls:
                    codec.let_end()
                # What a few bytes stand for is not answered all at once either.
                server.flush()
        except ProtocolError as error:
            _logger.info("%s broke the protocol: %s", connection.client_name or connection.peer, error)
            connection.close()
        owed = codec.owed()
        if owed:
            self._transport.write(owed)

    # Out

    def write(self, output: bytes, closing: bool, max_unsent_bytes: int) -> None:
        """Write what the core has put out for this connection, and close it if the core is done with it."""
        connection, transport = self._connection, self._transport
        connection.make_room()
        self._closing = self._closing or closing
        if output and self._trace is not None:
            self._trace.name(connection.client_name)
            self._trace.sent(output)
        if self._bytes_per_second is not None:
            self._unsent += output
            if self._unsent:
                self._server.engine.writable(connection, False, self._server.now())
        elif output:
            self._send(output)
        if transport.get_write_buffer_size() + len(self._unsent) > max_unsent_bytes:
            _logger.warning("%s does not read what it is sent: closed", connection.client_name or connection.peer)
            transport.abort()
        elif self._closing:
            self._close()
        elif connection.starved and connection.writable:
            # One write per turn of the loop, so that a fast reader does not keep the others waiting.
            asyncio.get_running_loop().call_soon(self._go_on)

    def _send(self, output: bytes) -> None:
        server = self._server
        if server.faults and self._connection.client_name:
            cut = server.faults.cut_after(len(output), sent=True)
            if cut is not None:
                self._transport.write(output[:cut] if self._codec is None else self._codec.encode(output[:cut]))
                self._transport.close()
                return
        self._transport.write(output if self._codec is None else self._codec.encode(output))

    def _close(self) -> None:
        transport = self._transport
        if self._unsent or self._bytes_per_second == 0:
            return
        if transport.is_closing():
            # It was asked to close before and its peer does not take the last bytes.
            transport.abort()
        elif self._codec is not None:
            transport.write(self._codec.farewell())
        transport.close()

    def abort(self) -> None:
        """Break the connection."""
        self._transport.abort()

    # Speed

    def limit(self, bytes_per_second: int | None) -> None:
        """Let so many bytes in and out, each: 0 freezes, None ends the limit."""
        self._bytes_per_second = bytes_per_second
        if bytes_per_second is None:
            self._release()
        elif bytes_per_second == 0:
            self._server.engine.writable(self._connection, False, self._server.now())
            self._hold()
        else:
            self._pace()

    def _hold(self) -> None:
        with contextlib.suppress(RuntimeError):  # the transport is closing
            self._transport.pause_reading()

    def _read_on(self) -> None:
        if self._bytes_per_second is None:
            self._read()

    def _read(self) -> None:
        with contextlib.suppress(RuntimeError):  # the transport is closing
            self._transport.resume_reading()

    def _pace(self) -> None:
        if self._pacer is not None:
            self._pacer.cancel()
            self._pacer = None
        if not self._bytes_per_second:
            return
        self._portion(max(1, round(self._bytes_per_second * _PACE_SECONDS)))
        self._pacer = asyncio.get_running_loop().call_later(_PACE_SECONDS, self._pace)

    def _release(self) -> None:
        self._portion(max(len(self._arrived), len(self._unsent), 1))

    def _portion(self, size: int) -> None:
        held = bool(self._unsent) or not self._connection.writable
        if self._unsent:
            portion = bytes(self._unsent[:size])
            del self._unsent[:size]
            self._send(portion)
        if self._arrived:
            portion = bytes(self._arrived[:size])
            del self._arrived[:size]
            self._take(portion)
        if not self._arrived:
            self._read()
        if self._closing:
            self._close()
        elif held:
            self._go_on()
