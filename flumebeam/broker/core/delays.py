"""Messages of a queue that are not to be delivered yet, because they came a short while ago."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flumebeam.broker.core.spool import Entry

__all__ = ["Delayed"]


class Delayed:
    """Holds them in the order in which they came: all are younger than what waits elsewhere in their queue.

    Args:
        clock: Tells the time that messages are dated by.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._entries: deque[Entry] = deque()

    def __bool__(self) -> bool:
        return bool(self._entries)

    def extend(self, entries: Iterable[Entry]) -> None:
        """Take messages that have just come, oldest first."""
        self._entries.extend(entries)

    def due(self, seconds: int) -> bool:
        """Return whether one of them came so long ago, or at a time that an old store did not keep."""
        if not self._entries:
            return False
        arrived = self._entries[0].message.arrived
        return arrived <= self._clock() - seconds or arrived == math.inf

    def release(self, seconds: int) -> Iterator[Entry]:
        """Let go of those that came so long ago, oldest first."""
        while self.due(seconds):
            entry = self._entries.popleft()
            if not entry.gone:
                yield entry

    def waiting(self, after: int) -> Iterator[Entry]:
        """Yield those that have a permanent id above ``after``, oldest first."""
        return (entry for entry in self._entries if not entry.gone and entry.message.id > after)

    def compact(self) -> None:
        """Forget messages that are gone."""
        self._entries = deque(entry for entry in self._entries if not entry.gone)
