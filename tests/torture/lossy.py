"""A proxy that passes requests on to a NameNode and drops a part of the answers, by a seed."""

from __future__ import annotations

import contextlib
import http.client
import random
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import urlsplit

__all__ = ["LossyProxy", "lossy_proxy"]


class LossyProxy:
    """What runs: where it listens, and how many answers it has dropped."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.dropped = 0
        self.rate = 0.0


@contextlib.contextmanager
def lossy_proxy(upstream: str, seed: str) -> Iterator[LossyProxy]:
    """Run a proxy; its ``rate`` says which part of the answers is dropped, at first none."""
    address = urlsplit(upstream).netloc
    chance, lock = random.Random(seed), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout: ClassVar[float] = 30  # type: ignore[misc]

        def answer(self) -> None:
            try:
                onward = http.client.HTTPConnection(address, timeout=30)
                with contextlib.closing(onward):
                    onward.request(self.command, self.path)
                    answer = onward.getresponse()
                    body = answer.read()
            except OSError:
                self.close_connection = True
                return
            with lock:
                if chance.random() < proxy.rate:
                    proxy.dropped += 1
                    self.close_connection = True
                    return
            self.send_response(answer.status)
            for name in ("Content-Type", "Location"):
                if value := answer.getheader(name):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

        do_GET: Callable[[Handler], None] = lambda self: self.answer()
        do_PUT = do_DELETE = do_POST = do_GET

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """Say nothing: clients are killed in the middle of everything."""

    server = Server(("127.0.0.1", 0), Handler)
    proxy = LossyProxy(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
