"""What of a queue is read: by selector, by looking only, from the replay log, from topics; and when it happened."""

from __future__ import annotations

from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from flumebeam.batch import EventBatch
from flumebeam.broker import DevelopmentBroker
from flumebeam.errors import ConfigurationError
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.flows import FlowOptions, ReplayStart
from flumebeam.solace.session import connect
from flumebeam.transforms.acknowledge import Acknowledge, AcknowledgeBatches
from flumebeam.transforms.hdfs_write import WriteToHdfs
from flumebeam.transforms.solace_read import ReadFromSolace, _time_of
from tests.integration.transforms.test_solace_read import SEEN, Publish, Sink, bodies, numbers, read


@pytest.fixture(autouse=True)
def _nothing_seen_yet() -> None:
    SEEN.clear()


def put(connection: SolaceOptions, batch: EventBatch, topic: str = "logs/app") -> None:
    with connect(connection) as opened:
        session = opened.transacted_session()
        session.publish(batch, topic)
        assert session.commit().committed


def take(connection: SolaceOptions, **options: object) -> list[bytes]:
    SEEN.clear()
    read(connection, noting(), AcknowledgeBatches(), until_empty=True, idle_seconds=1, **options)
    return bodies()


def noting() -> object:

    return beam.ParDo(Sink())


def test_a_selector_takes_what_it_matches_and_leaves_the_rest(
    broker: DevelopmentBroker, connection: SolaceOptions
) -> None:
    put(connection, EventBatch.from_bodies([b"a", b"b", b"c"], {}, {"severity": ["info", "error", None]}))

    assert take(connection, selector="severity = 'error'") == [b"b"]
    assert broker.queue("logs").messages == 2


def test_a_selector_that_is_none_is_the_brokers_refusal(connection: SolaceOptions) -> None:
    with pytest.raises(Exception, match="logs"):
        take(connection, selector="severity = = 1")


def test_browsing_leaves_everything_where_it_is(
    broker: DevelopmentBroker, connection: SolaceOptions, publish: Publish
) -> None:
    publish(numbers(700))

    assert take(connection, browse=True) == numbers(700)
    assert take(connection, browse=True) == numbers(700)
    left = broker.queue("logs")
    assert (left.messages, left.unacknowledged) == (700, 0)


def test_a_replay_brings_what_was_taken_before_once_and_not_at_every_bind(
    broker: DevelopmentBroker, connection: SolaceOptions, publish: Publish
) -> None:
    broker.keep_replay_log()
    publish(numbers(20))
    assert take(connection) == numbers(20)
    ids = [event.headers["solace.message-id"] for event in SEEN]

    assert take(connection, replay_from="beginning") == numbers(20)
    assert take(connection, replay_from=ids[9]) == numbers(20)[10:]
    assert take(connection) == []


def test_a_queue_is_read_in_transactions_of_a_bundle_each(
    broker: DevelopmentBroker, connection: SolaceOptions, publish: Publish
) -> None:
    publish(numbers(700))

    # The broker allows 256 messages in one.
    assert take(connection, transaction_messages=256) == numbers(700)
    assert broker.queue("logs").messages == 0


def test_transactions_are_refused_where_a_run_is_one_bundle(connection: SolaceOptions) -> None:
    pipeline = beam.Pipeline(options=PipelineOptions(["--runner=SparkRunner"]))

    with pytest.raises(ConfigurationError, match=r"reads everything in one bundle.*leave out transaction_messages"):
        _ = pipeline | ReadFromSolace("logs", connection=connection, until_empty=True, transaction_messages=256)


def test_a_sink_that_holds_more_than_a_transaction_is_flushed_by_the_end_of_its_bundle(
    broker: DevelopmentBroker, connection: SolaceOptions, publish: Publish, tmp_path: Path
) -> None:
    publish(numbers(700))

    write = WriteToHdfs(str(tmp_path), max_events=5_000, max_seconds=600, queue="logs")
    read(connection, write, Acknowledge(), until_empty=True, idle_seconds=1, transaction_messages=100)

    assert broker.queue("logs").messages == 0
    files = [path for path in tmp_path.glob("FlumeData*") if path.is_file()]
    assert sorted(line for path in files for line in path.read_bytes().splitlines()) == sorted(numbers(700))


def test_repeats_are_dropped_in_transactions_as_well(broker: DevelopmentBroker, connection: SolaceOptions) -> None:
    for ids in (["1", "2", "3"], ["2", "3", "4"], ["3"]):
        put(connection, EventBatch.from_bodies([f"{id_}".encode() for id_ in ids], {}, {"flumebeam.id": ids}))

    assert take(connection, transaction_messages=2, deduplicate=100) == [b"1", b"2", b"3", b"4"]
    assert broker.queue("logs").messages == 0


