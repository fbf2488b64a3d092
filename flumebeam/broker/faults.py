"""Faults as values: what a test wants to go wrong. A plan of them is :class:`flumebeam.broker.fault_plan.FaultPlan`.

A fault's text form is its name in lower case with its attributes, such as ``lose-commit-response applied=true``; see
:mod:`flumebeam.broker.fault_texts`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, get_args

from flumebeam.errors import ConfigurationError

__all__ = [
    "ANSWERS",
    "KINDS",
    "AcceptUnknownSession",
    "ActivateDr",
    "Crash",
    "CutAfterCommit",
    "CutAfterPublishes",
    "CutConnections",
    "CutInFrame",
    "DelayAnswer",
    "DuplicateAnswer",
    "FailCommit",
    "FailOver",
    "Fault",
    "FreezeConnections",
    "LoseBindResponse",
    "LoseCommitResponse",
    "LosePublishAck",
    "LoseRollbackResponse",
    "NackPublishes",
    "RefuseLogins",
    "Restart",
    "SlowConnections",
]

ANSWERS: Final = ("publish-ack", "commit", "rollback", "bind")
CRASH_POINTS: Final = ("before-store", "after-store", "after-answers")


# Answers


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
class LoseRollbackResponse:
    """The next rollback that a client asks for is never answered.

    Attributes:
        applied: Whether it is carried out before its answer is lost, or was lost itself on the way in.
        cut: Whether the connection breaks at that moment. Otherwise the client waits for its request timeout first.
    """

    applied: bool
    cut: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LoseBindResponse:
    """The next consumer or browser is bound, and not told.

    Attributes:
        cut: Whether the connection breaks at that moment. Otherwise the client waits for its own timeout first.
    """

    cut: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LosePublishAck:
    """The next acknowledgement to a publisher is not sent; the client sends its messages again after some seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayAnswer:
    """The next answer of a kind is held up; everything behind it goes ahead.

    Attributes:
        answer: ``publish-ack``, ``commit``, ``rollback`` or ``bind``.
        seconds: For how long.
    """

    answer: str
    seconds: float

    def __post_init__(self) -> None:
        _one_of(self, "answer", ANSWERS)
        _positive(self, "seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateAnswer:
    """The next answer of a kind is sent twice.

    Attributes:
        answer: ``publish-ack``, ``commit``, ``rollback`` or ``bind``.
    """

    answer: str

    def __post_init__(self) -> None:
        _one_of(self, "answer", ANSWERS)


# Refusals


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

    def __post_init__(self) -> None:
        _positive(self, "count")


@dataclass(frozen=True, slots=True, kw_only=True)
class RefuseLogins:
    """The next logins are refused.

    Attributes:
        count: How many.
        code: Response code; 401 is a wrong password to clients, whatever the text.
        reason: Response text; the client derives its sub code from it.
    """

    count: int = 1
    code: int = 503
    reason: str = "Service Unavailable"

    def __post_init__(self) -> None:
        _positive(self, "count")


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptUnknownSession:
    """The next transacted session that the broker does not know is opened as a new one, instead of being refused.

    A client that had an open transaction there goes on, and what it published before is lost in silence.
    """


# Connections


@dataclass(frozen=True, slots=True, kw_only=True)
class CutConnections:
    """Connections break without a word, as soon as this is armed.

    Attributes:
        client: Client name of the one to cut; None cuts all.
    """

    client: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CutAfterPublishes:
    """A connection breaks just after a published message has come, so between a publish and its commit.

    Attributes:
        count: Which message from now on it is, counted over all connections.
    """

    count: int = 1

    def __post_init__(self) -> None:
        _positive(self, "count")


@dataclass(frozen=True, slots=True, kw_only=True)
class CutAfterCommit:
    """The connection breaks just after the next commit was answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CutInFrame:
    """A connection breaks after a number of bytes, mostly inside a frame.

    Attributes:
        after_bytes: Bytes from now on, counted over all connections that are logged in.
        sent: Whether what clients are sent is counted, instead of what they send.
    """

    after_bytes: int
    sent: bool = False

    def __post_init__(self) -> None:
        _positive(self, "after_bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeConnections:
    """No byte goes in or out, connections stay open, as soon as this is armed.

    Attributes:
        client: Client name of the one to freeze; None freezes the whole broker, new connections included.
        seconds: For how long; None until it is ended by hand.
    """

    client: str | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowConnections:
    """Bytes go in and out at a limited speed, as soon as this is armed.

    Attributes:
        bytes_per_second: In each direction of each connection.
        client: Client name of the one to slow down; None slows all, new connections included.
        seconds: For how long; None until it is ended by hand.
    """

    bytes_per_second: int
    client: str | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        _positive(self, "bytes_per_second")


# The broker's life


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """The broker goes down and comes back on the same ports, as soon as this is armed.

    Attributes:
        keep_state: Whether messages, positions and transactions survive.
        down_seconds: How long nobody can connect.
    """

    keep_state: bool
    down_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """A broker that keeps its data dies at a point of its next commit to the disk, and comes back with what is there.

    Attributes:
        point: ``before-store`` (nothing of it is durable), ``after-store`` (it is, and nobody was told) or
            ``after-answers`` (everybody was told).
        down_seconds: How long nobody can connect.
    """

    point: str
    down_seconds: float = 0.0

    def __post_init__(self) -> None:
        _one_of(self, "point", CRASH_POINTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailOver:
    """The active broker of a pair is lost and the other takes over, as soon as this is armed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivateDr:
    """The site is lost and the other one goes on from its copy, as soon as this is armed.

    Attributes:
        lag: Messages that the copy is behind.
    """

    lag: int = 0


Fault = (
    LoseCommitResponse
    | LoseRollbackResponse
    | LoseBindResponse
    | LosePublishAck
    | DelayAnswer
    | DuplicateAnswer
    | FailCommit
    | NackPublishes
    | RefuseLogins
    | AcceptUnknownSession
    | CutConnections
    | CutAfterPublishes
    | CutAfterCommit
    | CutInFrame
    | FreezeConnections
    | SlowConnections
    | Restart
    | FailOver
    | ActivateDr
    | Crash
)
KINDS: Final[tuple[type[Any], ...]] = get_args(Fault)
AtOnce = CutConnections | FreezeConnections | SlowConnections | Restart | FailOver | ActivateDr
"""Faults without an occasion."""


def _one_of(fault: object, name: str, allowed: tuple[str, ...]) -> None:
    value = getattr(fault, name)
    if value not in allowed:
        raise ConfigurationError(
            f"The {name} of {type(fault).__name__} is {value!r}; it must be one of {', '.join(allowed)}."
        )


def _positive(fault: object, name: str) -> None:
    value = getattr(fault, name)
    if value <= 0:
        raise ConfigurationError(f"{name} of {type(fault).__name__} is {value}; it must be above 0.")
