"""Management of an engine without sockets."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from flumebeam.broker.semp.replies import Reply, Request
from flumebeam.broker.semp.service import SempService


class Manager:
    """An administrator of a world.

    Args:
        world: The broker's core, with queue ``q``.
    """

    def __init__(self, world: Any) -> None:
        self.world = world
        self.service = SempService()

    def ask(self, method: str, target: str, body: Any = None, credentials: str | None = "admin:admin") -> Reply:
        encoded = None if credentials is None else "Basic " + base64.b64encode(credentials.encode()).decode()
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        request = Request(method=method, target=target, base="http://b:1", authorization=encoded, body=raw)
        reply = self.service.answer(request, self.world.engine.host)
        self.world.engine.settle()
        return reply

    def __call__(self, method: str, target: str, body: Any = None) -> dict[str, Any]:
        """Ask for something that works, and return the answer."""
        reply = self.ask(method, target, body)
        assert reply.status == 200, reply
        assert reply.body is not None
        assert reply.body["meta"]["responseCode"] == 200
        return reply.body

    def refused(self, method: str, target: str, body: Any = None) -> tuple[int, str, int]:
        """Ask for something that does not work, and return the error's code and status, and the HTTP status."""
        reply = self.ask(method, target, body)
        assert reply.body is not None
        meta = reply.body["meta"]
        assert meta["responseCode"] == reply.status
        assert meta["request"] == {"method": method, "uri": f"http://b:1{target}"}
        assert meta["error"]["description"].endswith(".")
        return meta["error"]["code"], meta["error"]["status"], reply.status


@pytest.fixture
def manage(world: Any) -> Manager:
    return Manager(world)
