"""The development broker in a process of its own, so that its CPU is seen apart.

The process takes commands on standard input and answers on standard output, a line of JSON each.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from flumebeam.broker import BrokerConfig, DevelopmentBroker
from flumebeam.garbage import collecting_seldom
from tests.bench.procfs import Usage, usage
from tests.bench.programs import end_by_input

__all__ = ["BrokerProcess", "Depth"]

_EXIT_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Depth:
    """What a queue holds.

    Attributes:
        messages: Messages in it, delivered but unacknowledged ones included.
        unacknowledged: Delivered and not acknowledged.
        consumers: Flows bound to it.
        received: Messages that were ever put into it.
    """

    messages: int
    unacknowledged: int
    consumers: int
    received: int


class BrokerProcess:
    """A broker on a free port of loopback, as a context manager.

    Args:
        data: Directory that it keeps its data in; by default it holds them in memory.
        settings: Further options of :class:`~flumebeam.broker.BrokerConfig`.
    """

    def __init__(self, data: Path | None = None, settings: Mapping[str, Any] | None = None) -> None:
        options = {"data": None if data is None else str(data), "compressed_port": 0, **(settings or {})}
        self._command = [sys.executable, "-m", "tests.bench.broker_host", json.dumps(options)]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url, self.compressed_url = self._answer()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        end_by_input(self._process)

    def usage(self) -> Usage:
        """Return what its process has used so far."""
        return usage(self._process.pid) or Usage(0.0, 0)

    def create_queue(self, name: str, topic: str) -> None:
        """Create an exclusive queue that gets what is published to ``topic``."""
        self._ask("create", name, topic)

    def delete_queue(self, name: str) -> None:
        """Delete a queue with all that is in it."""
        self._ask("delete", name)

    def depth(self, name: str) -> Depth:
        """Return what a queue holds now."""
        return Depth(*self._ask("depth", name))

    def cut_connections(self) -> int:
        """Break all connections; return how many there were."""
        cut: int = self._ask("cut", "")
        return cut

    def _ask(self, *command: str) -> Any:
        if self._process.stdin is None:
            raise RuntimeError("The broker's process was not started.")
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        text = self._process.stdout.readline() if self._process.stdout else ""
        if not text:
            raise RuntimeError(f"The broker's process ended with status {self._process.wait(_EXIT_SECONDS)}.")
        return json.loads(text)


def _serve(options: str) -> None:
    with collecting_seldom(), DevelopmentBroker(BrokerConfig(port=0, **json.loads(options))) as broker:
        _say((broker.url, broker.compressed_url))
        for text in sys.stdin:
            _say(_obey(broker, *json.loads(text)))


def _obey(broker: DevelopmentBroker, command: str, queue: str, *topics: str) -> Any:
    if command == "create":
        return broker.create_queue(queue, subscriptions=topics)
    if command == "delete":
        return broker.delete_queue(queue)
    if command == "cut":
        return broker.cut_connections()
    status = broker.queue(queue)
    return status.messages, status.unacknowledged, status.consumers, status.received


def _say(answer: Any) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _serve(sys.argv[1])
