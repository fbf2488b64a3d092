"""Ctrl-C and SIGTERM for drivers: the first one stops cleanly, a second one ends the process, and none ever hangs.

A Python signal handler runs in the main thread only, which may be inside a native call of the broker's client for
minutes. So signals are also written to a pipe, which the interpreter does at once, and a thread of ours reads it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Final

from flumebeam.transforms.receivers import RECEIVERS
from flumebeam.transforms.stopping import request_stop

__all__ = ["stop_on_signals"]

_LOGGER: Final = logging.getLogger(__name__)
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_CLOSE_SECONDS: Final = 5.0
_LEAVE: Final = b"\0"  # no signal has this number


@contextlib.contextmanager
def stop_on_signals(*, stop_seconds: float = 60.0) -> Iterator[Callable[[], None]]:
    """Turn SIGINT and SIGTERM into a clean stop within the ``with`` block.

    * First signal: sources of this process end; what they read is written, committed and acknowledged, and the run
      ends as done. Where no source is open here (the job runs elsewhere, or has not begun), ``KeyboardInterrupt`` is
      raised instead.
    * Second signal, or ``stop_seconds`` after the first: receivers are closed, which gives back what is not committed,
      and the process ends with status 128 + the signal's number, whatever its threads are doing.

    Does nothing outside the main thread, where Python allows no signal handlers.

    Args:
        stop_seconds: How long a clean stop may take.

    Yields:
        A function that installs the handlers again, to be called after a runner has put its own in their place.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    wakeup_before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    watcher = threading.Thread(target=_watch, args=(reader, stop_seconds), name="flumebeam-signals", daemon=True)
    watcher.start()

    def install() -> None:
        for number in _SIGNALS:
            signal.signal(number, _interrupt_if_idle)

    install()
    try:
        yield install
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup_before)
        os.write(writer, _LEAVE)
        watcher.join(_CLOSE_SECONDS)
        os.close(writer)
        os.close(reader)


def _interrupt_if_idle(number: int, frame: FrameType | None) -> None:
    if not RECEIVERS.in_use:
        raise KeyboardInterrupt


def _watch(reader: int, stop_seconds: float) -> None:
    """Read signal numbers; the second one, or the end of the patience after the first, ends the process."""
    seen: Any = None
    patience: threading.Timer | None = None
    while True:
        for number in os.read(reader, 16):
            if number == _LEAVE[0]:
                if patience is not None:
                    patience.cancel()
                return
            if number not in _SIGNALS:
                continue
            if seen is not None:
                _end(number)
            seen = number
            request_stop()
            _LOGGER.warning("Stopping: finishing what has been read. Once more ends at once.")
            patience = threading.Timer(stop_seconds, _end, args=(number,))
            patience.daemon = True
            patience.start()


def _end(number: int) -> None:
    """Close receivers within some seconds, then end the process."""
    closing = threading.Thread(target=RECEIVERS.shut_down, daemon=True)
    closing.start()
    closing.join(_CLOSE_SECONDS)
    os._exit(128 + number)
