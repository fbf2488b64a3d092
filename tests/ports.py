"""Ports for tests of what is not there."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["refusing_port"]


@contextmanager
def refusing_port() -> Iterator[int]:
    """Hold a port of loopback that refuses connections: what runs beside cannot get it and answer there."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
