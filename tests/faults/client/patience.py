"""How patiently clients connect here: nothing is given up because a busy machine is slow to answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from flumebeam.solace.config import ReconnectPolicy, SolaceOptions

__all__ = ["HASTY", "PATIENT", "asking_for"]

PATIENT: Final = ReconnectPolicy(attempts=300, wait_seconds=0.1, connect_timeout_seconds=2.0, request_tries=2)
"""Rides over half a minute of refused connections."""
HASTY: Final = ReconnectPolicy(attempts=1, wait_seconds=0.5, request_tries=1)
"""Gives a broker up that refuses connections."""


def asking_for(seconds: float, options: SolaceOptions) -> SolaceOptions:
    """Return options by which a request without an answer is asked again after that time."""
    return replace(options, reconnect=replace(options.reconnect, request_timeout_seconds=seconds))
