"""Watches the partitions of a target: notes what is written, and tells of those that are complete.

One keeper per sink and process, with a thread of its own: nothing that it does delays a transaction, but for the marks
of partitions that an epoch has not written to before.
"""

from __future__ import annotations

import logging
import posixpath
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from flumebeam.clock import Clock
from flumebeam.commitlog import partitions, protocol, recovery
from flumebeam.commitlog.driver import Driver, ignore
from flumebeam.commitlog.hooks import PartitionEvent, PartitionEventKind
from flumebeam.commitlog.layout import LogLayout
from flumebeam.commitlog.life import Life
from flumebeam.commitlog.options import QueueAccess
from flumebeam.commitlog.partition_options import PartitionOptions
from flumebeam.commitlog.partitions import Judgement, Mark, Situation, Watermark
from flumebeam.commitlog.protocol import Scribe
from flumebeam.commitlog.steps import delete, together
from flumebeam.errors import FlumebeamError, StorageError

__all__ = ["PartitionKeeper", "PartitionPoint"]

_LOG: Final = logging.getLogger(__name__)
_LOOK_SECONDS: Final = 1.0
_SURVEY_SECONDS: Final = 5.0
"""Between two looks at all logs of the target, while a partition waits for another drain."""
_REPORT_MS: Final = 10_000
"""How far a watermark moves before other drains are told."""
_FIRST_RETRY_SECONDS: Final = 1.0
_LONGEST_RETRY_SECONDS: Final = 60.0
_WARN_SECONDS: Final = 300.0


class PartitionPoint(Enum):
    """The named places at which a drain that watches partitions may die; in the order of one partition's life."""

    MARKED_OPEN = "partition marked open"
    MARKED_READY = "partition marked ready"
    SUCCESS_WRITTEN = "success file written"
    TOLD = "hook told"


@dataclass(slots=True, eq=False)
class _Kept:
    """A life of this process.

    Attributes:
        committed_ms: The watermark behind which everything is committed; -1 before the first transaction.
        open: Its open marks, by partition.
        published: Marks on their way from open to ready.
        busy: Partitions of the transactions in progress.
        reported_ms: The watermark that other drains know; ``None`` if they do not know of this life.
        ended: Whether its receiver was closed.
        reporting: Held while other drains are told.
    """

    life: Life
    committed_ms: int = -1
    open: dict[str, Mark] = field(default_factory=dict)
    published: list[Mark] = field(default_factory=list)
    busy: Counter[str] = field(default_factory=Counter)
    reported_ms: int | None = None
    ended: bool = False
    reporting: threading.Lock = field(default_factory=threading.Lock)

    @property
    def layout(self) -> LogLayout:
        return self.life.layout

    @property
    def log_name(self) -> str:
        return self.layout.queue.log_name


@dataclass(slots=True)
class _Retry:
    """When a hook that failed is called again, on the monotonic clock, and for how long it waits then."""

    at: float
    pause: float


