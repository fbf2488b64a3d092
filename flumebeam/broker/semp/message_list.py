"""The messages of a queue as management lists them: in the order of their age, found without a look at the others."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import chain
from typing import Any

from flumebeam.broker.core.lines import by_age
from flumebeam.broker.core.queues import Queue
from flumebeam.broker.core.spool import Entry
from flumebeam.broker.semp.resources import Ordered

__all__ = ["Messages", "WaitingMessages"]


class Messages(Ordered):
    """All messages of a queue by their ids, those that its consumers have included.

    Args:
        queue: The queue, which must not change meanwhile.
    """

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def __len__(self) -> int:
        return self._queue.messages

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self.following(None))

    def __getitem__(self, name: str) -> Any:
        number = _number(name)
        entry = next(self._from(number - 1), None)
        if entry is None or str(entry.message.id) != name:
            raise KeyError(name)
        return entry

    def following(self, name: str | None) -> Iterator[tuple[str, Entry]]:
        """Yield messages that are younger than one, from the oldest on if that is None, with their ids."""
        after = 0 if name is None else _number(name)
        return ((str(entry.message.id), entry) for entry in self._from(after))

    def _from(self, after: int) -> Iterator[Entry]:
        held = chain.from_iterable(flow.unacked.values() for flow in self._queue.flows)
        taken = sorted((entry for entry in held if entry.message.id > after), key=by_age)
        return heapq.merge(taken, self._queue.waiting(after), key=by_age)


class WaitingMessages(Messages):
    """Those that no consumer has, each as its queue and its id."""

    def __getitem__(self, name: str) -> Any:
        entry = super().__getitem__(name)
        if entry.holder is not None:
            raise KeyError(name)
        return self._queue, entry.message.id


def _number(name: str) -> int:
    return int(name) if name.isdecimal() and len(name) < 20 else 0
