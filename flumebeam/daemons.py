"""Programs that run beside us: started, stopped, killed and frozen from here, and not left behind.

However the process that started one ends, also by ``kill -9``, the program ends with it (on Linux), unless it is told
to stay.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

__all__ = ["Daemon", "free_ports"]

_STOP_SECS: Final = 15.0
_LOG_LINES: Final = 5
_POLL_SECS: Final = 0.1
_KERNELS_PORTS: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_SPAN: Final = 12_000
_STRIDE: Final = 7_417
"""Odd, and far from any simple fraction of the span: processes that start one after the other begin far apart."""
_turns: Final[dict[int, Iterator[int]]] = {}
"""By process: a forked one begins its own."""
# Asks the kernel for SIGKILL when the parent dies (PR_SET_PDEATHSIG of prctl(2) is 1), then becomes the program.
_LEASH: Final = """\
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""


class Daemon:
    """One program that can be started, stopped, killed and frozen.

    Start it from a thread that lives as long as it: the kernel takes the end of that thread for the parent's.

    Args:
        name: What it is, for messages and the name of its log.
        command: Its command line.
        log: File that gets all it prints, added to at each start.
        environment: Variables added to our own.
        ends_with_us: Whether it ends with the process that started it.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        *,
        ends_with_us: bool = True,
    ) -> None:
        self.name = name
        self.log = log
        self._command = command
        self._ends_with_us = ends_with_us
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._said_before = 0
        self._frozen = False

    @property
    def is_running(self) -> bool:
        """Whether the process lives; a frozen one does."""
        return self._process is not None and self._process.poll() is None

    @property
    def is_frozen(self) -> bool:
        """Whether it stands still after :meth:`freeze`."""
        return self._frozen and self.is_running

    @property
    def pid(self) -> int | None:
        """Process id; ``None`` before the first start."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the process, if it is not running; does not wait until it is ready."""
        if self.is_running:
            return
        leash = [sys.executable, "-ISc", _LEASH, str(os.getpid())] if self._ends_with_us else []
        with self.log.open("ab") as log:
            self._said_before = log.tell()
            # A session of its own: an interrupt typed at the terminal is for the program that uses this one.
            self._process = subprocess.Popen(  # noqa: S603 - our own command line
                [*leash, *self._command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._environment},
                start_new_session=True,
            )

    def stop(self) -> None:
        """End the process in order; killed if it takes more than 15 seconds. Idempotent."""
        if self._process is None or not self.is_running:
            return
        self.thaw()
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the process at once, without a chance to tidy up (``kill -9``). Idempotent."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._frozen = False

    def freeze(self) -> None:
        """Stop the process in its tracks: connections stay open, nothing is answered (SIGSTOP)."""
        self._signal(signal.SIGSTOP)
        self._frozen = True

    def thaw(self) -> None:
        """Let a frozen process go on; it then does what was asked of it meanwhile."""
        self._signal(signal.SIGCONT)
        self._frozen = False

    def says(self, words: str, seconds: float) -> bool:
        """Wait until it has logged ``words`` since its start; tell whether it has before it ended or time was over."""
        deadline = time.monotonic() + seconds
        while words not in self._said():
            if not self.is_running or time.monotonic() > deadline:
                return words in self._said()
            time.sleep(_POLL_SECS)
        return True

    def last_words(self) -> str:
        """Return the end of the log, on one line."""
        lines = self._said().splitlines()
        return " | ".join(line for line in lines[-_LOG_LINES:] if line.strip()) or "nothing logged"

    def _said(self) -> str:
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(self._said_before)
            return log.read().decode(errors="replace")

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self.is_running:
            self._process.send_signal(number)


def free_ports(count: int) -> list[int]:
    """Return loopback ports that nobody uses, and that nobody is given before their users come, or come back.

    They are below those that the kernel gives to whoever asks for any. Each process begins elsewhere and goes on with
    the next one, so that neither two of them nor two calls return the same.
    """
    with contextlib.ExitStack() as held:
        ports: list[int] = []
        while len(ports) < count:
            probe = held.enter_context(socket.socket())
            with contextlib.suppress(OSError):  # in use
                probe.bind(("127.0.0.1", _next_port()))
                ports.append(int(probe.getsockname()[1]))
        return ports


def _next_port() -> int:
    """Return the next port to try; 0 where the kernel's own are not known, or leave no room."""
    lowest = int(_KERNELS_PORTS.read_text(encoding="ascii").split()[0]) if _KERNELS_PORTS.exists() else 0
    if lowest < 1024 + _SPAN:
        return 0
    pid = os.getpid()
    turn = next(_turns.setdefault(pid, itertools.count(pid * _STRIDE)))
    return lowest - _SPAN + turn % _SPAN
