"""What stands in the commit logs of a target, for people and for scripts; and the repair of what somebody left behind.

Looking changes nothing, and asks no broker. Repairing is what any successor does, without being one: it publishes what
is committed and removes what belongs to nobody, whoever works there meanwhile.
"""

from __future__ import annotations

import posixpath
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from flumebeam.clock import Clock
from flumebeam.commitlog import recovery
from flumebeam.commitlog.driver import Driver
from flumebeam.commitlog.founding import look_up
from flumebeam.commitlog.layout import FoundLog, LogLayout
from flumebeam.commitlog.protocol import Scribe, close_epoch
from flumebeam.commitlog.records import Record
from flumebeam.commitlog.steps import Steps, list_directory, read, stat
from flumebeam.commitlog.waiting import WaitingPartition, waiting
from flumebeam.errors import CommitLogError, FlumebeamError
from flumebeam.hdfs.filesystem import FileKind

__all__ = ["EpochView", "LogView", "Stuck", "Surveyor"]

_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Stuck:
    """A committed file that has not got its final name yet.

    Attributes:
        final: The name, relative to the target.
        part: Where it stands, relative to the log.
        events: Events in it.
        committed_ms: When it was committed, by the writer's clock, milliseconds since 1970 UTC.
        why: What can be seen of the reason.
    """

    final: str
    part: str
    events: int
    committed_ms: int
    why: str


@dataclass(frozen=True, slots=True)
class EpochView:
    """What one life has committed.

    Attributes:
        name: Name of the epoch.
        is_open: Whether its life may still commit; else a successor has closed it.
        transactions: Records in it, folded ones not counted.
        unpublished: Those of them that are not marked published.
        ids: Ids committed in it, whose acknowledgement is not proven.
        first_ms: When the oldest of its records was committed; ``None`` without any.
        last_ms: When the newest was.
        parts: Files among its parts: segments, those of transactions in progress, and what was left behind.
        segments: Committed segments that are in no final file yet.
    """

    name: str
    is_open: bool
    transactions: int
    unpublished: int
    ids: int
    first_ms: int | None
    last_ms: int | None
    parts: int
    segments: int = 0


@dataclass(frozen=True, slots=True)
class LogView:
    """One commit log.

    Attributes:
        name: Name of its directory: the queue's name and a digest.
        epochs: Its epochs.
        stuck: Committed files without their final names.
        kept_ids: Ids of earlier epochs that are kept to recognise what comes again.
        unproven_ids: Those of them whose acknowledgement is not proven.
        orphans: Directories of parts whose epoch is gone.
        now_ms: When it was looked at.
    """

    name: str
    epochs: tuple[EpochView, ...]
    stuck: tuple[Stuck, ...]
    kept_ids: int
    unproven_ids: int
    orphans: int
    now_ms: int

    @property
    def lag_seconds(self) -> float | None:
        """Age of the oldest committed file without its final name; ``None`` if there is none."""
        oldest = min((one.committed_ms for one in self.stuck), default=None)
        return None if oldest is None else (self.now_ms - oldest) / 1000

    @property
    def oldest_unacknowledged_ms(self) -> int | None:
        """When the oldest record was committed whose acknowledgement is not proven; ``None`` if there is none."""
        return min((epoch.first_ms for epoch in self.epochs if epoch.first_ms is not None), default=None)

    @property
    def last_commit_ms(self) -> int | None:
        """When something was last committed, of what is not retired."""
        return max((epoch.last_ms for epoch in self.epochs if epoch.last_ms is not None), default=None)


