"""``WriteToSolace``: event batches to topics, in transactions of the broker."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeVar
from weakref import ref

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput
from apache_beam.utils.windowed_value import WindowedValue

from flumebeam.batch import EventBatch
from flumebeam.channel.base import Channel
from flumebeam.channel.publishing import MEASURED, OnOverQuota, OnUnknown, Publisher, PublisherCounts
from flumebeam.channel.topics import TopicFunction, topic_function
from flumebeam.deliveries import Durable
from flumebeam.errors import ConfigurationError, PublishRefusedError
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.fields import PLAIN_FIELDS, MessageFields
from flumebeam.solace.packing import Packing
from flumebeam.transforms import metrics
from flumebeam.transforms.broker_position import BrokerPosition, share
from flumebeam.transforms.deadletter import DeadLetter
from flumebeam.transforms.element_types import taken
from flumebeam.transforms.graph_checks import NotedLetters, note_letters
from flumebeam.transforms.stopping import stop_requested

if TYPE_CHECKING:
    from flumebeam.channel.receipts import PlainPublisher

__all__ = ["WriteResult", "WriteToSolace"]

_DEAD_LETTERS: Final = "dead_letters"
_WRITTEN: Final = "written"
_MODES: Final = ("transacted", "persistent", "direct")
_E = TypeVar("_E", bound=Enum)


class WriteResult(NamedTuple):
    """What comes out of a write.

    Attributes:
        written: PCollection of :class:`~flumebeam.deliveries.Durable`: deliveries whose events are committed, for
            :class:`~flumebeam.transforms.acknowledge.Acknowledge`.
        dead_letters: What the given dead-letter transform returned; without one, an empty PCollection.
    """

    written: beam.PCollection[Durable]
    dead_letters: Any


class WriteToSolace(beam.PTransform):
    """Publishes event batches to topics, each event within a transaction of the broker.

    Input: a PCollection of :class:`~flumebeam.batch.EventBatch`; output: :class:`WriteResult`. For single events put
    :class:`~flumebeam.transforms.events.FromEvents` in front.

    Unit of parallelism: a worker's bundle; each instance has one session and one transaction at a time. The sessions of
    a process share one connection; outside of transactions each instance has its own. A bundle is cut into
    transactions of ``max_transaction_messages``; the rest is committed when it ends. The source is told only what a
    committed transaction holds.

    Delivery: at least once. What repeats: a transaction whose commit was not answered, and what was committed and not
    acknowledged when a worker died; events with a stable identity (header ``flumebeam.id``) show it. What is never
    lost: any event; it is committed, a dead letter, or delivered again by its source.

    A broker that goes away is waited for, as long as ``retry_seconds`` and the connection's reconnect policy allow. If
    it cannot be reached at the start, the run fails at once.

    Args:
        topic: A topic, a template over headers such as ``logs/%{host}``, or a picklable function that returns one topic
            for a batch or one per event.
        connection: Where and as whom; by default from the environment (``SOLACE_HOST`` and so on) of the process that
            builds the pipeline.
        dead_letters: What to do with events that the broker, or its client, refuses: no queue is subscribed, too large,
            forbidden, a header that cannot be sent. A transform of :class:`~flumebeam.transforms.deadletter.DeadLetter`
            elements, such as ``DeadLettersToFiles`` or ``DeadLettersToSolace``, whose output is to be acknowledged as
            well; a run that forgets that is refused. Without one dead letters are refused: the first such event fails
            the run with the reason, and its source keeps it.
        max_transaction_messages: At most the broker's limit per transaction, which is 256 unless it was raised.
        packing: Put many events of one topic into one message, for queues that only flumebeam, or others who read Arrow
            streams, drink from; by default one event is one message.
        mode: ``"transacted"``; ``"persistent"`` for messages with a receipt each, outside of transactions: a window of
            ``max_transaction_messages`` may be repeated, and becomes visible bit by bit; ``"direct"`` for messages that
            nobody confirms: what is under way when something breaks is **lost**.
        fields: Further fields of the messages: partition key, priority, time to live and so on.
        on_unknown: What becomes of a transaction whose commit was not answered: ``"retry"`` publishes it again, with
            the header ``flumebeam.repeated``; ``"dead-letter"`` makes dead letters of its events; ``"stop"`` fails.
        on_over_quota: What becomes of a transaction that the broker has no room for: ``"wait"`` tries until there is
            room, and so holds up the source; ``"dead-letter"``; ``"stop"``.
        retry_seconds: How long one transaction may be tried.
        position: Keep the position of the source in the broker and move it in the transactions of its events, which
            are then there exactly once; give it to the source, too. Refused events stop the run, and packing needs one
            fixed topic: a position passes over nothing that is not in the broker.
        max_body_bytes: Larger bodies are refused; with its headers a message must stay below the broker's largest
            message, which is 10,000,000 bytes unless it was changed.

    Raises:
        ConfigurationError: An option that cannot work.
    """

    def __init__(
        self,
        topic: str | TopicFunction,
        *,
        connection: SolaceOptions | None = None,
        dead_letters: beam.PTransform | None = None,
        max_transaction_messages: int = 256,
        packing: Packing | None = None,
        mode: Literal["transacted", "persistent", "direct"] = "transacted",
        fields: MessageFields = PLAIN_FIELDS,
        on_unknown: Literal["retry", "dead-letter", "stop"] = "retry",
        on_over_quota: Literal["wait", "dead-letter", "stop"] = "wait",
        retry_seconds: float = 120.0,
        max_body_bytes: int = 9_900_000,
        position: BrokerPosition | None = None,
    ) -> None:
        super().__init__()
        if max_transaction_messages < 1:
            raise ConfigurationError(f"A transaction holds at least one message, got {max_transaction_messages}.")
        if retry_seconds < 0 or max_body_bytes < 0:
            raise ConfigurationError(
                f"retry_seconds and max_body_bytes must not be negative, got {retry_seconds} and {max_body_bytes}."
            )
        self._topics = topic_function(topic)
        self._dead_letters = dead_letters
        self._limits: dict[str, Any] = {
            "max_messages": max_transaction_messages,
            "retry_seconds": retry_seconds,
            "max_body_bytes": max_body_bytes,
            "packing": packing,
            "fields": fields,
            "on_unknown": _choice(OnUnknown, "on_unknown", on_unknown),
            "on_over_quota": _choice(OnOverQuota, "on_over_quota", on_over_quota),
            "stopping": stop_requested,
            # The source moves a position of its own in the thread of the sink.
            "overlap": position is None,
        }
        if packing is not None and fields.differ_by_event:
            raise ConfigurationError("Events in one message share its fields: leave out packing, or fields by header.")
        if dead_letters is None and "dead-letter" in (on_unknown, on_over_quota):
            raise ConfigurationError("Dead letters need somebody who takes them: give a dead_letters transform.")
        if mode not in _MODES:
            raise ConfigurationError(f"mode is {mode!r}; it must be one of {', '.join(_MODES)}.")
        if mode != "transacted" and (packing is not None or position is not None):
            raise ConfigurationError("Packing and a position in the broker need transactions: leave mode as it is.")
        options = connection or SolaceOptions.from_environment()
        channel: Callable[[], Channel] = partial(open_channel, options, max_transaction_messages)
        if position is not None:
            if dead_letters is not None or not (packing is None or (isinstance(topic, str) and "%" not in topic)):
                raise ConfigurationError(
                    "A position in the broker passes over nothing: leave out dead_letters, and pack for a fixed topic."
                )
            if position.connection.host != options.host or position.connection.vpn != options.vpn:
                raise ConfigurationError(
                    "A position is moved with its events: it must be in the broker that gets them."
                )
            channel = partial(share, position)
            self._limits["max_messages"] = min(max_transaction_messages, position.max_transaction_messages) - 4
        self._open: Callable[[], Publisher | PlainPublisher] = partial(open_publisher, channel, self._limits)
        if mode != "transacted":
            limits = {name: value for name, value in self._limits.items() if name not in ("packing", "overlap")}
            self._open = partial(open_plain_publisher, options, mode == "direct", limits)
        self._shown = {"mode": mode, "topic": str(topic), "host": options.host, "vpn": options.vpn}
        self._shown["username"] = options.username

    def expand(self, batches: beam.PCollection[EventBatch]) -> WriteResult:
        """Add the sink to a graph."""
        batches = taken(batches, EventBatch, "WriteToSolace")
        write = PublishFn(
            self._open,
            self._topics,
            keeps_dead_letters=self._dead_letters is not None,
            lineage=metrics.LineageNote(
                "solace", self._shown["host"], self._shown["vpn"], self._shown["topic"], sink=True
            ),
        )
        outputs = batches | "Publish" >> beam.ParDo(write).with_outputs(_DEAD_LETTERS, main=_WRITTEN)
        letters = outputs[_DEAD_LETTERS]
        letters.element_type = DeadLetter
        outputs[_WRITTEN].element_type = Durable
        if self._dead_letters is None:
            return WriteResult(outputs[_WRITTEN], letters)
        kept = letters | self._dead_letters
        if isinstance(kept, beam.PCollection) and kept.element_type is Durable:
            note_letters(batches.pipeline, NotedLetters(written=ref(outputs[_WRITTEN]), kept=ref(kept)))
        return WriteResult(outputs[_WRITTEN], kept)

    def display_data(self) -> dict[str, Any]:
        """Return what a runner's interface shows about this sink; no secrets."""
        return self._shown


