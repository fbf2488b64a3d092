"""When messages expire: a heap per queue, so that neither a message nor a tick of the clock costs a search."""

from __future__ import annotations

import math
from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from flumebeam.broker.core.queue_settings import QueueSettings
    from flumebeam.broker.core.spool import Entry, SpooledMessage

__all__ = ["Lifetimes", "end_of_life"]

_MIN_GONE: Final = 64


def end_of_life(settings: QueueSettings, message: SpooledMessage) -> float:
    """Return when a queue's message expires, in the time that messages are dated by; infinity if never.

    The lesser of what the publisher and the queue allow counts, if the queue respects it at all.
    """
    allowed = settings.max_ttl_seconds or math.inf
    ttl_ms = message.template.ttl_ms
    if ttl_ms:
        allowed = min(allowed, ttl_ms / 1000)
    return message.arrived + allowed if settings.respect_ttl else math.inf


class Lifetimes:
    """The messages of one queue that will expire, by their time.

    A message stays in it while a consumer has it. It leaves when its time is over, whatever has become of it, or when
    more than half of what is here has left the queue.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Entry]] = []

    def __bool__(self) -> bool:
        return bool(self._heap)

    def watch(self, entries: Iterable[Entry], settings: QueueSettings, held: int) -> None:
        """Add entries that have come into the queue, which holds so many messages with them."""
        heap = self._heap
        for entry in entries:
            end = end_of_life(settings, entry.message)
            if end != math.inf:
                heappush(heap, (end, entry.message.id, entry))
        if len(heap) > 2 * held + _MIN_GONE:
            self._heap = [item for item in heap if not item[2].gone]
            heapify(self._heap)

    def forget(self) -> None:
        """Begin anew, because the queue's settings have changed."""
        self._heap.clear()

    def over(self, now: float, limit: int) -> list[Entry]:
        """Take out and return the entries whose time is over and that wait in the queue, up to so many."""
        heap = self._heap
        found: list[Entry] = []
        while heap and heap[0][0] <= now and len(found) < limit:
            entry = heappop(heap)[2]
            if not entry.gone and entry.holder is None:
                found.append(entry)
        return found
