"""Positions of files that are kept elsewhere, with the events: here they are only recognised and described."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

from flumebeam.clock import Clock, SystemClock
from flumebeam.errors import FormatError
from flumebeam.sources.identity import FileIdentity
from flumebeam.sources.positions import FORGET_MS, Position, recognise

__all__ = ["MarkKeeper", "MarkedPositions"]


class MarkKeeper(Protocol):
    """Who moves the marks of a source, in one step with its events."""

    def marks(self) -> Mapping[int, tuple[int, Mapping[str, Any]]]:
        """Return offset and facts of every stream, by origin, as they are committed."""
        ...

    def describe(self, origin: int, facts: Mapping[str, Any]) -> None:
        """Say what a stream is recognised by, kept with its first mark."""
        ...

    def forget(self, origin: int) -> None:
        """Leave a stream out of the marks to come."""
        ...


class MarkedPositions:
    """The positions of one source, moved by whoever commits its events.

    A file that is new gets an identity that lasts if anything of it is committed; if nothing is, it does not matter.

    Args:
        keeper: Has the marks, and is told what to recognise files by.
        clock: For forgetting.

    Raises:
        FormatError: A mark says nothing that a file could be recognised by.
        FlumebeamError: Whatever ``keeper`` raises.
    """

    def __init__(self, keeper: MarkKeeper, *, clock: Clock | None = None) -> None:
        self._keeper = keeper
        self._clock = clock or SystemClock()
        self._met_ms: dict[int, int] = {}
        self._positions: dict[int, Position] = {}
        for origin, (offset, facts) in keeper.marks().items():
            try:
                identity = FileIdentity(origin, facts["inode"], facts["head_bytes"], facts["head_hash"])
                self._positions[origin] = Position(identity, facts["path"], offset)
                self._met_ms[origin] = facts["met_ms"]
            except KeyError as error:
                raise FormatError(f"The position of this source is that of another kind: it has no {error}.") from None

    def meet(self, handle: int, path: str) -> Position:
        """Return how far an open file is committed.

        Raises:
            OSError: The file cannot be read.
        """
        position, gone = recognise(self._positions.values(), handle, path)
        for origin in gone:
            self.remove(origin)
        facts = asdict(position.identity)
        origin = facts.pop("origin")
        self._positions[origin] = position
        self._met_ms[origin] = self._clock.epoch_ms()
        self._keeper.describe(origin, {**facts, "path": path, "met_ms": self._met_ms[origin]})
        return position

    def move(self, origin: int, offset: int) -> None:
        """Follow what has been committed."""
        self._positions[origin] = replace(self._positions[origin], offset=offset)

    def sync(self) -> None:
        """Nothing: what is committed is durable."""

    def remove(self, origin: int) -> None:
        """Forget a file."""
        self._positions.pop(origin, None)
        self._keeper.forget(origin)

    def forget_vanished(self) -> None:
        """Forget files that have stood under no name for a month."""
        horizon = self._clock.epoch_ms() - FORGET_MS
        for origin, position in list(self._positions.items()):
            if self._met_ms[origin] < horizon and not Path(position.path).exists():
                self.remove(origin)

    def close(self) -> None:
        """Nothing is held here."""
