"""Rolling: when the segments of a life become files.

This is bookkeeping of one life, in memory. :mod:`flumebeam.commitlog.merging` does the work, and the records in the
epoch are all that a successor needs.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from flumebeam.commitlog.merging import Roll
from flumebeam.commitlog.protocol import PartDraft, Segment
from flumebeam.commitlog.records import PartEntry, Record
from flumebeam.errors import ConfigurationError

__all__ = ["Files", "OpenRolls", "RollOptions"]

_SMALL_BYTES: Final = 64 * 1024 * 1024
_MOST_SEGMENTS: Final = 2_000
"""Segments of one file: what a merge reads, and a fold repeats, stays bounded when transactions are small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RollOptions:
    """When a file ends: at the first limit that is reached, and at the end of the run. 0 switches a limit off.

    Names in brackets are those of Flume's HDFS sink, whose defaults :meth:`flume` gives.

    Attributes:
        max_bytes: Size of the file (``hdfs.rollSize``). It is passed by less than one transaction, unless
            ``every_event`` is set.
        max_seconds: Age of its first event (``hdfs.rollInterval``).
        max_events: Events in it (``hdfs.rollCount``).
        idle_seconds: Time since its last event (``hdfs.idleTimeout``).
        max_open: Files that are open at once, in a life (``hdfs.maxOpenFiles``); above that the one that got no event
            for longest ends.
        every_event: Look at the limits after every event, as Flume does: no file has more than ``max_events``, and
            ``max_bytes`` counts the bytes of bodies, before compression. Files smaller than a transaction are possible
            in this way only.

    Raises:
        ConfigurationError: A negative limit, or none at all but ``max_open``.
    """

    max_bytes: int = 128 * 1024 * 1024
    max_seconds: float = 600.0
    max_events: int = 0
    idle_seconds: float = 0.0
    max_open: int = 5_000
    every_event: bool = False

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_seconds", "max_events", "idle_seconds", "max_open"):
            if getattr(self, name) < 0:
                raise ConfigurationError(f"Rolling: {name} must be 0 (off) or more, got {getattr(self, name)}.")
        if not self.max_open:
            raise ConfigurationError("Rolling: max_open must be 1 or more.")

    @classmethod
    def flume(cls) -> RollOptions:
        """Return the defaults of Flume's HDFS sink: 30 seconds, 1024 bytes or 10 events, looked at after every one."""
        return cls(max_bytes=1024, max_seconds=30.0, max_events=10, every_event=True)


@dataclass(frozen=True, slots=True)
class Files:
    """Final files that were made.

    Attributes:
        count: How many.
        small: How many of them are smaller than 64 MB, half a block of HDFS.
    """

    count: int = 0
    small: int = 0

    def __add__(self, other: Files) -> Files:
        return Files(self.count + other.count, self.small + other.small)

    @classmethod
    def of(cls, *lengths: int) -> Files:
        """Return files of these lengths, in bytes."""
        return cls(len(lengths), sum(length < _SMALL_BYTES for length in lengths))


@dataclass(slots=True, eq=False)
class _Open:
    final: str
    started: float
    last: float = 0.0
    nbytes: int = 0
    events: int = 0
    segments: list[Segment] = field(default_factory=list)
    given: bool = False


