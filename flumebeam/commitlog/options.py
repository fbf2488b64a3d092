"""How a commit log works, as its user says it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from flumebeam.commitlog.rolling import RollOptions
from flumebeam.errors import ConfigurationError

__all__ = ["CommitLogOptions", "QueueAccess"]


class QueueAccess(Enum):
    """How a queue hands out messages to several receivers."""

    EXCLUSIVE = "exclusive"
    """One receiver at a time: a life closes all others, and nothing is ever repeated."""
    SHARED = "shared"
    """Several at once (non-exclusive, partitioned): a life reads the others, and closes those that are long idle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitLogOptions:
    """How a log works.

    Attributes:
        access: How the queue hands out messages.
        bridge_gaps: Treat numbers between the first and the last id of an unbroken bind as committed, which keeps the
            id sets small where many queues share a broker. Right only for an exclusive queue without message
            priorities, into which nobody copies or replays messages: a number that was passed over must never come.
        patience_seconds: For how long a target that does not answer, or is full, is tried again; 10 s at most for one
            that has never answered.
        threads: Parts written and published at once.
        fold_after: Transactions whose records are then replaced by one id set.
        keep_days: Days with commits for which ids are kept after their acknowledgement is proven.
        idle_close_seconds: Age of the last commit of another life after which a life on a shared queue closes it.
        roll: When a file ends; ``None`` for files of one transaction each, final at once.
    """

    access: QueueAccess = QueueAccess.EXCLUSIVE
    bridge_gaps: bool = False
    patience_seconds: float = 60.0
    threads: int = 4
    fold_after: int = 64
    keep_days: int = 7
    idle_close_seconds: float = 3600.0
    roll: RollOptions | None = None

    def __post_init__(self) -> None:
        if self.bridge_gaps and self.access is not QueueAccess.EXCLUSIVE:
            raise ConfigurationError("bridge_gaps needs an exclusive queue: leave it off for a shared one.")
        for name in ("patience_seconds", "threads", "fold_after", "keep_days", "idle_close_seconds"):
            if getattr(self, name) <= 0:
                raise ConfigurationError(f"{name} must be positive, got {getattr(self, name)}.")
