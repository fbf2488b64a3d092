"""The process-wide wish to stop: sources see it between two batches and end, so the run ends as done.

A stop loses and repeats nothing: what was read is written, committed and acknowledged, then the source closes. Only
sources of this process hear it; a job on a remote cluster is stopped there.
"""

from __future__ import annotations

import threading

__all__ = ["forget_stop", "request_stop", "stop_requested", "wait_for_stop"]

_stop = threading.Event()


def request_stop() -> None:
    """Ask every source of this process to end. May be called from any thread and from a signal handler."""
    _stop.set()


def stop_requested() -> bool:
    """Tell whether sources of this process shall end."""
    return _stop.is_set()


def wait_for_stop(seconds: float) -> bool:
    """Wait until a stop is requested, at most ``seconds``; tell whether it was."""
    return _stop.wait(seconds)


def forget_stop() -> None:
    """Take the request back, once the run that it was meant for has ended."""
    _stop.clear()
