"""A server of schemas, as small as tests want it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["SchemaServer", "serving_schemas"]


@dataclass(slots=True)
class SchemaServer:
    """What it answers, and what it was asked.

    Attributes:
        url: Its address.
        answers: Status and content by path; what is not there is answered with 404.
        asked: Path and login of each request, in order.
    """

    url: str = ""
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@contextlib.contextmanager
def serving_schemas() -> Iterator[SchemaServer]:
    """Run one on a free port."""
    served = SchemaServer()

    class Handler(BaseHTTPRequestHandler):
        timeout = 20

        def do_GET(self) -> None:
            served.asked.append((self.path, self.headers["Authorization"]))
            status, content = served.answers.get(self.path, (404, b'{"error_code": 40401}'))
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            if status == 302:
                self.send_header("Location", content.decode())
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