class PartitionKeeper:
    """Watches the partitions of a target for the lives of one process. Thread-safe.

    Args:
        driver: Performs steps on the target's file system; closed by :meth:`close`.
        url: Its address, for those who are told.
        options: When partitions are complete, and who is told.
        clock: Time.
        silence: Given a receiver's id, the event time before which it has nothing more to deliver, as far as its
            silence tells; ``None`` if it tells nothing. All that it has delivered must be committed then.
        at: Called at each named place, for tests that end the process there.
    """

    def __init__(
        self,
        driver: Driver,
        url: str,
        options: PartitionOptions,
        *,
        clock: Clock,
        silence: Callable[[str], int | None],
        at: Callable[[Any], None] = ignore,
    ) -> None:
        self._driver = driver
        self._url = url
        self._options = options
        self._delay_ms = round(options.delay_seconds * 1000)
        self._hook = options.hook()
        self._clock = clock
        self._silence = silence
        self._at = at
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._kept: dict[str, _Kept] = {}
        self._known: dict[str, Mark] = {}
        self._waiting: dict[str, int] | None = None
        self._surveyed = float("-inf")
        self._warned = clock.monotonic()
        self._retries: dict[str, _Retry] = {}
        self._failure: FlumebeamError | None = None
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    # -- what a sink says --------------------------------------------------------------------------------------------

    def adopt(self, life: Life) -> None:
        """Look after a life, from before its receiver is bound."""
        exclusive = life.options.access is QueueAccess.EXCLUSIVE
        with self._lock:
            # The one receiver of an exclusive queue has a new life; of a shared one, those that ended are replaced.
            replaced = [
                epoch
                for epoch, other in self._kept.items()
                if other.layout == life.layout and (exclusive or other.ended or other.life.over)
            ]
            for epoch in replaced:
                del self._kept[epoch]
            self._kept[life.epoch] = _Kept(life)
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="flumebeam-partitions", daemon=True)
                self._thread.start()

    def begin(self, life: Life) -> None:
        """Let other drains of the target wait for a life, before it fences those whose messages it has got.

        Raises:
            StorageError: The target cannot be written.
        """
        if (kept := self._of(life)) is not None:
            self._report(kept, 0)

    def enter(self, life: Life, ends: Mapping[str, int]) -> None:
        """Note that a life is about to commit something of these partitions; to be followed by :meth:`leave`.

        Args:
            life: The life.
            ends: When the time of each is over, milliseconds since 1970 UTC.

        Raises:
            EpochClosedError: A successor fenced this life.
            StorageError: The target cannot be written; nothing has happened.
            FlumebeamError: What kept this keeper from its work.
        """
        if self._failure is not None:
            raise self._failure
        kept = self._of(life)
        if kept is None:
            return
        with self._lock:
            kept.busy.update(ends.keys())
            new = [path for path in ends if path not in kept.open]
        if not new:
            return
        scribe, name = self._scribe(kept.layout), self._options.success_file
        try:
            self._report(kept, 0)
            steps = [partitions.mark_open(scribe, life.epoch, path, ends[path], name, self._delay_ms) for path in new]
            marks = self._driver.run(together(steps))
        except BaseException as error:  # an interrupt, too: what was not marked is not waited for
            self.leave(life, ends)
            # Whoever settled the epoch of a fenced life has removed the directory of its marks.
            if isinstance(error, StorageError) and not self._driver.run(protocol.is_open(kept.layout, life.epoch)):
                raise protocol.closed_error(kept.layout, life.epoch) from error
            raise
        with self._lock:
            kept.open.update((mark.path, mark) for mark in marks)
        self._at(PartitionPoint.MARKED_OPEN)

    def leave(self, life: Life, paths: Collection[str], watermark_ms: int | None = None) -> None:
        """Note that a transaction is over.

        Args:
            life: The life.
            paths: The partitions that were entered for it.
            watermark_ms: If it is committed, the watermark of its last batch, milliseconds since 1970 UTC.
        """
        if (kept := self._of(life)) is None:
            return
        with self._lock:
            kept.busy.subtract(paths)
            kept.busy += Counter()
            if watermark_ms is not None:
                kept.committed_ms = max(kept.committed_ms, watermark_ms)

    def closed(self, life: Life, *, settled: bool) -> None:
        """Note that the receiver of a life was closed, and its files were made.

        Args:
            life: The life.
            settled: Whether everything that it delivered was acknowledged.
        """
        if (kept := self._of(life)) is None:
            return
        if settled:
            kept.committed_ms = self._watermark(kept)
        kept.ended = True

    def tick(self) -> None:
        """Do what is due; called by this keeper's thread again and again.

        Raises:
            StorageError: The target cannot be read or written.
            CommitLogError: The commit log is damaged.
        """
        with self._turn:
            with self._lock:
                # One that was refused says nothing more; its receiver gets a new one.
                lives = [kept for kept in self._kept.values() if kept.ended or not kept.life.over]
            if not lives:
                return
            for kept in lives:
                self._make_ready(kept)
                at_ms = self._watermark(kept)
                if not kept.ended and at_ms - (kept.reported_ms or 0) >= _REPORT_MS:
                    self._report(kept, at_ms)
            self._tell(lives)

    def close(self) -> None:
        """Tell what is complete by now, and end. Idempotent.

        Raises:
            StorageError: The target refuses to be read or written.
            CommitLogError: The commit log is damaged.
        """
        if self._closed.is_set():
            return
        self._closed.set()
        if self._thread is not None:
            self._thread.join()
        self._surveyed = float("-inf")
        try:
            self._try_tick()
        finally:
            self._driver.close()

    # -- the thread --------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        while not self._closed.wait(_LOOK_SECONDS):
            try:
                self._try_tick()
            except FlumebeamError as error:
                # Raised where the next transaction is committed.
                self._failure = error
                return

    def _try_tick(self) -> None:
        try:
            self.tick()
        except FlumebeamError as error:
            if not error.retriable:
                raise
            # Nothing is forgotten: all that is known stands in the log.
            _LOG.warning("Partitions of %s cannot be looked at yet: %s", self._url, error)

    def _of(self, life: Life) -> _Kept | None:
        with self._lock:
            return self._kept.get(life.epoch)

    def _watermark(self, kept: _Kept) -> int:
        silent = None if kept.ended else self._silence(kept.life.receiver_id)
        return kept.committed_ms if silent is None else max(kept.committed_ms, silent)

    def _report(self, kept: _Kept, at_ms: int) -> None:
        with kept.reporting:
            if kept.reported_ms is None or at_ms > kept.reported_ms:
                self._driver.run(partitions.move_watermark(kept.layout, kept.life.epoch, kept.reported_ms, at_ms))
                kept.reported_ms = at_ms

    def _make_ready(self, kept: _Kept) -> None:
        """Mark partitions of a life as ready of which it has published everything, once their time is over."""
        life, at_ms = kept.life, self._watermark(kept)
        with self._lock:
            due = {path for path, mark in kept.open.items() if kept.ended or at_ms >= mark.end_ms + self._delay_ms}
        if due and life.rolls is not None and not kept.ended:
            life.rolls.close_below(due)
            life.start_merging()
        with self._lock:
            # With the lock held no transaction begins, and partitions of those in progress are left out.
            unmerged = life.rolls.unmerged() if due and life.rolls is not None else ()
            waiting = {posixpath.dirname(segment.part.final) for segment in unmerged}
            ready = [path for path in sorted(due) if not kept.busy[path] and path not in waiting]
            kept.published += [kept.open.pop(path) for path in ready]
        if kept.published:
            self._driver.run(together([partitions.mark_ready(kept.layout, mark) for mark in kept.published]))
            kept.published.clear()
            self._waiting = None
            self._at(PartitionPoint.MARKED_READY)

    def _tell(self, lives: Sequence[_Kept]) -> None:
        """Tell of what is complete, if anything may be."""
        lowest = min(self._watermark(kept) for kept in lives) - self._delay_ms
        now = self._clock.monotonic()
        if self._waiting is not None:
            due = any(end_ms <= lowest for end_ms in self._waiting.values())
            if not due or now - self._surveyed < _SURVEY_SECONDS:
                return
        self._surveyed = now
        situation = self._driver.run(partitions.survey(lives[0].layout, self._known))
        judgements = partitions.judge(situation.marks, self._watermarks(lives, situation), self._delay_ms)
        self._waiting = {one.path: one.end_ms for one in judgements}
        for judgement in judgements:
            if not judgement.waits and self._complete(lives, judgement):
                del self._waiting[judgement.path]
        held_up = [one for one in judgements if one.waits and one.end_ms <= lowest]
        if held_up:
            self._help(lives, held_up)
        own = {kept.life.epoch for kept in lives}
        for place in situation.idle:
            if posixpath.basename(place) not in own:
                self._driver.run(delete(place))

    def _watermarks(self, lives: Collection[_Kept], situation: Situation) -> list[Watermark]:
        own = {kept.life.epoch: Watermark(kept.log_name, kept.life.epoch, self._watermark(kept)) for kept in lives}
        return [*own.values(), *(one for one in situation.watermarks if one.epoch not in own)]

    def _complete(self, lives: Sequence[_Kept], judgement: Judgement) -> bool:
        """Write the success file, call the hook, and forget the marks; tell whether all of it was done."""
        retry = self._retries.get(judgement.path)
        if retry is not None and self._clock.monotonic() < retry.at and not self._closed.is_set():
            return False
        layout = lives[0].layout
        if self._driver.run(partitions.write_success(layout, judgement.path, self._options.success_file)):
            self._at(PartitionPoint.SUCCESS_WRITTEN)
            kind = PartitionEventKind.LATE if judgement.late else PartitionEventKind.COMPLETE
            if not self._told(PartitionEvent(kind, self._url, judgement.path, judgement.end_ms)):
                return False
            self._at(PartitionPoint.TOLD)
        self._driver.run(partitions.forget(layout, judgement.marks))
        return True

    def _told(self, event: PartitionEvent) -> bool:
        if self._hook is None:
            return True
        try:
            self._hook(event)
        except Exception as error:  # noqa: BLE001  # a user's function raises what it likes; it is called again
            last = self._retries.get(event.partition)
            pause = _FIRST_RETRY_SECONDS if last is None else min(2 * last.pause, _LONGEST_RETRY_SECONDS)
            self._retries[event.partition] = _Retry(self._clock.monotonic() + pause, pause)
            _LOG.warning("Partition %s of %s could not be told: %s", event.partition, self._url, error)
            return False
        self._retries.pop(event.partition, None)
        return True

    def _help(self, lives: Collection[_Kept], held_up: Collection[Judgement]) -> None:
        """Close epochs that hold partitions up and belong to this process's queues; warn of those that do not.

        Closing a live one is never wrong: its life is refused at its next commit and starts anew.
        """
        own = {kept.life.epoch for kept in lives}
        waits = {wait for judgement in held_up for wait in judgement.waits if wait.epoch not in own}
        mine = {kept.log_name: kept for kept in lives if not kept.ended}
        for log_name, kept in mine.items():
            epochs = {wait.epoch for wait in waits if wait.log == log_name and wait.epoch}
            # One that was fenced meanwhile must not fence its successor.
            if not epochs:
                continue
            is_open = self._driver.run(protocol.is_open(kept.layout, kept.life.epoch))
            if is_open:
                shared = kept.life.options.access is QueueAccess.SHARED
                idle_ms = round(kept.life.options.idle_close_seconds * 1000) if shared else 0
                self._driver.run(recovery.close_idle(self._scribe(kept.layout), epochs, idle_ms))
        foreign = sorted({wait.log for wait in waits if wait.log not in mine})
        now = self._clock.monotonic()
        if foreign and now - self._warned >= _WARN_SECONDS:
            self._warned = now
            _LOG.warning(
                "%d partitions of %s, %s among them, wait for drains of other queues (%s): start those again, or "
                "settle what they left with 'flumebeam commits repair --close'.",
                len(held_up),
                self._url,
                next(iter(held_up)).path,
                ", ".join(foreign),
            )

    def _scribe(self, layout: LogLayout) -> Scribe:
        return Scribe(layout, lambda: secrets.token_hex(8), self._clock.epoch_ms)
