"""How the messages of a queue wait, where that is not in one row from which each flow takes the oldest."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Final, Protocol

from flumebeam.broker.core.spool import Entry

if TYPE_CHECKING:
    from flumebeam.broker.core.flows import ConsumerFlow

__all__ = ["Line", "by_age", "put_in_order"]

by_age: Final = attrgetter("message.id")


class Line(Protocol):
    """The waiting messages of a queue with partitions or selectors, and who gets which."""

    def extend(self, entries: Iterable[Entry]) -> None:
        """Take messages that have just come or waited elsewhere, oldest first."""

    def put_back(self, entries: list[Entry]) -> None:
        """Take back messages that were delivered and not settled, oldest first."""

    def take(self, wanted: set[Entry], flow: ConsumerFlow) -> list[Entry]:
        """Return those of some messages that wait, to be held by a flow that has just been bound."""

    def deliver(self, flows: Sequence[ConsumerFlow], now: float) -> None:
        """Deliver as much as the flows take.

        Args:
            flows: All flows that are bound, in the order in which they came.
            now: Time, seconds.
        """

    def waiting(self, after: int) -> Iterator[Entry]:
        """Yield the messages that wait and have a permanent id above ``after``, oldest first."""

    def compact(self) -> None:
        """Forget messages that are gone."""

    def due(self) -> bool:
        """Return whether something is to happen because time passes."""


def put_in_order(row: deque[Entry], entries: list[Entry]) -> None:
    """Put entries, oldest first, into a row at the places of their age."""
    if not row or entries[-1].message.id < row[0].message.id:
        row.extendleft(reversed(entries))
    else:
        merged = sorted((*entries, *row), key=by_age)
        row.clear()
        row.extend(merged)
