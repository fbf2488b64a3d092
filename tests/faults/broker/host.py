"""A broker process that keeps its data, to be killed at any moment: ``python -m tests.faults.broker.host DIR PORT``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from flumebeam.broker import BrokerConfig, DevelopmentBroker
from flumebeam.daemons import free_ports

__all__ = ["QUEUES", "KilledBroker"]

QUEUES = {"plain": "plain/>", "in": "plain/>", "transacted": "transacted/>", "out": "out/>"}
"""Queues and what feeds them; the transform reads ``in``."""
_EXIT_SECONDS = 20.0


class KilledBroker:
    """A broker on one directory and port that is killed and started again.

    Args:
        data: Its directory.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        [self._port] = free_ports(1)
        self._process: subprocess.Popen[str] | None = None
        self.url = f"tcp://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start a process; it listens a moment later."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.broker.host", str(self._data), str(self._port)],
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait(self) -> None:
        """Return when it listens."""
        if self._process is None or self._process.stdout is None or not self._process.stdout.readline():
            raise RuntimeError("The broker's process did not start.")

    def kill(self) -> None:
        """End it at once, with ``kill -9``."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate(timeout=_EXIT_SECONDS)
            self._process = None


def _serve(data: str, port: str) -> None:
    with DevelopmentBroker(BrokerConfig(port=int(port), data=data)) as broker:
        for name, topic in QUEUES.items():
            broker.create_queue(name, subscriptions=[topic])
        sys.stdout.write("listening\n")
        sys.stdout.flush()
        broker.wait()


if __name__ == "__main__":
    _serve(*sys.argv[1:])
