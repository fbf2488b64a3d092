"""Queues with selectors or priorities: each flow with a selector goes its own way through the messages.

All messages of the queue, delivered ones included, stand in one list in the order of their age until they are gone, or
in one list for each priority. A flow remembers how far it has come in each, so that a message is put to its selector
once, and again only if it comes back from another flow behind that point. Flows without a selector go through the lists
together. A list is looked at when those of higher priorities have nothing for the flow.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from heapq import heapify, heappop, heappush, merge
from typing import TYPE_CHECKING, Final

from flumebeam.broker.core.lines import by_age
from flumebeam.broker.core.spool import Entry

if TYPE_CHECKING:
    from flumebeam.broker.core.flows import ConsumerFlow
    from flumebeam.broker.core.selectors import Selector

__all__ = ["SCANNED_AT_ONCE", "Selection"]

SCANNED_AT_ONCE: Final = 2_000
"""Messages put to selectors before others have their turn: some 20 ms."""
_MIN_COMPACTED: Final = 1_024
_HIGHEST_PRIORITY: Final = 9
"""Messages of a higher one are treated as those of this one, as the vendor documents it."""


class _Course:
    """How far a flow has come in a list.

    Attributes:
        position: Index of the next message to look at.
        passed_id: Permanent id of the last one before it.
        returned: Messages up to it that came back, as a heap by age.
        known: Ids of these.
    """

    __slots__ = ("known", "passed_id", "position", "returned")

    def __init__(self) -> None:
        self.position = self.passed_id = 0
        self.returned: list[tuple[int, Entry]] = []
        self.known: set[int] = set()

    def put_back(self, entry: Entry) -> None:
        """Take a message that came back, if it is one that was passed."""
        number = entry.message.id
        if number <= self.passed_id and number not in self.known:
            heappush(self.returned, (number, entry))
            self.known.add(number)


class Selection:
    """The messages of a queue that respects priorities, or some of whose flows have selectors.

    Args:
        by_priority: Whether messages of a higher priority come first.
    """

    def __init__(self, by_priority: bool = False) -> None:
        self._by_priority = by_priority
        self._rows: list[list[Entry]] = [[] for _ in range(_HIGHEST_PRIORITY + 1 if by_priority else 1)]
        """The highest priority first."""
        self._compact_at = _MIN_COMPACTED
        self._courses: dict[ConsumerFlow | None, list[_Course]] = {}
        self._turn = 0

    def needed_by(self, flows: Iterable[ConsumerFlow]) -> bool:
        """Return whether one row would not do for these flows."""
        return self._by_priority or any(flow.selector is not None for flow in flows)

    def _level(self, entry: Entry) -> int:
        return _HIGHEST_PRIORITY - min(entry.message.template.priority, _HIGHEST_PRIORITY) if self._by_priority else 0

    # As a line

    def extend(self, entries: Iterable[Entry]) -> None:
        """Take messages that have just come or were elsewhere, oldest first; at the beginning also delivered ones."""
        if self._by_priority:
            for entry in entries:
                self._rows[self._level(entry)].append(entry)
        else:
            self._rows[0].extend(entries)
        if sum(map(len, self._rows)) > self._compact_at:
            self.compact()

    def put_back(self, entries: list[Entry]) -> None:
        """Take back messages that were delivered and not settled, oldest first."""
        for courses in self._courses.values():
            for entry in entries:
                courses[self._level(entry)].put_back(entry)

    def take(self, wanted: set[Entry], flow: ConsumerFlow) -> list[Entry]:
        """Return those of some messages that wait, to be held by a flow that has just been bound."""
        return list(wanted)

    def waiting(self, after: int) -> Iterator[Entry]:
        """Yield the messages that wait and have a permanent id above ``after``, oldest first."""
        return merge(*(_waiting(row, after) for row in self._rows), key=by_age)

    def compact(self) -> None:
        """Forget messages that are gone."""
        self._rows = [[entry for entry in row if not entry.gone] for row in self._rows]
        self._compact_at = max(2 * sum(map(len, self._rows)), _MIN_COMPACTED)
        for courses in self._courses.values():
            for row, course in zip(self._rows, courses, strict=True):
                course.position = bisect_right(row, course.passed_id, key=by_age)
                course.returned = [item for item in course.returned if not item[1].gone]
                heapify(course.returned)
                course.known = {number for number, _ in course.returned}

    def due(self) -> bool:
        """Return whether something is to happen because time passes."""
        return False

    def deliver(self, flows: Sequence[ConsumerFlow], now: float) -> None:
        """Deliver as much as the flows take, and search no longer than others can wait."""
        owners = set(map(_owner, flows))
        for gone in self._courses.keys() - owners:
            del self._courses[gone]
        budget = SCANNED_AT_ONCE
        idle: set[ConsumerFlow] = set()
        while True:
            takers = [flow for flow in flows if flow not in idle and flow.is_active and flow.credit > 0]
            if not takers:
                return
            share = 1 if len(takers) > 1 else takers[0].credit
            first = self._turn % len(takers)
            for flow in (*takers[first:], *takers[:first]):
                chosen, looked_at = self._choose(flow, share, budget)
                budget -= looked_at
                if not chosen:
                    idle.add(flow)
                    if budget <= 0:
                        flow.connection.come_back()
                    continue
                self._turn += 1
                flow.deliver(chosen, len(chosen))
                courses = self._courses[_owner(flow)]
                for entry in chosen:
                    # The output had no room for it.
                    courses[self._level(entry)].put_back(entry)

    def _choose(self, flow: ConsumerFlow, count: int, budget: int) -> tuple[deque[Entry], int]:
        # Messages for a flow, and how many were put to its selector.
        owner = _owner(flow)
        courses = self._courses.get(owner)
        if courses is None:
            courses = self._courses[owner] = [_Course() for _ in self._rows]
        chosen: deque[Entry] = deque()
        left = budget
        for row, course in zip(self._rows, courses, strict=True):
            left = self._go_on(flow.selector, row, course, chosen, count, left)
        return chosen, budget - left

    def _go_on(
        self, selector: Selector | None, row: list[Entry], course: _Course, chosen: deque[Entry], count: int, left: int
    ) -> int:
        returned = course.returned
        while returned and len(chosen) < count and left > 0:
            number, entry = heappop(returned)
            course.known.discard(number)
            left -= self._look(entry, selector, chosen)
        position, end = course.position, len(row)
        while position < end and len(chosen) < count and left > 0:
            entry = row[position]
            position += 1
            left -= self._look(entry, selector, chosen)
        if position > course.position:
            course.position, course.passed_id = position, row[position - 1].message.id
        return left

    @staticmethod
    def _look(entry: Entry, selector: Selector | None, chosen: deque[Entry]) -> int:
        if not _waits(entry):
            return 0
        if selector is None:
            chosen.append(entry)
            return 0
        if selector.matches(entry.message):
            chosen.append(entry)
        return 1


def _waiting(row: list[Entry], after: int) -> Iterator[Entry]:
    for position in range(bisect_right(row, after, key=by_age), len(row)):
        entry = row[position]
        if _waits(entry):
            yield entry


def _waits(entry: Entry) -> bool:
    return not entry.gone and entry.holder is None


def _owner(flow: ConsumerFlow) -> ConsumerFlow | None:
    return None if flow.selector is None else flow
