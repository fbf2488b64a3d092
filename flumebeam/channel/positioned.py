"""The channel that keeps a source's position in the broker: it moves in the same transaction as the events.

A *position queue*, exclusive, holds one message: how far each stream of the source (each file) is committed. Every
transaction takes that message, publishes events, and publishes the new position; the broker applies all of it or
nothing. From that follows everything else:

* **Exactly once.** What the position says is in the broker, is; what it does not say, is not.
* **An unknown commit is resolved** by reading the position: it names the transaction that wrote it.
* **A zombie is fenced.** The broker hands the position to one consumer at a time; who comes back late finds another one
  than the one it left, and commits nothing.

Unit of parallelism: one source, one process. The position needs two of the messages that a transaction may have.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any, Final, NamedTuple, Self

import numpy as np
import pyarrow as pa

from flumebeam.batch import EventBatch
from flumebeam.channel.base import Channel, Transaction
from flumebeam.channel.semantics import BasicTransaction
from flumebeam.channel.solace import SolaceChannel
from flumebeam.errors import (
    ConfigurationError,
    ConnectionFailedError,
    FormatError,
    PositionError,
    TransactionStateError,
)
from flumebeam.ids import id_pairs
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.fields import MessageFields
from flumebeam.solace.outgoing import queue_topic
from flumebeam.solace.packing import Packing
from flumebeam.solace.ports import Outcome, OutcomeKind
from flumebeam.solace.session import VendorConnection, connect

__all__ = ["Mark", "PositionRecord", "PositionedChannel"]

_VERSION: Final = 1
_OWN_MESSAGES: Final = 4
"""Of a transaction: the old position, the new one, and room for a first position that two processes made at once."""
_ARRIVAL_SECONDS: Final = 10.0
_EMPTY_SECONDS: Final = 0.5
_STEP_SECONDS: Final = 0.1
_FIRST_TRIES: Final = 5


class Mark(NamedTuple):
    """How far one stream of a source is committed.

    Attributes:
        offset: Everything up to there is in the broker.
        facts: What the source recognises the stream by; JSON.
    """

    offset: int
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionRecord:
    """The content of the position message.

    Attributes:
        number: Transactions so far; 0 before the first one.
        id: Names the transaction that wrote it, in the world.
        marks: By the origin of their delivery ids.
    """

    number: int = 0
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    marks: Mapping[int, Mark] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Return the message's body."""
        marks = {f"{origin:016x}": [mark.offset, dict(mark.facts)] for origin, mark in self.marks.items()}
        return json.dumps(
            {"version": _VERSION, "number": self.number, "id": self.id, "marks": marks}, sort_keys=True
        ).encode()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Return the record that a message's body holds.

        Raises:
            FormatError: It holds none, or one of a newer version.
        """
        try:
            facts = json.loads(body)
            if facts["version"] != _VERSION:
                raise FormatError("The position was written by a newer flumebeam: use that one.")
            marks = {int(origin, 16): Mark(int(offset), own) for origin, (offset, own) in facts["marks"].items()}
            return cls(number=int(facts["number"]), id=str(facts["id"]), marks=marks)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise FormatError(f"A message of the position queue is no position: {error!r}.") from error


class PositionedChannel:
    """A channel that puts only, and keeps the position of one source; connects when it is first asked for something.

    One thread at a time, the source's or the sink's: both belong to one stage.

    Args:
        options: The broker.
        queue: The position queue, for this source alone; made if it does not exist.
        max_transaction_messages: The broker's limit of messages per transaction.
        opened: Opens the channel that transactions go through; takes from the position queue.

    Raises:
        ConfigurationError: The limit leaves no room for events.
    """

    def __init__(
        self,
        options: SolaceOptions,
        queue: str,
        *,
        max_transaction_messages: int = 256,
        opened: Callable[..., Channel] = SolaceChannel,
    ) -> None:
        if max_transaction_messages <= _OWN_MESSAGES:
            raise ConfigurationError(f"A transaction that moves a position has at least {_OWN_MESSAGES + 1} messages.")
        self._options = options
        self._queue = queue
        self._room = max_transaction_messages - _OWN_MESSAGES
        self._inner = opened(options, queue=queue, max_transaction_messages=max_transaction_messages)
        self._ready = False
        self._current: PositionRecord | None = None
        self._pending: PositionRecord | None = None
        self._facts: dict[int, Mapping[str, Any]] = {}
        self._forgotten: set[int] = set()

    @property
    def room(self) -> int:
        """Messages of events that one transaction takes."""
        return self._room

    def marks(self) -> dict[int, Mark]:
        """Return how far every stream is committed, by origin; what is put from now on goes on from there.

        Raises:
            PositionError: Another process has the position, or the queue holds something else.
            ConnectionFailedError: The broker does not answer.
            QueueError: The queue cannot be used.
        """
        self._prepare()
        with self._inner.transaction() as transaction:  # and give it back
            self._current = self._taken(transaction, any_will_do=True)
        self._pending = None
        self._forgotten.clear()
        self._facts = {origin: mark.facts for origin, mark in self._current.marks.items()}
        return dict(self._current.marks)

    def describe(self, origin: int, facts: Mapping[str, Any]) -> None:
        """Say what a stream is recognised by; kept with its first position."""
        self._facts[origin] = facts
        self._forgotten.discard(origin)

    def forget(self, origin: int) -> None:
        """Leave a stream out of the positions to come: nothing of it will ever be read again."""
        self._facts.pop(origin, None)
        self._forgotten.add(origin)

    def transaction(self) -> Transaction:
        """Return a new transaction, which moves the position with the events that are put.

        Raises:
            TransactionStateError: Another one is still open, or the channel is closed.
        """
        return _PositionedTransaction(self)

    def close(self) -> None:
        """Release the channel and let another process have the position. Idempotent, never hangs."""
        self._inner.close()

    # -- within --------------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Have a position on the queue: a first one if there is none, which only its active consumer can tell."""
        if self._ready:
            return
        for _ in range(_FIRST_TRIES):
            with connect(self._options) as connection:
                connection.ensure_queue(self._queue)
                if self._is_there(connection):
                    break
                session = connection.transacted_session()
                session.publish(_message(PositionRecord()), queue_topic(self._queue))
                outcome = session.commit()
                if outcome.committed:
                    break
        else:  # each time it was looked whether it is there after all
            raise ConnectionFailedError(f"No position could be put into {self._queue!r}: {outcome.cause}.")
        self._ready = True

    def _is_there(self, connection: VendorConnection) -> bool:
        receiver = connection.receiver(self._queue)
        deadline, active_since = monotonic() + _ARRIVAL_SECONDS, None
        while monotonic() < deadline:
            if len(receiver.receive(1, _STEP_SECONDS)):
                return True
            if receiver.active:
                active_since = active_since or monotonic()
                if monotonic() - active_since > _EMPTY_SECONDS:
                    return False
        raise self._taken_elsewhere()

    def _taken_elsewhere(self) -> PositionError:
        return PositionError(
            f"Another process has the position of this source (queue {self._queue!r} at {self._options.host}): "
            "stop it, or give this one a position queue of its own."
        )

    def _taken(self, transaction: Transaction, *, any_will_do: bool = False) -> PositionRecord:
        """Take the position within a transaction.

        Args:
            transaction: Open, of the inner channel.
            any_will_do: Whether it may be any; if not, one that neither we left nor may have left fences us.
        """
        deadline = monotonic() + _ARRIVAL_SECONDS
        while monotonic() < deadline:
            batch = transaction.take(1, max(_STEP_SECONDS, deadline - monotonic()))
            if not len(batch):
                continue
            record = PositionRecord.decode(batch.bodies[0].as_py())
            ours = [known.id for known in (self._current, self._pending) if known is not None]
            if any_will_do or record.id in ours:
                return record
            if record.number:
                raise PositionError(
                    f"Another process has moved the position of this source (queue {self._queue!r}): nothing more is "
                    "published here. Start this one again when the other has ended."
                )
            # A first position that another process made at the same time as ours: it goes with this transaction.
        raise self._taken_elsewhere()

    def _next_record(self, ends: Mapping[int, int]) -> PositionRecord:
        if self._current is None:
            raise TransactionStateError("The position has not been read: call marks() first.")
        marks = {origin: mark for origin, mark in self._current.marks.items() if origin not in self._forgotten}
        for origin, end in ends.items():
            marks[origin] = Mark(end, self._facts.get(origin, {}))
        return PositionRecord(number=self._current.number + 1, marks=marks)

    def _mark_of(self, origin: int) -> int:
        mark = None if self._current is None else self._current.marks.get(origin)
        return 0 if mark is None else mark.offset

    def _settle(self, applied: PositionRecord | None) -> None:
        if applied is not None:
            self._current = applied
        self._pending = None