def _choice(kind: type[_E], name: str, value: str) -> _E:
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(choice.value for choice in kind)
        raise ConfigurationError(f"{name} is {value!r}; it must be one of {known}.") from None


def open_channel(options: SolaceOptions, max_transaction_messages: int) -> Channel:
    """Return a channel that publishes only; it connects when its first transaction begins."""
    # Loads a native library, which a process that only builds graphs does not need.
    from flumebeam.channel.pool import share_connection
    from flumebeam.channel.solace import SolaceChannel

    return SolaceChannel(options, max_transaction_messages=max_transaction_messages, connector=share_connection)


def open_publisher(channel: Callable[[], Channel], limits: Mapping[str, Any]) -> Publisher:
    """Return a publisher in transactions."""
    return Publisher(channel(), **limits)


def open_plain_publisher(options: SolaceOptions, direct: bool, limits: Mapping[str, Any]) -> PlainPublisher:
    """Return a publisher outside of transactions; it connects with the first batch."""
    from flumebeam.channel.receipts import PlainPublisher

    return PlainPublisher(options, direct, **limits)


class PublishFn(beam.DoFn):
    """Publishes batches; the main output are durable deliveries, the tagged one dead letters.

    Args:
        open_publisher: Opens the publisher of one instance; pickled.
        topics: The topics of a batch; pickled.
        keeps_dead_letters: Whether somebody takes the dead letters; if not, the first one is an error.
        lineage: Where they go.
    """

    def __init__(
        self,
        open_publisher: Callable[[], Publisher | PlainPublisher],
        topics: TopicFunction,
        *,
        keeps_dead_letters: bool,
        lineage: metrics.LineageNote,
    ) -> None:
        self._lineage = lineage
        self._open_publisher = open_publisher
        self._topics = topics
        self._keeps_dead_letters = keeps_dead_letters
        self._publisher: Publisher | PlainPublisher | None = None
        self._counted = PublisherCounts()
        self._distributions = {name: metrics.distribution(name) for name in MEASURED}
        self._observed: deque[tuple[str, int]] = deque()
        self._counters = {name: metrics.counter(name) for name in asdict(self._counted)}

    def start_bundle(self) -> None:
        """Forget what an earlier bundle may have left; connect if this is the first one."""
        self._place: tuple[Any, Any] | None = None
        if self._publisher is None:
            self._publisher = self._open_publisher()
            self._publisher.observe = self._observe
        self._publisher.forget()

    def process(
        self, batch: EventBatch, stamp: Any = beam.DoFn.TimestampParam, window: Any = beam.DoFn.WindowParam
    ) -> Iterator[Any]:
        """Publish a batch, as far as it makes full transactions.

        Raises:
            PublishRefusedError: An event was refused and nobody takes dead letters.
            ConnectionFailedError: The broker stayed away.
        """
        self._place = stamp, window
        if self._publisher is not None and len(batch):
            for settled in self._publisher.add(batch, self._topics(batch)):
                yield self._output(settled)
            self._count()

    def finish_bundle(self) -> Iterator[Any]:
        """Commit the rest."""
        if self._publisher is not None and self._place is not None:
            stamp, window = self._place
            for settled in self._publisher.flush():
                output = self._output(settled)
                if isinstance(output, TaggedOutput):
                    yield TaggedOutput(output.tag, WindowedValue(output.value, stamp, [window]))
                else:
                    yield WindowedValue(output, stamp, [window])
            self._count()

    def teardown(self) -> None:
        """Disconnect."""
        if self._publisher is not None:
            self._publisher.close()

    def _output(self, settled: Durable | DeadLetter) -> Any:
        if isinstance(settled, Durable):
            return settled
        if not self._keeps_dead_letters:
            raise PublishRefusedError(
                f"An event for topic {settled.target!r} was refused: {settled.cause}. "
                "Change that, or give WriteToSolace a dead_letters transform."
            )
        return TaggedOutput(_DEAD_LETTERS, settled)

    def _observe(self, name: str, value: int) -> None:
        # Beam knows a metric of a bundle only in the bundle's own thread, and commits are made in another one.
        self._observed.append((name, value))

    def _count(self) -> None:
        if self._publisher is None:
            return
        while self._observed:
            name, value = self._observed.popleft()
            self._distributions[name].update(value)
        self._lineage.tell()
        now = asdict(self._publisher.counts)
        for name, before in asdict(self._counted).items():
            if now[name] > before:
                self._counters[name].inc(now[name] - before)
        self._counted = PublisherCounts(**now)
