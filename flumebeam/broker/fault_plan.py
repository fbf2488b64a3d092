"""Faults in the order in which they are to strike.

A plan is consumed in order: only its first fault is armed. It strikes when its occasion comes, and the next one is
armed. Faults that have no occasion (cut, freeze, slow, restart) strike as soon as they are armed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from flumebeam.broker.faults import AtOnce, CutAfterPublishes, CutInFrame, Fault, NackPublishes, RefuseLogins
from flumebeam.smf.header import Frame, Protocol

__all__ = ["FaultPlan"]

_F = TypeVar("_F", bound=Fault)


class FaultPlan:
    """Faults that are still to strike. It is false while there are none."""

    def __init__(self) -> None:
        self._faults: deque[Fault] = deque()
        self._progress = 0

    def __len__(self) -> int:
        return len(self._faults)

    def add(self, *faults: Fault) -> None:
        """Append faults to the plan."""
        for fault in faults:
            if isinstance(fault, NackPublishes):
                self._faults.extend([NackPublishes(code=fault.code, reason=fault.reason)] * fault.count)
            elif isinstance(fault, RefuseLogins):
                self._faults.extend([RefuseLogins(code=fault.code, reason=fault.reason)] * fault.count)
            else:
                self._faults.append(fault)

    def clear(self) -> None:
        """Forget them all."""
        self._faults.clear()
        self._progress = 0

    def strike(self, kind: type[_F], **attributes: object) -> _F | None:
        """Return the armed fault and arm the next one, if it is of this kind and has these attributes."""
        armed = self._faults[0] if self._faults else None
        if not isinstance(armed, kind) or any(getattr(armed, name) != value for name, value in attributes.items()):
            return None
        self._faults.popleft()
        self._progress = 0
        return armed

    def at_once(self) -> AtOnce | None:
        """Return the armed fault and arm the next one, if it has no occasion to wait for."""
        if self._faults and isinstance(self._faults[0], AtOnce):
            armed = self._faults.popleft()
            assert isinstance(armed, AtOnce)  # noqa: S101 - for the type checker
            return armed
        return None

    def cut_after(self, size: int, *, sent: bool) -> int | None:
        """Return how many of ``size`` bytes go through before the connection breaks; None if it does not.

        Args:
            size: Bytes that came, or are to be sent.
            sent: Which of the two.
        """
        armed = self._faults[0] if self._faults else None
        if not isinstance(armed, CutInFrame) or armed.sent is not sent:
            return None
        left = armed.after_bytes - self._progress
        if size < left:
            self._progress += size
            return None
        self.strike(CutInFrame)
        return left

    def watch(self, frames: Iterable[Frame], cut: Callable[[], None]) -> Iterator[Frame]:
        """Yield frames, and cut their connection when enough messages have been among them."""
        for frame in frames:
            yield frame
            armed = self._faults[0] if self._faults else None
            if isinstance(armed, CutAfterPublishes) and frame[0][1] & 0x3F == Protocol.MESSAGE:
                self._progress += 1
                if self._progress >= armed.count:
                    self.strike(CutAfterPublishes)
                    cut()
