from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest

from flumebeam.batch import EventBatch
from flumebeam.broker import BrokerConfig, DevelopmentBroker, FailCommit, LoseCommitResponse
from flumebeam.errors import ConnectionFailedError, LoginRefusedError, PublishRefusedError
from flumebeam.event import Event
from flumebeam.solace.config import SolaceOptions
from flumebeam.testing import running_broker
from flumebeam.testing.memory_queue import MemoryQueue, MemoryReceiverFactory
from flumebeam.transforms.acknowledge import Acknowledge
from flumebeam.transforms.deadletter import DeadLettersToFiles
from flumebeam.transforms.events import FromEvents
from flumebeam.transforms.read_options import BundleLimits, ReadLimits
from flumebeam.transforms.receiver_read import ReadFromReceivers
from flumebeam.transforms.running import run_pipeline
from flumebeam.transforms.solace_write import WriteToSolace
from tests.failures import Counted
from tests.integration.transforms.contents import stored
from tests.policies import IMPATIENT
from tests.waiting import eventually

BUNDLE = 300


@pytest.fixture
def source(request: pytest.FixtureRequest) -> Iterator[MemoryQueue]:
    made = MemoryQueue(request.node.nodeid)
    yield made
    made.remove()


@contextmanager
def when_acknowledged(source: MemoryQueue, events: int, action: Callable[[], None]) -> Iterator[None]:
    """Run an action in a thread once so many events have been acknowledged, and to its end."""

    def wait_and_act() -> None:
        eventually(lambda: len(source.acknowledged) >= events)
        action()

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(wait_and_act)
        yield
        future.result()


BEHIND_THE_FIRST_BUNDLE: list[Callable[[], None]] = []
"""What is done once when the first bundle is through and the second one begins."""


class AddHeaders(beam.DoFn):
    """Gives each event the header ``app`` with its last digit."""

    def process(self, batch: EventBatch) -> Iterator[EventBatch]:
        if BEHIND_THE_FIRST_BUNDLE and int(batch.bodies[0].as_py()) >= BUNDLE:
            BEHIND_THE_FIRST_BUNDLE.pop()()
        yield EventBatch.from_events(
            Event(event.body, {"app": event.body.decode()[-1]}, event.provenance) for event in batch.events()
        )


