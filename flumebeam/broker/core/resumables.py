"""State that outlives its connection for a while, so that the client can come back to it by name."""

from __future__ import annotations

from typing import Generic, TypeVar

from flumebeam.broker.core.states import RESUMABLE, ResumableState, after

__all__ = ["Resumables"]

T = TypeVar("T")


class Resumables(Generic[T]):
    """Things by name, of which those whose client is away are dropped after a time, or when they are too many.

    Args:
        retention_seconds: How long a thing is kept while its client is away.
        limit: How many such things are kept; the one that is away longest goes first.
    """

    def __init__(self, retention_seconds: float, limit: int) -> None:
        self._retention = retention_seconds
        self._limit = limit
        self._things: dict[str, T] = {}
        self._away: dict[str, float] = {}

    def __getitem__(self, name: str) -> T:
        return self._things[name]

    def get(self, name: str) -> T | None:
        """Return the thing of this name."""
        return self._things.get(name)

    def state(self, name: str) -> ResumableState:
        """Return where the thing of this name is."""
        if name not in self._things:
            return ResumableState.FORGOTTEN
        return ResumableState.AWAY if name in self._away else ResumableState.OPEN

    def keep(self, name: str, thing: T) -> None:
        """Add a thing, or note that its client is back."""
        after(RESUMABLE, self.state(name), "opened")
        self._things[name] = thing
        self._away.pop(name, None)

    def leave(self, name: str, now: float) -> None:
        """Note that the client of this thing is away.

        Raises:
            KeyError: There is no such thing.
        """
        after(RESUMABLE, self.state(name), "connection lost")
        self._away.pop(name, None)
        self._away[name] = now

    def remove(self, name: str) -> None:
        """Forget a thing, if it is there."""
        after(RESUMABLE, self.state(name), "closed")
        self._things.pop(name, None)
        self._away.pop(name, None)

    def expire(self, now: float) -> list[T]:
        """Forget and return the things whose time is over, and those beyond the limit, longest away first."""
        expired = []
        for name, since in list(self._away.items()):
            if len(self._away) <= self._limit and now - since < self._retention:
                break
            after(RESUMABLE, self.state(name), "retention over")
            expired.append(self._things.pop(name))
            del self._away[name]
        return expired
