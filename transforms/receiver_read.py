"""Reading from receivers: the one splittable source under every ``ReadFrom...`` transform.

A source is a :class:`~flumebeam.transforms.receivers.ReceiverFactory`: something whose receivers deliver batches under
ids and are told, by id, what has become durable. This module turns it into a Beam source:

* Unit of parallelism: a flow, that is one receiver.
* What repeats: what was delivered and not acknowledged when a bundle failed, a worker died or the run was cut short.
* What is never lost: anything that was not acknowledged; the acknowledgement comes after the sink, by
  :class:`~flumebeam.transforms.acknowledge.Acknowledge` or by bundle finalization.

Beam keeps no position of ours that matters: progress lives in the source itself.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from weakref import ref

import apache_beam as beam
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Timestamp

from flumebeam.batch import EventBatch
from flumebeam.clock import Clock, SystemClock
from flumebeam.deliveries import Durable, Receiver
from flumebeam.errors import ConfigurationError, ReceiverLostError
from flumebeam.transforms import beam_compat, metrics, runner_checks
from flumebeam.transforms.acknowledge import durable_of
from flumebeam.transforms.bundle_load import BundleLoad
from flumebeam.transforms.graph_checks import NotedRead, note_read
from flumebeam.transforms.read_options import AcknowledgeBy, BundleLimits, ReadLimits
from flumebeam.transforms.receivers import RECEIVERS, ReceiverFactory, SourceUser
from flumebeam.transforms.restriction import Position, Provider, Share, make_shares
from flumebeam.transforms.stopping import stop_requested

__all__ = ["ReadFromReceivers"]

_BLOCK_SECONDS: Final = 0.1
"""Longest wait of one read: several sources may take turns in one thread."""


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """Everything that the reader's instances need to know; plain data.

    Attributes:
        identity: Names the source in the registry, the same for all its instances.
        one_call: Read to the end in one call: for runners that cannot resume a source.
    """

    factory: ReceiverFactory
    limits: ReadLimits
    bundle: BundleLimits
    acknowledge: AcknowledgeBy
    event_time: Callable[[EventBatch], int | None] | None
    clock: Clock
    identity: str
    one_call: bool


class _Reader(beam.DoFn):
    """Reads the receivers of one restriction. Subclasses only declare what Beam reads off a signature."""

    def __init__(self, plan: _Plan) -> None:
        self._plan = plan
        self._user: SourceUser | None = None
        self._received = metrics.counter("events_received")
        self._acknowledged = metrics.counter("events_acknowledged")
        self._given_back = metrics.counter("events_given_back")
        self._unacknowledged = metrics.gauge("events_unacknowledged")
        self._queue_messages = metrics.gauge("queue_messages")
        self._queue_bytes = metrics.gauge("queue_bytes")
        self._lineage = metrics.LineageNote(*plan.factory.lineage)

    def setup(self) -> None:
        self._user = RECEIVERS.join(self._plan.identity)

    def teardown(self) -> None:
        if self._user is not None:
            RECEIVERS.leave(self._user)

    def _read(
        self, share: Share, tracker: Any, watermark: Any, finalizer: Any = None
    ) -> Iterator[TimestampedValue[EventBatch]]:
        plan = self._plan
        position = tracker.current_restriction()
        if not stop_requested():
            for flow in share.flows:
                self._receiver(flow)
            self._lineage.tell()
        # The clocks of a read start when its receivers are open, however long that took.
        position = position.begin(plan.clock.epoch_ms())
        end = plan.clock.monotonic() + plan.bundle.seconds
        load = BundleLoad(plan.bundle)
        reads = empty_reads = 0
        settlement = None
        receiver: Receiver | None = None
        if finalizer is not None:
            # Also for a bundle that will read nothing: Prism asks for the finalization of every bundle of such a step.
            settlement = _Settlement(self._user)
            finalizer.register(settlement)
        while True:
            # Else a read would end, and time go on for windows, only when the clock is where it was before.
            position = position.not_after(plan.clock.epoch_ms())
            empty = empty_reads >= len(share.flows)
            if stop_requested() or self._ended(share, position, empty):
                if self._drained(position, empty):
                    self._note_silence(share)
                self._unacknowledged.set(RECEIVERS.unacknowledged(plan.identity))
                self._note_backlog(receiver)
                tracker.try_claim(position._replace(finished=True))
                return
            if load.full and self._all_is_durable():
                load.lighten()
            over = load.full or plan.clock.monotonic() >= end
            if (over and not plan.one_call) or beam_compat.bundle_shall_end():
                self._unacknowledged.set(RECEIVERS.unacknowledged(plan.identity))
                self._rest(share, position, watermark)
                tracker.try_claim(position._replace(resting=True, backlog_bytes=self._note_backlog(receiver)))
                tracker.defer_remainder()
                return
            room = plan.bundle.events if plan.one_call else load.room
            if share.max_events is not None:
                room = min(room, share.max_events - position.events)
            # Nobody waits for one flow while another one has something.
            wait = _BLOCK_SECONDS if len(share.flows) == 1 or empty_reads >= len(share.flows) else 0.0
            receiver = self._receiver_in_time(share.flows[reads % len(share.flows)])
            asked = plan.clock.monotonic()
            batch = receiver.receive(room, wait)
            reads += 1
            if not len(batch):
                empty_reads += 1
                # A process that stood still has not listened: what came meanwhile is still to be heard.
                position = position.without(plan.clock.monotonic() - asked - wait)
                if getattr(receiver, "interrupted", False):
                    position = position.advance(0, plan.clock.epoch_ms())
                continue
            empty_reads = 0
            position = position.advance(len(batch), plan.clock.epoch_ms())
            tracker.try_claim(position)
            load.add(batch)
            self._received.inc(len(batch))
            if plan.acknowledge is AcknowledgeBy.AT_ONCE:
                _tell(durable_of(batch))
                self._acknowledged.inc(len(batch))
            elif settlement is not None:
                settlement.add(batch)
            yielded = plan.clock.monotonic()
            yield TimestampedValue(batch, self._timestamp(batch, watermark))
            # Nor has one whose next steps were at work.
            position = position.without(plan.clock.monotonic() - yielded)

    def _receiver(self, flow: int) -> Receiver:
        """Return the open receiver of a flow; asked for before every read, because a sink may have closed it."""
        if self._user is None:
            raise ReceiverLostError("This reader has not been set up: it opens no receiver.")
        settled_later = self._plan.acknowledge is AcknowledgeBy.BUNDLE_FINALIZATION
        return RECEIVERS.acquire(self._user, flow, self._plan.factory, settled_later=settled_later)

    def _receiver_in_time(self, flow: int) -> Receiver:
        """Return the open receiver of a flow: a new one if deliveries of the old one were not acknowledged in time."""
        receiver = self._receiver(flow)
        limit = self._plan.limits.acknowledge_within
        if limit is None or getattr(receiver, "oldest_age", 0.0) <= limit:
            return receiver
        self._given_back.inc(receiver.unacknowledged)
        RECEIVERS.abandon(receiver.receiver_id)
        return self._receiver(flow)

    def _ended(self, share: Share, position: Position, empty: bool) -> bool:
        limits = self._plan.limits
        if not limits.bounded:
            return False
        if share.max_events is not None and position.events >= share.max_events:
            return True
        now_ms = self._plan.clock.epoch_ms()
        if limits.max_seconds is not None and now_ms - position.started_ms >= limits.max_seconds * 1000:
            return True
        return self._drained(position, empty)

    def _all_is_durable(self) -> bool:
        """Tell whether the commit step has followed up all that was read; others speak too early or too late."""
        by_step = self._plan.acknowledge is AcknowledgeBy.COMMIT_STEP
        return by_step and not RECEIVERS.unacknowledged(self._plan.identity)

    def _drained(self, position: Position, empty: bool) -> bool:
        limits, silent_ms = self._plan.limits, self._plan.clock.epoch_ms() - position.last_event_ms
        return limits.until_empty and empty and silent_ms >= limits.idle_seconds * 1000

    def _timestamp(self, batch: EventBatch, watermark: Any) -> Timestamp:
        """Return the event time of a batch, between the watermark and now, and move the watermark there.

        So no event is ever late, whatever its sender's clock says; one that comes behind the watermark counts as
        happening at the watermark.
        """
        now_ms = self._plan.clock.epoch_ms()
        own_ms = self._plan.event_time(batch) if self._plan.event_time is not None else None
        stamp = Timestamp(micros=1000 * (now_ms if own_ms is None else min(own_ms, now_ms)))
        return _advance(watermark, stamp)

    def _rest(self, share: Share, position: Position, watermark: Any) -> None:
        """Let time go on where nothing comes, so that windows and partitions can close."""
        now_ms = self._plan.clock.epoch_ms()
        if now_ms - position.last_event_ms >= self._hold_ms:
            _advance(watermark, Timestamp(micros=1000 * (now_ms - self._hold_ms)))
            self._note_silence(share)

    def _note_backlog(self, receiver: Receiver | None) -> int:
        """Tell what the source holds, and return its bytes; 0 if that is not known."""
        if (backlog := getattr(receiver, "backlog", None)) is None:
            return 0
        self._queue_messages.set(backlog.messages)
        self._queue_bytes.set(backlog.nbytes)
        return int(backlog.nbytes)

    @property
    def _hold_ms(self) -> int:
        """How far the watermark stays behind the clock while nothing comes, in milliseconds."""
        return 0 if self._plan.event_time is None else round(self._plan.limits.watermark_idle_seconds * 1000)

    def _note_silence(self, share: Share) -> None:
        """Tell sinks that keep their own account of time, because no element tells them."""
        if self._user is not None:
            for flow in share.flows:
                RECEIVERS.note_silence(self._user, flow, self._plan.clock.epoch_ms() - self._hold_ms)


def _advance(watermark: Any, stamp: Timestamp) -> Timestamp:
    """Move a watermark forward to ``stamp``, never back; return where it stands."""
    current = watermark.current_watermark()
    if current is not None and current >= stamp:
        return current
    watermark.set_watermark(stamp)
    return stamp


def _tell(durable: Durable) -> None:
    RECEIVERS.acknowledge(durable.receiver, durable.ids)


class _Settlement:
    """What one bundle has read; called by the runner when the bundle's output is safe. Holds ids, never a receiver."""

    def __init__(self, user: SourceUser | None) -> None:
        self._user = user
        self._read: dict[str, list[Durable]] = {}

    def add(self, batch: EventBatch) -> None:
        durable = durable_of(batch)
        if durable.receiver not in self._read and self._user is not None:
            RECEIVERS.hold(self._user, durable.receiver)
        self._read.setdefault(durable.receiver, []).append(durable)

    def __call__(self) -> None:
        for receiver, parts in self._read.items():
            for durable in parts:
                _tell(durable)
            if self._user is not None:
                RECEIVERS.settle(self._user, receiver)


