from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import apache_beam as beam
import pytest

from flumebeam.batch import EventBatch
from flumebeam.broker import DevelopmentBroker
from flumebeam.errors import ConfigurationError, ConnectionFailedError, LoginRefusedError, QueueError, StorageError
from flumebeam.event import Event
from flumebeam.solace.config import SolaceOptions
from flumebeam.transforms.acknowledge import AcknowledgeBatches
from flumebeam.transforms.events import ToEvents
from flumebeam.transforms.running import run_pipeline
from flumebeam.transforms.solace_read import ReadFromSolace, sender_time_ms
from flumebeam.transforms.stopping import request_stop
from tests.failures import Counted
from tests.integration.transforms.contents import stored
from tests.policies import IMPATIENT
from tests.waiting import eventually

Publish = Callable[[Sequence[bytes]], None]

SEEN: list[Event] = []
REACHED = threading.Event()
"""Set when a sink has seen as many events as it was told."""


@pytest.fixture(autouse=True)
def _nothing_seen_yet() -> None:
    SEEN.clear()
    REACHED.clear()


@contextmanager
def when_reached(action: Callable[[], None]) -> Iterator[None]:
    """Run an action in a thread once :data:`REACHED` is set, and to its end."""

    def wait_and_act() -> None:
        assert REACHED.wait(60)
        action()

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(wait_and_act)
        yield
        future.result()


class Sink(beam.DoFn):
    """Notes events; fails in the bundle in which it sees a body; sets REACHED or stops the run after so many."""

    def __init__(self, *, fail_at: bytes | None = None, reach: int = -1, stop_after: int | None = None) -> None:
        self._fail_at = fail_at
        self._reach = reach
        self._stop_after = stop_after

    def process(self, batch: EventBatch) -> Iterator[EventBatch]:
        if self._fail_at in batch.bodies.to_pylist():
            raise StorageError("Disk full.")
        SEEN.extend(batch.events())
        yield batch
        if len(SEEN) == self._reach:
            REACHED.set()
        if self._stop_after is not None and len(SEEN) >= self._stop_after:
            request_stop()


def read(connection: SolaceOptions, *steps: Any, **options: Any) -> Any:
    pipeline = beam.Pipeline(runner="FnApiRunner")
    collection = pipeline | ReadFromSolace("logs", connection=connection, **options)
    for number, step in enumerate(steps):
        collection = collection | f"Step{number}" >> step
    return run_pipeline(pipeline)