def numbers(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def ingest(source: MemoryQueue, connection: SolaceOptions, topic: str = "logs/a", **options: Any) -> dict[str, int]:
    pipeline = beam.Pipeline(runner="FnApiRunner")
    result = (
        pipeline
        | ReadFromReceivers(
            MemoryReceiverFactory(source.name),
            limits=ReadLimits(until_empty=True, idle_seconds=0),
            bundle=BundleLimits(events=BUNDLE),
        )
        | beam.ParDo(AddHeaders())
        | WriteToSolace(topic, connection=connection, **options)
    )
    result.written | "Told" >> Acknowledge()
    if "dead_letters" in options:
        result.dead_letters | "ToldOfLetters" >> Acknowledge()
    found = run_pipeline(pipeline).metrics().query()["counters"]
    return {counter.key.metric.name: counter.committed for counter in found}


def bodies(connection: SolaceOptions) -> list[bytes]:
    return [event.body for event in stored(connection)]


def test_everything_arrives_once_and_in_order_and_the_source_is_told(
    source: MemoryQueue, connection: SolaceOptions
) -> None:
    source.put(numbers(1_000))

    counters = ingest(source, connection)

    assert bodies(connection) == numbers(1_000) == source.acknowledged
    assert counters["events_committed"] == 1_000
    assert counters["transactions_committed"] == 7  # bundles of 300 events: 256 and 44, three times, and 100


def test_a_template_sends_every_event_to_the_topic_of_its_headers(
    broker: DevelopmentBroker, connection: SolaceOptions, source: MemoryQueue
) -> None:
    broker.create_queue("sevens", subscriptions=["logs/*/7"])
    source.put(numbers(100))

    ingest(source, connection, "logs/x/%{app}")

    assert {event.body[-1:] for event in stored(connection, "sevens")} == {b"7"}
    assert {event.headers["solace.topic"] for event in stored(connection)} == {f"logs/x/{digit}" for digit in range(10)}


def test_single_events_are_published_too(connection: SolaceOptions) -> None:
    pipeline = beam.Pipeline(runner="FnApiRunner")
    _ = (
        pipeline
        | beam.Create([Event(body, {"n": body.decode()}) for body in numbers(20)], reshuffle=False)
        | FromEvents()
        | WriteToSolace("logs/a", connection=connection)
    )
    run_pipeline(pipeline)

    assert [(event.body, event.headers["n"]) for event in stored(connection)] == [
        (body, body.decode()) for body in numbers(20)
    ]


@pytest.mark.failure("broker down at commit (known rollback)")
def test_a_transaction_that_was_rolled_back_is_repeated(
    broker: DevelopmentBroker, connection: SolaceOptions, source: MemoryQueue, counted: Counted
) -> None:
    source.put(numbers(600))
    broker.fault(FailCommit(reason="Server Is Busy"), FailCommit(reason="Server Is Busy"))

    counters = ingest(source, connection)

    found = bodies(connection)
    assert found == numbers(600) == source.acknowledged
    assert counters["transactions_rolled_back"] == 2
    counted(numbers(600), found)


@pytest.mark.failure("more than 256 messages in a transaction")
def test_transactions_larger_than_the_broker_allows_are_committed_in_halves(
    connection: SolaceOptions, source: MemoryQueue, counted: Counted
) -> None:
    source.put(numbers(600))

    ingest(source, connection, max_transaction_messages=300)

    found = bodies(connection)
    assert found == numbers(600) == source.acknowledged
    counted(numbers(600), found)


@pytest.mark.failure("commit reply lost (unknown)")
@pytest.mark.parametrize("applied", [False, True])
def test_a_commit_whose_answer_is_lost_repeats_at_most_its_own_events(
    broker: DevelopmentBroker,
    connection: SolaceOptions,
    source: MemoryQueue,
    applied: bool,
    counted: Counted,
) -> None:
    source.put(numbers(600))
    broker.fault(LoseCommitResponse(applied=applied))

    counters = ingest(source, connection)

    found = bodies(connection)
    repeats = found[: len(found) - 600]
    assert found == repeats + numbers(600)
    assert repeats in ([], numbers(256))
    assert source.acknowledged == numbers(600)
    assert not repeats or counters["transactions_unknown"] == 1
    counted(numbers(600), found)


def test_a_broker_that_goes_away_in_mid_run_is_waited_for(
    broker: DevelopmentBroker, connection: SolaceOptions, source: MemoryQueue
) -> None:
    source.put(numbers(5_000))

    with when_acknowledged(source, 256, lambda: broker.restart(keep_state=True, down_seconds=1.5)):
        ingest(source, connection)

    found = bodies(connection)
    assert set(found) == set(numbers(5_000))
    assert len(found) <= 5_000 + 256
    assert source.acknowledged == numbers(5_000)


def test_events_that_no_queue_wants_become_dead_letters(
    connection: SolaceOptions, source: MemoryQueue, tmp_path: Path
) -> None:
    source.put(numbers(20))

    counters = ingest(
        source, connection, lambda_topic, dead_letters=DeadLettersToFiles(str(tmp_path)), max_transaction_messages=8
    )

    assert bodies(connection) == [body for body in numbers(20) if body[-1:] != b"3"]
    assert counters["dead_letters"] == 2
    assert sorted(source.acknowledged) == sorted(numbers(20))
    (file,) = tmp_path.iterdir()
    assert file.read_text().count("no queue is subscribed") == 2


def lambda_topic(batch: EventBatch) -> Any:
    """Send every event whose number ends in 3 to where nobody listens."""
    import pyarrow as pa

    return pa.array(["nowhere" if app == "3" else "logs/a" for app in batch.header("app").to_pylist()])


def test_without_a_place_for_dead_letters_the_run_fails_with_the_reason(
    connection: SolaceOptions, source: MemoryQueue
) -> None:
    source.put(numbers(20))

    with pytest.raises(PublishRefusedError, match=r"'nowhere' was refused.*no queue is subscribed"):
        ingest(source, connection, "nowhere")

    assert source.acknowledged == []
    assert len(source) == 20


@pytest.mark.failure("message larger than a transaction or a queue takes")
def test_a_body_that_is_too_large_for_the_broker_is_isolated(
    connection: SolaceOptions, source: MemoryQueue, tmp_path: Path, counted: Counted
) -> None:
    large = b"x" * 11_000_000 + b"1"
    source.put([*numbers(5), large, b"8"])

    ingest(source, connection, dead_letters=DeadLettersToFiles(str(tmp_path)))

    found = bodies(connection)
    assert found == [*numbers(5), b"8"]
    assert sorted(source.acknowledged) == sorted([*numbers(5), large, b"8"])
    (file,) = tmp_path.iterdir()
    counted([*numbers(5), large, b"8"], found, refused=[b64decode(json.loads(file.read_text())["body"])])


def test_a_wrong_password_ends_the_run_at_once_with_one_sentence(source: MemoryQueue) -> None:
    source.put(numbers(3))
    with running_broker(BrokerConfig(port=0, users={"writer": "right"})) as broker:
        connection = SolaceOptions(host=broker.url, username="writer", password="wrong")
        with pytest.raises(LoginRefusedError, match=r"^[^\n]*writer[^\n]*$") as caught:
            ingest(source, connection)

    assert "wrong" not in str(caught.value).replace("The password is wrong", "")
    assert len(source) == 3


@pytest.mark.failure("broker down at put")
def test_a_broker_that_is_down_at_the_start_is_an_error_at_once(
    broker: DevelopmentBroker,
    connection: SolaceOptions,
    source: MemoryQueue,
    counted: Counted,
) -> None:
    source.put(numbers(3))
    broker.stop()

    with pytest.raises(ConnectionFailedError, match=r"^[^\n]*127\.0\.0\.1[^\n]*$"):
        ingest(source, connection)
    assert len(source) == 3
    counted(numbers(3), [], kept=len(source))


def test_a_broker_that_stays_away_ends_the_run_with_one_error_and_the_source_keeps_the_rest(
    broker: DevelopmentBroker, connection: SolaceOptions, source: MemoryQueue
) -> None:
    source.put(numbers(1_000))
    impatient = replace(connection, reconnect=IMPATIENT)
    BEHIND_THE_FIRST_BUNDLE[:] = [broker.stop]

    with pytest.raises(ConnectionFailedError, match=r"^[^\n]*$"):
        ingest(source, impatient, retry_seconds=2)

    assert source.acknowledged == numbers(BUNDLE)
    assert len(source) == 1_000 - BUNDLE
