"""The reference channel: a queue in memory with the contract of the real one, and failures on order.

It is what the conformance suite compares the real channel with, and what tests of callers use to meet every outcome of
a transaction. It keeps nothing after the process ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from enum import Enum
from threading import Condition

import pyarrow as pa

from flumebeam.batch import EventBatch
from flumebeam.channel.semantics import BasicTransaction
from flumebeam.errors import ConfigurationError, ConnectionFailedError, TransactionStateError
from flumebeam.ids import DeliveryId
from flumebeam.solace.fields import PLAIN_FIELDS, MessageFields
from flumebeam.solace.incoming import ReceivedMessage
from flumebeam.solace.packing import Packing, events_of, outgoing_messages
from flumebeam.solace.ports import Outcome, OutcomeKind

__all__ = ["Failure", "MemoryChannel", "MemoryQueue"]

_ORIGIN = 1  # the spooler id of every message in memory


class Failure(Enum):
    """What goes wrong next; values of a plan, used up in order."""

    NONE = "none"
    """The next commit succeeds."""
    COMMIT_ROLLED_BACK = "commit rolled back"
    """The next commit is answered with a rollback."""
    COMMIT_REFUSED = "commit refused"
    """The same, because the broker refused the contents."""
    COMMIT_OVER_QUOTA = "commit over quota"
    """The same, because a quota is reached."""
    COMMIT_UNKNOWN_APPLIED = "commit unknown, applied"
    """The next commit is applied and its answer lost."""
    COMMIT_UNKNOWN_DROPPED = "commit unknown, dropped"
    """The next commit is lost before it is applied."""
    CONNECTION_LOST = "connection lost"
    """The next put or take loses the connection."""


class MemoryQueue:
    """A queue that any number of channels put into and take from. Safe for threads."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._messages: deque[ReceivedMessage] = deque()
        self._number = 0

    def __len__(self) -> int:
        with self._changed:
            return len(self._messages)

    def append(
        self,
        batch: EventBatch,
        topics: str | pa.StringArray,
        packing: Packing | None = None,
        fields: MessageFields = PLAIN_FIELDS,
    ) -> None:
        """Store events at the end, each message under an id of its own."""
        with self._changed:
            for outgoing in outgoing_messages(batch, topics, packing, fields):
                for event in outgoing.events:
                    self._number += 1
                    self._messages.append(
                        ReceivedMessage(
                            delivery=DeliveryId(_ORIGIN, self._number).pack(),
                            redelivered=False,
                            body=event.body,
                            properties={**outgoing.shared, **event.headers},
                            topic=event.topic,
                            payload="bytes" if event.body else "empty",
                            application_message_id=event.application_message_id,
                            content_type=outgoing.content_type,
                            content_encoding=outgoing.content_encoding,
                        )
                    )
            self._changed.notify_all()

    def take(self, max_messages: int, timeout: float) -> list[ReceivedMessage]:
        """Remove up to ``max_messages`` messages; wait at most ``timeout`` seconds for the first."""
        with self._changed:
            self._changed.wait_for(lambda: self._messages, timeout)
            return [self._messages.popleft() for _ in range(min(max_messages, len(self._messages)))]

    def give_back(self, messages: Iterable[ReceivedMessage]) -> None:
        """Put messages back to the front, in their order, marked as redelivered."""
        with self._changed:
            self._messages.extendleft(reversed([message._replace(redelivered=True) for message in messages]))
            self._changed.notify_all()


