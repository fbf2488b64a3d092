"""The life of one receiver: its transactions, its files that roll, and its end.

What repeats after a failure: nothing on an exclusive queue, whoever was killed, cut off or frozen, and for however
long. On a queue that is shared, a writer that froze for longer than the broker's patience may repeat its last
transaction. What is never lost: anything; an id may be acknowledged only after :meth:`Life.commit` or
:meth:`Life.committed` named it, and then its events are in final files, or in segments that will be.
"""

from __future__ import annotations

import posixpath
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flumebeam.commitlog import merging, protocol, publishing, recovery
from flumebeam.commitlog.driver import Driver
from flumebeam.commitlog.household import Household
from flumebeam.commitlog.ids import IdSet
from flumebeam.commitlog.layout import LogLayout
from flumebeam.commitlog.merging import Roll
from flumebeam.commitlog.options import CommitLogOptions, QueueAccess
from flumebeam.commitlog.protocol import PartDraft
from flumebeam.commitlog.rolling import Files, OpenRolls
from flumebeam.errors import CommitLogError, EpochClosedError, StorageError

__all__ = ["Life"]


class Life:
    """What one receiver commits, from before its bind to its end. Used by one thread at a time.

    A life that was refused, or whose commit failed after the point of no return, is over: everything that its receiver
    holds must be dropped and the receiver closed, which gives it to a new life.

    Attributes:
        receiver_id: Identity of the receiver.
        epoch: Name of the life's epoch.
        rolls: The files that it is filling; ``None`` if each transaction's are final.
    """

    def __init__(self, log: Household, receiver_id: str, epoch: str) -> None:
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
        started = datetime.fromtimestamp(log.scribe.now_ms() / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
        self._stamp = f"{started}-{epoch.rpartition('.')[2][:8]}"

    @property
    def layout(self) -> LogLayout:
        """Paths of its log."""
        return self._log.layout

    @property
    def options(self) -> CommitLogOptions:
        """How its log works."""
        return self._log.options

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
            log.fence(self.epoch)
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
        return self._log.knows(ids)

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
        log, scribe, run = self._log, self._log.scribe, self._log.driver.run
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
        except BaseException as error:  # whatever it was, an interrupt included, this life may not go on
            # Committed, or perhaps committed: only a successor that closes the epoch can tell, and publishes it.
            self._over = f"transaction {self._number} came to no known end ({error})"
            raise
        self._made += Files.of(*(part.length for part in record.parts if not part.joining and _is_seen(part.final)))
        log.learn(committed)
        log.was_committed()
        self._ids = self._ids.union(committed)
        self._unbroken = self._unbroken.union(committed) if log.options.bridge_gaps else self._unbroken
        if self.rolls is not None:
            self.rolls.add(record, drafts, log.clock.monotonic())
            self.start_merging()
            self._wait_for_merging(log.most_waiting_bytes)
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
        started = [self._log.roller.run_soon(partial(self._merge, roll)) for roll in self.rolls.due()]
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
        self._log.driver.run(recovery.settle_closed(self._log.scribe))

    def succeed(self) -> None:
        """Make files of what earlier lives left in segments, soon and in another thread.

        To be called when the broker has said that this life's receiver is the one that an exclusive queue serves, and
        nothing comes: the first batch would fence, and have the same done. Nothing is done where that cannot be known,
        or has been done. What fails is tried again when those segments are old.
        """
        exclusive = self._log.options.access is QueueAccess.EXCLUSIVE
        if self.rolls is not None and exclusive and not self._fenced and not self._over:
            self._log.succeed(self.epoch)

    def _merge(self, roll: Roll, driver: Driver) -> None:
        log, rolls = self._log, self.rolls
        if rolls is None or self._over or self._failure is not None:
            return
        try:
            merged = driver.run(merging.merge(log.scribe, log.layout.epoch(self.epoch), self.epoch, roll))
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
            log.driver.run(recovery.settle_own(log.scribe, self.epoch, covers=bool(self._ids) and exclusive))
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
            log.keep()
            if self._number - self._folded_through >= log.options.fold_after:
                unmerged = self.rolls.unmerged() if self.rolls is not None else ()
                log.driver.run(protocol.fold(log.scribe, self.epoch, self._number, self._ids, unmerged))
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
        self._log.was_refused()
        return self._ended()

    def _ended(self) -> EpochClosedError:
        return EpochClosedError(
            f"Life {self.epoch} is over: {self._over}. Its receiver must be closed, which gives what it holds to the "
            "next one; nothing is lost."
        )


def _is_seen(final: str) -> bool:
    """Tell whether readers see a file: one of dead letters is hidden from them."""
    return not posixpath.basename(final).startswith((".", "_"))
