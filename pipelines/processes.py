"""Pipelines side by side, each in a process of its own: started together, stopped together, killed together."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import FrameType, MappingProxyType
from typing import IO, Final

from flumebeam.clock import Clock, SystemClock
from flumebeam.exits import Exit

__all__ = ["Part", "PartProcess", "die_with_parent", "run_side_by_side"]

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_PARENT: Final = "FLUMEBEAM_PARENT"
_PR_SET_PDEATHSIG: Final = 1  # of Linux, see prctl(2)
_LOOK_SECONDS: Final = 0.2
_STOP_SECONDS: Final = 90.0
"""How long parts may take to stop cleanly: longer than each of them allows itself."""


def die_with_parent() -> None:
    """Have this process, if it was started as a part, killed when whoever started it dies, however that dies.

    Parts that nobody watches would go on holding queues and positions. A part may be killed at any moment: progress is
    in the broker and in the files. Works on Linux.
    """
    parent = os.environ.pop(_PARENT, None)
    if parent is not None and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != int(parent):
            sys.exit(Exit.INTERRUPTED)


@dataclass(frozen=True, slots=True)
class Part:
    """One pipeline.

    Attributes:
        module: Module to run. It is started with SIGINT blocked, and unblocks it when it can be interrupted.
        arguments: Its options.
    """

    module: str
    arguments: Sequence[str]


def run_side_by_side(feeder: Part, layers: Sequence[Part], *, once: bool, clock: Clock | None = None) -> int:
    """Run a part that may end by itself beside layers that do not.

    The first Ctrl-C or SIGTERM stops all parts cleanly, a second one at once, and none hangs. To be called in the main
    thread.

    Args:
        feeder: Feeds the layers.
        layers: Read queues, each its own.
        once: When ``feeder`` has ended, let the layers empty their queues and end, too.
        clock: Bounds how long a stop may take.

    Returns:
        0, or the status of the first part that failed; then the others were stopped cleanly.
    """
    with _Stops() as stops:
        status = _run(feeder, layers, stops, once, clock or SystemClock())
        if status or stops.count or not once:
            return status
        rest = [Part(layer.module, [*layer.arguments, "--until_empty"]) for layer in layers]
        return _run(None, rest, stops, False, clock or SystemClock())


class PartProcess:
    """A part that runs, in a process group of its own: the terminal's Ctrl-C reaches it through us, and once.

    Args:
        part: To be started at once.
        output: Open file that gets what it prints; by default that goes where our own goes.
        environment: Variables added to our own.
    """

    def __init__(
        self, part: Part, *, output: IO[bytes] | None = None, environment: Mapping[str, str] = _NOTHING
    ) -> None:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-m", part.module, *part.arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **environment, _PARENT: str(os.getpid())},
                process_group=0,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._interrupted = False

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def status(self) -> int:
        """0 while it runs or if it ended well, also before it had begun if it was asked to; else its exit status."""
        code = self._process.poll() or 0
        if self._interrupted and code in (Exit.INTERRUPTED, -signal.SIGINT):
            return 0
        return code if code >= 0 else 128 - code

    def interrupt(self) -> None:
        """Ask it to stop, as Ctrl-C does."""
        self._interrupted = True
        if self.running:
            self._process.send_signal(signal.SIGINT)

    def wait(self, seconds: float) -> bool:
        """Wait for its end; tell whether it came in time."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """End it with ``kill -9``, if it runs."""
        if self.running:
            self._process.kill()
            self._process.wait()


class _Stops:
    """Counts signals that ask to stop, within a ``with`` block."""

    def __init__(self) -> None:
        self.count = 0
        self._changed = threading.Event()

    def wait(self, seconds: float) -> None:
        self._changed.wait(seconds)
        self._changed.clear()

    def __enter__(self) -> _Stops:
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        self._changed.set()


def _run(feeder: Part | None, layers: Sequence[Part], stops: _Stops, once: bool, clock: Clock) -> int:
    """Run parts until all have ended, or one has failed, or ``once`` the feeder has ended; return the first failure."""
    running: list[PartProcess] = []
    told, deadline, status = stops.count, 0.0, 0
    try:
        running += [PartProcess(layer) for layer in layers]
        fed = None if feeder is None else PartProcess(feeder)
        running += [] if fed is None else [fed]
        while any(process.running for process in running):
            stops.wait(_LOOK_SECONDS)
            status = status or next((process.status for process in running if process.status), 0)
            through = once and fed is not None and not fed.running
            asked = max(stops.count, int(bool(status) or through))
            if asked > told:
                deadline = deadline or clock.monotonic() + _STOP_SECONDS
                told = asked
                for process in running:
                    process.interrupt()
            if deadline and clock.monotonic() > deadline:
                break
    finally:
        for process in running:
            process.kill()
    return status or next((process.status for process in running if process.status), 0)
