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

Unit of parallelism: one life per receiver; several lives, also in several processes, may use one log at once.

What repeats after a failure: nothing on an exclusive queue, whoever was killed, cut off or frozen, and for however
long. On a queue that is shared, a writer that froze for longer than the broker's patience may repeat its last
transaction. What is never lost: anything; an id may be acknowledged only after :meth:`Life.commit` or
:meth:`Life.committed` named it, and then its events are in final files, or in segments that will be.
"""

from __future__ import annotations

import posixpath
import random
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flumebeam.clock import Clock, SystemClock
from flumebeam.commitlog import merging, protocol, publishing, recovery
from flumebeam.commitlog.driver import Driver, ignore
from flumebeam.commitlog.ids import IdIndex, IdSet
from flumebeam.commitlog.layout import LogLayout, QueueIdentity
from flumebeam.commitlog.merging import Roll
from flumebeam.commitlog.protocol import PartDraft, Scribe
from flumebeam.commitlog.roller import Roller
from flumebeam.commitlog.rolling import Files, OpenRolls, RollOptions
from flumebeam.commitlog.steps import CrashPoint, make_directory
from flumebeam.errors import CommitLogError, ConfigurationError, EpochClosedError, StorageError
from flumebeam.hdfs.filesystem import FileSystem

__all__ = ["CommitLog", "CommitLogOptions", "Life", "QueueAccess"]

_GREETING_SECONDS: Final = 10.0
"""Patience with a target that has not answered yet."""
_LONGEST_YIELD_SECONDS: Final = 60.0
_DAY_MS: Final = 86_400_000
_GRACE_SECONDS: Final = 60.0
"""How much later than a file's age, or idle time, its epoch counts as left behind."""
_MOST_WAITING: Final = 4
"""Files of the full size that may wait to be merged before a transaction waits for them."""
_LEAST_WAITING_BYTES: Final = 1 << 28
_MANY_RETIRED: Final = 32
"""Files of retired ids beyond which they are joined."""


