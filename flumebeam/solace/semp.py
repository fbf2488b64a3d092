"""What the broker's management tells of a queue, which no client is told: its access type, its partitions, its backlog.

Asked by SEMP v2 (monitoring, ``/SEMP/v2/monitor/msgVpns/VPN/queues/NAME``), which needs an administrator's login of at
least "read-only" and takes some ten requests a second from everybody together.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import requests

from flumebeam.clock import Clock, SystemClock
from flumebeam.errors import ConfigurationError, ConnectionFailedError, FlumebeamError, QueueError
from flumebeam.solace.secret import Secret

__all__ = ["Backlog", "BacklogWatch", "QueueFacts", "SempOptions"]

_logger: Final = logging.getLogger(__name__)
_NOT_FOUND: Final = "NOT_FOUND"
_WATCH_SECONDS: Final = 10.0
"""Between two looks at a backlog: many readers may ask one broker."""


class Backlog(NamedTuple):
    """What a queue holds, delivered and unacknowledged messages included."""

    messages: int
    nbytes: int


class QueueFacts(NamedTuple):
    """What is known of a queue.

    Attributes:
        exclusive: Whether one consumer is served at a time.
        partitions: Its number of partitions; 0 if it has none.
        backlog: What it holds.
    """

    exclusive: bool
    partitions: int
    backlog: Backlog

    def flows(self, queue: str, asked: int) -> int:
        """Return how many flows a read binds.

        Args:
            queue: Its name, for errors.
            asked: How many are wanted; 0 for what the queue can use: one for each partition, else one.

        Raises:
            ConfigurationError: Some of them would never be served.
        """
        if self.exclusive and asked > 1:
            raise ConfigurationError(
                f"Queue {queue!r} lets only one consumer be active, so {asked} flows cannot share it: read it with "
                "flows=1, or make the queue non-exclusive."
            )
        if asked > self.partitions > 0:
            raise ConfigurationError(
                f"Queue {queue!r} has {self.partitions} partitions, so {asked} flows would not all be served: read it "
                f"with at most {self.partitions}."
            )
        return asked or self.partitions or 1


@dataclass(frozen=True, kw_only=True)
class SempOptions:
    """Where the broker's management listens, and as whom.

    Attributes:
        url: Such as ``https://broker:1943``.
        username: Of an administrator who may read.
        password: Theirs; by default what the environment variable ``SOLACE_SEMP_PASSWORD`` holds when it is needed.
        trust_store: A file or directory of certificate authorities; by default those that ``requests`` trusts.
        timeout_seconds: How long an answer may take.
    """

    url: str
    username: str = "admin"
    password: Secret = field(default_factory=lambda: Secret.from_environment("SOLACE_SEMP_PASSWORD"))
    trust_store: str = ""
    timeout_seconds: float = 5.0

    def __post_init__(self) -> None:
        """Check the address.

        Raises:
            ConfigurationError: It is none.
        """
        if not self.url.startswith(("http://", "https://")):
            raise ConfigurationError(f"{self.url!r} is no address of SEMP: write one like https://broker:1943.")

    def look(self, vpn: str, queue: str) -> QueueFacts | None:
        """Ask for a queue.

        Returns:
            What is known of it; ``None`` if there is no such queue.

        Raises:
            ConnectionFailedError: Nobody answers, or what answers is no SEMP.
            QueueError: It is refused.
        """
        url = f"{self.url.rstrip('/')}/SEMP/v2/monitor/msgVpns/{quote(vpn, safe='')}/queues/{quote(queue, safe='')}"
        login = self.username, self.password.reveal()
        try:
            answer = requests.get(url, auth=login, timeout=self.timeout_seconds, verify=self.trust_store or True)
            told: dict[str, Any] = answer.json()
            if answer.ok:
                data = told["data"]
                backlog = Backlog(told["collections"]["msgs"]["count"], data["msgSpoolUsage"])
                return QueueFacts(data["accessType"] == "exclusive", data.get("partitionCount", 0), backlog)
            error = told["meta"]["error"]
        except (requests.RequestException, KeyError, TypeError) as problem:
            raise ConnectionFailedError(
                f"SEMP at {self.url} does not tell of queue {queue!r}: check that it is up and that the address is "
                f"right ({type(problem).__name__})."
            ) from problem
        if error["status"] == _NOT_FOUND:
            return None
        raise QueueError(
            f"SEMP at {self.url} refuses to tell {self.username!r} of queue {queue!r}: {error['description']}"
        )


@dataclass(slots=True)
class BacklogWatch:
    """Looks at the backlog of a queue every ten seconds while somebody asks for it, in a thread of its own.

    Attributes:
        options: Whom to ask.
        vpn: The message VPN.
        queue: The queue.
        clock: The time.
    """

    options: SempOptions
    vpn: str
    queue: str
    clock: Clock = field(default_factory=SystemClock)
    _last: Backlog | None = None
    _next: float = 0.0
    _looking: threading.Thread | None = None
    _problem: str = ""  # why there was no answer, which is told once

    def last(self) -> Backlog | None:
        """Return what was found last, and look again if that is some time ago; never waits.

        Returns:
            ``None`` before the first answer, and while there is none: a guess would be worse.
        """
        now = self.clock.monotonic()
        if now >= self._next and (self._looking is None or not self._looking.is_alive()):
            self._next = now + _WATCH_SECONDS
            self._looking = threading.Thread(target=self._look, name="flumebeam-backlog", daemon=True)
            self._looking.start()
        return self._last

    def _look(self) -> None:
        try:
            found = self.options.look(self.vpn, self.queue)
        except FlumebeamError as error:
            if str(error) != self._problem:
                _logger.warning("The backlog of queue %r is not known for now: %s", self.queue, error)
            self._last, self._problem = None, str(error)
        else:
            self._last, self._problem = None if found is None else found.backlog, ""