def test_topics_make_the_queue_that_is_read_and_it_stays(broker: DevelopmentBroker, connection: SolaceOptions) -> None:
    broker.delete_queue("logs")

    assert take(connection, topics=["own/>"]) == []
    put(connection, EventBatch.from_bodies([b"meanwhile"]), "own/x")
    assert take(connection, topics=["own/>"]) == [b"meanwhile"]
    assert broker.queue("logs").subscriptions == ("own/>",)


def test_repeated_application_message_ids_are_dropped_acknowledged_and_counted(
    broker: DevelopmentBroker, connection: SolaceOptions
) -> None:
    for ids in (["1", "2", "3"], ["2", "3", "4"], ["3"]):
        put(connection, EventBatch.from_bodies([f"{id_}".encode() for id_ in ids], {}, {"flumebeam.id": ids}))

    result = read(connection, noting(), AcknowledgeBatches(), until_empty=True, idle_seconds=1, deduplicate=100)

    assert bodies() == [b"1", b"2", b"3", b"4"]
    assert broker.queue("logs").messages == 0
    metrics = result.metrics().query()
    counted = {found.key.metric.name: found.committed for found in metrics["counters"]}
    assert counted == {"events_received": 4, "events_repeated": 3, "events_acknowledged": 4}
    latency = next(
        found.committed for found in metrics["distributions"] if found.key.metric.name == "acknowledge_latency_ms"
    )
    assert latency.count >= 1
    assert 0 <= latency.min <= latency.max
    assert "events_unacknowledged" in {found.key.metric.name for found in metrics["gauges"]}


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"event_time": "sent"}, "must be 'sender', 'arrival' or 'header:NAME'"),
        ({"event_time": "header:"}, "header:NAME"),
        ({"replay_from": "yesterday"}, "'yesterday' is none of them"),
        ({"replay_from": "beginning", "browse": True}, "browses starts no replay"),
        ({"replay_from": "beginning", "flows": 2}, "for one flow"),
        ({"selector": "x" * 2001}, "at most 2000"),
        ({"browse": True, "flows": 2}, "see everything, each of them"),
        ({"browse": True, "failed_bundles": "failed"}, "gives nothing back"),
        ({"failed_bundles": "dropped"}, "failed_bundles is 'dropped'; it must be one of released, failed, rejected"),
        ({"acknowledge": "later"}, "must be one of commit-step"),
        ({"acknowledge_within": 0.0}, "acknowledge_within must be more than 0"),
        ({"acknowledge_within": 1.0}, "a bundle may take 1.0 s"),
        ({"watermark_idle_seconds": -1.0}, "must not be negative"),
        ({"deduplicate": -1}, "deduplicate must not be negative"),
        ({"transaction_messages": -1}, "at least one message, got -1"),
        ({"transaction_messages": 256, "browse": True}, "leave out transaction_messages"),
        ({"transaction_messages": 256, "failed_bundles": "failed"}, "leave out transaction_messages"),
    ],
)
def test_what_cannot_work_is_refused_when_the_graph_is_built(options: dict[str, object], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        ReadFromSolace("q", connection=SolaceOptions(), **options)  # type: ignore[arg-type]


def test_a_replay_starts_where_a_text_says() -> None:
    assert ReplayStart.parse("Beginning").location == "BEGINNING"
    assert ReplayStart.parse("2026-01-31T12:00:00+01:00").location == "DATE:1769857200"
    assert ReplayStart.parse("2026-01-31T11:00:00").location == "DATE:1769857200"
    assert FlowOptions(replay=ReplayStart.parse("beginning")).properties() == {
        "FLOW_REPLAY_START_LOCATION": "BEGINNING"
    }


def test_event_time_from_a_header_is_the_earliest_number_in_it() -> None:
    time = _time_of("header:t")
    assert time is not None

    assert time(EventBatch.from_bodies([b"a", b"b", b"c"], {}, {"t": ["3000", None, "2000"]})) == 2000
    assert time(EventBatch.from_bodies([b"a"], {"t": "7"})) == 7
    assert time(EventBatch.from_bodies([b"a"], {"t": "soon"})) is None
    assert time(EventBatch.from_bodies([b"a", b"b"], {}, {"t": ["-1", "9" * 16]})) is None
    assert time(EventBatch.from_bodies([b"a"])) is None
    assert _time_of("arrival") is None