class QueueAccess(Enum):
    """How a queue hands out messages to several receivers."""

    EXCLUSIVE = "exclusive"
    """One receiver at a time: a life closes all others, and nothing is ever repeated."""
    SHARED = "shared"
    """Several at once (non-exclusive, partitioned): a life reads the others, and closes those that are long idle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitLogOptions:
    """How a log works.

    Attributes:
        access: How the queue hands out messages.
        bridge_gaps: Treat numbers between the first and the last id of an unbroken bind as committed, which keeps the
            id sets small where many queues share a broker. Right only for an exclusive queue without message
            priorities, into which nobody copies or replays messages: a number that was passed over must never come.
        patience_seconds: For how long a target that does not answer, or is full, is tried again; 10 s at most for one
            that has never answered.
        threads: Parts written and published at once.
        fold_after: Transactions whose records are then replaced by one id set.
        keep_days: Days with commits for which ids are kept after their acknowledgement is proven.
        idle_close_seconds: Age of the last commit of another life after which a life on a shared queue closes it.
        roll: When a file ends; ``None`` for files of one transaction each, final at once.
    """

    access: QueueAccess = QueueAccess.EXCLUSIVE
    bridge_gaps: bool = False
    patience_seconds: float = 60.0
    threads: int = 4
    fold_after: int = 64
    keep_days: int = 7
    idle_close_seconds: float = 3600.0
    roll: RollOptions | None = None

    def __post_init__(self) -> None:
        if self.bridge_gaps and self.access is not QueueAccess.EXCLUSIVE:
            raise ConfigurationError("bridge_gaps needs an exclusive queue: leave it off for a shared one.")
        for name in ("patience_seconds", "threads", "fold_after", "keep_days", "idle_close_seconds"):
            if getattr(self, name) <= 0:
                raise ConfigurationError(f"{name} must be positive, got {getattr(self, name)}.")


class CommitLog:
    """The commit log of one queue in one target. Thread-safe; make it with :meth:`open`."""

    def __init__(
        self, layout: LogLayout, driver: Driver, options: CommitLogOptions, clock: Clock, sleep: Callable[[float], None]
    ) -> None:
        self.layout = layout
        self.options = options
        self._driver = driver
        self._scribe = Scribe(layout, lambda: secrets.token_hex(8), clock.epoch_ms)
        self._sleep = sleep
        self._clock = clock
        self._lock = threading.Lock()
        self._index = IdIndex()
        self._retired_seen: frozenset[str] = frozenset()
        self._served_day = ""
        self._refusals = 0
        # Merging has threads and a patience of its own: no transaction waits for it.
        self._roller = Roller(clock, self._driver.alone(), self._rescue)

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
        log = cls(LogLayout(target.rstrip("/"), queue), driver, options, clock, sleep)
        try:
            # First, so that a target that cannot be written is told by its own name; and soon, as it may be mistyped.
            greeter.run(make_directory(log.layout.base))
            log._learn(driver.run(recovery.settle_closed(log._scribe)))
        except BaseException:
            driver.close()
            raise
        return log

    def begin_life(self, receiver_id: str) -> Life:
        """Make the epoch of a receiver that is about to be bound.

        After a life was refused, the next one waits a random time first, longer each time until something is
        committed: two jobs that read one queue by mistake then take turns instead of refusing each other for ever.

        Args:
            receiver_id: Identity of the receiver, fresh for each bind.

        Raises:
            StorageError: The target cannot be written.
        """
        with self._lock:
            refusals = self._refusals
        if refusals > 1:
            self._sleep(random.uniform(0.0, min(_LONGEST_YIELD_SECONDS, 2.0 ** (refusals - 1))))
        epoch = self._driver.run(protocol.open_epoch(self._scribe, receiver_id))
        life = Life(self, receiver_id, epoch)
        if life.rolls is not None:
            self._roller.watch(life)
        return life

    def close(self) -> None:
        """End the log's threads. Its lives must not be used any more. Idempotent."""
        self._roller.close()
        self._driver.close()

    def _learn(self, ids: IdSet) -> None:
        with self._lock:
            self._index.add(ids)

    def _knows(self, ids: pa.FixedSizeBinaryArray) -> npt.NDArray[np.bool_]:
        return self._index.contains(ids)

    def _most_waiting_bytes(self) -> int:
        roll = self.options.roll
        return max(_MOST_WAITING * roll.max_bytes if roll is not None else 0, _LEAST_WAITING_BYTES)

    def _was_refused(self) -> None:
        with self._lock:
            self._refusals += 1

    def _was_committed(self) -> None:
        with self._lock:
            self._refusals = 0

    def _fence(self, own: str) -> None:
        """Close or read all other epochs, publish what is in them, and learn their ids and the retired ones."""
        shared = self.options.access is QueueAccess.SHARED
        idle_ms = round(self.options.idle_close_seconds * 1000) if shared else None
        rolling = self.options.roll is not None
        steps = recovery.take_over(
            self._scribe, own, self._retired_seen, idle_ms=idle_ms, old_ms=_DAY_MS, merge=not rolling
        )
        found = self._driver.run(steps)
        if rolling:
            self._roller.run_soon(lambda driver: driver.run(recovery.settle_closed(self._scribe)))
        with self._lock:
            self._index.add(found.ids)
            self._retired_seen = found.retired
        if len(found.retired) > _MANY_RETIRED:
            self._driver.run(recovery.compact(self._scribe))

    def _rescue(self, driver: Driver, own: Sequence[str]) -> None:
        """Merge what dead lives left behind."""
        roll = self.options.roll
        longest = max(roll.max_seconds, roll.idle_seconds) if roll is not None else 0.0
        idle = (longest or self.options.idle_close_seconds) + _GRACE_SECONDS
        driver.run(recovery.rescue(self._scribe, own, round(idle * 1000)))

    def _keep_house(self) -> None:
        """Once per day on which something is committed: note the day, and forget old ids."""
        scribe, run = self._scribe, self._driver.run
        today = datetime.fromtimestamp(scribe.now_ms() / 1000, UTC).strftime("%Y%m%d")
        if self._served_day != today:
            run(recovery.serve_day(scribe))
            run(recovery.prune(scribe, self.options.keep_days))
            self._served_day = today