class OpenRolls:
    """The files that a life is filling, and those on their way to be merged. Thread-safe.

    A file that was closed gets no further segment: its successor has another name.

    Args:
        options: When a file ends.
    """

    def __init__(self, options: RollOptions) -> None:
        self.options = options
        self._lock = threading.Lock()
        self._open: OrderedDict[tuple[str, str, str], _Open] = OrderedDict()
        self._closed: list[_Open] = []
        self._made = Files()

    def room(self, draft: PartDraft) -> tuple[int, int]:
        """Return how many events, and bytes of bodies, still fit into the open file of a draft, or into a new one.

        A limit that is off is a very large number.
        """
        with self._lock:
            roll = self._open.get(_key(draft))
            events, nbytes = (roll.events, roll.nbytes) if roll is not None else (0, 0)
        most_events, most_bytes = self.limits
        return most_events - events, most_bytes - nbytes

    @property
    def limits(self) -> tuple[int, int]:
        """How many events, and bytes of bodies, a new file takes."""
        return self.options.max_events or _NO_LIMIT, self.options.max_bytes or _NO_LIMIT

    def final(self, draft: PartDraft) -> str:
        """Return the final name of the file that a draft belongs to, relative to the target."""
        with self._lock:
            roll = None if draft.begins else self._open.get(_key(draft))
            return draft.final if roll is None else roll.final

    def add(self, record: Record, drafts: Collection[PartDraft], now: float) -> None:
        """Note the segments of a committed transaction.

        Args:
            record: The transaction.
            drafts: What its parts were made from, in the same order.
            now: Monotonic time in seconds.
        """
        with self._lock:
            for index, (part, draft) in enumerate(zip(record.parts, drafts, strict=True)):
                if part.joining:
                    self._add(Segment(record.number, index, part), draft, now)
            while len(self._open) > self.options.max_open:
                self._close(next(iter(self._open)))

    def _add(self, segment: Segment, draft: PartDraft, now: float) -> None:
        key = _key(draft)
        if draft.begins and key in self._open:
            self._close(key)
        roll = self._open.get(key)
        if roll is None:
            roll = self._open[key] = _Open(segment.part.final, now)
        roll.last = now
        roll.segments.append(segment)
        roll.events += segment.part.events
        roll.nbytes += draft.body_bytes if self.options.every_event else segment.part.length
        self._open.move_to_end(key)
        limits = self.options
        if (
            (limits.max_events and roll.events >= limits.max_events)
            or (limits.max_bytes and roll.nbytes >= limits.max_bytes)
            or len(roll.segments) >= _MOST_SEGMENTS
        ):
            self._close(key)

    def _close(self, key: tuple[str, str, str]) -> None:
        self._closed.append(self._open.pop(key))

    def close_old(self, now: float) -> None:
        """Close what is too old or idle.

        Args:
            now: Monotonic time in seconds.
        """
        with self._lock:
            for key in [key for key, roll in self._open.items() if now >= self._ends(roll)]:
                self._close(key)

    def close_below(self, directories: Collection[str]) -> None:
        """Close what goes into these directories, relative to the target."""
        with self._lock:
            for key in [key for key in self._open if key[0] in directories]:
                self._close(key)

    def close_all(self) -> None:
        """Close every file."""
        with self._lock:
            for key in [*self._open]:
                self._close(key)

    def due(self) -> list[Roll]:
        """Return all closed files that were not returned before."""
        with self._lock:
            fresh = [roll for roll in self._closed if not roll.given]
            for roll in fresh:
                roll.given = True
            return [Roll(tuple(roll.segments)) for roll in fresh]

    def _ends(self, roll: _Open) -> float:
        limits = self.options
        age = roll.started + limits.max_seconds if limits.max_seconds else float("inf")
        idle = roll.last + limits.idle_seconds if limits.idle_seconds else float("inf")
        return min(age, idle)

    def done(self, roll: Roll, merged: PartEntry) -> None:
        """Forget a file: it is merged, and its merge is marked as done."""
        with self._lock:
            self._closed = [other for other in self._closed if other.segments[0].key != roll.first.key]
            self._made += Files.of(merged.length)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of closed files whose merge is not done."""
        with self._lock:
            return sum(segment.part.length for roll in self._closed for segment in roll.segments)

    def unmerged(self) -> list[Segment]:
        """Return all segments whose merge is not marked as done, in the order of commits."""
        with self._lock:
            rolls = [*self._closed, *self._open.values()]
            return sorted((segment for roll in rolls for segment in roll.segments), key=lambda segment: segment.key)

    def take_made(self) -> Files:
        """Return what was made since the last call."""
        with self._lock:
            made, self._made = self._made, Files()
            return made


_NO_LIMIT: Final = 1 << 62


def _key(draft: PartDraft) -> tuple[str, str, str]:
    """Return what events of one file have in common."""
    return draft.directory, draft.joining, draft.kind
