"""HTTP servers that stand where a NameNode should: one that loses answers, one that is something else."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import urlsplit


@contextlib.contextmanager
def answer_losing_proxy(upstream: str, operation: str) -> Iterator[str]:
    """Pass requests on to a NameNode, and drop the connection in place of the answer to one operation."""
    address = urlsplit(upstream).netloc

    class Proxy(_Quiet):
        def answer(self) -> None:
            onward = http.client.HTTPConnection(address, timeout=20)
            with contextlib.closing(onward):
                onward.request(self.command, self.path)
                answer = onward.getresponse()
                body = answer.read()
            if f"op={operation}" in self.path:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name in ("Content-Type", "Location"):
                if value := answer.getheader(name):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with _serving(Proxy) as url:
        yield url


@contextlib.contextmanager
def some_web_server(status: int, body: bytes = b"<html/>", *, takes_files: bool = False) -> Iterator[str]:
    """Answer everything alike; ``takes_files`` says with each answer that files are to be sent here."""

    class Page(_Quiet):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            if takes_files:
                self.send_header("Location", f"http://{self.headers['Host']}/")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with _serving(Page) as url:
        yield url


class _Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout: ClassVar[float] = 20  # type: ignore[misc]

    def answer(self) -> None:
        raise AssertionError("each server answers in its own way")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    do_GET: Callable[[_Quiet], None] = lambda self: self.answer()
    do_PUT = do_DELETE = do_POST = do_GET


@contextlib.contextmanager
def _serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