class _PositionedTransaction(BasicTransaction):
    """One transaction on a :class:`PositionedChannel`."""

    _inner: Transaction  # set by begin, which the state table puts before everything else

    def __init__(self, channel: PositionedChannel) -> None:
        super().__init__(channel.room)
        self._channel = channel
        self._begun = False
        self._applied = False
        self._ends: dict[int, int] = {}

    def _do_begin(self) -> None:
        channel = self._channel
        if channel._current is None:
            raise TransactionStateError("The position has not been read: call marks() first.")
        self._inner = channel._inner.transaction()
        self._begun = True
        self._inner.begin()
        record = channel._taken(self._inner)
        # What was unknown is known now: this is the same transaction again, and it is there already, or it is not.
        self._applied = channel._pending is not None and record.id == channel._pending.id
        channel._settle(record if self._applied else None)

    def _do_put(
        self, batch: EventBatch, topics: str | pa.StringArray, packing: Packing | None, fields: MessageFields
    ) -> None:
        if batch.provenance is None:
            raise ConfigurationError("Events without provenance have no position: let transforms before it keep it.")
        pairs = id_pairs(batch.provenance.ids)
        for origin in np.unique(pairs[:, 0]).tolist():
            own = pairs[pairs[:, 0] == origin, 1]
            if not self._applied and int(own.min()) <= self._channel._mark_of(origin):
                raise PositionError("Events that the position says are in the broker were to be published once more.")
            self._ends[origin] = max(int(own.max()), self._ends.get(origin, 0))
        if not self._applied:
            self._inner.put(batch, topics, packing, fields)

    def _do_take(self, max_messages: int, timeout: float) -> EventBatch:
        raise TransactionStateError("A channel that keeps a position takes from no other queue.")

    def _do_commit(self) -> Outcome:
        if self._applied:
            self._inner.rollback()  # gives the position back
            return Outcome(OutcomeKind.COMMITTED)
        channel = self._channel
        record = channel._next_record(self._ends)
        self._inner.put(_message(record), queue_topic(channel._queue))
        channel._pending = record
        outcome = self._inner.commit()
        if outcome.kind is OutcomeKind.UNKNOWN:
            return self._resolve(record, outcome)
        channel._settle(record if outcome.committed else None)
        return outcome

    def _resolve(self, record: PositionRecord, outcome: Outcome) -> Outcome:
        """Find out from the position how an unknown commit ended; still unknown if the broker does not answer."""
        self._inner.close()
        channel = self._channel
        try:
            with channel._inner.transaction() as again:
                found = channel._taken(again)
        except ConnectionFailedError:
            return outcome
        applied = found.id == record.id
        channel._settle(record if applied else None)
        if applied:
            return Outcome(OutcomeKind.COMMITTED)
        return replace(outcome, kind=OutcomeKind.ROLLED_BACK, cause=f"{outcome.cause}; the position did not move")

    def _do_rollback(self) -> Outcome:
        return self._inner.rollback()

    def _do_release(self) -> None:
        if self._begun:
            self._inner.close()


def _message(record: PositionRecord) -> EventBatch:
    return EventBatch.from_bodies([record.encode()])
