"""A relay between a client and a broker that keeps what the client sends."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["Recorder", "recording"]


class Recorder:
    """Relays one connection.

    Args:
        host: Where the broker listens.
        port: Its port.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._listener]
        self.sent = bytearray()
        self.url = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._relay, daemon=True)]
        self._threads[0].start()

    def _relay(self) -> None:
        with suppress(OSError):
            client, _ = self._listener.accept()
            broker = socket.create_connection(self._target)
            self._sockets += [client, broker]
            self._threads.append(threading.Thread(target=self._pump, args=(broker, client, None), daemon=True))
            self._threads[-1].start()
            self._pump(client, broker, self.sent)

    def _pump(self, source: socket.socket, target: socket.socket, record: bytearray | None) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if record is not None:
                    record += data
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def messages(self) -> list[bytes]:
        """Return the message frames that the client has sent."""
        frames, at = [], 0
        while at < len(self.sent):
            size = int.from_bytes(self.sent[at + 8 : at + 12], "big")
            if self.sent[at + 1] & 0x3F == 0x0D:
                frames.append(bytes(self.sent[at : at + size]))
            at += size
        return frames

    def close(self) -> None:
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(5)


@contextmanager
def recording(url: str) -> Iterator[Recorder]:
    """Relay to the broker at an address such as ``tcp://127.0.0.1:55555``."""
    host, _, port = url.removeprefix("tcp://").rpartition(":")
    recorder = Recorder(host, int(port))
    try:
        yield recorder
    finally:
        recorder.close()
