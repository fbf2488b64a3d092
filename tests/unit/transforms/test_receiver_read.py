from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.utils.timestamp import Timestamp

from flumebeam.batch import EventBatch
from flumebeam.clock import ManualClock
from flumebeam.deliveries import Durable
from flumebeam.errors import ConfigurationError, QueueError, StorageError
from flumebeam.event import Event
from flumebeam.testing.memory_queue import MemoryQueue, MemoryReceiver, MemoryReceiverFactory
from flumebeam.transforms.acknowledge import Acknowledge, AcknowledgeBatches, durable_of
from flumebeam.transforms.events import FromEvents, ToEvents
from flumebeam.transforms.read_options import AcknowledgeBy, BundleLimits, ReadLimits
from flumebeam.transforms.receiver_read import ReadFromReceivers, _Plan, _Reader, _Settlement
from flumebeam.transforms.receivers import RECEIVERS
from flumebeam.transforms.restriction import Position, Share, Tracker
from flumebeam.transforms.running import run_pipeline
from flumebeam.transforms.stopping import request_stop

UNTIL_EMPTY = ReadLimits(until_empty=True, idle_seconds=0)

SEEN: list[bytes] = []
"""What the sinks of a test have seen: the in-process runner runs them in this process."""


@pytest.fixture(autouse=True)
def _nothing_seen_yet() -> None:
    SEEN.clear()


class Sink(beam.DoFn):
    """Notes bodies and passes batches on."""

    def process(self, batch: EventBatch) -> Iterator[EventBatch]:
        SEEN.extend(batch.bodies.to_pylist())
        yield batch


class StopAfter(beam.DoFn):
    """Requests a stop once it has seen enough, then one bundle later sees nothing more."""

    def __init__(self, events: int) -> None:
        self._events = events

    def process(self, batch: EventBatch) -> Iterator[EventBatch]:
        yield batch
        if len(SEEN) >= self._events:
            request_stop()


class FailOnce(beam.DoFn):
    """Fails the bundle in which it sees a body."""

    def __init__(self, body: bytes, *, at_the_end: bool) -> None:
        self._body = body
        self._at_the_end = at_the_end
        self._fails = False

    def process(self, batch: EventBatch) -> Iterator[EventBatch]:
        self._fails |= self._body in batch.bodies.to_pylist()
        if self._fails and not self._at_the_end:
            raise StorageError("Disk full.")
        yield batch

    def finish_bundle(self) -> None:
        if self._fails:
            raise StorageError("Disk full.")


