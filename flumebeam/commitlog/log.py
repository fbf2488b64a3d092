"""The commit log of one queue in one target, and the lives that write through it.

::

    log = CommitLog.open(fs, "/data/logs", QueueIdentity("", "default", "logs.batch"))
    life = log.begin_life(receiver_id)         # before the receiver is bound
    life.fence()                               # before the first commit, and whenever a batch says so
    known = life.committed(batch.provenance.ids)
    durable = life.commit(drafts, ids)         # these may be acknowledged
    life.end()                                 # the receiver was closed, and all its acknowledgements had arrived

Without rolling the files of a transaction are final when it is committed. With rolling its parts may be segments, which
are as durable, and are merged into final files behind its back.

Unit of parallelism: one life per receiver; several lives, also in several processes, may use one log at once. What is
promised of them says :mod:`flumebeam.commitlog.life`.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable
from typing import Final

from flumebeam.clock import Clock, SystemClock
from flumebeam.commitlog import protocol
from flumebeam.commitlog.driver import Driver, ignore
from flumebeam.commitlog.founding import found
from flumebeam.commitlog.household import Household
from flumebeam.commitlog.layout import QueueIdentity
from flumebeam.commitlog.life import Life
from flumebeam.commitlog.options import CommitLogOptions
from flumebeam.commitlog.protocol import Scribe
from flumebeam.commitlog.steps import CrashPoint
from flumebeam.errors import ConfigurationError
from flumebeam.hdfs.filesystem import FileSystem

__all__ = ["CommitLog"]

_GREETING_SECONDS: Final = 10.0
"""Patience with a target that has not answered yet."""
_LONGEST_YIELD_SECONDS: Final = 60.0


class CommitLog:
    """The commit log of one queue in one target. Thread-safe; make it with :meth:`open`."""

    def __init__(self, household: Household, sleep: Callable[[float], None]) -> None:
        self._household = household
        self._sleep = sleep

    @classmethod
    def open(
        cls,
        fs: FileSystem,
        target: str,
        queue: QueueIdentity,
        options: CommitLogOptions | None = None,
        *,
        clock: Clock | None = None,
        at: Callable[[CrashPoint], None] = ignore,
        sleep: Callable[[float], None] = time.sleep,
    ) -> CommitLog:
        """Open a log, publishing what an earlier run committed and could not publish.

        Args:
            fs: File system of the target; the caller closes it.
            target: Directory below which final files appear, absolute.
            queue: The queue; another queue into the same target has a log of its own.
            options: How it works.
            clock: Time.
            at: Called at each named place, for tests that end the process there.
            sleep: Waits so many seconds.

        Raises:
            ConfigurationError: The file system cannot give the promise (no atomic rename of directories).
            StorageError: The target cannot be read or written.
            CommitLogError: The log is damaged, or was written by a newer version.
        """
        if not fs.exactly_once:
            raise ConfigurationError(
                f"{target} cannot be written exactly once: its store has no atomic rename of directories. "
                "Use HDFS or a local disk."
            )
        options = options or CommitLogOptions()
        clock = clock or SystemClock()
        patience = options.patience_seconds
        greeter = Driver(fs, clock=clock, patience=min(patience, _GREETING_SECONDS), at=at, sleep=sleep)
        driver = Driver(fs, clock=clock, patience=patience, threads=options.threads, at=at, sleep=sleep)
        # First, so that a target that cannot be written is told by its own name; and soon, as it may be mistyped.
        layout = greeter.run(found(target.rstrip("/"), queue, _fresh_name))
        household = Household(Scribe(layout, _fresh_name, clock.epoch_ms), driver, options, clock)
        try:
            household.settle_closed()
        except BaseException:  # an interrupt, too, must leave no thread behind
            driver.close()
            raise
        return cls(household, sleep)

    def begin_life(self, receiver_id: str) -> Life:
        """Make the epoch of a receiver that is about to be bound.

        After a life was refused, the next one waits a random time first, longer each time until something is
        committed: two jobs that read one queue by mistake then take turns instead of refusing each other for ever.

        Args:
            receiver_id: Identity of the receiver, fresh for each bind.

        Raises:
            StorageError: The target cannot be written.
        """
        household = self._household
        refusals = household.refusals
        if refusals > 1:
            self._sleep(random.uniform(0.0, min(_LONGEST_YIELD_SECONDS, 2.0 ** (refusals - 1))))
        epoch = household.driver.run(protocol.open_epoch(household.scribe, receiver_id))
        life = Life(household, receiver_id, epoch)
        if life.rolls is not None:
            household.roller.watch(life)
        return life

    def close(self) -> None:
        """End the log's threads. Its lives must not be used any more. Idempotent."""
        self._household.close()


def _fresh_name() -> str:
    return secrets.token_hex(8)