def numbers(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def bodies() -> list[bytes]:
    return [event.body for event in SEEN]


def test_a_queue_is_read_until_it_is_empty_and_everything_acknowledged(
    broker: DevelopmentBroker, connection: SolaceOptions, publish: Publish
) -> None:
    publish(numbers(3_000))

    read(connection, beam.ParDo(Sink()), AcknowledgeBatches(), until_empty=True, idle_seconds=1, bundle_events=700)

    assert bodies() == numbers(3_000)
    assert {event.headers["host"] for event in SEEN} == {"h1"}
    assert {event.headers["solace.topic"] for event in SEEN} == {"logs/app"}
    left = broker.queue("logs")
    assert (left.messages, left.unacknowledged, left.consumers) == (0, 0, 0)


def test_max_events_leaves_the_rest_in_the_queue(
    broker: DevelopmentBroker, connection: SolaceOptions, publish: Publish
) -> None:
    publish(numbers(500))

    read(connection, AcknowledgeBatches(), max_events=123)

    assert broker.queue("logs").messages == 500 - 123


def test_an_endless_read_gets_what_comes_later_and_stops_with_nothing_left_open(
    broker: DevelopmentBroker, connection: SolaceOptions, publish: Publish
) -> None:
    publish(numbers(10))

    with when_reached(lambda: publish([b"later"])):
        result = read(connection, beam.ParDo(Sink(reach=10, stop_after=11)), AcknowledgeBatches())

    assert result.state == "DONE"
    assert bodies() == [*numbers(10), b"later"]
    assert broker.queue("logs").messages == 0


def test_bundle_finalization_acknowledges_a_graph_with_a_shuffle(
    broker: DevelopmentBroker, connection: SolaceOptions, publish: Publish
) -> None:
    publish(numbers(1_000))

    read(
        connection,
        ToEvents(),
        beam.combiners.Count.Globally(),
        max_events=1_000,
        bundle_events=200,
        acknowledge="bundle-finalization",
    )

    assert broker.queue("logs").messages == 0


@pytest.mark.parametrize("acknowledge", ["commit-step", "bundle-finalization"])
def test_a_failed_bundle_comes_again_marked_as_redelivered(
    broker: DevelopmentBroker, connection: SolaceOptions, publish: Publish, acknowledge: Any
) -> None:
    publish(numbers(100))
    last = [AcknowledgeBatches()] if acknowledge == "commit-step" else []
    options = {"until_empty": True, "idle_seconds": 1, "bundle_events": 10, "acknowledge": acknowledge}

    with pytest.raises(StorageError, match=r"^Disk full\.$"):
        read(connection, beam.ParDo(Sink(fail_at=b"55")), *last, **options)
    eventually(lambda: broker.queue("logs").consumers == 0)
    kept = broker.queue("logs").messages
    assert 0 < kept <= 100
    SEEN.clear()
    read(connection, beam.ParDo(Sink()), *last, **options)

    assert bodies() == numbers(100)[-kept:]
    assert SEEN[bodies().index(b"55")].headers["solace.redelivered"] == "true"
    assert broker.queue("logs").messages == 0


def test_several_flows_share_a_non_exclusive_queue(
    broker: DevelopmentBroker, connection: SolaceOptions, publish: Publish
) -> None:
    broker.delete_queue("logs")
    broker.create_queue("logs", access="non-exclusive", subscriptions=["logs/>"])

    def publish_when_all_are_bound() -> None:
        # The first one could take all that is there before the last one is bound.
        eventually(lambda: broker.queue("logs").consumers == 3)
        publish(numbers(2_000))

    with ThreadPoolExecutor(1) as pool:
        published = pool.submit(publish_when_all_are_bound)
        read(connection, beam.ParDo(Sink(stop_after=2_000)), AcknowledgeBatches(), flows=3)
        published.result()

    assert sorted(bodies()) == sorted(numbers(2_000))
    receivers = {event.provenance.receiver for event in SEEN if event.provenance}
    assert len(receivers) == 3
    assert broker.queue("logs").messages == 0


@pytest.mark.failure("two pipelines on one exclusive queue")
def test_several_flows_on_an_exclusive_queue_are_refused_before_anything_is_read(
    broker: DevelopmentBroker,
    connection: SolaceOptions,
    publish: Publish,
    counted: Counted,
) -> None:
    publish(numbers(500))

    with pytest.raises(ConfigurationError, match=r"lets only one consumer be active.*flows=1, or make the queue non-"):
        read(connection, beam.ParDo(Sink()), AcknowledgeBatches(), until_empty=True, idle_seconds=1, flows=2)

    assert SEEN == []
    left = broker.queue("logs")
    assert (left.messages, left.unacknowledged, left.consumers) == (500, 0, 0)
    counted(numbers(500), bodies(), kept=left.messages)


def test_what_fails_as_often_as_its_queue_allows_goes_to_the_dead_message_queue(
    broker: DevelopmentBroker, connection: SolaceOptions, publish: Publish
) -> None:
    broker.delete_queue("logs")
    broker.create_queue("dead")
    broker.create_queue("logs", subscriptions=["logs/>"], max_redeliveries=1, dead_message_queue="dead")
    publish(numbers(1))  # of several, a batch before the one that fails might be acknowledged
    left = []

    for _ in range(2):
        with pytest.raises(StorageError, match=r"^Disk full\.$"):
            read(
                connection, beam.ParDo(Sink(fail_at=b"0")), AcknowledgeBatches(), max_events=1, failed_bundles="failed"
            )
        left.append((broker.queue("logs").messages, broker.queue("dead").messages))

    assert left == [(1, 0), (0, 1)]


class Refuse(beam.DoFn):
    """Passes on what it can work with; the error comes behind the batches that were read before."""

    def __init__(self, bad: bytes, error: type[Exception]) -> None:
        self._bad = bad
        self._error = error

    def process(self, batch: EventBatch) -> Iterator[EventBatch]:
        if self._bad in batch.bodies.to_pylist():
            raise self._error("cannot work with that")
        SEEN.extend(batch.events())
        yield batch


REJECTED = {
    "failed_bundles": "rejected",
    "dead_letter_topic": "rejected/logs",
    "until_empty": True,
    "bundle_events": 10,
}


@pytest.mark.failure("poison message")
@pytest.mark.parametrize("deduplicate", [0, 100])
def test_events_of_a_bundle_that_failed_are_published_with_the_cause_and_then_acknowledged(
    broker: DevelopmentBroker, connection: SolaceOptions, publish: Publish, deduplicate: int, counted: Counted
) -> None:
    broker.create_queue("rejected", subscriptions=["rejected/>"])
    publish(numbers(100))
    options = {**REJECTED, "idle_seconds": 1, "deduplicate": deduplicate}

    with pytest.raises(ValueError, match="cannot work with that"):
        read(connection, beam.ParDo(Refuse(b"55", ValueError)), AcknowledgeBatches(), **options)
    eventually(lambda: broker.queue("logs").consumers == 0)
    left, rejected = broker.queue("logs").messages, broker.queue("rejected").messages
    read(connection, beam.ParDo(Refuse(b"55", ValueError)), AcknowledgeBatches(), **options)

    assert 1 <= rejected <= 10
    assert len(SEEN) >= 100 - rejected
    assert left <= 100 - rejected
    letters = stored(connection, "rejected")
    assert b"55" in [letter.body for letter in letters]
    assert all("ValueError: cannot work with that" in letter.headers["flumebeam.cause"] for letter in letters)
    assert {letter.headers["flumebeam.target"] for letter in letters} == {"logs"}
    assert {letter.headers["host"] for letter in letters} == {"h1"}
    counted(numbers(100), bodies(), refused=[letter.body for letter in letters], kept=broker.queue("logs").messages)


def test_a_bundle_that_failed_by_its_target_is_released_and_rejects_nothing(
    broker: DevelopmentBroker, connection: SolaceOptions, publish: Publish
) -> None:
    broker.create_queue("rejected", subscriptions=["rejected/>"])
    publish(numbers(100))

    with pytest.raises(StorageError):
        read(connection, beam.ParDo(Refuse(b"0", StorageError)), AcknowledgeBatches(), **REJECTED)

    eventually(lambda: broker.queue("logs").consumers == 0)
    assert (broker.queue("logs").messages, broker.queue("rejected").messages) == (100, 0)


def test_events_whose_dead_letters_nobody_takes_stay_on_their_queue(
    broker: DevelopmentBroker, connection: SolaceOptions, publish: Publish, caplog: pytest.LogCaptureFixture
) -> None:
    publish(numbers(10))

    with pytest.raises(ValueError, match="cannot work with that"):
        read(connection, beam.ParDo(Refuse(b"0", ValueError)), AcknowledgeBatches(), **REJECTED)

    eventually(lambda: broker.queue("logs").consumers == 0)
    assert broker.queue("logs").messages == 10
    assert "events of a failed bundle stay on logs" in caplog.text
    assert "no queue is subscribed" in caplog.text


@pytest.mark.parametrize("options", [{"failed_bundles": "failed"}, {"browse": True}, {"transaction_messages": 10}])
def test_a_topic_for_what_is_rejected_needs_messages_that_can_be(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="dead_letter_topic gets what failed_bundles='rejected' rejects"):
        ReadFromSolace("logs", connection=SolaceOptions(), **{**REJECTED, **options})


def test_a_broker_that_goes_away_for_a_while_is_waited_for(
    broker: DevelopmentBroker, connection: SolaceOptions, publish: Publish
) -> None:
    publish(numbers(100))

    def outage() -> None:
        broker.restart(keep_state=True, down_seconds=1.5)
        publish([b"after"])

    with when_reached(outage):
        read(connection, beam.ParDo(Sink(reach=100, stop_after=101)), AcknowledgeBatches())

    assert set(bodies()) == {*numbers(100), b"after"}
    assert broker.queue("logs").messages == 0


def test_silence_while_the_broker_is_away_does_not_pass_for_an_empty_queue(
    broker: DevelopmentBroker, connection: SolaceOptions, publish: Publish
) -> None:
    publish(numbers(10))
    ended, outlived = threading.Event(), []

    def outage() -> None:
        broker.refuse_connections()
        broker.cut_connections()
        outlived.append(not ended.wait(2.5))
        broker.accept_connections()

    with when_reached(outage):
        read(connection, beam.ParDo(Sink(reach=10)), AcknowledgeBatches(), until_empty=True, idle_seconds=1)
        ended.set()

    assert outlived == [True]
    assert broker.queue("logs").messages == 0


def test_the_timestamp_of_a_batch_is_its_earliest_sender_time() -> None:
    header = "solace.sender-timestamp"

    assert sender_time_ms(EventBatch.from_bodies([b"a", b"b"], {}, {header: ["1700000000002", "1700000000001"]})) == (
        1_700_000_000_001
    )
    assert sender_time_ms(EventBatch.from_bodies([b"a"], {header: "17"})) == 17
    assert sender_time_ms(EventBatch.from_bodies([b"a", b"b"], {}, {header: [None, "5"]})) == 5
    assert sender_time_ms(EventBatch.from_bodies([b"a"])) is None


# -- mistakes: one clear error comes out of the run -------------------------------------------------------------------


def test_an_unknown_queue_is_named(connection: SolaceOptions) -> None:
    pipeline = beam.Pipeline(runner="FnApiRunner")
    _ = pipeline | ReadFromSolace("logz", connection=connection) | AcknowledgeBatches()

    with pytest.raises(QueueError, match=r"^[^\n]*logz[^\n]*$"):
        run_pipeline(pipeline)


def test_a_wrong_vpn_is_named(connection: SolaceOptions) -> None:
    with pytest.raises(LoginRefusedError, match=r"^[^\n]*elsewhere[^\n]*$"):
        read(replace(connection, vpn="elsewhere"), AcknowledgeBatches())


def test_a_broker_that_is_down_at_the_start_is_an_error_at_once(
    broker: DevelopmentBroker, connection: SolaceOptions
) -> None:
    broker.stop()

    with pytest.raises(ConnectionFailedError, match=r"^[^\n]*127\.0\.0\.1[^\n]*$"):
        read(connection, AcknowledgeBatches())


def test_a_broker_that_stays_away_ends_the_run_with_one_error(
    broker: DevelopmentBroker, connection: SolaceOptions, publish: Publish
) -> None:
    publish(numbers(10))
    impatient = replace(connection, reconnect=IMPATIENT)

    with when_reached(broker.stop), pytest.raises(ConnectionFailedError, match=r"^[^\n]*$"):
        read(impatient, beam.ParDo(Sink(reach=10)), AcknowledgeBatches())


@pytest.mark.parametrize(
    "options", [{"queue": ""}, {"acknowledge": "sometimes"}, {"event_time": "never"}, {"max_events": 0}, {"flows": 0}]
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        ReadFromSolace(**{"queue": "logs", **options})


def test_the_password_is_not_shown() -> None:
    source = ReadFromSolace("logs", connection=SolaceOptions(password="hush"))

    assert "hush" not in repr(source.display_data())
