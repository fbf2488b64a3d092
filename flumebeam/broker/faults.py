"""Faults as values: what a test wants to go wrong, in the order in which it should.

A plan is consumed in order: only its first fault is armed. It strikes when its occasion comes, and the next one is
armed. Faults of whole connections (cut, refuse, freeze, restart) are methods of
:class:`flumebeam.broker.DevelopmentBroker`, because they do not wait for an occasion.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TypeVar

__all__ = ["FailCommit", "Fault", "FaultPlan", "LoseCommitResponse", "LosePublishAck", "NackPublishes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoseCommitResponse:
    """The next commit is never answered.

    Attributes:
        applied: Whether it is carried out before its answer is lost, or was lost itself on the way in.
        cut: Whether the connection breaks at that moment. Otherwise the client waits for its request timeout first.
    """

    applied: bool
    cut: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class FailCommit:
    """The next commit fails, and its transaction is rolled back.

    Attributes:
        reason: Text of the 503 response; the client derives its sub code from it.
    """

    reason: str = "Transaction Failure"


@dataclass(frozen=True, slots=True, kw_only=True)
class NackPublishes:
    """The next guaranteed messages outside transactions are refused.

    Attributes:
        count: How many.
        code: Response code.
        reason: Response text; the client derives its exception from it.
    """

    count: int = 1
    code: int = 503
    reason: str = "Spool Over Quota"


@dataclass(frozen=True, slots=True, kw_only=True)
class LosePublishAck:
    """The next acknowledgement to a publisher is not sent; the client sends its messages again after some seconds."""


Fault = LoseCommitResponse | FailCommit | NackPublishes | LosePublishAck

_F = TypeVar("_F", LoseCommitResponse, FailCommit, NackPublishes, LosePublishAck)


class FaultPlan:
    """Faults that are still to strike."""

    def __init__(self) -> None:
        self._faults: deque[Fault] = deque()

    def __len__(self) -> int:
        return len(self._faults)

    def add(self, *faults: Fault) -> None:
        """Append faults to the plan."""
        for fault in faults:
            if isinstance(fault, NackPublishes):
                single = NackPublishes(code=fault.code, reason=fault.reason)
                self._faults.extend([single] * fault.count)
            else:
                self._faults.append(fault)

    def strike(self, kind: type[_F]) -> _F | None:
        """Return the armed fault and arm the next one, if it is of this kind."""
        armed = self._faults[0] if self._faults else None
        if not isinstance(armed, kind):
            return None
        self._faults.popleft()
        return armed
