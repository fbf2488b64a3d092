"""Time as an argument: the two clocks that flumebeam uses, and nothing else reads the time of day."""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "ManualClock", "SystemClock"]


class Clock(Protocol):
    """What code needs to know about time."""

    def monotonic(self) -> float:
        """Return seconds that only ever grow, for durations and deadlines."""
        ...

    def epoch_ms(self) -> int:
        """Return milliseconds since 1970-01-01 UTC, for records and file names."""
        ...


class SystemClock:
    """The computer's clock."""

    def monotonic(self) -> float:
        """Return ``time.monotonic()``."""
        return time.monotonic()

    def epoch_ms(self) -> int:
        """Return the wall clock in milliseconds since 1970 UTC."""
        return time.time_ns() // 1_000_000


class ManualClock:
    """A clock that stands still until a test moves it.

    Args:
        epoch_ms: Wall clock at the start, milliseconds since 1970 UTC.
    """

    def __init__(self, epoch_ms: int = 1_700_000_000_000) -> None:
        self._start_ms = epoch_ms
        self._elapsed = 0.0

    def advance(self, seconds: float) -> None:
        """Move both clocks forward by ``seconds``."""
        self._elapsed += seconds

    def monotonic(self) -> float:
        """Return the seconds that :meth:`advance` has added up to."""
        return self._elapsed

    def epoch_ms(self) -> int:
        """Return the start plus what :meth:`advance` has added, in milliseconds."""
        return self._start_ms + round(self._elapsed * 1000)
