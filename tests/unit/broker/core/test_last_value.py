"""Last-value queues: only the newest message is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flumebeam.smf.assuredctrl import AckRange, ConsumerAck, FlowType, Outcome
from tests.unit.structured import structured


@pytest.fixture
def world(make_world: Callable[..., Any]) -> Any:
    """A broker with a last-value queue ``q`` that gets ``t/>``."""
    made = make_world()
    made.engine.create_queue("q", "exclusive", ["t/>"], last_value=True)
    return made


def publisher(world: Any) -> tuple[Any, int]:
    peer = world.client("filler")
    return peer, peer.publisher().flow_id


def test_newest_message_replaces_those_before_it(world: Any) -> None:
    peer, flow = publisher(world)
    peer.publish(flow, b"a", b"b")
    peer.publish(flow, b"c")
    status = world.engine.queue("q")

    assert (status.messages, status.bytes, status.received) == (1, 1, 3)
    assert world.engine.vpn.spool.bytes == 1
    reader = world.client()
    reader.consume()
    assert reader.bodies() == [b"c"]


def test_delivered_message_stays_until_it_is_settled_and_does_not_come_back_behind_a_newer_one(world: Any) -> None:
    peer, flow = publisher(world)
    reader = world.client()
    consumer = reader.consume()
    peer.publish(flow, b"a")
    (old,) = [message.parameters.message_id for message in reader.deliveries()]
    peer.publish(flow, b"b")
    assert world.engine.queue("q").messages == 2
    assert reader.bodies() == [b"b"]
    reader.ack(consumer, old, AckRange(old, old, Outcome.FAILED))

    assert (world.engine.queue("q").messages, reader.bodies()) == (1, [])
    reader.leave()
    again = world.client()
    again.consume()
    assert again.bodies() == [b"b"]


def test_commit_counts_on_the_delivered_message_even_if_a_newer_one_has_come(world: Any) -> None:
    peer, flow = publisher(world)
    reader = world.client()
    reader.session()
    sending = reader.publisher(session_id=reader.session_id).flow_id
    consumer = reader.consume(session_id=reader.session_id)
    peer.publish(flow, b"a")
    (old,) = [message.parameters.message_id for message in reader.deliveries()]
    peer.publish(flow, b"b")

    assert reader.commit(sending, ConsumerAck(consumer, old, old, 1, old, 255)).response.code == 200
    assert world.engine.queue("q").messages == 1


def test_browser_sees_the_last_value(world: Any) -> None:
    peer, flow = publisher(world)
    peer.publish(flow, b"a", b"b")
    reader = world.client()
    reader.consume(flow_type=FlowType.BROWSER)
    assert reader.bodies() == [b"b"]
    peer.publish(flow, b"c")

    assert reader.bodies() == [b"c"]


def test_partitioned_queue_keeps_one_message_of_all(make_world: Callable[..., Any]) -> None:
    world = make_world()
    world.engine.create_queue("q", "non-exclusive", ["t/>"], partitions=3, last_value=True)
    peer, flow = publisher(world)
    for number in range(6):
        payload, options = structured(b"", {"JMSXGroupID": f"k{number}"})
        peer.publish(flow, payload, **options)

    assert world.engine.queue("q").messages == 1
