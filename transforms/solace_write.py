"""``WriteToSolace``: event batches to topics, in transactions of the broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any, Final, NamedTuple

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.pvalue import TaggedOutput
from apache_beam.utils.windowed_value import WindowedValue

from flumebeam.batch import EventBatch
from flumebeam.channel.base import Channel
from flumebeam.channel.publishing import Publisher, PublisherCounts
from flumebeam.channel.topics import TopicFunction, topic_function
from flumebeam.deliveries import Durable
from flumebeam.errors import ConfigurationError, PublishRefusedError
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.packing import Packing
from flumebeam.transforms.broker_position import BrokerPosition, share
from flumebeam.transforms.deadletter import DeadLetter

__all__ = ["WriteResult", "WriteToSolace"]

_DEAD_LETTERS: Final = "dead_letters"
_WRITTEN: Final = "written"


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

    Unit of parallelism: a worker's bundle; each instance has one connection and one transaction at a time. A bundle is
    cut into transactions of ``max_transaction_messages``; the rest is committed when it ends. The source is told only
    what a committed transaction holds.

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
            elements, such as ``DeadLettersToFiles``. Without one the first such event fails the run with the reason,
            and its source keeps it.
        max_transaction_messages: At most the broker's limit per transaction, which is 256 unless it was raised.
        packing: Put many events of one topic into one message, for queues that only flumebeam, or others who read Arrow
            streams, drink from; by default one event is one message.
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
        }
        options = connection or SolaceOptions.from_environment()
        self._open: Callable[[], Channel] = partial(open_channel, options, max_transaction_messages)
        if position is not None:
            if dead_letters is not None or not (packing is None or (isinstance(topic, str) and "%" not in topic)):
                raise ConfigurationError(
                    "A position in the broker passes over nothing: leave out dead_letters, and pack for a fixed topic."
                )
            if position.connection.host != options.host or position.connection.vpn != options.vpn:
                raise ConfigurationError(
                    "A position is moved with its events: it must be in the broker that gets them."
                )
            self._open = partial(share, position)
            self._limits["max_messages"] = min(max_transaction_messages, position.max_transaction_messages) - 4
        self._shown = {"topic": str(topic), "host": options.host, "vpn": options.vpn, "username": options.username}

    def expand(self, batches: beam.PCollection[EventBatch]) -> WriteResult:
        """Add the sink to a graph."""
        write = PublishFn(
            self._open,
            self._topics,
            limits=self._limits,
            keeps_dead_letters=self._dead_letters is not None,
        )
        outputs = batches | "Publish" >> beam.ParDo(write).with_outputs(_DEAD_LETTERS, main=_WRITTEN)
        letters = outputs[_DEAD_LETTERS]
        letters.element_type = DeadLetter
        outputs[_WRITTEN].element_type = Durable
        return WriteResult(outputs[_WRITTEN], letters if self._dead_letters is None else letters | self._dead_letters)

    def display_data(self) -> dict[str, Any]:
        """Return what a runner's interface shows about this sink; no secrets."""
        return self._shown


def open_channel(options: SolaceOptions, max_transaction_messages: int) -> Channel:
    """Return a channel that publishes only; it connects when its first transaction begins."""
    # Loads a native library, which a process that only builds graphs does not need.
    from flumebeam.channel.solace import SolaceChannel

    return SolaceChannel(options, max_transaction_messages=max_transaction_messages)


class PublishFn(beam.DoFn):
    """Publishes batches; the main output are durable deliveries, the tagged one dead letters.

    Args:
        open_channel: Opens the channel of one instance; pickled.
        topics: The topics of a batch; pickled.
        limits: Options of the :class:`~flumebeam.channel.publishing.Publisher`.
        keeps_dead_letters: Whether somebody takes the dead letters; if not, the first one is an error.
    """

    def __init__(
        self,
        open_channel: Callable[[], Channel],
        topics: TopicFunction,
        *,
        limits: Mapping[str, Any],
        keeps_dead_letters: bool,
    ) -> None:
        self._open_channel = open_channel
        self._topics = topics
        self._limits = limits
        self._keeps_dead_letters = keeps_dead_letters
        self._publisher: Publisher | None = None
        self._counted = PublisherCounts()
        self._counters = {name: Metrics.counter("flumebeam", name) for name in asdict(self._counted)}

    def start_bundle(self) -> None:
        """Forget what an earlier bundle may have left; connect if this is the first one."""
        self._place: tuple[Any, Any] | None = None
        if self._publisher is None:
            self._publisher = Publisher(self._open_channel(), **self._limits)
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

    def _count(self) -> None:
        if self._publisher is None:
            return
        now = asdict(self._publisher.counts)
        for name, before in asdict(self._counted).items():
            if now[name] > before:
                self._counters[name].inc(now[name] - before)
        self._counted = PublisherCounts(**now)
