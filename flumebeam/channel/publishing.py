"""Publishing batches through a channel, transaction by transaction, until each event is either committed or refused.

Nothing here knows Beam. The rules:

* One transaction at a time, in order: none begins while the outcome of an earlier one is open. The next one may be
  gathered meanwhile.
* *Committed*: its deliveries may be acknowledged.
* *Rolled back*, or the connection lost before the commit: the same events again.
* *Unknown* (the answer was lost): by policy the same events again, marked because they may be there twice; or all of
  them are dead letters; or an error. It is counted, never hidden.
* *Over quota*: by policy waited for, which holds up the source; or refused; or an error.
* *Refused*: the transaction is halved until the culprits stand alone; the others are committed, in order.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from enum import Enum
from itertools import repeat
from typing import Final, NamedTuple, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from flumebeam.batch import EventBatch
from flumebeam.channel.base import Channel
from flumebeam.clock import Clock, SystemClock
from flumebeam.deliveries import DeadLetter, Durable
from flumebeam.errors import ConnectionFailedError, PublishRefusedError
from flumebeam.event import REPEATED_HEADER
from flumebeam.solace.fields import PLAIN_FIELDS, MessageFields
from flumebeam.solace.packing import Packing, by_topic
from flumebeam.solace.ports import Outcome, OutcomeKind

__all__ = ["MEASURED", "OnOverQuota", "OnUnknown", "Publisher", "PublisherCounts", "observe_nothing"]

_REPEATED: Final = {REPEATED_HEADER: "true"}
_logger: Final = logging.getLogger(__name__)
_WHOLE_WAITS: Final = 3
"""How often a transaction is tried as a whole when the broker has no room for it."""
_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 5.0
_MAX_PACKED_BYTES: Final = 4 << 20
"""Bodies of a transaction of packed messages: larger ones gain nothing, and nothing overlaps with them."""


class _Part(NamedTuple):
    """A batch within a transaction, and where it goes."""

    batch: EventBatch
    topics: str | pa.StringArray
    packing: Packing | None = None
    """Set: all of it goes into packed messages, to one topic."""

    def slice(self, offset: int, length: int | None = None) -> _Part:
        topics = self.topics if isinstance(self.topics, str) else self.topics.slice(offset, length)
        return _Part(self.batch.slice(offset, length), topics, self.packing)


_Settled: TypeAlias = tuple[list[Durable | DeadLetter], Exception | None, Iterator[Durable | DeadLetter]]
"""What became of a transaction, as far as it went; the error that ended it; and how it goes on."""


class OnUnknown(Enum):
    """What becomes of a transaction whose commit was not answered."""

    RETRY = "retry"
    """It is published again, with the header ``flumebeam.repeated``: it may be there twice."""
    DEAD_LETTER = "dead-letter"
    """All its events are dead letters: they may be there once."""
    STOP = "stop"
    """An error: the source delivers its events again to whoever comes next."""


class OnOverQuota(Enum):
    """What becomes of a transaction that the broker has no room for."""

    WAIT = "wait"
    """It is tried until there is room, however long that takes; the source is held up meanwhile."""
    DEAD_LETTER = "dead-letter"
    """It is refused as one that is too large is."""
    STOP = "stop"
    """An error: the source keeps its events."""


MEASURED: Final = ("publish_ms", "commit_ms", "transaction_events")
"""What a publisher measures of a transaction: putting its messages, its commit, and its events once committed."""


def observe_nothing(name: str, value: int) -> None:
    """Take a measurement that nobody wants."""


class _Verdict(NamedTuple):
    """Why a transaction was not committed: for one of its events, or for all of them alike."""

    cause: str
    of_all: bool = False


@dataclass(slots=True)
class PublisherCounts:
    """What has happened so far.

    Attributes:
        events_committed: Events of committed transactions.
        transactions_committed: Transactions that the broker applied.
        transactions_rolled_back: Transactions that it did not apply, or that broke off before their commit.
        transactions_unknown: Commits whose answer was lost; each may have repeated its events.
        dead_letters: Events that were refused.
        over_quota_waits: How often a transaction was tried again because the broker had no room for it.
    """

    events_committed: int = 0
    transactions_committed: int = 0
    transactions_rolled_back: int = 0
    transactions_unknown: int = 0
    dead_letters: int = 0
    over_quota_waits: int = 0


@dataclass(slots=True)
class Publisher:
    """Gathers events into transactions and commits them.

    Attributes:
        channel: Where they go; used by one thread.
        max_messages: Messages of one transaction, at least 1; the broker's limit is 256 unless it was raised.
        retry_seconds: How long one transaction may be tried before the error goes on, 0 or more. The very first one
            of a publisher is not tried again if the broker cannot be reached.
        max_body_bytes: Larger bodies are refused here: a broker may answer them by breaking the connection, which looks
            like an outage.
        packing: How many events of one topic go into one message; ``None`` for one event a message.
        fields: What messages get beside body, topic and headers.
        on_unknown: What becomes of a transaction whose commit was not answered.
        on_over_quota: What becomes of one that the broker has no room for.
        stopping: Whether whoever runs this wants it to end; asked while room is waited for.
        clock: The time.
        pause: Waits so many seconds.
        observe: Told the measurements of :data:`MEASURED`; also by the thread that commits.
        overlap: Whether a full transaction is committed in a thread of its own, while the next one is gathered. What is
            settled is told by a later call then, or by :meth:`flush`.
        counts: What has happened so far.
    """

    channel: Channel
    max_messages: int
    retry_seconds: float
    max_body_bytes: int = 9_900_000
    packing: Packing | None = None
    fields: MessageFields = PLAIN_FIELDS
    on_unknown: OnUnknown = OnUnknown.RETRY
    on_over_quota: OnOverQuota = OnOverQuota.WAIT
    stopping: Callable[[], bool] = bool
    clock: Clock = field(default_factory=SystemClock)
    pause: Callable[[float], object] = time.sleep
    observe: Callable[[str, int], object] = observe_nothing
    overlap: bool = False
    counts: PublisherCounts = field(default_factory=PublisherCounts)
    _parts: list[_Part] = field(default_factory=list)
    _size: int = 0
    _packed_bytes: int = 0
    _latest: dict[str, int] = field(default_factory=dict)
    """Where in the parts the latest message of each topic is, when events are packed."""
    _connected: bool = False
    _worker: ThreadPoolExecutor | None = None
    _under_way: Future[_Settled] | None = None
    """The transaction that is being committed."""

    def add(self, batch: EventBatch, topics: str | pa.StringArray) -> Iterator[Durable | DeadLetter]:
        """Add a batch; commit whatever makes a full transaction.

        Args:
            batch: Events.
            topics: One topic for all, or one per event.

        Yields:
            What is settled by now: deliveries that are durable on the broker, and refused events.

        Raises:
            ConnectionFailedError: The broker stayed away; nothing that was yielded is concerned.
        """
        if self.packing is not None and (groups := _groups(batch, topics)):
            yield from self._add_packed(groups, self.packing)
            return
        rest = _Part(batch, topics)
        while len(rest.batch):
            taken = rest.slice(0, self.max_messages - self._size)
            rest = rest.slice(len(taken.batch))
            self._parts.append(taken)
            self._size += len(taken.batch)
            if self._size >= self.max_messages:
                yield from self._commit_full()

    def _add_packed(self, groups: Sequence[tuple[EventBatch, str]], packing: Packing) -> Iterator[Durable | DeadLetter]:
        for batch, topic in groups:
            rest = self._refill(batch, topic, packing)
            while len(rest):
                rest = self._add_messages(rest, topic, packing)
                if self._size >= self.max_messages or self._packed_bytes >= _MAX_PACKED_BYTES:
                    yield from self._commit_full()

    def _add_messages(self, batch: EventBatch, topic: str, packing: Packing) -> EventBatch:
        """Add as much of a batch as the transaction has room for, and return the rest.

        What fills whole messages is one part, for one call of the channel; the last message may be filled up later.
        """
        for span in packing.cut(batch):
            self._size += 1
            self._packed_bytes += span.nbytes
            if self._size >= self.max_messages or self._packed_bytes >= _MAX_PACKED_BYTES:
                break
        if span.start:
            self._parts.append(_Part(batch.slice(0, span.start), topic, packing))
        self._latest[topic] = len(self._parts)
        self._parts.append(_Part(batch.slice(span.start, span.events), topic, packing))
        return batch.slice(span.start + span.events)

    def _refill(self, batch: EventBatch, topic: str, packing: Packing) -> EventBatch:
        """Fill up the latest message of the topic, if it has room, and return what is left for further ones."""
        place = self._latest.get(topic)
        if place is None or _receiver(batch) != _receiver(latest := self._parts[place].batch):
            return batch
        joined = EventBatch.concat([latest, batch.slice(0, packing.max_events)])
        span = next(packing.cut(joined))
        filled = joined.slice(0, span.events)
        self._parts[place] = self._parts[place]._replace(batch=filled)
        self._packed_bytes += span.nbytes - latest.nbytes
        return batch.slice(len(filled) - len(latest))

    def flush(self) -> Iterator[Durable | DeadLetter]:
        """Commit what has been added and not committed; yields and raises as :meth:`add`."""
        yield from self._commit_full()
        yield from self._settled()

    def forget(self) -> None:
        """Drop what has been added and not committed: it belongs to a bundle that failed.

        What is being committed is waited for; whatever becomes of it, its source was not told.
        """
        self._take_parts()
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            wait([under_way])

    def close(self) -> None:
        """Release the channel; what is being committed ends. Idempotent."""
        self.channel.close()
        if self._worker is not None:
            self._worker.shutdown()

    def _take_parts(self) -> list[_Part]:
        parts = self._parts
        self._parts, self._size, self._packed_bytes, self._latest = [], 0, 0, {}
        return parts

    def _commit_full(self) -> Iterator[Durable | DeadLetter]:
        """Commit what has been added, at once or behind the caller's back, and yield what is settled by now."""
        parts = self._take_parts()
        if not self.overlap:
            yield from self._settle(parts)
            return
        yield from self._settled()
        if parts:
            if self._worker is None:
                self._worker = ThreadPoolExecutor(1, thread_name_prefix="flumebeam-publish")
            self._under_way = self._worker.submit(self._settle_ahead, parts)

    def _settled(self) -> Iterator[Durable | DeadLetter]:
        """Wait for the transaction that is being committed; yield what was settled, also before an error."""
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            settled, error, rest = under_way.result()
            yield from settled
            if error is not None:
                raise error
            yield from rest

    def _settle_ahead(self, parts: Sequence[_Part]) -> _Settled:
        """Settle up to the first refused event: whoever is told of it decides whether it goes on."""
        settled: list[Durable | DeadLetter] = []
        rest = self._settle(parts)
        try:
            for one in rest:
                settled.append(one)
                if isinstance(one, DeadLetter):
                    break
        except Exception as error:  # noqa: BLE001 - raised in the caller's thread
            return settled, error, rest
        return settled, None, rest

    def _settle(self, parts: Sequence[_Part]) -> Iterator[Durable | DeadLetter]:
        if not parts:
            return
        verdict = self._commit(parts)
        if verdict is None:
            yield from _durables(parts)
            return
        size = sum(len(part.batch) for part in parts)
        if size == 1 or verdict.of_all:
            self.counts.dead_letters += size
            for part in parts:
                yield from _dead_letters(part, verdict.cause)
            return
        yield from self._settle(_cut(parts, 0, size // 2))
        yield from self._settle(_cut(parts, size // 2, size))

    def _commit(self, parts: Sequence[_Part]) -> _Verdict | None:
        """Commit one transaction, however often it takes; return why it was given up, or ``None`` if it was not."""
        deadline = self.clock.monotonic() + self.retry_seconds
        pause = _FIRST_PAUSE_SECONDS
        waits = 0
        while True:
            try:
                outcome = self._attempt(parts)
            except PublishRefusedError as error:
                return _Verdict(str(error))
            except ConnectionFailedError as error:
                self.counts.transactions_rolled_back += 1
                if not (error.retriable and self._connected) or self.clock.monotonic() >= deadline:
                    raise
            else:
                if outcome.kind is OutcomeKind.COMMITTED:
                    self.counts.transactions_committed += 1
                    events = sum(len(part.batch) for part in parts)
                    self.counts.events_committed += events
                    self.observe("transaction_events", events)
                    return None
                if outcome.kind is OutcomeKind.UNKNOWN:
                    self.counts.transactions_unknown += 1
                    if self.on_unknown is OnUnknown.DEAD_LETTER:
                        return _Verdict(f"it may be there already, since {outcome.cause}", of_all=True)
                    if self.on_unknown is OnUnknown.STOP:
                        raise ConnectionFailedError(
                            f"It is unknown whether a transaction was committed ({outcome.cause}): its source delivers "
                            "its events again, and they may be there already."
                        )
                    parts = [part._replace(batch=part.batch.with_shared(_REPEATED)) for part in parts]
                else:
                    self.counts.transactions_rolled_back += 1
                if outcome.over_quota and self.on_over_quota is not OnOverQuota.DEAD_LETTER:
                    if waits >= _WHOLE_WAITS and sum(len(part.batch) for part in parts) > 1:
                        return _Verdict(outcome.cause)  # it may be larger than all the room there is: in halves
                    waits += 1
                    self._wait_for_room(outcome, pause)
                    pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
                    deadline = self.clock.monotonic() + self.retry_seconds
                    continue
                if outcome.refused:
                    return _Verdict(outcome.cause)
                if self.clock.monotonic() >= deadline:
                    raise ConnectionFailedError(
                        f"A transaction could not be committed within {self.retry_seconds:g} s ({outcome.cause}): "
                        "its events are published again when the source delivers them again."
                    )
            self.pause(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _wait_for_room(self, outcome: Outcome, pause: float) -> None:
        if self.on_over_quota is OnOverQuota.STOP or self.stopping():
            raise PublishRefusedError(
                f"A transaction was not committed, since {outcome.cause}: its source keeps its events. "
                "Empty the queue or raise its quota."
            )
        if pause >= _LONGEST_PAUSE_SECONDS:
            _logger.warning("Waiting for room on the broker: %s.", outcome.cause)
        self.counts.over_quota_waits += 1
        self.pause(pause)

    def _attempt(self, parts: Sequence[_Part]) -> Outcome:
        transaction = self.channel.transaction()
        try:
            transaction.begin()
            self._connected = True
            begun = self.clock.monotonic()
            for part in parts:
                self._check_size(part.batch)
                transaction.put(part.batch, part.topics, part.packing, self.fields)
            put = self.clock.monotonic()
            self.observe("publish_ms", round(1000 * (put - begun)))
            outcome = transaction.commit()
            self.observe("commit_ms", round(1000 * (self.clock.monotonic() - put)))
            return outcome
        finally:
            # Also one that could not begin: the channel opens no other one before.
            transaction.close()

    def _check_size(self, batch: EventBatch) -> None:
        if (largest := pc.max(pc.binary_length(batch.bodies)).as_py()) > self.max_body_bytes:
            raise PublishRefusedError(
                f"its body has {largest} bytes, of which {self.max_body_bytes} are allowed (max_body_bytes)"
            )


def _groups(batch: EventBatch, topics: str | pa.StringArray) -> list[tuple[EventBatch, str]]:
    """Return the events by topic; nothing if a topic is refused, which settling finds out event by event."""
    try:
        return list(by_topic(batch, topics))
    except PublishRefusedError:
        return []


def _receiver(batch: EventBatch) -> str | None:
    return None if batch.provenance is None else batch.provenance.receiver


def _cut(parts: Sequence[_Part], start: int, stop: int) -> list[_Part]:
    """Return the events from ``start`` to ``stop``, counted over all parts."""
    kept = []
    for part in parts:
        size = len(part.batch)
        first, last = max(start, 0), min(stop, size)
        if first < last:
            kept.append(part.slice(first, last - first))
        start, stop = start - size, stop - size
    return kept


def _durables(parts: Sequence[_Part]) -> Iterator[Durable]:
    for part in parts:
        if (origin := part.batch.provenance) is not None:
            yield Durable(origin.receiver, origin.ids)


def _dead_letters(part: _Part, cause: str) -> Iterator[DeadLetter]:
    topics = repeat(part.topics) if isinstance(part.topics, str) else part.topics.to_pylist()
    for event, topic in zip(part.batch.events(), topics, strict=False):
        yield DeadLetter(event, topic, cause)
