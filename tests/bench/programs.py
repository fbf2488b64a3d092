"""Programs under measurement, each in a process of its own with its output kept in a file."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.bench.procfs import Usage, usage

__all__ = ["Command", "Program", "ProgramFailedError", "end_by_input"]

_STOP_SECONDS: Final = 60.0
_EXIT_SECONDS: Final = 20.0
_NOTHING: Final = Usage(0.0, 0)


class ProgramFailedError(Exception):
    """A program ended with an error; its last words are in the message."""


def end_by_input(process: subprocess.Popen[str]) -> None:
    """End a process that lives until its standard input ends; kill it if it does not."""
    try:
        process.communicate(timeout=_EXIT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


class Command:
    """One program; started by entering the block, stopped by leaving it.

    Args:
        command: Its command line.
        log: File that gets what it prints.
        environment: Variables added to this process's own.
    """

    def __init__(self, command: Sequence[str], log: Path, environment: dict[str, str] | None = None) -> None:
        self._command = list(command)
        self._log = log
        self._environment = {**os.environ, **(environment or {})}
        self._last = _NOTHING

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,  # Ctrl-C is for the measuring process, which stops this one
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind:
            self._kill()
        elif self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._kill()
            self._process.wait()

    def _kill(self) -> None:
        """End it at once with all that it has started, such as a runner's own program."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def usage(self) -> Usage:
        """Return what it has used so far, or had used when it was last seen alive."""
        self._last = usage(self._process.pid) or self._last
        return self._last

    def running(self) -> bool:
        """Tell whether it is still there.

        Raises:
            ProgramFailedError: It ended with an error.
        """
        status = self._process.poll()
        if status:
            words = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
            raise ProgramFailedError(f"{' '.join(self._command[1:])}\nended with status {status}: {''.join(words)}")
        return status is None

    def wait(self, seconds: float) -> None:
        """Wait until it has ended well.

        Raises:
            ProgramFailedError: It ended with an error, or not in time.
        """
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired as late:
            raise ProgramFailedError(f"{' '.join(self._command[1:])}\ndid not end within {seconds:.0f} s.") from late
        self.running()


class Program(Command):
    """A program in Python.

    Args:
        module: What ``python -m`` runs.
        arguments: Its arguments.
        log: File that gets what it prints.
        environment: Variables added to this process's own.
    """

    def __init__(
        self, module: str, arguments: Sequence[str], log: Path, environment: dict[str, str] | None = None
    ) -> None:
        super().__init__([sys.executable, "-m", module, *arguments], log, environment)