class Surveyor:
    """Looks at, and repairs, the commit logs of one target.

    Args:
        driver: Performs steps on the target's file system.
        target: Directory of the target, absolute.
        clock: Time.
        names: Source of fresh names.
    """

    def __init__(
        self,
        driver: Driver,
        target: str,
        clock: Clock,
        names: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        self._run = driver.run
        self._target = target.rstrip("/")
        self._clock = clock
        self._names = names

    def logs(self) -> list[str]:
        """Return the names of the logs of this target.

        Raises:
            StorageError: The target cannot be read.
            CommitLogError: Its layout is that of a newer version.
        """
        any_log = self._layout("")
        if any_log is None:
            return []
        found = self._run(list_directory(any_log.logs))
        return [any_log.plain(log.name) for log in found if log.kind is FileKind.DIRECTORY]

    def look(self, name: str) -> LogView:
        """Return what stands in a log.

        Args:
            name: As :meth:`logs` gives it.

        Raises:
            StorageError: The target cannot be read.
            CommitLogError: A record is damaged, or was written by a newer version.
        """
        return self._run(_look(self._scribe(name)))

    def partitions(self) -> list[WaitingPartition]:
        """Return the partitions of the target that wait to be complete.

        Raises:
            StorageError: The target cannot be read.
            CommitLogError: A record is damaged, or was written by a newer version.
        """
        any_log = self._layout("")
        return [] if any_log is None else self._run(waiting(any_log))

    def repair(self, name: str, *, close: bool = False) -> list[FlumebeamError]:
        """Publish what is committed and remove what belongs to nobody; return what could not be done.

        Safe while writers work. Each epoch is tried, whatever became of the others.

        Args:
            name: As :meth:`logs` gives it.
            close: Close open epochs as well, and remove what was on its way: of writers that are gone. One that is not
                starts anew, and loses nothing.
        """
        scribe = self._scribe(name)
        failures = []
        for work in self._work(scribe, close):
            try:
                self._run(work)
            except FlumebeamError as error:
                failures.append(error)
        return failures

    def _work(self, scribe: Scribe, close: bool) -> Iterator[Steps[object]]:
        layout = scribe.layout
        if close:
            for found in self._run(list_directory(layout.epochs)):
                yield close_epoch(scribe, found.name)
        for found in self._run(list_directory(layout.closed)):
            yield recovery.settle_epoch(scribe, found.name)
        for found in self._run(list_directory(layout.epochs)):
            yield recovery.settle_open(scribe, found.name)
        yield recovery.sweep(scribe, None if close else _DAY_MS)

    def _layout(self, name: str) -> LogLayout | None:
        """Return the layout of a log; ``None`` if the target has none."""
        version = self._run(look_up(self._target))
        return None if version is None else LogLayout(self._target, FoundLog("", "", name), version)

    def _scribe(self, name: str) -> Scribe:
        layout = self._layout(name)
        if layout is None:
            raise CommitLogError(f"{self._target} has no commit log any more: somebody has removed it.")
        return Scribe(layout, self._names, self._clock.epoch_ms)


def _look(scribe: Scribe) -> Steps[LogView]:
    layout = scribe.layout
    epochs: list[EpochView] = []
    stuck: list[Stuck] = []
    # Open ones before closed ones: the way that an epoch goes.
    for parent, is_open in ((layout.epochs, True), (layout.closed, False)):
        for found in (yield from list_directory(parent)):
            name = found.name if is_open else layout.epoch_of(found.name)
            if not name:
                # Settled, and on its way out.
                continue
            content = yield from recovery.read_epoch(f"{parent}/{found.name}")
            unmarked = [content.records[number] for number in sorted(content.records.keys() - content.published)]
            # Segments are where they belong until their file is merged.
            waiting = [record for record in unmarked if any(not part.joining for part in record.parts)]
            for record in waiting:
                stuck += yield from _stuck(layout, record, content.finals_of(record))
            times = [record.written_ms for record in content.records.values()]
            epochs.append(
                EpochView(
                    name,
                    is_open,
                    len(content.records),
                    len(waiting),
                    len(content.ids),
                    min(times, default=None),
                    max(times, default=None),
                    len((yield from list_directory(layout.epoch_parts(name)))),
                    sum(len(roll.segments) for roll in content.rolls),
                )
            )
    kept = unproven = 0
    for found in (yield from list_directory(layout.retired)):
        data = yield from read(f"{layout.retired}/{found.name}")
        if data is not None:
            record = Record.from_bytes(data, f"{layout.retired}/{found.name}")
            kept += len(record.ids)
            unproven += 0 if record.facts["proven"] else len(record.ids)
    alive = {epoch.name for epoch in epochs}
    orphans = [found for found in (yield from list_directory(layout.parts)) if found.name not in alive]
    return LogView(layout.queue.log_name, tuple(epochs), tuple(stuck), kept, unproven, len(orphans), scribe.now_ms())


def _stuck(layout: LogLayout, record: Record, finals: list[str]) -> Steps[list[Stuck]]:
    """Return the parts of a transaction that stand where they were written."""
    found = []
    for part, final in zip(record.parts, finals, strict=True):
        if not part.joining and (yield from stat(layout.in_log(part.path))) is not None:
            why = yield from _reason(layout, final)
            found.append(Stuck(final, part.path, part.events, record.written_ms, why))
    return found


def _reason(layout: LogLayout, final: str) -> Steps[str]:
    if (yield from stat(layout.in_target(final))) is not None:
        return "something else has its name; it gets another one when it is published"
    place = posixpath.dirname(final)
    while place:
        found = yield from stat(layout.in_target(place))
        if found is not None and found.kind is FileKind.FILE:
            return f"{place} is a file; it gets another name when it is published"
        place = posixpath.dirname(place)
    return "its writer is at it, or ended before it was published"