class Life:
    """What one receiver commits, from before its bind to its end. Used by one thread at a time.

    A life that was refused, or whose commit failed after the point of no return, is over: everything that its receiver
    holds must be dropped and the receiver closed, which gives it to a new life.

    Attributes:
        receiver_id: Identity of the receiver.
        epoch: Name of the life's epoch.
        rolls: The files that it is filling; ``None`` if each transaction's are final.
    """

    def __init__(self, log: CommitLog, receiver_id: str, epoch: str) -> None:
        self.rolls = OpenRolls(log.options.roll) if log.options.roll is not None else None
        self._merging: list[Future[object]] = []
        self._merging_lock = threading.Lock()
        self._failure: Exception | None = None
        self._made = Files()
        self.receiver_id = receiver_id
        self.epoch = epoch
        self._log = log
        self._fenced = False
        self._over = ""
        self._number = 0
        self._folded_through = 0
        self._ids = IdSet()
        self._unbroken = IdSet()
        started = datetime.fromtimestamp(log._scribe.now_ms() / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
        self._stamp = f"{started}-{epoch.rpartition('.')[2][:8]}"

    @property
    def fenced(self) -> bool:
        """Whether :meth:`fence` was called: a life commits nothing before that."""
        return self._fenced

    def file_stem(self) -> str:
        """Return what names files of the next transaction: unique in the world, sorted by time within a life."""
        return f"{self._stamp}-{self._number + 1:06d}"

    def fence(self) -> None:
        """Make sure that no other life commits what this one holds, and learn what others have committed.

        To be called before anything of a batch is committed that came after a bind, a reconnect, an activation, or
        that holds redelivered messages (the batch's provenance says so).

        Raises:
            EpochClosedError: Another life did that to this one: it is over.
            StorageError: The target cannot be read or written for longer than the patience.
            CommitLogError: The log is damaged, or was written by a newer version.
        """
        self._check()
        log = self._log
        self._fenced = False
        try:
            log._fence(self.epoch)
        except EpochClosedError as error:
            raise self._refused() from error
        self._fenced = True
        self._unbroken = IdSet()

    def committed(self, ids: pa.FixedSizeBinaryArray) -> npt.NDArray[np.bool_]:
        """Tell for each id whether it was committed, by whatever life. Such a one may be acknowledged, and is dropped.

        Args:
            ids: Delivery ids, shape ``(n,)``.

        Returns:
            Shape ``(n,)``.
        """
        return self._log._knows(ids)

    def commit(self, drafts: Sequence[PartDraft], ids: pa.FixedSizeBinaryArray) -> pa.FixedSizeBinaryArray:
        """Commit one transaction and publish its files.

        Args:
            drafts: One part per final file, or per file that is rolled; may be empty.
            ids: Delivery ids of all their events, none of them committed before.

        Returns:
            The ids that may be acknowledged now: all of them.

        Raises:
            EpochClosedError: A successor took over: this life is over, and the successor has what was held.
            StorageError: If the life is not over (:attr:`over`), nothing has happened and the same may be tried again.
        """
        self._check()
        if not self._fenced:
            raise CommitLogError(f"Life {self.epoch} commits before it fenced its predecessors; call fence() first.")
        log, scribe, run = self._log, self._log._scribe, self._log._driver.run
        self._number += 1
        committed = self._covered(IdSet.of(ids))
        drafts = [self._placed(draft) for draft in drafts]
        try:
            prepared = run(protocol.prepare(scribe, self.epoch, self._number, drafts, committed))
        except EpochClosedError as error:
            raise self._refused() from error
        try:
            run(protocol.commit(scribe, prepared))
            record = prepared.record
            if not record.parts or not all(part.joining for part in record.parts):
                finals = [part.final for part in record.parts]
                run(publishing.publish(scribe, log.layout.epoch(self.epoch), record, finals))
                run(publishing.mark_published(log.layout, record))
        except EpochClosedError as error:
            raise self._refused() from error
        except BaseException as error:
            # Committed, or perhaps committed: only a successor that closes the epoch can tell, and publishes it.
            self._over = f"transaction {self._number} came to no known end ({error})"
            raise
        self._made += Files.of(*(part.length for part in record.parts if not part.joining and _is_seen(part.final)))
        log._learn(committed)
        log._was_committed()
        self._ids = self._ids.union(committed)
        self._unbroken = self._unbroken.union(committed) if log.options.bridge_gaps else self._unbroken
        if self.rolls is not None:
            self.rolls.add(record, drafts, log._clock.monotonic())
            self.start_merging()
            self._wait_for_merging(log._most_waiting_bytes())
        self._keep_house()
        return ids

    @property
    def over(self) -> bool:
        """Whether this life can commit nothing any more."""
        return bool(self._over)

    def take_made(self) -> Files:
        """Return the final files that were made since the last call."""
        made, self._made = self._made, Files()
        return made if self.rolls is None else made + self.rolls.take_made()

    def start_merging(self) -> None:
        """Start to make files of what is due. Returns at once; called by any thread."""
        if self.rolls is None or self._over:
            return
        started = [self._log._roller.run_soon(partial(self._merge, roll)) for roll in self.rolls.due()]
        with self._merging_lock:
            self._merging = [future for future in (*self._merging, *started) if not future.done()]

    def roll_all(self) -> None:
        """Make files of all segments, those that dead lives left included. For a receiver that was closed.

        Raises:
            EpochClosedError: Another life took over, and merges what this one committed.
            StorageError: The target refuses, or does not answer; a successor merges what is left.
        """
        if self.rolls is None:
            return
        self.rolls.close_all()
        self.start_merging()
        self._wait_for_merging(0)
        if self._log.options.access is QueueAccess.EXCLUSIVE and not self._fenced:
            # Nothing came, so nothing was fenced; what a dead life acknowledged may still be in segments.
            self.fence()
        self._log._driver.run(recovery.settle_closed(self._log._scribe))

    def _merge(self, roll: Roll, driver: Driver) -> None:
        log, rolls = self._log, self.rolls
        if rolls is None or self._over or self._failure is not None:
            return
        try:
            merged = driver.run(merging.merge(log._scribe, log.layout.epoch(self.epoch), self.epoch, roll))
            driver.run(merging.mark_done(log.layout, self.epoch, roll.first.key))
        except Exception as error:  # noqa: BLE001  # any of them ends the life, and is raised where it commits
            self._failure = error
        else:
            rolls.done(roll, merged)

    def _wait_for_merging(self, waiting_bytes: int) -> None:
        """Wait until no more than so many bytes wait to be merged, or all is if that is 0; raise what merging met."""
        while self.rolls is not None and self._failure is None:
            with self._merging_lock:
                running = [future for future in self._merging if not future.done()]
            if not running or (waiting_bytes and self.rolls.waiting_bytes <= waiting_bytes):
                break
            wait(running, return_when=FIRST_COMPLETED)
        self._check()

    def _placed(self, draft: PartDraft) -> PartDraft:
        """Return a draft under the name of the file that it becomes, or becomes a part of."""
        if self.rolls is None or not draft.joining:
            return replace(draft, joining="")
        directory, name = posixpath.split(self.rolls.final(draft))
        return replace(draft, directory=directory, name=name)

    def end(self) -> None:
        """End a life in order: its epoch is closed, and its ids are retired as proven. Idempotent.

        To be called only if the receiver was closed, everything that was committed had been acknowledged before, and
        the broker is known to have got all of that: only such ids are ever forgotten. On an exclusive queue this is
        then known of the ids of earlier lives, too. A life that is not ended, or whose end gets no answer from the
        target, is settled by a successor, which proves nothing.

        Raises:
            StorageError: The target refuses to be read or written.
            CommitLogError: The log is damaged, or was written by a newer version.
        """
        if self._over:
            return
        log = self._log
        exclusive = log.options.access is QueueAccess.EXCLUSIVE
        try:
            self.roll_all()
            self._over = "it was ended"
            log._driver.run(recovery.settle_own(log._scribe, self.epoch, covers=bool(self._ids) and exclusive))
        except EpochClosedError:
            # Another life took over, and settles what this one committed.
            self._over = self._over or "another receiver took over the queue"
        except StorageError as error:
            if not error.retriable:
                raise

    def _covered(self, ids: IdSet) -> IdSet:
        """Return what a transaction commits: its ids, and, where gaps are bridged, what can never come."""
        if not self._log.options.bridge_gaps:
            return ids
        return self._unbroken.union(ids).bridged()

    def _keep_house(self) -> None:
        """Keep the log small. What fails here for want of an answer is done by the next transaction, or a successor."""
        log = self._log
        try:
            log._keep_house()
            if self._number - self._folded_through >= log.options.fold_after:
                unmerged = self.rolls.unmerged() if self.rolls is not None else ()
                log._driver.run(protocol.fold(log._scribe, self.epoch, self._number, self._ids, unmerged))
                self._folded_through = self._number
        except StorageError as error:
            if not error.retriable:
                raise

    def _check(self) -> None:
        if self._over:
            raise self._ended()
        failure = self._failure
        if isinstance(failure, EpochClosedError):
            raise self._refused() from failure
        if failure is not None:
            self._over = f"segments could not be merged ({failure})"
            raise failure

    def _refused(self) -> EpochClosedError:
        self._over = "another receiver took over the queue"
        self._log._was_refused()
        return self._ended()

    def _ended(self) -> EpochClosedError:
        return EpochClosedError(
            f"Life {self.epoch} is over: {self._over}. Its receiver must be closed, which gives what it holds to the "
            "next one; nothing is lost."
        )


def _is_seen(final: str) -> bool:
    """Tell whether readers see a file: one of dead letters is hidden from them."""
    return not posixpath.basename(final).startswith((".", "_"))
