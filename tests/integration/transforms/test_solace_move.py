"""From queue to queue in one transaction: nothing lost, nothing repeated, whatever breaks."""

from __future__ import annotations

import threading
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from flumebeam.batch import EventBatch
from flumebeam.broker import DevelopmentBroker, LoseCommitResponse
from flumebeam.errors import ConfigurationError, PublishRefusedError
from flumebeam.solace.config import SolaceOptions
from flumebeam.transforms.running import run_pipeline
from flumebeam.transforms.solace_move import MoveOnSolace
from tests.integration.transforms.contents import stored
from tests.integration.transforms.test_solace_read import Publish, numbers


@pytest.fixture(autouse=True)
def _target(broker: DevelopmentBroker) -> None:
    broker.create_queue("moved", subscriptions=["moved/>"])


def only_even(batch: EventBatch) -> EventBatch:
    kept = [int(body) % 2 == 0 for body in batch.bodies.to_pylist()]
    batch = batch.filter(pa.array(kept))
    return EventBatch(pc.binary_join_element_wise(b"n", batch.bodies, b""), batch.shared, batch.columns)


def move(connection: SolaceOptions, *arguments: Any, **options: Any) -> None:
    pipeline = beam.Pipeline(runner="FnApiRunner")
    _ = pipeline | MoveOnSolace("logs", *arguments, connection=connection, until_empty=True, idle_seconds=1, **options)
    run_pipeline(pipeline)


def test_events_are_changed_and_moved_once_and_in_order(
    broker: DevelopmentBroker, connection: SolaceOptions, publish: Publish
) -> None:
    publish(numbers(1_000))

    move(connection, "moved/%{host}", only_even)

    events = stored(connection, "moved")
    assert [event.body for event in events] == [b"n%d" % number for number in range(0, 1_000, 2)]
    assert {event.headers["solace.topic"] for event in events} == {"moved/h1"}
    assert broker.queue("logs").messages == 0


def test_a_limit_leaves_the_rest_where_it_is(
    broker: DevelopmentBroker, connection: SolaceOptions, publish: Publish
) -> None:
    publish(numbers(300))

    move(connection, "moved/x", max_events=150)

    assert (broker.queue("logs").messages, broker.queue("moved").messages) == (150, 150)


@pytest.mark.parametrize("applied", [True, False])
def test_an_unknown_commit_moves_nothing_twice(
    broker: DevelopmentBroker, connection: SolaceOptions, publish: Publish, *, applied: bool
) -> None:
    publish(numbers(500))
    broker.fault(*[LoseCommitResponse(applied=applied)] * 3)

    move(connection, "moved/x")

    assert [event.body for event in stored(connection, "moved")] == numbers(500)


def test_cut_connections_move_nothing_twice_and_lose_nothing(
    broker: DevelopmentBroker, connection: SolaceOptions, publish: Publish
) -> None:
    publish(numbers(5_000))
    done = threading.Event()

    def cut() -> None:
        moved = 0
        # Only after it came further: where a login takes longer than the time between two cuts, none would succeed.
        while not done.wait(0.01):
            if broker.queue("moved").messages > moved:
                moved = broker.queue("moved").messages + 200
                broker.cut_connections()

    cutter = threading.Thread(target=cut)
    cutter.start()
    try:
        pipeline = beam.Pipeline(runner="FnApiRunner")
        _ = pipeline | MoveOnSolace("logs", "moved/x", connection=connection, max_events=5_000)
        run_pipeline(pipeline)
    finally:
        done.set()
        cutter.join()

    assert [event.body for event in stored(connection, "moved")] == numbers(5_000)


def test_what_is_refused_stays_on_its_queue(
    broker: DevelopmentBroker, connection: SolaceOptions, publish: Publish
) -> None:
    publish(numbers(10))

    with pytest.raises(PublishRefusedError, match=r"\d+ events stay on their queue, since .* no queue is subscribed"):
        move(connection, "nobody/here")
    assert broker.queue("logs").messages == 10


@pytest.mark.parametrize("wrong", [{"queue": ""}, {"max_transaction_messages": 1}, {"max_events": 0}])
def test_what_cannot_work_is_refused_when_the_graph_is_built(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        MoveOnSolace(**{"queue": "q", "topic": "t", "connection": SolaceOptions(), **wrong})
