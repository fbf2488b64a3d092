from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flumebeam.errors import ConfigurationError
from flumebeam.smf.assuredctrl import AckRange, AssuredControl, AssuredKind, ConsumerAck, Outcome
from flumebeam.smf.header import Flag
from flumebeam.smf.messages import Message
from tests.unit.broker.durable import durable_state


@pytest.fixture
def world(make_world: Callable[..., Any]) -> Any:
    """Return a broker whose queue ``q`` gives messages up after two redeliveries, to the queue ``dead``."""
    made = make_world()
    made.engine.create_queue("dead", "exclusive", [])
    made.engine.create_queue("q", "exclusive", ["t/>"], max_redeliveries=2, dead_message_queue="dead")
    return made


def publish(world: Any, *bodies: bytes, **options: Any) -> None:
    client = world.client("publisher")
    client.publish(client.publisher().flow_id, *bodies, **options)


def settle(client: Any, flow: int, outcome: Outcome) -> list[Message]:
    """Take what waits, settle it, and return it."""
    taken = client.deliveries()
    last = taken[-1].parameters.message_id
    client.ack(flow, last, AckRange(taken[0].parameters.message_id, last, outcome))
    return taken


def counts(world: Any, queue: str = "q") -> dict[str, int]:
    result: dict[str, int] = world.engine.queue(queue).counts
    return result


def drained(world: Any, queue: str) -> list[Message]:
    client = world.client(f"reader of {queue}")
    client.consume(queue)
    taken: list[Message] = client.deliveries()
    return taken


def test_message_that_fails_too_often_moves_to_the_dead_message_queue(world: Any) -> None:
    publish(world, b"bad", topic="t/original")
    client = world.client()
    flow = client.consume()
    for delivery in range(3):
        assert [message.body for message in settle(client, flow, Outcome.FAILED)] == [b"bad"], delivery

    assert client.deliveries() == []
    assert world.engine.queue("q").messages == 0
    assert counts(world) == {"maxRedeliveryExceededToDmqMsgCount": 1}
    (dead,) = drained(world, "dead")
    assert (dead.body, dead.parameters.topic) == (b"bad", "t/original")
    assert not dead.parameters.redelivered
    durable_state(world.engine)


def test_redeliveries_are_counted_over_new_flows_and_lost_connections(world: Any) -> None:
    publish(world, b"bad")
    for number in range(3):
        client = world.client(f"c{number}")
        client.consume()
        assert len(client.deliveries()) == 1
        client.leave()

    assert world.engine.queue("q").messages == 0
    assert world.engine.queue("dead").messages == 1


def test_rollback_counts_as_a_redelivery(world: Any) -> None:
    publish(world, b"bad", b"good")
    client = world.client()
    session = client.session().session_id
    flow = client.consume(session_id=session)
    for _ in range(2):
        assert len(client.deliveries()) == 2
        client.send(client.ending(3))
    first = client.deliveries()[0].parameters.message_id
    assert client.commit(None, ConsumerAck(flow, first, first, 1, first, 255)).response.code == 200
    client.rollback()

    assert client.deliveries() == []
    assert [message.body for message in drained(world, "dead")] == [b"good"]


def test_message_that_is_not_eligible_is_deleted(world: Any) -> None:
    client = world.client("publisher")
    flow = client.publisher().flow_id
    message = client.message(flow, 1, 0, b"bad")
    client.send(Message(parameters=message.parameters, body=b"bad", flags=Flag.ASSURED))
    reader = world.client()
    reading = reader.consume()
    for _ in range(3):
        settle(reader, reading, Outcome.FAILED)

    assert world.engine.queue("q").messages == world.engine.queue("dead").messages == 0
    assert counts(world) == {"maxRedeliveryExceededDiscardedMsgCount": 1}
    assert world.engine.vpn.spool.bytes == 0


@pytest.mark.parametrize("target", ["nobody", "q"], ids=["no such queue", "itself"])
def test_without_a_dead_message_queue_messages_are_deleted(make_world: Callable[..., Any], target: str) -> None:
    world = make_world()
    world.engine.create_queue("q", "exclusive", ["t/>"], redelivery_enabled=False, dead_message_queue=target)
    publish(world, b"once")
    client = world.client()
    client.consume()
    assert len(client.deliveries()) == 1
    client.leave()

    assert world.engine.queue("q").messages == 0
    assert counts(world) == {"maxRedeliveryExceededDiscardedMsgCount": 1}