class MemoryChannel:
    """A channel over a :class:`MemoryQueue`.

    Args:
        queue: The queue, shared or the channel's own.
        max_transaction_messages: Limit of messages per transaction.
        plan: What goes wrong, in order; nothing after its end.

    Raises:
        ConfigurationError: The limit is below 1.
    """

    def __init__(
        self,
        queue: MemoryQueue | None = None,
        *,
        max_transaction_messages: int = 256,
        plan: Iterable[Failure] = (),
    ) -> None:
        if max_transaction_messages < 1:
            raise ConfigurationError("max_transaction_messages must be at least 1.")
        self.queue = MemoryQueue() if queue is None else queue  # an empty one is false
        self._max_messages = max_transaction_messages
        self._plan = deque(plan)
        self._open: _MemoryTransaction | None = None
        self._closed = False

    def transaction(self) -> _MemoryTransaction:
        """Return a new transaction.

        Raises:
            TransactionStateError: Another one is still open, or the channel is closed.
        """
        if self._closed:
            raise TransactionStateError("The channel is closed.")
        if self._open is not None:
            raise TransactionStateError("The channel has an open transaction: close it before you ask for another.")
        self._open = _MemoryTransaction(self, self._max_messages)
        return self._open

    def close(self) -> None:
        """Release the channel; an open transaction is rolled back. Idempotent."""
        self._closed = True
        if self._open is not None:
            self._open.close()

    def _next_failure(self, *kinds: Failure) -> Failure:
        if self._plan and self._plan[0] in kinds:
            return self._plan.popleft()
        return Failure.NONE

    def _release(self) -> None:
        self._open = None


class _MemoryTransaction(BasicTransaction):
    """One transaction on a :class:`MemoryChannel`."""

    def __init__(self, channel: MemoryChannel, max_messages: int) -> None:
        super().__init__(max_messages)
        self._channel = channel
        self._puts: list[tuple[EventBatch, str | pa.StringArray, Packing | None, MessageFields]] = []
        self._takes: list[ReceivedMessage] = []

    def _do_begin(self) -> None:
        """Nothing to open."""

    def _do_put(
        self, batch: EventBatch, topics: str | pa.StringArray, packing: Packing | None, fields: MessageFields
    ) -> None:
        outgoing_messages(batch, topics, packing, fields)  # refuses what the broker's client would
        self._may_lose_connection()
        self._puts.append((batch, topics, packing, fields))

    def _do_take(self, max_messages: int, timeout: float) -> EventBatch:
        self._may_lose_connection()
        taken = self._channel.queue.take(max_messages, timeout)
        self._takes += taken
        return events_of(taken, receiver="memory", queue="memory", fence=False)

    def _may_lose_connection(self) -> None:
        if self._channel._next_failure(Failure.CONNECTION_LOST) is Failure.CONNECTION_LOST:
            raise ConnectionFailedError("The connection was lost on order.")

    def _do_commit(self) -> Outcome:
        failure = self._channel._next_failure(*(kind for kind in Failure if kind is not Failure.CONNECTION_LOST))
        if failure in (Failure.NONE, Failure.COMMIT_UNKNOWN_APPLIED):
            for put in self._puts:
                self._channel.queue.append(*put)
        else:
            self._channel.queue.give_back(self._takes)
        return _OUTCOMES[failure]

    def _do_rollback(self) -> Outcome:
        self._channel.queue.give_back(self._takes)
        return Outcome(OutcomeKind.ROLLED_BACK, "rolled back as asked")

    def _do_release(self) -> None:
        self._channel._release()


_OUTCOMES = {
    Failure.NONE: Outcome(OutcomeKind.COMMITTED),
    Failure.COMMIT_ROLLED_BACK: Outcome(OutcomeKind.ROLLED_BACK, "rolled back on order"),
    Failure.COMMIT_REFUSED: Outcome(OutcomeKind.ROLLED_BACK, "refused on order", refused=True),
    Failure.COMMIT_OVER_QUOTA: Outcome(OutcomeKind.ROLLED_BACK, "full on order", refused=True, over_quota=True),
    Failure.COMMIT_UNKNOWN_APPLIED: Outcome(OutcomeKind.UNKNOWN, "answer lost on order"),
    Failure.COMMIT_UNKNOWN_DROPPED: Outcome(OutcomeKind.UNKNOWN, "answer lost on order"),
}
