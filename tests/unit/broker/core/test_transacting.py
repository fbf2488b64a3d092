"""What is published and consumed in a transaction happens together at its commit, or never."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flumebeam.broker.faults import FailCommit
from flumebeam.smf.assuredctrl import AckRange, ConsumerAck, TransactionKind
from flumebeam.smf.values import Response
from tests.unit.broker.conftest import bodies
from tests.unit.broker.core.transactions import OK, consumed, stored


def test_published_messages_appear_together_at_the_commit(world: Any) -> None:
    peer, flow = world.transacted()
    peer.publish(flow, b"a", b"b")
    peer.publish(flow, b"c")
    assert peer.received() == []
    assert stored(world) == 0
    answer = peer.commit(flow)

    assert stored(world) == 3
    assert answer.pass_through
    assert answer.response == OK
    assert answer.transaction_kind == TransactionKind.COMMIT
    assert (answer.session_id, answer.transaction) == (peer.session_id, (1, 2))
    assert [ack.last_id for ack in answer.publisher_acks] == [3]


def test_a_connection_tells_how_much_its_largest_open_transaction_has_published(world: Any) -> None:
    assert world.client().connection.staged == 0
    peer, flow = world.transacted()
    peer.publish(flow, b"a", b"b")
    assert peer.connection.staged == 2
    peer.commit(flow)

    assert peer.connection.staged == 0


def test_empty_transaction_commits(world: Any) -> None:
    peer = world.client()
    peer.session()

    assert peer.commit().response == OK


def test_rolled_back_messages_never_appear(world: Any) -> None:
    peer, flow = world.transacted()
    peer.publish(flow, b"a")
    answer = peer.rollback()
    assert (answer.response, answer.transaction_kind) == (OK, TransactionKind.ROLLBACK)
    peer.publish(flow, b"b")
    peer.commit(flow)
    peer.consume()

    assert peer.bodies() == [b"b"]


def test_message_reaches_all_its_queues_and_clients_in_order(world: Any) -> None:
    world.engine.create_queue("all", "exclusive", [">"])
    peer, flow = world.transacted()
    listener = world.client("listener")
    listener.subscribe("t/2")
    for number in range(6):
        peer.publish(flow, b"%d" % number, topic=f"t/{number % 3}" if number % 2 else "other")
    peer.publish(flow, b"6", topic="t/2")
    peer.commit(flow)

    assert listener.bodies() == [b"5", b"6"]
    consumer = world.client("consumer")
    consumer.consume("all")
    assert consumer.bodies() == [b"0", b"1", b"2", b"3", b"4", b"5", b"6"]
    consumer.consume("q")
    assert consumer.bodies() == [b"1", b"3", b"5", b"6"]


def test_messages_of_one_topic_are_decoded_once(world: Any) -> None:
    peer, flow = world.transacted()
    peer.publish(flow, *(b"%d" % number for number in range(100)))
    peer.commit(flow)

    assert peer.connection.messages.decoded == 1
    assert stored(world) == 100


def test_message_without_match_is_dropped_at_the_commit(make_world: Callable[..., Any]) -> None:
    world = make_world()
    peer, flow = world.transacted()
    peer.publish(flow, b"a")

    assert peer.commit(flow).response == OK
    assert world.engine._vpn.spool.bytes == 0


def test_client_with_a_small_window_is_acknowledged_before_the_commit(world: Any) -> None:
    peer = world.client()
    session = peer.session().session_id
    flow = peer.publisher(session_id=session, window=1).flow_id
    peer.publish(flow, b"a")

    assert [message.last_acked for message in peer.received()] == [1]
    assert stored(world) == 0


def test_only_the_messages_that_a_commit_counts_are_committed(world: Any) -> None:
    peer, publisher = world.transacted()
    peer.publish(publisher, b"left over", b"a", b"b")
    peer.staged = 2
    peer.commit(publisher)
    peer.consume()

    assert peer.bodies() == [b"a", b"b"]


def test_commit_consumes_what_it_names_and_nothing_else(world: Any) -> None:
    peer, publisher = world.transacted()
    peer.publish(publisher, b"a", b"b", b"c")
    peer.commit(publisher)
    flow = peer.consume(session_id=peer.session_id)
    messages = peer.deliveries()
    assert peer.commit(None, consumed(flow, messages[:2])).response == OK

    assert stored(world) == 1
    assert world.engine.queue("q").unacknowledged == 1


def test_application_acknowledgement_inside_a_session_settles_nothing(world: Any) -> None:
    peer, publisher = world.transacted()
    peer.publish(publisher, b"a")
    peer.commit(publisher)
    flow = peer.consume(session_id=peer.session_id)
    (message,) = peer.deliveries()
    peer.ack(flow, 0, AckRange(0, message.parameters.message_id))

    assert stored(world) == 1


def test_consume_and_publish_happen_both_or_neither(world: Any) -> None:
    world.engine.create_queue("out", "exclusive", ["out"])
    peer, publisher = world.transacted()
    peer.publish(publisher, b"a")
    peer.commit(publisher)
    flow = peer.consume(session_id=peer.session_id)
    (message,) = peer.deliveries()
    peer.publish(publisher, b"A", topic="out")
    world.faults.add(FailCommit(reason="Message Consume Failure"))
    assert peer.commit(publisher, consumed(flow, [message])).response == Response(503, "Message Consume Failure")
    assert (stored(world), stored(world, "out")) == (1, 0)
    peer.rollback()
    (message,) = [m for m in peer.deliveries() if m.parameters.previous_id == 0] or [message]
    redelivered = list(world.engine._vpn.queues["q"].flows[0].unacked)
    peer.publish(publisher, b"A", topic="out")
    assert peer.commit(publisher, ConsumerAck(flow, 0, redelivered[-1], 1, redelivered[-1], 255)).response == OK

    assert (stored(world), stored(world, "out")) == (0, 1)


def test_rollback_returns_messages_in_order_with_a_new_chain_of_ids(world: Any) -> None:
    peer, publisher = world.transacted()
    peer.publish(publisher, b"a", b"b", b"c")
    peer.commit(publisher)
    peer.consume(session_id=peer.session_id)
    first = [message.parameters for message in peer.deliveries()]
    peer.send(peer.ending(3))
    again = peer.deliveries()
    parameters = [message.parameters for message in again]

    assert bodies(again) == [b"a", b"b", b"c"]
    assert parameters[0].previous_id == 0
    assert parameters[1].previous_id == parameters[0].message_id > first[2].message_id
    assert [p.stable_id for p in parameters] == [p.message_id for p in first]
    assert all(p.redelivered for p in parameters)


def test_rollback_with_a_full_window_delivers_again(world: Any) -> None:
    peer, publisher = world.transacted()
    for _ in range(2):
        peer.publish(publisher, *(b"%d" % number for number in range(200)))
        peer.commit(publisher)
    peer.consume(session_id=peer.session_id)
    assert len(peer.deliveries()) == 255
    peer.send(peer.ending(3))

    assert len(peer.deliveries()) == 255


def test_rollback_opens_the_window_of_a_client_that_had_no_room_left(world: Any) -> None:
    # It drops what it has, and says nothing about the room that this makes (solace-pubsubplus 1.11).
    peer, publisher = world.transacted()
    peer.publish(publisher, b"a", b"b")
    peer.commit(publisher)
    flow = peer.bind(session_id=peer.session_id, window=255).flow_id
    peer.ack(flow, 0, window=0)
    peer.send(peer.ending(3))

    assert len(peer.deliveries()) == 2


def test_rollback_leaves_flows_outside_the_session_alone(world: Any) -> None:
    world.engine.create_queue("other", "exclusive", ["t/>"])
    peer, publisher = world.transacted()
    peer.publish(publisher, b"a")
    peer.commit(publisher)
    peer.consume("other")
    peer.bind("q", flow_type=2)
    peer.received()
    peer.send(peer.ending(3))

    assert peer.deliveries() == []
