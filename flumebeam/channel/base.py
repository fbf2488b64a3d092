"""The channel contract: Flume's ``getTransaction`` / ``put`` / ``take`` / ``commit`` / ``rollback``, in batches.

::

    with channel.transaction() as tx:      # begin
        tx.put(batch, "logs/web")
        outcome = tx.commit()              # a value: committed, rolled back or unknown
                                           # leaving the block without commit rolls back
"""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

import pyarrow as pa

from flumebeam.batch import EventBatch
from flumebeam.channel.transaction import TransactionState
from flumebeam.solace.fields import PLAIN_FIELDS, MessageFields
from flumebeam.solace.packing import Packing
from flumebeam.solace.ports import Outcome

__all__ = ["Channel", "Transaction"]


class Transaction(Protocol):
    """One unit of work on a channel. Used by one thread.

    ``begin`` is called by entering the ``with`` block, or by hand. After ``commit`` or ``rollback`` the transaction is
    completed, whatever the outcome; leaving the block closes it, and rolls back first if it is still open.
    """

    @property
    def state(self) -> TransactionState:
        """Where the transaction stands."""
        ...

    @property
    def room(self) -> int:
        """How many more messages fit (puts and takes count together) before the broker's limit."""
        ...

    def begin(self) -> None:
        """Open the transaction.

        Raises:
            TransactionStateError: It is not new.
            ConnectionFailedError: The broker cannot be reached.
        """
        ...

    def put(
        self,
        batch: EventBatch,
        topics: str | pa.StringArray,
        packing: Packing | None = None,
        fields: MessageFields = PLAIN_FIELDS,
    ) -> None:
        """Add events; nobody sees them before the commit.

        Args:
            batch: The events.
            topics: One topic for all, or one per event.
            packing: How many events of one topic go into one message; ``None`` for one.
            fields: What the messages get beside that.

        Raises:
            TransactionStateError: The transaction is not open.
            TransactionTooLargeError: More messages than :attr:`room`; nothing of the batch was added.
            ConnectionFailedError: The connection was lost; only rollback is possible now.
        """
        ...

    def take(self, max_messages: int, timeout: float) -> EventBatch:
        """Take up to ``min(max_messages, room)`` messages; wait at most ``timeout`` seconds for the first.

        A packed message is taken whole: the batch may hold more events than messages were taken.

        Raises:
            TransactionStateError: The transaction is not open, or the channel takes from no queue.
            TransactionTooLargeError: No room is left.
            ConnectionFailedError: The connection was lost; only rollback is possible now.
        """
        ...

    def commit(self) -> Outcome:
        """Make puts visible and takes final.

        Raises:
            TransactionStateError: The transaction is not open.
        """
        ...

    def rollback(self) -> Outcome:
        """Undo puts and give takes back, in order.

        Raises:
            TransactionStateError: The transaction is not open.
        """
        ...

    def close(self) -> None:
        """Finish: an open transaction is rolled back. Idempotent."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Channel(Protocol):
    """Where transactions happen: a queue of the broker, or the in-memory reference."""

    def transaction(self) -> Transaction:
        """Return a new transaction; one may be open at a time on one channel.

        Raises:
            TransactionStateError: Another one is still open.
        """
        ...

    def close(self) -> None:
        """Release the channel; an open transaction is rolled back. Idempotent, never hangs."""
        ...
