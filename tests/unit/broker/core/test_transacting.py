"""Transacted sessions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flumebeam.broker.core.connection import ConnectionState
from flumebeam.broker.faults import FailCommit, LoseCommitResponse
from flumebeam.smf.assuredctrl import (
    AckRange,
    AssuredControl,
    AssuredKind,
    ConsumerAck,
    PublisherNotify,
    SessionState,
    TransactionKind,
)
from flumebeam.smf.values import Response

OK = Response(200, "OK")


def transacted(world: Any, name: str = "app") -> tuple[Any, int]:
    """Return a client with a transacted session, and its publisher flow."""
    peer = world.client(name)
    session = peer.session().session_id
    return peer, peer.publisher(session_id=session).flow_id


def consumed(flow: int, messages: list[Any]) -> ConsumerAck:
    ids = [message.parameters.message_id for message in messages]
    return ConsumerAck(flow, ids[0], ids[-1], len(ids), ids[-1], 255)


def bodies(messages: list[Any]) -> list[bytes]:
    return [message.body for message in messages]


def stored(world: Any, queue: str = "q") -> int:
    return int(world.engine.queue(queue).messages)


def test_new_session_says_that_no_transaction_of_it_has_ended(world: Any) -> None:
    opened = world.client().session()

    assert opened.response == OK
    assert opened.transaction_kind == TransactionKind.OPEN_RESPONSE
    assert opened.session_state == SessionState.NEW
    assert opened.transaction == (0, 1)
    assert opened.session_name


def test_published_messages_appear_together_at_the_commit(world: Any) -> None:
    peer, flow = transacted(world)
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


def test_empty_transaction_commits(world: Any) -> None:
    peer = world.client()
    peer.session()

    assert peer.commit().response == OK


def test_rolled_back_messages_never_appear(world: Any) -> None:
    peer, flow = transacted(world)
    peer.publish(flow, b"a")
    answer = peer.rollback()
    assert (answer.response, answer.transaction_kind) == (OK, TransactionKind.ROLLBACK)
    peer.publish(flow, b"b")
    peer.commit(flow)
    peer.consume()

    assert bodies(peer.deliveries()) == [b"b"]


def test_message_reaches_all_its_queues_and_clients_in_order(world: Any) -> None:
    world.engine.create_queue("all", "exclusive", [">"])
    peer, flow = transacted(world)
    listener = world.client("listener")
    listener.subscribe("t/2")
    for number in range(6):
        peer.publish(flow, b"%d" % number, topic=f"t/{number % 3}" if number % 2 else "other")
    peer.publish(flow, b"6", topic="t/2")
    peer.commit(flow)

    assert bodies(listener.deliveries()) == [b"5", b"6"]
    consumer = world.client("consumer")
    consumer.consume("all")
    assert bodies(consumer.deliveries()) == [b"0", b"1", b"2", b"3", b"4", b"5", b"6"]
    consumer.consume("q")
    assert bodies(consumer.deliveries()) == [b"1", b"3", b"5", b"6"]


def test_messages_of_one_topic_are_decoded_once(world: Any) -> None:
    peer, flow = transacted(world)
    peer.publish(flow, *(b"%d" % number for number in range(100)))
    peer.commit(flow)

    assert peer.connection.messages.decoded == 1
    assert stored(world) == 100


def test_message_without_match_is_dropped_at_the_commit(make_world: Callable[..., Any]) -> None:
    world = make_world()
    peer, flow = transacted(world)
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


def test_commit_consumes_what_it_names_and_nothing_else(world: Any) -> None:
    peer, publisher = transacted(world)
    peer.publish(publisher, b"a", b"b", b"c")
    peer.commit(publisher)
    flow = peer.consume(session_id=peer.session_id)
    messages = peer.deliveries()
    assert peer.commit(None, consumed(flow, messages[:2])).response == OK

    assert stored(world) == 1
    assert world.engine.queue("q").unacknowledged == 1


def test_application_acknowledgement_inside_a_session_settles_nothing(world: Any) -> None:
    peer, publisher = transacted(world)
    peer.publish(publisher, b"a")
    peer.commit(publisher)
    flow = peer.consume(session_id=peer.session_id)
    (message,) = peer.deliveries()
    peer.ack(flow, 0, AckRange(0, message.parameters.message_id))

    assert stored(world) == 1


def test_consume_and_publish_happen_both_or_neither(world: Any) -> None:
    world.engine.create_queue("out", "exclusive", ["out"])
    peer, publisher = transacted(world)
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
    peer, publisher = transacted(world)
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
    peer, publisher = transacted(world)
    for _ in range(2):
        peer.publish(publisher, *(b"%d" % number for number in range(200)))
        peer.commit(publisher)
    peer.consume(session_id=peer.session_id)
    assert len(peer.deliveries()) == 255
    peer.send(peer.ending(3))

    assert len(peer.deliveries()) == 255


def test_rollback_opens_the_window_of_a_client_that_had_no_room_left(world: Any) -> None:
    # It drops what it has, and says nothing about the room that this makes (solace-pubsubplus 1.11).
    peer, publisher = transacted(world)
    peer.publish(publisher, b"a", b"b")
    peer.commit(publisher)
    flow = peer.bind(session_id=peer.session_id, window=255).flow_id
    peer.ack(flow, 0, window=0)
    peer.send(peer.ending(3))

    assert len(peer.deliveries()) == 2


def test_rollback_leaves_flows_outside_the_session_alone(world: Any) -> None:
    world.engine.create_queue("other", "exclusive", ["t/>"])
    peer, publisher = transacted(world)
    peer.publish(publisher, b"a")
    peer.commit(publisher)
    peer.consume("other")
    peer.bind("q", flow_type=2)
    peer.received()
    peer.send(peer.ending(3))

    assert peer.deliveries() == []


def test_transaction_beyond_the_limit_of_messages_fails_as_a_whole(make_world: Callable[..., Any]) -> None:
    world = make_world(max_transaction_messages=4)
    world.engine.create_queue("q", "exclusive", ["t/>"])
    peer, publisher = transacted(world)
    peer.publish(publisher, *([b"x"] * 5))
    refused = peer.commit(publisher)
    assert refused.response == Response(503, "Transaction Failure")
    assert refused.transaction_kind == TransactionKind.ROLLBACK
    assert stored(world) == 0
    peer.publish(publisher, *([b"x"] * 4))
    assert peer.commit(publisher).response == OK
    flow = peer.consume(session_id=peer.session_id)
    messages = peer.deliveries()
    peer.publish(publisher, b"y")
    assert peer.commit(publisher, consumed(flow, messages)).response.text == "Transaction Failure"

    assert stored(world) == 4


def test_transaction_beyond_the_limit_of_bytes_fails_and_keeps_nothing(make_world: Callable[..., Any]) -> None:
    world = make_world(max_transaction_bytes=10)
    world.engine.create_queue("q", "exclusive", ["t/>"])
    peer, publisher = transacted(world)
    peer.publish(publisher, b"12345", b"12345", b"6")
    assert peer.commit(publisher).response == Response(503, "Message Publish Failure")
    peer.publish(publisher, b"12345", b"12345")

    assert peer.commit(publisher).response == OK
    assert stored(world) == 2


def test_staged_messages_that_make_room_for_others_make_room_for_their_bytes(make_world: Callable[..., Any]) -> None:
    world = make_world(max_transaction_bytes=10, max_transaction_messages=2)
    world.engine.create_queue("q", "exclusive", ["t/>"])
    peer, publisher = transacted(world)
    peer.publish(publisher, *([b"12345"] * 6))
    peer.staged = 2

    assert peer.commit(publisher).response == OK
    assert stored(world) == 2


@pytest.mark.parametrize(
    ("options", "topic", "reason"),
    [
        ({"reject_on_no_match": True}, "nobody", "No Subscription Match"),
        ({}, "#P2P/QUE/nowhere", "Message Publish Failure"),
        ({"max_queue_messages": 2}, "t/1", "Spool Over Quota"),
        ({"max_queue_bytes": 2}, "t/1", "Spool Over Quota"),
        ({"max_spool_bytes": 2}, "t/1", "Spool Over Quota"),
    ],
)
def test_commit_is_refused_as_a_whole_if_one_message_cannot_be_kept(
    make_world: Callable[..., Any], options: dict[str, Any], topic: str, reason: str
) -> None:
    world = make_world(**options)
    world.engine.create_queue("q", "exclusive", ["t/>"])
    peer, publisher = transacted(world)
    peer.publish(publisher, b"a", b"b")
    peer.publish(publisher, b"c", topic=topic)

    assert peer.commit(publisher).response == Response(503, reason)
    assert stored(world) == 0


@pytest.mark.parametrize(
    "published",
    [
        ((1, 3, 2),),
        ((1, 1, 3),),
        ((1, 1, 1),),
        ((9, 2, 2),),
        ((1, 1, 2), (1, 1, 2)),
    ],
    ids=["more than arrived", "later than arrived", "not the last", "another flow", "two flows"],
)
def test_commit_that_names_messages_that_are_not_here_fails(world: Any, published: tuple[Any, ...]) -> None:
    peer, publisher = transacted(world)
    peer.publish(publisher, b"a", b"b")
    flows = {1: publisher, 9: 99}
    notified = tuple(PublisherNotify(flows[flow], count, last) for flow, count, last in published)

    assert peer.commit(published=notified).response == Response(503, "Message Publish Failure")
    assert stored(world) == 0


def test_commit_of_publishes_without_a_publisher_flow_fails_and_of_none_does_not(world: Any) -> None:
    peer = world.client()
    peer.session()
    assert peer.commit(published=(PublisherNotify(1, 1, 1),)).response.text == "Message Publish Failure"
    peer, publisher = transacted(world, "other")

    assert peer.commit(published=(PublisherNotify(publisher, 0, 0),)).response == OK


def test_only_the_messages_that_a_commit_counts_are_committed(world: Any) -> None:
    peer, publisher = transacted(world)
    peer.publish(publisher, b"left over", b"a", b"b")
    peer.staged = 2
    peer.commit(publisher)
    peer.consume()

    assert bodies(peer.deliveries()) == [b"a", b"b"]


@pytest.mark.parametrize("wrong", ["more", "other flow", "outside the session", "browser"])
def test_commit_that_consumes_what_the_flow_does_not_hold_fails(world: Any, wrong: str) -> None:
    peer, publisher = transacted(world)
    peer.publish(publisher, b"a")
    peer.commit(publisher)
    options = {"outside the session": {}, "browser": {"flow_type": 2}}.get(wrong, {"session_id": peer.session_id})
    flow = peer.consume(**options)
    item = consumed(flow, peer.deliveries())
    if wrong == "more":
        item = item._replace(messages=2)
    if wrong == "other flow":
        item = item._replace(flow_id=99)

    assert peer.commit(None, item).response == Response(503, "Message Consume Failure")
    assert stored(world) == 1


@pytest.mark.parametrize("state", ["open", "committed", "rolled back", "failed"])
def test_session_is_resumed_with_the_outcome_of_exactly_the_transaction_asked_for(world: Any, state: str) -> None:
    peer, _ = transacted(world)
    opened = peer.session()
    name, pair = opened.session_name, (0, 1)
    peer.publisher(session_id=peer.session_id)
    expected = {"open": 0, "committed": 1, "rolled back": 2, "failed": 2}[state]
    if state != "open":
        if state == "failed":
            world.faults.add(FailCommit())
        (peer.rollback if state == "rolled back" else peer.commit)()
        pair = (1, 2)
    peer.leave()
    peer = world.client()
    again = peer.session(session_name=name, transaction=pair)

    assert (again.session_id, again.session_name) == (opened.session_id, name)
    assert again.transaction == pair
    assert again.session_state == expected
    assert peer.session(session_name=name, transaction=(7, 8)).session_state == 0


def test_open_transaction_goes_on_after_a_reconnect(world: Any) -> None:
    peer = world.client()
    session = peer.session()
    opened = peer.publisher(session_id=session.session_id)
    peer.publish(opened.flow_id, b"a")
    peer.leave()
    peer = world.client()
    peer.session(session_name=session.session_name)
    again = peer.publisher(session_id=session.session_id, flow_name=opened.flow_name)
    assert (again.last_sent, again.session_id) == (1, session.session_id)
    peer.publish(again.flow_id, b"b")
    peer.staged = 2

    assert peer.commit(again.flow_id).response == OK
    assert stored(world) == 2


def test_unknown_session_is_refused_with_name_and_id_and_counters(world: Any) -> None:
    mine = world.client().session().session_name
    other = world.client("other")
    for name in ("nobody", mine):
        refused = other.session(session_name=name, transaction=(3, 4))

        assert refused.response == Response(503, "Unknown Transacted Session Name")
        assert refused.transaction_kind == TransactionKind.OPEN_RESPONSE
        assert (refused.session_name, refused.transaction) == (name, (3, 4))
        assert refused.session_id is not None
        assert refused.session_state == SessionState.NEW


def test_unknown_publisher_flow_inside_a_session_is_refused_with_the_session_id(world: Any) -> None:
    peer = world.client()
    session = peer.session().session_id
    outside = peer.publisher().flow_name

    for name in ("nobody", outside):
        refused = peer.publisher(session_id=session, flow_name=name)
        assert refused.response == Response(400, "Unknown Flow Name")
        assert refused.session_id == session
    assert peer.publisher(session_id=99).response == Response(503, "Unknown Transacted Session")


def test_new_publisher_flow_of_a_session_replaces_the_one_before(world: Any) -> None:
    peer = world.client()
    session = peer.session().session_id
    first = peer.publisher(session_id=session)
    second = peer.publisher(session_id=session)
    peer.publish(second.flow_id, b"a")
    assert peer.commit(second.flow_id).response == OK

    assert peer.publisher(session_id=session, flow_name=first.flow_name).response.code == 400
    assert stored(world) == 1


def test_session_of_an_absent_client_is_rolled_back_after_its_time(make_world: Callable[..., Any]) -> None:
    world = make_world(session_retention_seconds=180)
    for seconds, code in ((179, 200), (180, 503)):
        peer = world.client()
        session = peer.session()
        name = peer.publisher(session_id=session.session_id).flow_name
        peer.leave()
        world.tick(seconds)
        peer = world.client()
        assert peer.session(session_name=session.session_name).response.code == code
        if code == 503:
            assert peer.publisher(flow_name=name).response.code == 400
            assert "stayed away" in " ".join(world.lines)


def test_closed_session_gives_back_what_it_held_and_forgets_what_it_staged(world: Any) -> None:
    peer, publisher = transacted(world)
    peer.publish(publisher, b"a")
    peer.commit(publisher)
    outside = peer.bind("q").flow_id
    inside = peer.consume(session_id=peer.session_id, queue="q")
    peer.publish(publisher, b"b")
    close = AssuredControl(kind=AssuredKind.TRANSACTION, transaction_kind=1, session_id=peer.session_id)
    answer = peer.ask(close)

    assert (answer.response, answer.transaction_kind) == (OK, TransactionKind.CLOSE_RESPONSE)
    assert list(peer.connection.consumers) == [outside] != [inside]
    assert stored(world) == 1
    peer.send(close)
    assert peer.received() == []
    peer.send(peer.ending(2))
    assert peer.connection.state is ConnectionState.CLOSING


def test_session_without_publisher_closes(world: Any) -> None:
    peer = world.client()
    session = peer.session().session_id
    close = AssuredControl(kind=AssuredKind.TRANSACTION, transaction_kind=1, session_id=session)

    assert peer.ask(close).response == OK


def test_number_of_sessions_is_limited(make_world: Callable[..., Any]) -> None:
    peer = make_world(max_sessions_per_connection=1).client()
    peer.session()

    assert peer.session().response == Response(503, "Max Transacted Sessions Exceeded")


@pytest.mark.parametrize("kind", [None, 4, 8, 77])
def test_other_transaction_controls_break_the_protocol(world: Any, kind: int | None) -> None:
    peer = world.client()
    peer.send(AssuredControl(kind=AssuredKind.TRANSACTION, transaction_kind=kind, session_id=1))

    assert peer.connection.state is ConnectionState.CLOSING


def test_commit_without_counters_breaks_the_protocol(world: Any) -> None:
    peer = world.client()
    peer.session()
    peer.send(peer.ending(2, transaction=None))

    assert peer.connection.state is ConnectionState.CLOSING


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("cut", [True, False])
def test_lost_commit_response_leaves_the_outcome_to_be_asked_for(world: Any, applied: bool, cut: bool) -> None:
    peer, publisher = transacted(world)
    name = peer.connection.sessions[peer.session_id].name
    peer.publish(publisher, b"a")
    world.faults.add(LoseCommitResponse(applied=applied, cut=cut))
    peer.send(peer.ending(2, published=(PublisherNotify(publisher, 1, 1),)))

    assert peer.received() == []
    assert (peer.connection.state is ConnectionState.CLOSING) is cut
    peer.leave()
    assert stored(world) == int(applied)
    peer = world.client()
    assert peer.session(session_name=name, transaction=(1, 2)).session_state == int(applied)
    assert stored(world) == int(applied)


def test_lost_response_of_a_failing_commit_is_rolled_back(world: Any) -> None:
    peer, publisher = transacted(world)
    name = peer.connection.sessions[peer.session_id].name
    world.faults.add(LoseCommitResponse(applied=True))
    peer.send(peer.ending(2, published=(PublisherNotify(publisher, 1, 1),)))
    peer.leave()

    assert world.client().session(session_name=name, transaction=(1, 2)).session_state == SessionState.ROLLED_BACK
