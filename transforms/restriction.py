"""What Beam keeps of a read between two calls: how far it has come towards its limits, and nothing of the source.

Progress itself lives in the source. If a runner goes back to an older restriction, only ``max_events`` and
``max_seconds`` count again from there.
"""

from __future__ import annotations

from typing import NamedTuple

from apache_beam.io.iobase import RestrictionProgress, RestrictionTracker
from apache_beam.transforms.core import RestrictionProvider

__all__ = ["Position", "Provider", "Share", "Tracker", "make_shares"]


class Share(NamedTuple):
    """The element of the source: the flows that one restriction reads, and its share of ``max_events``."""

    flows: tuple[int, ...]
    max_events: int | None


class Position(NamedTuple):
    """The restriction: how far a read has come towards its limits.

    Attributes:
        events: Events read.
        started_ms: Wall clock of the first call; 0 before it.
        last_event_ms: Wall clock of the last batch, or of the start; later by the time in which nobody listened.
        resting: Whether the reader gives the rest back to the runner for a while.
        finished: Whether nothing is left to read.
        backlog_bytes: What the source is known to hold; 0 if that is not known.
    """

    events: int = 0
    started_ms: int = 0
    last_event_ms: int = 0
    resting: bool = False
    finished: bool = False
    backlog_bytes: int = 0

    def begin(self, now_ms: int) -> Position:
        """Return the position with its start set, if this is the first call."""
        return self if self.started_ms else self._replace(started_ms=now_ms, last_event_ms=now_ms)

    def not_after(self, now_ms: int) -> Position:
        """Return the position as it is by a clock that may have been set back: no time of it is in the future."""
        if now_ms >= self.last_event_ms:
            return self
        return self._replace(started_ms=min(self.started_ms, now_ms), last_event_ms=now_ms)

    def advance(self, events: int, now_ms: int) -> Position:
        """Return the position behind a batch."""
        return self._replace(events=self.events + events, last_event_ms=now_ms)

    def without(self, seconds: float) -> Position:
        """Return the position where that much of the silence does not count; of nothing or less, as it is."""
        return self._replace(last_event_ms=self.last_event_ms + max(0, round(seconds * 1000)))


class Tracker(RestrictionTracker):
    """Tracks a read, and refuses every split but the reader's own at its end.

    A runner that splits an idle source (Prism does) would have two readers share one receiver.
    """

    def __init__(self, position: Position, bounded: bool) -> None:
        self._position = position
        self._bounded = bounded

    def current_restriction(self) -> Position:
        """Return how far the read has come."""
        return self._position

    def try_claim(self, position: Position) -> bool:
        """Move to ``position``. Always true: nobody but the reader takes anything away from it."""
        self._position = position
        return True

    def try_split(self, fraction_of_remainder: float) -> tuple[Position, Position] | None:
        """Return what was read and the rest if the reader wants to rest; ``None`` to runners that want to split."""
        if fraction_of_remainder != 0 or not self._position.resting:
            return None
        rest = self._position._replace(resting=False)
        self._position = self._position._replace(resting=False, finished=True)
        return self._position, rest

    def check_done(self) -> bool:
        """Check what Beam checks after each call.

        Raises:
            ValueError: The reader returned although it had neither finished nor deferred its rest.
        """
        if not self._position.finished:
            raise ValueError("A reader returned although it had neither finished nor deferred its rest.")
        return True

    def current_progress(self) -> RestrictionProgress:
        """Return 0 or 1: nobody knows how much a queue will hold."""
        return RestrictionProgress(fraction=1.0 if self._position.finished else 0.0)

    def is_bounded(self) -> bool:
        """Tell whether the read ends by itself."""
        return self._bounded


class Provider(RestrictionProvider):
    """Makes trackers; drops what is left when a pipeline is drained, because the source keeps it."""

    def __init__(self, bounded: bool) -> None:
        self._bounded = bounded

    def initial_restriction(self, element: Share) -> Position:
        """Return the start."""
        return Position()

    def create_tracker(self, restriction: Position) -> Tracker:
        """Return a tracker."""
        return Tracker(restriction, self._bounded)

    def restriction_size(self, element: Share, restriction: Position) -> int:
        """Return the bytes that the source is known to hold, at least 1: no size helps to split it."""
        return max(1, restriction.backlog_bytes)

    def truncate(self, element: Share, restriction: Position) -> None:
        """Drop the rest when a pipeline is drained."""
        return None


def make_shares(flows: int, max_events: int | None, *, together: bool) -> list[Share]:
    """Distribute flows, and the events that the whole read may have, over restrictions."""
    groups = [tuple(range(flows))] if together else [(flow,) for flow in range(flows)]
    if max_events is None:
        return [Share(group, None) for group in groups]
    each, more = divmod(max_events, len(groups))
    quotas = [each + (index < more) for index in range(len(groups))]
    return [Share(group, quota) for group, quota in zip(groups, quotas, strict=True) if quota]
