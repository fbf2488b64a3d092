"""What the lives of one log share in a process: what is known to be committed, and who does their work.

Several lives may use it at once, from any threads.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flumebeam.clock import Clock
from flumebeam.commitlog import recovery, retiring
from flumebeam.commitlog.driver import Driver
from flumebeam.commitlog.ids import IdIndex, IdSet
from flumebeam.commitlog.layout import LogLayout
from flumebeam.commitlog.options import CommitLogOptions, QueueAccess
from flumebeam.commitlog.protocol import Scribe
from flumebeam.commitlog.roller import Roller

__all__ = ["Household"]

_DAY_MS: Final = 86_400_000
_GRACE_SECONDS: Final = 60.0
"""How much later than a file's age, or idle time, its epoch counts as left behind."""
_MOST_WAITING: Final = 4
"""Files of the full size that may wait to be merged before a transaction waits for them."""
_LEAST_WAITING_BYTES: Final = 1 << 28
_MANY_RETIRED: Final = 32
"""Files of retired ids beyond which they are joined."""


class Household:
    """One log's ids, threads and chores. Thread-safe.

    Args:
        scribe: Context of all steps.
        driver: Performs them, for transactions.
        options: How the log works.
        clock: Time.

    Attributes:
        scribe: As given.
        driver: As given.
        options: As given.
        clock: As given.
        roller: Merges behind the back of transactions, with threads and a patience of its own.
    """

    def __init__(self, scribe: Scribe, driver: Driver, options: CommitLogOptions, clock: Clock) -> None:
        self.scribe = scribe
        self.driver = driver
        self.options = options
        self.clock = clock
        self.roller = Roller(clock, driver.alone(), self._rescue)
        self._lock = threading.Lock()
        self._index = IdIndex()
        self._retired_seen: frozenset[str] = frozenset()
        self._served_day = ""
        self._refusals = 0

    @property
    def layout(self) -> LogLayout:
        """Paths of the log."""
        return self.scribe.layout

    @property
    def refusals(self) -> int:
        """How many lives were refused since something was committed."""
        with self._lock:
            return self._refusals

    def close(self) -> None:
        """End all threads. Idempotent."""
        self.roller.close()
        self.driver.close()

    def learn(self, ids: IdSet) -> None:
        """Note what is committed."""
        with self._lock:
            self._index.add(ids)

    def knows(self, ids: pa.FixedSizeBinaryArray) -> npt.NDArray[np.bool_]:
        """Tell for each id of a column whether it is known to be committed."""
        return self._index.contains(ids)

    def was_refused(self) -> None:
        """Note that a life was."""
        with self._lock:
            self._refusals += 1

    def was_committed(self) -> None:
        """Note that something was, so that no life has to wait before it begins."""
        with self._lock:
            self._refusals = 0

    @property
    def most_waiting_bytes(self) -> int:
        """Bytes that may wait to be merged before a transaction waits for them."""
        roll = self.options.roll
        return max(_MOST_WAITING * roll.max_bytes if roll is not None else 0, _LEAST_WAITING_BYTES)

    def settle_closed(self) -> None:
        """Publish and merge what lives that are over have committed, and learn their ids."""
        self.learn(self.driver.run(recovery.settle_closed(self.scribe)))

    def fence(self, own: str) -> None:
        """Close or read all other epochs, publish what is in them, and learn their ids and the retired ones.

        Args:
            own: The caller's epoch.

        Raises:
            EpochClosedError: Another life did that to the caller.
        """
        shared = self.options.access is QueueAccess.SHARED
        idle_ms = round(self.options.idle_close_seconds * 1000) if shared else None
        rolling = self.options.roll is not None
        steps = recovery.take_over(
            self.scribe, own, self._retired_seen, idle_ms=idle_ms, old_ms=_DAY_MS, merge=not rolling
        )
        found = self.driver.run(steps)
        if rolling:
            self.roller.run_soon(lambda driver: driver.run(recovery.settle_closed(self.scribe)))
        with self._lock:
            self._index.add(found.ids)
            self._retired_seen = found.retired
        if len(found.retired) > _MANY_RETIRED:
            self.driver.run(retiring.compact(self.scribe))

    def succeed(self, epoch: str) -> None:
        """Soon merge what other lives left behind, however young it is; see :func:`recovery.succeed`."""
        self.roller.rescue_soon(epoch)

    def _rescue(self, driver: Driver, own: Sequence[str], successor: str) -> None:
        """Merge what dead lives left behind."""
        if successor:
            driver.run(recovery.succeed(self.scribe, successor, own))
            return
        roll = self.options.roll
        longest = max(roll.max_seconds, roll.idle_seconds) if roll is not None else 0.0
        idle = (longest or self.options.idle_close_seconds) + _GRACE_SECONDS
        driver.run(recovery.rescue(self.scribe, own, round(idle * 1000)))

    def keep(self) -> None:
        """Once per day on which something is committed: note the day, and forget old ids."""
        scribe, run = self.scribe, self.driver.run
        today = datetime.fromtimestamp(scribe.now_ms() / 1000, UTC).strftime("%Y%m%d")
        if self._served_day != today:
            run(retiring.serve_day(scribe))
            run(retiring.prune(scribe, self.options.keep_days))
            self._served_day = today
