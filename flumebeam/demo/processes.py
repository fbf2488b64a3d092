"""The stages of the demonstration as processes of their own, with their output kept in files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from flumebeam.errors import FlumebeamError

__all__ = ["StageFailedError", "StageProcess"]

_GRACE_SECONDS = 30.0


class StageFailedError(FlumebeamError):
    """A stage ended by itself with an error; its own words are in the message."""


class StageProcess:
    """One pipeline in a process of its own.

    Args:
        name: Name of the pipeline, as ``flumebeam run`` knows it.
        arguments: Its options.
        log: File that gets what the process prints.
        environment: Variables added to this process's own.
    """

    def __init__(
        self, name: str, arguments: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._arguments = tuple(arguments)
        self._log = log
        self._environment = {**os.environ, **(environment or {}), "PYTHONUNBUFFERED": "1"}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> int:
        """Start it, in a process group of its own so that the terminal's Ctrl-C does not reach it; return the pid."""
        command = [sys.executable, "-m", "flumebeam", "run", self.name, *self._arguments]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program with our own arguments
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment, process_group=0
            )
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> int:
        """End it with ``kill -9``, as a power cut would; return the pid it had."""
        process = self._started()
        process.kill()
        process.wait()
        return process.pid

    def stop(self) -> None:
        """Ask it to end, as Ctrl-C does, and wait; kill it if it does not end in time."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def check(self) -> bool:
        """Return whether it has ended well.

        Raises:
            StageFailedError: It ended with an error.
        """
        status = self._started().poll()
        if status:
            last = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
            said = f": {last[0]}" if last else ""
            raise StageFailedError(f"The stage {self.name} ended with status {status}{said} (all of it: {self._log})")
        return status == 0

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise StageFailedError(f"The stage {self.name} was never started")
        return self._process
