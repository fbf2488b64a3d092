"""How patiently to connect and reconnect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from flumebeam.errors import ConfigurationError

__all__ = ["PRESETS", "ReconnectPolicy"]

PRESETS: Final = ("single", "ha-pair", "dr-pair", "fail-fast")
"""Names of the policies that are ready made; see the class methods of :class:`ReconnectPolicy`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconnectPolicy:
    """How often and how long the client tries; every wait of a connection is bounded by these numbers.

    The defaults ride over a broker that is away for half a minute, and fail at once if it is down at the start.

    Attributes:
        attempts: Connection attempts after a connection was lost, over the whole host list; 0 to 1000. The bound of a
            commit that waits for its answer: ``attempts * wait_seconds`` if connections are refused, plus
            ``attempts * connect_timeout_seconds`` if the host is silent.
        wait_seconds: Pause between two attempts; 0 to 60.
        connect_timeout_seconds: How long one attempt may take; 0.1 to 120.
        connect_retries: Further attempts of the *first* connection; 0 to 1000.
        retries_per_host: Further attempts at one host of a list before the next one is tried; 0 to 100.
        keepalive_seconds: Interval of keepalives; 0.05 to 60. A silent connection is given up after
            ``keepalive_seconds * keepalive_limit``.
        keepalive_limit: Keepalives without an answer; 3 to 100 (the vendor's client refuses fewer).
        request_timeout_seconds: How long one request of a transacted session may take; more than 1, up to 300.
        request_tries: How often such a request is made; 1 to 10. A publish waits at most
            ``2 * request_timeout_seconds * request_tries`` for its flow.
    """

    attempts: int = 40
    wait_seconds: float = 1.0
    connect_timeout_seconds: float = 5.0
    connect_retries: int = 0
    retries_per_host: int = 0
    keepalive_seconds: float = 3.0
    keepalive_limit: int = 3
    request_timeout_seconds: float = 10.0
    request_tries: int = 3

    def __post_init__(self) -> None:
        for name, low, high in (
            ("attempts", 0, 1000),
            ("wait_seconds", 0, 60),
            ("connect_timeout_seconds", 0.1, 120),
            ("connect_retries", 0, 1000),
            ("retries_per_host", 0, 100),
            ("keepalive_seconds", 0.05, 60),
            ("keepalive_limit", 3, 100),
            # The vendor's client silently ignores a request timeout of one second or less.
            ("request_timeout_seconds", 1.001, 300),
            ("request_tries", 1, 10),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigurationError(f"Reconnect option {name} must be between {low} and {high}, got {value}.")

    @classmethod
    def preset(cls, name: str) -> Self:
        """Return a policy by name, one of :data:`PRESETS`.

        Raises:
            ConfigurationError: There is no such preset.
        """
        if name not in PRESETS:
            raise ConfigurationError(f"There is no reconnect preset {name!r}; use one of: {', '.join(PRESETS)}.")
        policy: Self = getattr(cls, name.replace("-", "_"))()
        return policy

    @classmethod
    def single(cls) -> Self:
        """Return the policy for one broker: it rides over a restart of half a minute. These are the defaults."""
        return cls()

    @classmethod
    def ha_pair(cls) -> Self:
        """Return the policy for an HA pair, given as a host list, whose fail-over takes up to a minute.

        A refused connection is tried for two minutes.
        """
        return cls(attempts=40, wait_seconds=3.0, connect_timeout_seconds=10.0, request_timeout_seconds=20.0)

    @classmethod
    def dr_pair(cls) -> Self:
        """Return the policy for two sites of which people switch one off and the other on.

        The host list names both sites. The standby site refuses logins, so the list goes round until the switch is
        done: for half an hour. That is also how long a commit may wait for its answer.
        """
        return cls(
            attempts=600,
            wait_seconds=3.0,
            connect_timeout_seconds=10.0,
            connect_retries=1,
            retries_per_host=1,
            request_timeout_seconds=20.0,
        )

    @classmethod
    def fail_fast(cls) -> Self:
        """Return the policy for tests and tools that would rather fail in seconds than wait."""
        return cls(
            attempts=1,
            wait_seconds=0.5,
            connect_timeout_seconds=2.0,
            keepalive_seconds=1.0,
            request_timeout_seconds=2.0,
            request_tries=1,
        )
