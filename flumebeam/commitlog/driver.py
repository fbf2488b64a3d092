"""Performs the steps of the protocol on a file system: retries, deadlines and threads are here, decisions are not."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar

from flumebeam.clock import Clock
from flumebeam.commitlog.steps import (
    Concat,
    CrashPoint,
    Delete,
    Join,
    List,
    MakeDirectory,
    Pause,
    Reached,
    Read,
    Rename,
    Stat,
    Step,
    Steps,
    Together,
    Unanswered,
    Write,
)
from flumebeam.errors import FlumebeamError, StorageError, StorageMissingError
from flumebeam.formats.joining import join_files
from flumebeam.hdfs.filesystem import FileStat, FileSystem

__all__ = ["Driver", "ignore"]

T = TypeVar("T")

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 5.0


def ignore(_point: CrashPoint) -> None:
    """Do nothing at a named place."""


class Driver:
    """Runs steps on one file system.

    Args:
        fs: The file system.
        clock: For deadlines.
        patience: Seconds for which a target that does not answer, or is full, is tried again.
        threads: How many steps run at once where the protocol allows it.
        at: Called at each named place, from whatever thread reaches it. Tests end the process there.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        fs: FileSystem,
        *,
        clock: Clock,
        patience: float = 60.0,
        threads: int = 4,
        at: Callable[[CrashPoint], None] = ignore,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._fs = fs
        self._clock = clock
        self._patience = patience
        self._at = at
        self._sleep = sleep
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self._inside = threading.local()

    def run(self, steps: Steps[T]) -> T:
        """Perform steps to their end and return their result.

        Raises:
            StorageError: A retriable one was met for longer than the patience, or one that no repetition helps.
            CommitLogError: What the steps themselves raise.
        """
        outage = _Outage(self._clock, self._sleep, self._patience)
        answer: Any = None
        failure: FlumebeamError | None = None
        while True:
            try:
                step = steps.send(answer) if failure is None else steps.throw(failure)
            except StopIteration as end:
                result: T = end.value
                return result
            answer, failure = None, None
            try:
                answer = self._perform(step, outage)
            except FlumebeamError as error:
                failure = error

    def alone(self) -> Driver:
        """Return another driver of the same file system, which does one thing after the other, in any thread."""
        return Driver(self._fs, clock=self._clock, patience=self._patience, threads=1, at=self._at, sleep=self._sleep)

    def close(self) -> None:
        """End the threads. Idempotent; steps must not be running."""
        with self._lock:
            if self._pool is not None:
                self._pool.shutdown()
                self._pool = None

    def _perform(self, step: Step, outage: _Outage) -> Any:
        match step:
            case Reached(point):
                self._at(point)
            case Together(branches):
                return self._run_together([*branches])
            case Pause(cause):
                outage.wait(cause)
            case Write(path, chunks):
                return self._once(lambda: self._fs.write(path, chunks), outage)
            case Join(how, sources, path):
                return self._once(lambda: self._join(how, sources, path), outage)
            case Concat(target, sources):
                return self._once(lambda: self._fs.concat(target, sources), outage)
            case Rename(source, target):
                return self._once(lambda: self._fs.rename(source, target), outage)
            case Stat(path):
                return self._until_answered(lambda: self._fs.stat(path), outage)
            case List(path):
                return self._until_answered(lambda: self._fs.list(path), outage)
            case Read(path):
                return self._until_answered(lambda: self._fs.read(path), outage)
            case Delete(path):
                return self._until_answered(lambda: self._fs.delete(path), outage)
            case MakeDirectory(path):
                self._until_answered(lambda: self._fs.make_directory(path), outage)

    def _join(self, how: str, sources: Sequence[str], path: str) -> FileStat | None:
        try:
            return self._fs.write(path, join_files(how, [partial(self._fs.read_chunks, source) for source in sources]))
        except StorageMissingError:
            return None

    @staticmethod
    def _once(call: Callable[[], T], outage: _Outage) -> T | Unanswered:
        try:
            answer = call()
        except StorageError as error:
            if not error.retriable:
                raise
            return Unanswered(error)
        outage.over()
        return answer

    @staticmethod
    def _until_answered(call: Callable[[], T], outage: _Outage) -> T:
        while True:
            try:
                answer = call()
            except StorageError as error:
                if not error.retriable:
                    raise
                outage.wait(error)
            else:
                return answer

    def _run_together(self, branches: list[Steps[Any]]) -> list[Any]:
        # A thread that waits for others of its own pool could wait for ever.
        if len(branches) < 2 or self._threads < 2 or getattr(self._inside, "pool", False):
            return [self.run(branch) for branch in branches]
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(
                    self._threads, thread_name_prefix="flumebeam-commitlog", initializer=self._enter_pool
                )
            pool = self._pool
        futures: list[Future[Any]] = [pool.submit(self.run, branch) for branch in branches]
        # All of them end before the first failure is told: nothing of this goes on behind the caller's back.
        failures = [future.exception() for future in futures]
        if failure := next((failure for failure in failures if failure is not None), None):
            raise failure
        return [future.result() for future in futures]

    def _enter_pool(self) -> None:
        self._inside.pool = True


class _Outage:
    """One stretch of time in which nothing could be written or renamed: pauses that grow, and an end.

    That something can be looked at or removed meanwhile is no sign of recovery: on a full disk it always can.
    """

    def __init__(self, clock: Clock, sleep: Callable[[float], None], patience: float) -> None:
        self._clock = clock
        self._sleep = sleep
        self._patience = patience
        self._since: float | None = None
        self._pause = _FIRST_PAUSE

    def wait(self, cause: StorageError) -> None:
        now = self._clock.monotonic()
        if self._since is None:
            self._since = now
        left = self._since + self._patience - now
        if left <= 0:
            raise cause
        self._sleep(min(left, self._pause * random.uniform(0.5, 1.0)))
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def over(self) -> None:
        self._since = None
        self._pause = _FIRST_PAUSE
