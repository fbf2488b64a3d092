"""Waiting for an event of which nobody tells: not for a time."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["eventually"]


def eventually(true: Callable[[], bool], seconds: float = 250.0) -> None:
    """Wait until something holds.

    Args:
        true: Whether it does.
        seconds: Against waiting for ever, not against slow machines.

    Raises:
        AssertionError: It did not become true in that time.
    """
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"it did not become true in {seconds:g} seconds"
        time.sleep(0.02)
