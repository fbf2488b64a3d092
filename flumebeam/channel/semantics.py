"""What every channel's transaction does alike: states, the size limit, and rolling back on the way out.

A channel writes only what is its own: :class:`BasicTransaction` checks each call against the state table once, and
calls the ``_do_...`` methods of a subclass with nothing left to check.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

import pyarrow as pa

from flumebeam.batch import EventBatch
from flumebeam.channel.transaction import Move, TransactionState, next_state
from flumebeam.errors import ConnectionFailedError, TransactionStateError, TransactionTooLargeError
from flumebeam.solace.fields import PLAIN_FIELDS, MessageFields
from flumebeam.solace.packing import Packing, message_count, messages_in
from flumebeam.solace.ports import Outcome

__all__ = ["BasicTransaction"]


class BasicTransaction(ABC):
    """The states and limits of a :class:`~flumebeam.channel.base.Transaction`.

    Args:
        max_messages: How many messages it may carry, puts and takes together.
    """

    def __init__(self, max_messages: int) -> None:
        self._state = TransactionState.NEW
        self._max_messages = max_messages
        self._used = 0

    @property
    def state(self) -> TransactionState:
        """Where the transaction stands."""
        return self._state

    @property
    def room(self) -> int:
        """How many more messages fit before the limit."""
        return self._max_messages - self._used

    def begin(self) -> None:
        """Open the transaction.

        Raises:
            TransactionStateError: It is not new.
            ConnectionFailedError: The broker cannot be reached; the transaction is new as before.
        """
        opened = next_state(self._state, Move.BEGIN)
        self._do_begin()
        self._state = opened

    def put(
        self,
        batch: EventBatch,
        topics: str | pa.StringArray,
        packing: Packing | None = None,
        fields: MessageFields = PLAIN_FIELDS,
    ) -> None:
        """Add events; nobody sees them before the commit. Arguments as of the protocol.

        Raises:
            TransactionStateError: The transaction is not open.
            TransactionTooLargeError: More messages than :attr:`room`; nothing of the batch was added.
            PublishRefusedError: An event cannot be published as it is; nothing of the batch was added.
            ConnectionFailedError: The connection was lost; only rollback is possible now.
        """
        self._must_be_open("put")
        messages = message_count(batch, topics, packing)
        if messages > self.room:
            raise TransactionTooLargeError(
                f"{messages} messages do not fit into a transaction with room for {self.room} of {self._max_messages}: "
                "put fewer and commit in between."
            )
        if len(batch):
            try:
                self._do_put(batch, topics, packing, fields)
            except ConnectionFailedError:
                self._state = next_state(self._state, Move.FAIL)
                raise
            self._used += messages

    def take(self, max_messages: int, timeout: float) -> EventBatch:
        """Take up to ``min(max_messages, room)`` messages; wait at most ``timeout`` seconds for the first.

        Raises:
            TransactionStateError: The transaction is not open, or the channel takes from no queue.
            TransactionTooLargeError: No room is left.
            ConnectionFailedError: The connection was lost; only rollback is possible now.
        """
        self._must_be_open("take")
        if self.room == 0:
            raise TransactionTooLargeError(
                f"The transaction is full with {self._max_messages} messages: commit before taking more."
            )
        try:
            batch = self._do_take(min(max_messages, self.room), timeout)
        except ConnectionFailedError:
            self._state = next_state(self._state, Move.FAIL)
            raise
        self._used += messages_in(batch)
        return batch

    def commit(self) -> Outcome:
        """Make puts visible and takes final.

        Raises:
            TransactionStateError: The transaction is not open.
        """
        completed = next_state(self._state, Move.COMMIT)
        try:
            return self._do_commit()
        finally:
            self._state = completed

    def rollback(self) -> Outcome:
        """Undo puts and give takes back, in order.

        Raises:
            TransactionStateError: The transaction is neither open nor failed.
        """
        completed = next_state(self._state, Move.ROLLBACK)
        try:
            return self._do_rollback()
        finally:
            self._state = completed

    def close(self) -> None:
        """Finish: a transaction that is not completed is rolled back. Idempotent."""
        if self._state in (TransactionState.OPEN, TransactionState.FAILED):
            self.rollback()
        released = self._state is TransactionState.CLOSED
        self._state = next_state(self._state, Move.CLOSE)
        if not released:
            self._do_release()

    def __enter__(self) -> Self:
        try:
            self.begin()
        except BaseException:  # an interrupt, too: the channel would wait for ever for a block never entered
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _must_be_open(self, what: str) -> None:
        if self._state is not TransactionState.OPEN:
            raise TransactionStateError(f"A transaction that is {self._state.value} cannot {what}.")

    @abstractmethod
    def _do_begin(self) -> None: ...

    @abstractmethod
    def _do_put(
        self, batch: EventBatch, topics: str | pa.StringArray, packing: Packing | None, fields: MessageFields
    ) -> None: ...

    @abstractmethod
    def _do_take(self, max_messages: int, timeout: float) -> EventBatch: ...

    @abstractmethod
    def _do_commit(self) -> Outcome: ...

    @abstractmethod
    def _do_rollback(self) -> Outcome: ...

    @abstractmethod
    def _do_release(self) -> None:
        """Let the channel open another transaction; called once."""