def numbers(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def read(queue: MemoryQueue, *steps: Any, runner: str = "FnApiRunner", **options: Any) -> Any:
    pipeline = beam.Pipeline(runner=runner, options=PipelineOptions(["--prism_location=/nonexistent"]))
    collection = pipeline | "Read" >> ReadFromReceivers(MemoryReceiverFactory(queue.name), **options)
    for number, step in enumerate(steps):
        collection = collection | f"Step{number}" >> step
    return run_pipeline(pipeline)


def counters(result: Any) -> dict[str, int]:
    return {found.key.metric.name: found.committed for found in result.metrics().query()["counters"]}


def test_a_finite_read_ends_when_the_source_is_empty_and_acknowledges_all(queue: MemoryQueue) -> None:
    queue.put(numbers(2_000))

    result = read(queue, beam.ParDo(Sink()), AcknowledgeBatches(), limits=UNTIL_EMPTY, bundle=BundleLimits(events=300))

    assert numbers(2_000) == SEEN == queue.acknowledged
    assert counters(result) == {"events_received": 2_000, "events_acknowledged": 2_000}
    assert not queue.open


def test_the_direct_runner_without_its_binary_reads_in_this_process(queue: MemoryQueue) -> None:
    queue.put(numbers(500))

    read(queue, beam.ParDo(Sink()), AcknowledgeBatches(), runner="DirectRunner", limits=UNTIL_EMPTY)

    assert numbers(500) == SEEN == queue.acknowledged


def test_a_read_takes_no_more_than_max_events(queue: MemoryQueue) -> None:
    queue.put(numbers(1_000))

    read(queue, AcknowledgeBatches(), limits=ReadLimits(max_events=777), bundle=BundleLimits(events=300))

    assert queue.acknowledged == numbers(777)
    assert len(queue) == 223


def test_a_read_ends_after_max_seconds(queue: MemoryQueue) -> None:
    queue.put(numbers(10))

    read(queue, AcknowledgeBatches(), limits=ReadLimits(max_seconds=0.3))

    assert queue.acknowledged == numbers(10)


def test_an_endless_read_goes_on_over_bundles_until_a_stop_and_ends_as_done(queue: MemoryQueue) -> None:
    queue.put(numbers(1_000))

    COUNTED.clear()
    steps = [beam.ParDo(Sink()), beam.ParDo(StopAfter(1_000)), beam.ParDo(CountBundles())]

    result = read(queue, *steps, beam.ParDo(DurableAtTheEnd()), Acknowledge(), bundle=BundleLimits(events=100))

    assert result.state == "DONE"
    assert numbers(1_000) == SEEN == queue.acknowledged
    assert len(queue.opened) == 1
    assert len(COUNTED) >= 10


def test_a_bundle_goes_on_beyond_its_events_while_its_sink_commits_within_it(queue: MemoryQueue) -> None:
    queue.put(numbers(1_000))
    COUNTED.clear()

    read(
        queue,
        beam.ParDo(CountBundles()),
        AcknowledgeBatches(),
        limits=UNTIL_EMPTY,
        bundle=BundleLimits(events=100, seconds=60),
    )

    assert queue.acknowledged == numbers(1_000)
    assert len(COUNTED) == 1


@pytest.mark.parametrize("by", [AcknowledgeBy.BUNDLE_FINALIZATION, AcknowledgeBy.AT_ONCE])
def test_a_bundle_ends_at_its_events_where_no_sink_says_that_they_are_durable(
    queue: MemoryQueue, by: AcknowledgeBy
) -> None:
    queue.put(numbers(1_000))
    COUNTED.clear()

    read(
        queue,
        beam.ParDo(CountBundles()),
        limits=UNTIL_EMPTY,
        acknowledge=by,
        bundle=BundleLimits(events=100, seconds=60),
    )

    assert queue.acknowledged == numbers(1_000)
    assert len(COUNTED) >= 10


def test_a_stop_from_another_thread_ends_an_idle_read(queue: MemoryQueue) -> None:
    timer = threading.Timer(0.3, request_stop)
    timer.start()

    result = read(queue, AcknowledgeBatches())

    timer.join()
    assert result.state == "DONE"
    assert not queue.open


def test_an_idle_read_makes_few_bundles(queue: MemoryQueue) -> None:
    began = time.monotonic()
    threading.Timer(0.9, request_stop).start()
    COUNTED.clear()

    read(queue, beam.ParDo(CountBundles()), AcknowledgeBatches(), bundle=BundleLimits(seconds=0.4))

    assert 1 <= len(COUNTED) <= 1 + (time.monotonic() - began) / 0.4


COUNTED: list[None] = []


class CountBundles(beam.DoFn):
    def start_bundle(self) -> None:
        COUNTED.append(None)

    def process(self, batch: EventBatch) -> Iterator[EventBatch]:
        yield batch


def test_a_batch_passes_the_stage_while_its_bundle_is_still_open(queue: MemoryQueue) -> None:
    queue.put(numbers(1))

    read(queue, beam.ParDo(Sink()), beam.ParDo(StopAfter(1)), AcknowledgeBatches(), bundle=BundleLimits(seconds=50))

    assert SEEN == numbers(1)


@pytest.mark.parametrize("at_the_end", [False, True])
@pytest.mark.parametrize("by", [AcknowledgeBy.COMMIT_STEP, AcknowledgeBy.BUNDLE_FINALIZATION])
def test_a_failed_bundle_is_delivered_again_to_the_next_run(
    queue: MemoryQueue, by: AcknowledgeBy, at_the_end: bool
) -> None:
    queue.put(numbers(100))
    bundle = BundleLimits(events=40)
    last = [Acknowledge()] if by is AcknowledgeBy.COMMIT_STEP else []
    fail = FailOnce(b"60", at_the_end=at_the_end)

    # The commit step waits for the end of the bundle, as a sink does that commits there.
    steps = [beam.ParDo(Sink()), beam.ParDo(fail), beam.ParDo(DurableAtTheEnd()), *last]
    with pytest.raises(StorageError, match=r"^Disk full\.$"):
        read(queue, *steps, bundle=bundle, limits=UNTIL_EMPTY, acknowledge=by)

    assert queue.acknowledged == numbers(40)
    assert len(queue) == 60
    read(
        queue,
        beam.ParDo(Sink()),
        *(step for step in [AcknowledgeBatches()] if last),
        limits=UNTIL_EMPTY,
        acknowledge=by,
    )
    assert queue.acknowledged == numbers(100)


class DurableAtTheEnd(beam.DoFn):
    """Reports what it got when the bundle ends."""

    def start_bundle(self) -> None:
        self._got: list[Durable] = []

    def process(self, batch: EventBatch) -> None:
        self._got.append(durable_of(batch))

    def finish_bundle(self) -> Iterator[Any]:
        for durable in self._got:
            yield beam.transforms.window.GlobalWindows.windowed_value(durable)


OVERDUE: set[str] = set()


class ForgetsTheFirst(beam.DoFn):
    """Loses sight of the first batch, for longer than any deadline; passes on the others."""

    def process(self, batch: EventBatch) -> Iterator[EventBatch]:
        assert batch.provenance is not None
        if not OVERDUE:
            OVERDUE.add(batch.provenance.receiver)
        else:
            yield batch


def test_what_is_not_acknowledged_in_time_is_given_back_counted_and_read_again(
    queue: MemoryQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    OVERDUE.clear()
    age = property(lambda self: 61.0 if self.receiver_id in OVERDUE else 59.0)
    monkeypatch.setattr(MemoryReceiver, "oldest_age", age, raising=False)
    queue.put(numbers(10))

    result = read(
        queue,
        beam.ParDo(ForgetsTheFirst()),
        AcknowledgeBatches(),
        limits=ReadLimits(until_empty=True, idle_seconds=0, acknowledge_within=60),
    )

    assert queue.acknowledged == numbers(10)
    assert len(queue.opened) == 2
    assert counters(result) == {"events_received": 20, "events_given_back": 10, "events_acknowledged": 10}


def test_bundle_finalization_acknowledges_without_a_commit_step(queue: MemoryQueue) -> None:
    queue.put(numbers(1_000))

    read(
        queue,
        beam.ParDo(Sink()),
        beam.combiners.Count.Globally(),
        limits=UNTIL_EMPTY,
        bundle=BundleLimits(events=100),
        acknowledge=AcknowledgeBy.BUNDLE_FINALIZATION,
    )

    assert numbers(1_000) == SEEN == queue.acknowledged


@pytest.mark.parametrize("finalized", [False, True])
def test_an_instance_that_ends_with_a_bundle_never_finalized_gives_its_deliveries_back(
    queue: MemoryQueue, finalized: bool
) -> None:
    queue.put(numbers(2))
    first, second = RECEIVERS.join(queue), RECEIVERS.join(queue)
    factory = MemoryReceiverFactory(queue.name)
    settlement = _Settlement(first)
    settlement.add(RECEIVERS.acquire(first, 0, factory, settled_later=True).receive(1, 0))
    if finalized:
        settlement()
    RECEIVERS.acquire(second, 0, factory, settled_later=True).receive(1, 0)

    RECEIVERS.leave(first)

    assert queue.acknowledged == (numbers(1) if finalized else [])
    assert len(queue.open) == int(finalized)
    RECEIVERS.leave(second)


def test_at_once_acknowledges_even_what_the_sink_then_fails_to_write(queue: MemoryQueue) -> None:
    queue.put(numbers(10))

    with pytest.raises(StorageError):
        read(
            queue,
            beam.ParDo(FailOnce(b"0", at_the_end=False)),
            limits=UNTIL_EMPTY,
            acknowledge=AcknowledgeBy.AT_ONCE,
        )

    assert queue.acknowledged == numbers(10)


def test_several_flows_read_one_source_together(queue: MemoryQueue) -> None:
    queue.put(numbers(3_000))

    read(queue, beam.ParDo(Sink()), AcknowledgeBatches(), limits=UNTIL_EMPTY, flows=3, bundle=BundleLimits(events=200))

    assert sorted(SEEN) == sorted(numbers(3_000))
    assert len(queue.acknowledged) == 3_000
    assert len(queue.opened) == 3


def test_a_sink_that_abandons_a_receiver_gets_its_deliveries_again_from_a_new_one(queue: MemoryQueue) -> None:
    queue.put(numbers(50))

    read(queue, beam.ParDo(AbandonFirst()), AcknowledgeBatches(), limits=UNTIL_EMPTY, bundle=BundleLimits(events=20))

    assert queue.acknowledged == numbers(50)
    assert len(queue.opened) == 2


class AbandonFirst(beam.DoFn):
    """Refuses the first batch, as a sink does whose life was fenced."""

    def setup(self) -> None:
        self._refused = False

    def process(self, batch: EventBatch) -> Iterator[EventBatch]:
        if self._refused:
            yield batch
            return
        self._refused = True
        assert batch.provenance is not None
        RECEIVERS.abandon(batch.provenance.receiver)


def test_an_error_while_opening_comes_out_of_the_run_as_it_was_raised(queue: MemoryQueue) -> None:
    pipeline = beam.Pipeline(runner="FnApiRunner")
    factory = MemoryReceiverFactory(queue.name, (QueueError("Queue q is unknown: create it."),))
    _ = pipeline | ReadFromReceivers(factory) | AcknowledgeBatches()

    with pytest.raises(QueueError, match=r"^Queue q is unknown: create it\.$"):
        run_pipeline(pipeline)


def test_single_events_keep_their_provenance_through_a_function_and_back(queue: MemoryQueue) -> None:
    queue.put(numbers(100))

    read(
        queue,
        ToEvents(),
        beam.Map(lambda event: Event(event.body + b"!", {"n": event.body.decode()}, event.provenance)),
        FromEvents(max_events=30),
        beam.ParDo(Sink()),
        AcknowledgeBatches(),
        limits=UNTIL_EMPTY,
    )

    assert [body + b"!" for body in numbers(100)] == SEEN
    assert queue.acknowledged == numbers(100)


@pytest.mark.parametrize(
    "options",
    [
        {"max_events": 0},
        {"max_seconds": 0},
        {"idle_seconds": -1},
    ],
)
def test_read_limits_that_cannot_work_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        ReadLimits(**options)


@pytest.mark.parametrize("options", [{"events": 0}, {"nbytes": 0}, {"seconds": 0}])
def test_bundle_limits_that_cannot_work_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        BundleLimits(**options)


def test_a_source_needs_a_flow() -> None:
    with pytest.raises(ConfigurationError, match="flow"):
        ReadFromReceivers(MemoryReceiverFactory("q"), flows=0)


@pytest.mark.parametrize(("idle", "behind_ms"), [(5.0, 5_000), (0.5, 500), (60.0, None)])
def test_an_idle_watermark_follows_the_clock_as_far_behind_as_told(idle: float, behind_ms: int | None) -> None:
    clock = ManualClock()
    plan = _Plan(
        factory=MemoryReceiverFactory("q"),
        limits=ReadLimits(watermark_idle_seconds=idle),
        bundle=BundleLimits(),
        acknowledge=AcknowledgeBy.COMMIT_STEP,
        event_time=lambda batch: None,
        clock=clock,
        identity="q",
        one_call=False,
    )
    watermark = ManualWatermarkEstimator(None)
    position = Position().begin(clock.epoch_ms())
    clock.advance(10)

    _Reader(plan)._rest(Share((0,), None), position, watermark)

    expected = None if behind_ms is None else Timestamp(micros=1000 * (clock.epoch_ms() - behind_ms))
    assert watermark.current_watermark() == expected


class Listening(MemoryReceiver):
    """A receiver whose calls take time by a clock: as long as they were to, or longer; then something comes, maybe."""

    def __init__(self, queue: MemoryQueue, clock: ManualClock, calls: list[tuple[float, list[bytes]]]) -> None:
        super().__init__(queue, lambda _: None)
        self._clock = clock
        self._calls = calls

    def receive(self, max_events: int, timeout: float) -> EventBatch:
        seconds, comes = self._calls.pop(0) if self._calls else (timeout, [])
        batch = super().receive(max_events, 0)
        self._clock.advance(seconds)
        self._queue.put(comes)
        return batch


@pytest.mark.parametrize(
    ("calls", "step_seconds", "seen"),
    [
        pytest.param([(60.0, [b"2"])], 0.0, [b"2"], id="the process stood still"),
        pytest.param([(0.0, [b"1"]), (0.0, []), (0.1, [b"2"])], 60.0, [b"1", b"2"], id="the next steps were at work"),
        pytest.param([(0.1, [])] * 60 + [(0.1, [b"2"])], 0.0, [], id="it listened all the time"),
    ],
)
def test_a_source_is_empty_when_nothing_came_while_somebody_listened(
    queue: MemoryQueue, calls: list[tuple[float, list[bytes]]], step_seconds: float, seen: list[bytes]
) -> None:
    clock = ManualClock()
    plan = _Plan(
        factory=MemoryReceiverFactory(queue.name),
        limits=ReadLimits(until_empty=True, idle_seconds=5),
        bundle=BundleLimits(),
        acknowledge=AcknowledgeBy.COMMIT_STEP,
        event_time=None,
        clock=clock,
        identity=queue.name,
        one_call=True,
    )
    receiver = Listening(queue, clock, list(calls))
    reader = _Reader(plan)
    reader._receiver = lambda flow: receiver  # type: ignore[method-assign]
    found: list[bytes] = []

    for read_ in reader._read(Share((0,), None), Tracker(Position(), True), ManualWatermarkEstimator(None)):
        found += read_.value.bodies.to_pylist()
        clock.advance(step_seconds)

    receiver.close()
    assert found == seen