_STREAM: Final = beam.DoFn.RestrictionParam(Provider(bounded=False))
_FINITE: Final = beam.DoFn.RestrictionParam(Provider(bounded=True))
_WATERMARK: Final = beam.DoFn.WatermarkEstimatorParam(ManualWatermarkEstimator.default_provider())


class _StreamReader(_Reader):
    """Never ends by itself."""

    @beam.DoFn.unbounded_per_element()
    def process(
        self,
        share: Share,
        tracker: Any = _STREAM,
        watermark: Any = _WATERMARK,
    ) -> Iterator[TimestampedValue[EventBatch]]:
        return self._read(share, tracker, watermark)


class _FinalizingStreamReader(_Reader):
    """Never ends by itself; acknowledges when the runner has finalized a bundle."""

    @beam.DoFn.unbounded_per_element()
    def process(
        self,
        share: Share,
        # Beam 2.77 binds this parameter by position: it must stand before the restriction.
        finalizer: Any = beam.DoFn.BundleFinalizerParam,
        tracker: Any = _STREAM,
        watermark: Any = _WATERMARK,
    ) -> Iterator[TimestampedValue[EventBatch]]:
        return self._read(share, tracker, watermark, finalizer)


class _FiniteReader(_Reader):
    """Ends at a limit. Not marked as unbounded: Spark and Flink then stay with their batch translators."""

    def process(
        self,
        share: Share,
        tracker: Any = _FINITE,
        watermark: Any = _WATERMARK,
    ) -> Iterator[TimestampedValue[EventBatch]]:
        return self._read(share, tracker, watermark)


