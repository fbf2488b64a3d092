"""Programs under test: started as users start them, watched from outside, never left behind.

A program starts in two ways. :meth:`Programs.start` runs the command in a fresh interpreter. :meth:`Programs.fork` runs
the same pipeline's ``main`` in a process forked from one that has imported Beam already, which saves two seconds for
tests that start dozens. Both are processes of their own that can be killed.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["Program", "Programs", "until"]

_PATIENCE = 250.0
_FORKS: Any = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [f"flumebeam.pipelines.{name}" for name in ("ingest", "drain_to_hdfs", "speed_layer")] + ["flumebeam.formats.text"]
)


def until(condition: Callable[[], Any], what: str, seconds: float = _PATIENCE) -> None:
    """Wait until a condition holds; fail with ``what`` if it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.02)


class Program(ABC):
    """A process, and the files that get what it prints."""

    def __init__(self, out: Path, err: Path) -> None:
        self._out, self._err = out, err

    @property
    def out(self) -> str:
        return self._out.read_text(encoding="utf-8", errors="replace")

    @property
    def err(self) -> str:
        return self._err.read_text(encoding="utf-8", errors="replace")

    @property
    @abstractmethod
    def pid(self) -> int: ...

    @property
    @abstractmethod
    def status(self) -> int | None:
        """Exit status, minus a signal's number, or None while it runs."""

    @abstractmethod
    def _join(self, seconds: float) -> None: ...

    @property
    def running(self) -> bool:
        return self.status is None

    def wait(self, seconds: float = _PATIENCE) -> int:
        """Wait for the end and return the exit status; a program that does not end is an error."""
        self._join(seconds)
        status = self.status
        if status is None:
            raise AssertionError(f"The program did not end within {seconds} s; it said:\n{self.out}{self.err}")
        return status

    def ends_well(self, seconds: float = _PATIENCE) -> None:
        """Wait for the end, which must be a good one."""
        status = self.wait(seconds)
        assert status == 0, f"status {status}:\n{self.out}{self.err}"

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, which one that has just ended does not get."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def is_frozen(self) -> bool:
        """Tell whether it stands still after SIGSTOP."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii")
        except OSError:  # it has ended
            return False
        return stat.rpartition(")")[2].split()[0] == "T"

    def kill(self) -> None:
        """End it as a power cut would."""
        if self.running:
            self.send(signal.SIGKILL)
            self.wait()


class _Fresh(Program):
    def __init__(self, command: Sequence[str], out: Path, err: Path, environment: Mapping[str, str]) -> None:
        super().__init__(out, err)
        with out.open("wb") as stdout, err.open("wb") as stderr:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=environment, process_group=0
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def status(self) -> int | None:
        return self._process.poll()

    def kill(self) -> None:
        """End it with all that it has started, such as a runner's own program."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self.wait()

    def _join(self, seconds: float) -> None:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return


class _Forked(Program):
    def __init__(
        self, main: Callable[..., int], arguments: tuple[Any, ...], out: Path, err: Path, environment: Mapping[str, str]
    ) -> None:
        super().__init__(out, err)
        for path in (out, err):
            path.touch()
        self._process = _FORKS.Process(target=_run, args=(main, arguments, out, err, dict(environment)))
        self._process.start()

    @property
    def pid(self) -> int:
        pid: int = self._process.pid
        return pid

    @property
    def status(self) -> int | None:
        code: int | None = self._process.exitcode
        return code

    def _join(self, seconds: float) -> None:
        self._process.join(seconds)


def _run(
    main: Callable[..., int], arguments: tuple[Any, ...], out: Path, err: Path, environment: dict[str, str]
) -> None:
    """Be a program of one's own; what follows is in the forked process."""
    for number, path in ((1, out), (2, err)):
        file = os.open(path, os.O_WRONLY | os.O_TRUNC)
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main(*arguments))


def run_pipeline_main(name: str, arguments: Sequence[str]) -> int:
    """What ``flumebeam run NAME`` does."""
    from flumebeam.pipelines import registry

    return registry.load(name).main(arguments)


class Programs:
    """Starts programs and ends those that are left at the end of a test.

    Args:
        directory: Gets the files that they print into.
        environment: Variables for all of them, besides this process's own; no ``SOLACE_...`` comes from there.
    """

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self._directory = directory
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("SOLACE_", "FLUMEBEAM_"))
        }
        self._environment = {
            **inherited,
            "PYTHONUNBUFFERED": "1",
            "XDG_STATE_HOME": str(directory / "state"),
            **environment,
        }
        self._started: list[Program] = []

    def start(
        self, *arguments: str, prefix: Sequence[str] = (), environment: Mapping[str, str] | None = None
    ) -> Program:
        """Run ``python -m flumebeam ARGUMENTS`` in a fresh interpreter.

        Args:
            arguments: Of the command.
            prefix: What to run the command by, such as ``unshare -m``.
            environment: Further variables.
        """
        return self.start_module("flumebeam", *arguments, prefix=prefix, environment=environment)

    def start_module(
        self, module: str, *arguments: str, prefix: Sequence[str] = (), environment: Mapping[str, str] | None = None
    ) -> Program:
        """Run ``python -m MODULE ARGUMENTS`` in a fresh interpreter."""
        command = [*prefix, sys.executable, "-m", module, *arguments]
        return self._keep(_Fresh(command, *self._files(), {**self._environment, **(environment or {})}))

    def fork(self, name: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Program:
        """Run a pipeline as ``flumebeam run NAME ARGUMENTS`` does, in a forked process."""
        return self.fork_main(run_pipeline_main, name, arguments, environment=environment)

    def fork_main(
        self, main: Callable[..., int], *arguments: Any, environment: Mapping[str, str] | None = None
    ) -> Program:
        """Call ``main(*arguments)``, all picklable, in a forked process."""
        return self._keep(_Forked(main, arguments, *self._files(), {**self._environment, **(environment or {})}))

    def close(self) -> None:
        for program in self._started:
            program.kill()

    def _keep(self, program: Program) -> Program:
        self._started.append(program)
        return program

    def _files(self) -> tuple[Path, Path]:
        number = len(self._started)
        return self._directory / f"program-{number}.out", self._directory / f"program-{number}.err"
