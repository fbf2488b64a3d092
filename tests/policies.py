"""How tests connect."""

from __future__ import annotations

from typing import Final

from flumebeam.solace.config import ReconnectPolicy

__all__ = ["IMPATIENT"]

IMPATIENT: Final = ReconnectPolicy(
    attempts=1, wait_seconds=0.5, connect_timeout_seconds=60, keepalive_seconds=20, request_timeout_seconds=60
)
"""Gives up a broker that cuts and refuses at once, and none that stands still for some seconds on a busy machine."""
