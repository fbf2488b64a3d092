"""The threads in which the lives of one log merge: those that work, and one that looks at the clock."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Final, Protocol

from flumebeam.clock import Clock
from flumebeam.commitlog.driver import Driver
from flumebeam.commitlog.rolling import OpenRolls
from flumebeam.errors import FlumebeamError

__all__ = ["Roller", "Watched"]

_LOG: Final = logging.getLogger(__name__)
_THREADS: Final = 2
_LONGEST_SLEEP: Final = 5.0
_SHORTEST_SLEEP: Final = 0.05
_SLEEPS_PER_LIMIT: Final = 10
"""A file is looked at so many times before it is too old, and ends that much too late at most."""
_RESCUE_SECONDS: Final = 60.0
"""Between two looks for what dead lives left behind."""


class Watched(Protocol):
    """A life, as the clock's thread sees it."""

    epoch: str
    rolls: OpenRolls | None

    @property
    def over(self) -> bool:
        """Whether it is over."""
        ...

    def start_merging(self) -> None:
        """Start to make files of what is due."""
        ...


class Roller:
    """Merges behind the back of transactions. Thread-safe; has no threads before the first life that rolls.

    Args:
        clock: Says what is due.
        driver: Runs the steps, of any number of threads.
        rescue: Merges what dead lives left behind, given the epochs of those that live; called now and then. Also
            given the epoch of a life that succeeds all others, or nothing.
    """

    def __init__(self, clock: Clock, driver: Driver, rescue: Callable[[Driver, Sequence[str], str], None]) -> None:
        self._clock = clock
        self._driver = driver
        self._rescue = rescue
        self._lives: list[Watched] = []
        self._changed = threading.Condition()
        self._closed = False
        self._pool: ThreadPoolExecutor | None = None
        self._watch: threading.Thread | None = None

    def watch(self, life: Watched) -> None:
        """Look after a life until it is over."""
        with self._changed:
            self._lives = [other for other in self._lives if not other.over] + [life]
            if self._watch is None and not self._closed:
                self._watch = threading.Thread(target=self._look, name="flumebeam-roller", daemon=True)
                self._watch.start()
            self._changed.notify()

    def run_soon(self, work: Callable[[Driver], object]) -> Future[object]:
        """Run something in one of the threads; errors are in the future.

        Returns:
            A future; cancelled at once if the roller is closed.
        """
        with self._changed:
            if self._closed:
                ended: Future[object] = Future()
                ended.cancel()
                return ended
            if self._pool is None:
                self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="flumebeam-roller")
            return self._pool.submit(work, self._driver)

    def rescue_soon(self, successor: str) -> None:
        """Merge what other lives left behind, in one of the threads.

        Args:
            successor: Epoch of the life that succeeds them.
        """
        self.run_soon(partial(self._rescued, successor=successor))

    def close(self) -> None:
        """End the threads, after what they are doing. Idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._watch is not None:
            self._watch.join()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _look(self) -> None:
        rescued = self._clock.monotonic()
        while True:
            with self._changed:
                if not self._closed:
                    self._changed.wait(self._sleep())
                if self._closed:
                    return
                lives = [life for life in self._lives if not life.over]
            now = self._clock.monotonic()
            for life in lives:
                if life.rolls is not None:
                    life.rolls.close_old(now)
                    life.start_merging()
            if lives and now - rescued >= _RESCUE_SECONDS:
                rescued = now
                self.run_soon(self._rescued)

    def _sleep(self) -> float:
        options = [life.rolls.options for life in self._lives if life.rolls is not None]
        limits = [limit for each in options for limit in (each.max_seconds, each.idle_seconds) if limit]
        return min(max(min(limits, default=_LONGEST_SLEEP) / _SLEEPS_PER_LIMIT, _SHORTEST_SLEEP), _LONGEST_SLEEP)

    def _rescued(self, driver: Driver, successor: str = "") -> None:
        with self._changed:
            own = [life.epoch for life in self._lives]
        try:
            self._rescue(driver, own, successor)
        except FlumebeamError as error:
            # Of no life of this process; looked for again soon.
            _LOG.warning("What an earlier run left behind could not be merged yet: %s", error)