def test_message_moves_only_once(world: Any) -> None:
    world.engine.delete_queue("dead")
    world.engine.create_queue("dead", "exclusive", [], redelivery_enabled=False, dead_message_queue="q")
    publish(world, b"bad")
    client = world.client()
    flow = client.consume()
    settle(client, flow, Outcome.REJECTED)
    other = world.client("other")
    settle(other, other.consume("dead"), Outcome.REJECTED)

    assert counts(world) == {"rejectedToDmqMsgCount": 1}
    assert counts(world, "dead") == {"rejectedDiscardedMsgCount": 1}
    assert world.engine.queue("q").messages == world.engine.queue("dead").messages == 0


def test_message_moves_without_a_consumer_to_serve_others_go_on(world: Any) -> None:
    publish(world, b"bad", b"good")
    client = world.client()
    flow = client.consume()
    first, second = client.deliveries()
    client.ack(flow, 0, AckRange(0, first.parameters.message_id, Outcome.REJECTED), window=0)
    client.ack(flow, 0, AckRange(0, second.parameters.message_id, Outcome.ACCEPTED))

    assert world.engine.queue("q").messages == 0
    assert world.engine.queue("dead").messages == 1


def test_rejected_message_goes_at_once_and_those_beside_it_stay(world: Any) -> None:
    publish(world, b"a", b"b", b"c")
    client = world.client()
    flow = client.consume()
    ids = [message.parameters.message_id for message in client.deliveries()]
    client.ack(flow, ids[2], AckRange(ids[1], ids[1], Outcome.REJECTED), AckRange(ids[1], ids[1], Outcome.REJECTED))

    assert world.engine.queue("q").unacknowledged == 2
    assert [message.body for message in drained(world, "dead")] == [b"b"]


def test_dead_message_queue_that_is_full_or_shut_takes_nothing(world: Any) -> None:
    world.engine.delete_queue("dead")
    world.engine.create_queue("dead", "exclusive", [], max_bytes=3)
    publish(world, b"12", b"34", b"5")
    client = world.client()
    settle(client, client.consume(), Outcome.REJECTED)
    assert counts(world) == {"rejectedToDmqMsgCount": 2, "rejectedToDmqFailedMsgCount": 1}

    world.engine.delete_queue("dead")
    world.engine.create_queue("dead", "exclusive", [], ingress_enabled=False)
    world.client("publisher").leave()
    publish(world, b"6")
    settle(client, next(iter(client.connection.consumers)), Outcome.REJECTED)
    assert counts(world)["rejectedToDmqFailedMsgCount"] == 2


def test_consumers_of_the_dead_message_queue_are_served_at_once(world: Any) -> None:
    reader = world.client("reader")
    reader.consume("dead")
    publish(world, b"bad")
    client = world.client()
    settle(client, client.consume(), Outcome.REJECTED)

    assert [message.body for message in reader.deliveries()] == [b"bad"]


def test_delivery_counts_are_shown_to_the_client(world: Any) -> None:
    publish(world, b"bad")
    client = world.client()
    flow = client.consume()
    settle(client, flow, Outcome.FAILED)
    settle(client, flow, Outcome.FAILED)
    (third,) = client.deliveries()

    assert third.parameters.redelivered
    assert third.parameters.redelivery_count == 2


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ({"color": "red"}, "A queue has no setting color; choose from "),
        ({"max_redeliveries": "3"}, "max_redeliveries of a queue cannot be '3'; its default is 0."),
        ({"max_redeliveries": -1}, "max_redeliveries of a queue cannot be -1; its default is 0."),
        ({"reject_on_discard": "maybe"}, "reject_on_discard of a queue is one of always, "),
    ],
)
def test_wrong_setting_is_refused_in_one_sentence(world: Any, setting: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{text}"):
        world.engine.create_queue("new", "exclusive", [], **setting)


def test_unbinding_gives_up_what_was_delivered_for_the_last_time(world: Any) -> None:
    publish(world, b"bad")
    for _ in range(3):
        client = world.client()
        flow = client.consume()
        assert len(client.deliveries()) == 1
        client.send(AssuredControl(kind=AssuredKind.UNBIND, flow_id=flow))

    assert world.engine.queue("dead").messages == 1
