"""Publishing batches outside of transactions, until each event is either confirmed or refused.

Persistent messages are confirmed one by one: a window of them is sent, and every receipt waited for. Direct ones are
confirmed by nobody: what is under way when a connection breaks, or meets a full buffer on the broker, is **lost**.

The interface, and the policies for what is unknown or has no room, are those of
:class:`~flumebeam.channel.publishing.Publisher`. What is repeated here is a window at most.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from flumebeam.batch import EventBatch
from flumebeam.channel.publishing import OnOverQuota, OnUnknown, PublisherCounts, observe_nothing
from flumebeam.clock import Clock, SystemClock
from flumebeam.deliveries import DeadLetter, Durable
from flumebeam.errors import ConnectionFailedError, PublishRefusedError
from flumebeam.event import REPEATED_HEADER
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.fields import PLAIN_FIELDS, MessageFields
from flumebeam.solace.outgoing import messages_of_events
from flumebeam.solace.ports import Connection, MessagePublisher, Refusal
from flumebeam.solace.session import connect

__all__ = ["PlainPublisher"]

_PAUSE_SECONDS = 0.5


@dataclass(slots=True)
class PlainPublisher:
    """Publishes events without transactions.

    Attributes:
        options: The broker.
        direct: Whether messages are direct, and so confirmed by nobody.
        max_messages: Messages of one window, at least 1.
        retry_seconds: How long one window may be tried when the connection breaks.
        max_body_bytes: Larger bodies are refused here.
        fields: What messages get beside body, topic and headers.
        on_unknown: What becomes of a window whose receipts did not come.
        on_over_quota: What becomes of messages that the broker has no room for. Waiting for room changes the order.
        stopping: Whether whoever runs this wants it to end; asked while room is waited for.
        clock: The time.
        pause: Waits so many seconds.
        observe: Told the measurements of :data:`~flumebeam.channel.publishing.MEASURED`, a window being a transaction;
            of direct messages no ``commit_ms``, since nobody confirms them.
        counts: What has happened so far; a window counts as a transaction.
    """

    options: SolaceOptions
    direct: bool
    max_messages: int
    retry_seconds: float
    max_body_bytes: int = 9_900_000
    fields: MessageFields = PLAIN_FIELDS
    on_unknown: OnUnknown = OnUnknown.RETRY
    on_over_quota: OnOverQuota = OnOverQuota.WAIT
    stopping: Callable[[], bool] = bool
    clock: Clock = field(default_factory=SystemClock)
    pause: Callable[[float], object] = time.sleep
    observe: Callable[[str, int], object] = observe_nothing
    counts: PublisherCounts = field(default_factory=PublisherCounts)
    _connection: Connection | None = None
    _publisher: MessagePublisher | None = None

    def add(self, batch: EventBatch, topics: str | pa.StringArray) -> Iterator[Durable | DeadLetter]:
        """Publish a batch, a window at a time; yields what is settled, as ``Publisher.add`` does.

        Raises:
            ConnectionFailedError: The broker stayed away.
            PublishRefusedError: There is no room, or it is unknown, and the policy says stop.
        """
        for start in range(0, len(batch), self.max_messages):
            part = batch.slice(start, self.max_messages)
            yield from self._window(part, topics if isinstance(topics, str) else topics.slice(start, len(part)))

    def flush(self) -> Iterator[Durable | DeadLetter]:
        """Nothing is left behind by :meth:`add`."""
        return iter(())

    def forget(self) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Disconnect. Idempotent."""
        connection, self._connection, self._publisher = self._connection, None, None
        if connection is not None:
            connection.close()

    # -- within --------------------------------------------------------------------------------------------------------

    def _window(self, batch: EventBatch, topics: str | pa.StringArray) -> Iterator[Durable | DeadLetter]:
        deadline = self.clock.monotonic() + self.retry_seconds
        refused = self._unsendable(batch, topics)
        while True:
            fine = [index for index in range(len(batch)) if index not in refused]
            sent = batch.take(pa.array(fine, pa.int64()))
            try:
                answers = self._send(sent, _some(topics, fine))
            except ConnectionFailedError as error:
                connected = self._publisher is not None
                self.close()
                self.counts.transactions_unknown += 1
                if not (connected and error.retriable) or self.clock.monotonic() >= deadline:
                    raise
                if self.on_unknown is OnUnknown.STOP:
                    raise
                if self.on_unknown is OnUnknown.DEAD_LETTER:
                    cause = f"it may be there already, since {error}"
                    yield from self._letters(batch, topics, dict.fromkeys(range(len(batch)), Refusal(cause)))
                    return
                batch = batch.with_shared({REPEATED_HEADER: "true"})
                self.pause(_PAUSE_SECONDS)
                continue
            answered = {index: answer for index, answer in zip(fine, answers, strict=True) if answer is not None}
            waits = self.on_over_quota is not OnOverQuota.DEAD_LETTER
            full = [index for index, answer in answered.items() if answer.over_quota and waits]
            done = [index for index in fine if index not in answered]
            refused |= {index: answer for index, answer in answered.items() if index not in full}
            self.counts.events_committed += len(done)
            self.observe("transaction_events", len(done))
            yield from self._durables(batch, done)
            yield from self._letters(batch, topics, refused)
            if not full:
                self.counts.transactions_committed += 1
                return
            self._wait_for_room(answered[full[0]])
            batch, topics, refused = batch.take(pa.array(full, pa.int64())), _some(topics, full), {}

    def _send(self, batch: EventBatch, topics: str | pa.StringArray) -> list[Refusal | None]:
        if self._publisher is None:
            self._connection = connect(self.options)
            self._publisher = self._connection.publisher(direct=self.direct)
        if not len(batch):
            return []
        begun = sent = self.clock.monotonic()

        def on_sent() -> None:
            nonlocal sent
            sent = self.clock.monotonic()
            self.observe("publish_ms", round(1000 * (sent - begun)))

        answers = self._publisher.send(batch, topics, None, self.fields, on_sent=on_sent)
        if not self.direct:
            self.observe("commit_ms", round(1000 * (self.clock.monotonic() - sent)))
        return answers

    def _unsendable(self, batch: EventBatch, topics: str | pa.StringArray) -> dict[int, Refusal]:
        """Find the events that cannot be sent as they are: mostly none, which one look tells."""
        found = {}
        sizes = pc.binary_length(batch.bodies).to_pylist()
        for index in (index for index, size in enumerate(sizes) if size > self.max_body_bytes):
            found[index] = Refusal(f"its body has {sizes[index]} bytes, of which {self.max_body_bytes} are allowed")
        try:
            messages_of_events(batch, topics, self.fields)
        except PublishRefusedError:
            for index in range(len(batch)):
                try:
                    one = topics if isinstance(topics, str) else topics.slice(index, 1)
                    messages_of_events(batch.slice(index, 1), one, self.fields)
                except PublishRefusedError as error:
                    found[index] = Refusal(str(error))
        return found

    def _wait_for_room(self, refusal: Refusal) -> None:
        if self.on_over_quota is OnOverQuota.STOP or self.stopping():
            raise PublishRefusedError(
                f"Messages were not taken, since {refusal.cause}: their source keeps its events. "
                "Empty the queue or raise its quota."
            )
        self.counts.over_quota_waits += 1
        self.pause(_PAUSE_SECONDS)

    def _letters(
        self, batch: EventBatch, topics: str | pa.StringArray, refused: dict[int, Refusal]
    ) -> Iterator[DeadLetter]:
        for index, refusal in sorted(refused.items()):
            self.counts.dead_letters += 1
            topic = topics if isinstance(topics, str) else topics[index].as_py()
            yield DeadLetter(next(batch.slice(index, 1).events()), topic, refusal.cause)

    @staticmethod
    def _durables(batch: EventBatch, indices: list[int]) -> Iterator[Durable]:
        if batch.provenance is not None and indices:
            yield Durable(batch.provenance.receiver, batch.provenance.ids.take(pa.array(indices, pa.int64())))


def _some(topics: str | pa.StringArray, indices: list[int]) -> str | pa.StringArray:
    return topics if isinstance(topics, str) else topics.take(pa.array(indices, pa.int64()))