class _FinalizingFiniteReader(_Reader):
    """Ends at a limit; acknowledges when the runner has finalized a bundle."""

    def process(
        self,
        share: Share,
        finalizer: Any = beam.DoFn.BundleFinalizerParam,
        tracker: Any = _FINITE,
        watermark: Any = _WATERMARK,
    ) -> Iterator[TimestampedValue[EventBatch]]:
        return self._read(share, tracker, watermark, finalizer)


# By (bounded, finalizing): the parameter alone makes a runner without finalization refuse the graph.
_READERS: Final[dict[tuple[bool, bool], type[_Reader]]] = {
    (False, False): _StreamReader,
    (False, True): _FinalizingStreamReader,
    (True, False): _FiniteReader,
    (True, True): _FinalizingFiniteReader,
}


class ReadFromReceivers(beam.PTransform):
    """Reads event batches from the receivers of one source.

    Unit of parallelism, repeats and promise: see this module. Input: the pipeline; output: a PCollection of
    :class:`~flumebeam.batch.EventBatch`, one timestamp per batch.

    Args:
        factory: Opens the receivers; pickled.
        limits: When the read ends; without limits it runs until a stop is requested.
        bundle: How much one bundle reads. A run that cannot be resumed (Spark) reads everything in one bundle.
        flows: Receivers to open. Runners with one worker read them in turns, others in parallel.
        acknowledge: Who tells the source that deliveries are durable.
        event_time: Event time of a batch in milliseconds since 1970 UTC, or ``None`` for its arrival; pickled.
        clock: The time.

    Raises:
        ConfigurationError: On expansion: this runner, with these options, cannot run such a read. When the pipeline is
            run: it cannot run what stands behind it, see :mod:`~flumebeam.transforms.graph_checks`.
    """

    def __init__(
        self,
        factory: ReceiverFactory,
        *,
        limits: ReadLimits | None = None,
        bundle: BundleLimits | None = None,
        flows: int = 1,
        acknowledge: AcknowledgeBy = AcknowledgeBy.COMMIT_STEP,
        event_time: Callable[[EventBatch], int | None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__()
        if flows < 1:
            raise ConfigurationError(f"A source needs at least one flow, got {flows}.")
        self._factory = factory
        self._limits = limits or ReadLimits()
        self._bundle = bundle or BundleLimits()
        self._flows = flows
        self._acknowledge = acknowledge
        self._event_time = event_time
        self._clock = clock or SystemClock()
        within = self._limits.acknowledge_within
        if within is not None and within <= self._bundle.seconds:
            raise ConfigurationError(
                f"acknowledge_within is {within} s, but a bundle may take {self._bundle.seconds} s before its sink "
                "commits: give it several times as long."
            )

    def expand(self, pbegin: beam.pvalue.PBegin) -> beam.PCollection[EventBatch]:
        """Add the source to a pipeline."""
        beam_compat.keep_metrics_flat()
        beam_compat.tear_down_always()
        beam_compat.end_bundles_before_teardown()
        beam_compat.end_bundles_promptly()
        finalizing = self._acknowledge is AcknowledgeBy.BUNDLE_FINALIZATION
        runner = runner_checks.check_read(pbegin.pipeline, bounded=self._limits.bounded, finalizing=finalizing)
        plan = _Plan(
            factory=self._factory,
            limits=self._limits,
            bundle=self._bundle,
            acknowledge=self._acknowledge,
            event_time=self._event_time,
            clock=self._clock,
            identity=uuid.uuid4().hex,
            one_call=self._limits.bounded and not finalizing and not runner.resumes_finite_reads,
        )
        if plan.one_call and plan.bundle.transaction:
            raise ConfigurationError(
                "This runner reads everything in one bundle, and a transaction ends with its bundle: leave out "
                "transaction_messages, so that messages are acknowledged by id."
            )
        reader = _READERS[self._limits.bounded, finalizing](plan)
        shares = make_shares(self._flows, self._limits.max_events, together=runner.one_worker)
        batches = (
            pbegin | "Flows" >> beam.Create(shares) | "Receive" >> beam.ParDo(reader).with_output_types(EventBatch)
        )
        note_read(pbegin.pipeline, NotedRead(output=ref(batches), bounded=self._limits.bounded, flows=self._flows))
        return batches

    def display_data(self) -> dict[str, Any]:
        """Return what a runner's interface shows about this source."""
        return {
            "source": self._factory.source,
            "flows": self._flows,
            "acknowledge": self._acknowledge.value,
            "bounded": self._limits.bounded,
        }
