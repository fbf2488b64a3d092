"""The channel whose store is a broker: every transaction is one of the broker's own.

Unit of parallelism: one channel, one transacted session, one open transaction. Committed events are with the broker
and are never lost; after a failure nothing is repeated but what ended as *unknown*, if the caller repeats it. Events
taken and not committed come again, in order and marked as redelivered.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import pyarrow as pa

from flumebeam.batch import EventBatch
from flumebeam.channel.semantics import BasicTransaction
from flumebeam.errors import ConfigurationError, ConnectionFailedError, TransactionStateError
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.fields import MessageFields
from flumebeam.solace.packing import Packing
from flumebeam.solace.ports import Connection, Outcome, TransactedSession
from flumebeam.solace.session import connect

__all__ = ["SolaceChannel"]


class SolaceChannel:
    """A channel over a broker; connects with its first transaction.

    A session that died, in an outage longer than the reconnect policy or because the broker lost its state, is
    replaced when the next transaction begins.

    Args:
        options: The broker.
        queue: Durable queue to take from; a channel that only puts needs none.
        selector: Take only messages that it matches, in the language of JMS; empty for all.
        max_transaction_messages: The broker's limit of messages per transaction, puts and takes together; 256 unless
            its administrator raised it.
        connector: Opens a connection.

    Raises:
        ConfigurationError: The limit is below 1.
    """

    def __init__(
        self,
        options: SolaceOptions,
        *,
        queue: str | None = None,
        selector: str = "",
        max_transaction_messages: int = 256,
        connector: Callable[[SolaceOptions], Connection] = connect,
    ) -> None:
        if max_transaction_messages < 1:
            raise ConfigurationError("max_transaction_messages must be at least 1.")
        self._options = options
        self._queue = queue
        self._selector = selector
        self._max_messages = max_transaction_messages
        self._connector = connector
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._session: TransactedSession | None = None
        self._open: _SolaceTransaction | None = None
        self._closed = False

    def transaction(self) -> _SolaceTransaction:
        """Return a new transaction; one may be open at a time.

        Raises:
            TransactionStateError: Another one is still open, or the channel is closed.
        """
        if self._closed:
            raise TransactionStateError("The channel is closed.")
        if self._open is not None:
            raise TransactionStateError("The channel has an open transaction: close it before you ask for another.")
        self._open = _SolaceTransaction(self, self._max_messages, takes=self._queue is not None)
        return self._open

    def close(self) -> None:
        """Release the channel; an open transaction is rolled back. Idempotent, never hangs, from any thread.

        An operation that another thread is blocked in ends with :class:`ConnectionFailedError`.
        """
        with self._lock:
            self._closed = True
            connection, self._connection, self._session = self._connection, None, None
        if connection is not None:
            connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _living_session(self) -> TransactedSession:
        """Return a session on which a transaction can begin, a new one if the last one died."""
        if self._session is not None and self._session.alive:
            return self._session
        if self._session is not None:
            self._session.close()
            self._session = None
        if self._connection is not None and not self._connection.alive:
            self._connection.close()
            self._connection = None
        connection = self._connection or self._connector(self._options)
        with self._lock:
            if self._closed:
                connection.close()
                raise ConnectionFailedError("The channel was closed while it connected.")
            self._connection = connection
        self._session = connection.transacted_session(queue=self._queue, selector=self._selector)
        return self._session

    def _release(self) -> None:
        self._open = None


class _SolaceTransaction(BasicTransaction):
    """One transaction on a :class:`SolaceChannel`."""

    _session: TransactedSession  # set by begin, which the state table puts before everything else

    def __init__(self, channel: SolaceChannel, max_messages: int, *, takes: bool) -> None:
        super().__init__(max_messages)
        self._channel = channel
        self._takes = takes

    def _do_begin(self) -> None:
        self._session = self._channel._living_session()

    def _do_put(
        self, batch: EventBatch, topics: str | pa.StringArray, packing: Packing | None, fields: MessageFields
    ) -> None:
        self._session.publish(batch, topics, packing, fields)

    def _do_take(self, max_messages: int, timeout: float) -> EventBatch:
        if not self._takes:
            raise TransactionStateError("This channel takes from no queue: name one when you make it.")
        return self._session.receive(max_messages, timeout)

    def _do_commit(self) -> Outcome:
        return self._session.commit()

    def _do_rollback(self) -> Outcome:
        return self._session.rollback()

    def _do_release(self) -> None:
        self._channel._release()
