"""The stages of the demonstration: pipelines in processes of their own, which can be killed and started again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from flumebeam.errors import FlumebeamError
from flumebeam.pipelines.processes import Part, PartProcess

__all__ = ["Stage", "StageFailedError"]

_GRACE_SECONDS: Final = 60.0


class StageFailedError(FlumebeamError):
    """A stage ended by itself with an error; its own words are in the message."""


class Stage:
    """One pipeline, started and stopped as often as wanted.

    Args:
        name: Name of the pipeline, as ``flumebeam run`` knows it.
        arguments: Its options.
        log: File that gets what it prints.
        environment: Variables added to this process's own.
    """

    def __init__(self, name: str, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self._part = Part("flumebeam.pipelines", [name, *arguments])
        self._log = log
        self._environment = {**environment, "PYTHONUNBUFFERED": "1"}
        self._process: PartProcess | None = None

    def start(self) -> int:
        """Start it and return its process id."""
        with self._log.open("ab") as log:
            self._process = PartProcess(self._part, output=log, environment=self._environment)
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.running

    def kill(self) -> int:
        """End it with ``kill -9``, as a power cut would; return the process id it had."""
        process = self._started()
        process.kill()
        return process.pid

    def stop(self) -> None:
        """Ask it to end, as Ctrl-C does, and wait; kill it if it does not end in time."""
        if self._process is not None and self._process.running:
            self._process.interrupt()
            if not self._process.wait(_GRACE_SECONDS):
                self._process.kill()

    def check(self) -> bool:
        """Return whether it has ended well.

        Raises:
            StageFailedError: It ended with an error.
        """
        process = self._started()
        if process.running:
            return False
        if status := process.status:
            last = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
            said = f": {last[0]}" if last else ""
            raise StageFailedError(f"The stage {self.name} ended with status {status}{said} (all of it: {self._log})")
        return True

    def _started(self) -> PartProcess:
        if self._process is None:
            raise StageFailedError(f"The stage {self.name} was never started")
        return self._process
