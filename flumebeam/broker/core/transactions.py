"""Transacted sessions: what is staged, and how the last transaction ended."""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from flumebeam.broker.core.states import TRANSACTION, TransactionState, after
from flumebeam.smf.assuredctrl import PublisherNotify, SessionState
from flumebeam.smf.pubmsg import MessageTemplate

if TYPE_CHECKING:
    from flumebeam.broker.core.connection import Connection
    from flumebeam.broker.core.publishers import PublisherFlow

__all__ = ["Begun", "Staged", "TransactedSession"]


Staged = tuple[int, MessageTemplate, bytes, bytes]
"""A message published inside a transaction that has not ended: id, template, contents summary, body."""
_BODY: Final = 3
_OUTCOMES: Final = {
    TransactionState.COMMITTED: SessionState.COMMITTED,
    TransactionState.ROLLED_BACK: SessionState.ROLLED_BACK,
}


class Begun(Enum):
    """Whether something was published in a transaction, which has it count."""

    NOT = auto()
    COUNTED = auto()
    REFUSED = auto()
    """It was one too many; its commit will fail."""


class TransactedSession:
    """One transacted session. It outlives its connection, so that the client can resume it by name.

    A session always has one open transaction. Its outcome is remembered until the next one ends: a client that lost
    the answer asks for it by the transaction's pair of counters, and gets the outcome for exactly that pair.

    Args:
        session_id: Id, kept over reconnects.
        name: Name that the client resumes it by.
        owner: Client name that may resume it.
        max_messages: Messages that one transaction may publish; only so many are ever staged.
        max_bytes: Bodies that may be staged.

    Attributes:
        connection: Connection that it is open on, or None while the client is away.
        publisher: Its publisher flow, once opened.
        begun: Whether something was published in the open transaction.
        state: Of the open transaction. One that was interrupted can only be rolled back. The client's count of messages
            does not show it: a client may count only what it has sent since it came back.
    """

    def __init__(self, session_id: int, name: str, owner: str, max_messages: int, max_bytes: int) -> None:
        self.id = session_id
        self.name = name
        self.owner = owner
        self.connection: Connection | None = None
        self.publisher: PublisherFlow | None = None
        self.begun = Begun.NOT
        # More than the limit is never needed: either older ones are left over from a transaction whose fate the
        # client does not know, or the transaction is too large and its commit will fail.
        self._staged: deque[Staged] = deque(maxlen=max_messages)
        self._staged_bytes = 0
        self._max_bytes = max_bytes
        self.ended: tuple[int, int] | None = None
        """Counters of the last transaction that has ended."""
        self._outcome = SessionState.NEW
        self.state = TransactionState.OPEN

    @property
    def pending(self) -> int:
        """How many messages are staged."""
        return len(self._staged)

    def limit(self, max_messages: int) -> None:
        """Change how many messages one transaction may publish."""
        if max_messages != self._staged.maxlen:
            self._staged = deque(self._staged, maxlen=max_messages)

    def stage(self, message: Staged) -> None:
        """Keep a message for the commit. Beyond the limit of bytes all is dropped, which fails the commit's count."""
        staged = self._staged
        self._staged_bytes += len(message[_BODY])
        if len(staged) == staged.maxlen:
            self._staged_bytes -= len(staged[0][_BODY])
        staged.append(message)
        if self._staged_bytes > self._max_bytes:
            self.clear()

    def published(self, notified: tuple[PublisherNotify, ...]) -> list[Staged] | None:
        """Return the messages that a commit names, or None if one of them is not here.

        The commit says how many messages it covers and the last one's id. Older staged ones belong to a transaction
        before, whose fate the client was told is unknown. Fewer mean that messages were lost with a connection.
        """
        if not notified:
            return []
        flow_id, count, last_id = notified[0]
        if len(notified) > 1 or self.publisher is None or flow_id != self.publisher.id:
            return None
        if not count:
            return []
        if count > len(self._staged) or self._staged[-1][0] != last_id:
            return None
        return list(self._staged)[-count:]

    def clear(self) -> None:
        """Drop what is staged."""
        self._staged.clear()
        self._staged_bytes = 0

    def interrupt(self) -> None:
        """Note that the open transaction began in an earlier life of the broker."""
        self.state = after(TRANSACTION, self.state, "broker restarted")

    def end(self, transaction: tuple[int, int], event: str) -> SessionState:
        """End a transaction, remember and return how it ended, and start the next one.

        Raises:
            KeyError: It was interrupted, and is to be committed.
        """
        self.clear()
        ended = after(TRANSACTION, self.state, event)
        self.state = after(TRANSACTION, ended, "next one begins")
        outcome = _OUTCOMES[ended]
        self.remember(transaction, outcome)
        return outcome

    def remember(self, transaction: tuple[int, int], outcome: SessionState) -> None:
        """Note how the last transaction that has ended did."""
        self.ended, self._outcome = transaction, outcome

    def outcome(self, transaction: tuple[int, int]) -> SessionState:
        """Return how the transaction with this pair of counters ended; NEW unless it is the last one that has."""
        return self._outcome if transaction == self.ended else SessionState.NEW
