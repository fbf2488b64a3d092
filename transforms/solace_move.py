"""``MoveOnSolace``: from a queue to topics, taken and published in one transaction of the broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import apache_beam as beam

from flumebeam.batch import EventBatch
from flumebeam.channel.publishing import MEASURED
from flumebeam.channel.topics import TopicFunction, topic_function
from flumebeam.clock import Clock, SystemClock
from flumebeam.errors import ConfigurationError
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.fields import PLAIN_FIELDS, MessageFields
from flumebeam.solace.ports import OutcomeKind
from flumebeam.transforms import metrics
from flumebeam.transforms.read_options import ReadLimits
from flumebeam.transforms.stopping import stop_requested

__all__ = ["MoveOnSolace"]

_BLOCK_SECONDS: Final = 0.1


class MoveOnSolace(beam.PTransform):
    """Takes events from a queue, applies a function, and publishes the result, each batch in one transaction.

    Input: the pipeline; output: a PCollection of integers, the events that each transaction has taken.

    Unit of parallelism: one session. Delivery: exactly once, since taking and publishing are one step of the broker.
    What repeats: nothing; the function may see a batch twice. What is never lost: any event, unless the function drops
    it. A refused event stops the run and stays on its queue; a full queue is waited for.

    It runs as one call, to a limit or until a stop is requested in the process: a job on a cluster needs a limit.

    Args:
        queue: Name of the queue to take from.
        topic: As for :class:`~flumebeam.transforms.solace_write.WriteToSolace`.
        function: Makes of a batch what is published; picklable. By default it is published as it is.
        connection: Where and as whom; by default from the environment.
        fields: Further fields of the messages.
        max_transaction_messages: The broker's limit; half of it is taken at once.
        max_events: End after so many events.
        max_seconds: End after so many seconds.
        until_empty: End when nothing has come for ``idle_seconds``.
        idle_seconds: See ``until_empty``.

    Raises:
        ConfigurationError: An option that cannot work.
    """

    def __init__(
        self,
        queue: str,
        topic: str | TopicFunction,
        function: Callable[[EventBatch], EventBatch] | None = None,
        *,
        connection: SolaceOptions | None = None,
        fields: MessageFields = PLAIN_FIELDS,
        max_transaction_messages: int = 256,
        max_events: int | None = None,
        max_seconds: float | None = None,
        until_empty: bool = False,
        idle_seconds: float = 2.0,
    ) -> None:
        super().__init__()
        if not queue:
            raise ConfigurationError("The name of the queue to move from is empty.")
        if max_transaction_messages < 2:
            raise ConfigurationError("A transaction that takes and publishes has at least two messages.")
        options = connection or SolaceOptions.from_environment()
        limits = ReadLimits(
            max_events=max_events, max_seconds=max_seconds, until_empty=until_empty, idle_seconds=idle_seconds
        )
        self._move = _MoveFn(
            options,
            queue,
            topic_function(topic),
            function or _as_it_is,
            fields,
            max_transaction_messages,
            limits,
            (
                metrics.LineageNote("solace", options.host, options.vpn, queue),
                metrics.LineageNote("solace", options.host, options.vpn, str(topic), sink=True),
            ),
        )
        self._shown = {"queue": queue, "topic": str(topic), "host": options.host, "vpn": options.vpn}

    def expand(self, pbegin: beam.pvalue.PBegin) -> beam.PCollection[int]:
        """Add the step to a pipeline."""
        once = pbegin | "Once" >> beam.Create([None], reshuffle=False)
        return once | "Move" >> beam.ParDo(self._move).with_output_types(int)

    def display_data(self) -> dict[str, Any]:
        """Return what a runner's interface shows; no secrets."""
        return self._shown


def _as_it_is(batch: EventBatch) -> EventBatch:
    return batch


class _MoveFn(beam.DoFn):
    def __init__(
        self,
        options: SolaceOptions,
        queue: str,
        topics: TopicFunction,
        function: Callable[[EventBatch], EventBatch],
        fields: MessageFields,
        max_messages: int,
        limits: ReadLimits,
        lineage: tuple[metrics.LineageNote, metrics.LineageNote],
    ) -> None:
        self._options = options
        self._queue = queue
        self._topics = topics
        self._function = function
        self._fields = fields
        self._max_messages = max_messages
        self._limits = limits
        self._moved = metrics.counter("events_moved")
        self._outcomes = {kind: metrics.counter(f"transactions_{kind.value.replace(' ', '_')}") for kind in OutcomeKind}
        self._distributions = {name: metrics.distribution(name) for name in MEASURED}
        self._lineage = lineage

    def process(self, _: None) -> Iterator[int]:
        from flumebeam.channel.moving import Mover  # load a native library: only the worker pays
        from flumebeam.channel.solace import SolaceChannel

        clock: Clock = SystemClock()
        limits = self._limits
        begun = last = clock.monotonic()
        total = 0
        with SolaceChannel(self._options, queue=self._queue, max_transaction_messages=self._max_messages) as channel:
            mover = Mover(
                channel,
                self._function,
                self._topics,
                self._max_messages // 2,
                self._fields,
                observe=lambda name, value: self._distributions[name].update(value),
                ended=lambda kind: self._outcomes[kind].inc(),
            )
            for note in self._lineage:
                note.tell()
            while not stop_requested():
                now = clock.monotonic()
                if limits.max_seconds is not None and now - begun >= limits.max_seconds:
                    return
                if limits.until_empty and now - last >= limits.idle_seconds:
                    return
                if limits.max_events is not None:
                    if total >= limits.max_events:
                        return
                    mover.max_messages = min(self._max_messages // 2, limits.max_events - total)
                moved = mover.step(_BLOCK_SECONDS)
                if moved is None:
                    # Whoever connects, or stands still, does not listen.
                    last += max(0.0, clock.monotonic() - now - _BLOCK_SECONDS)
                    continue
                if moved:
                    total += moved
                    self._moved.inc(moved)
                    yield moved
                last = clock.monotonic()  # also where the broker was away: that is no empty queue
