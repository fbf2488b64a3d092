"""Commits that fail: each as a whole, with its reason, and with room for the next one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flumebeam.broker.core.connection import ConnectionState
from flumebeam.smf.assuredctrl import AssuredControl, AssuredKind, PublisherNotify, TransactionKind
from flumebeam.smf.values import Response
from tests.unit.broker.core.transactions import OK, consumed, stored


def test_transaction_beyond_the_limit_of_messages_fails_as_a_whole(make_world: Callable[..., Any]) -> None:
    world = make_world(max_transaction_messages=4)
    world.engine.create_queue("q", "exclusive", ["t/>"])
    peer, publisher = world.transacted()
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
    peer, publisher = world.transacted()
    peer.publish(publisher, b"12345", b"12345", b"6")
    assert peer.commit(publisher).response == Response(503, "Message Publish Failure")
    peer.publish(publisher, b"12345", b"12345")

    assert peer.commit(publisher).response == OK
    assert stored(world) == 2


def test_staged_messages_that_make_room_for_others_make_room_for_their_bytes(make_world: Callable[..., Any]) -> None:
    world = make_world(max_transaction_bytes=10, max_transaction_messages=2)
    world.engine.create_queue("q", "exclusive", ["t/>"])
    peer, publisher = world.transacted()
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
    peer, publisher = world.transacted()
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
    peer, publisher = world.transacted()
    peer.publish(publisher, b"a", b"b")
    flows = {1: publisher, 9: 99}
    notified = tuple(PublisherNotify(flows[flow], count, last) for flow, count, last in published)

    assert peer.commit(published=notified).response == Response(503, "Message Publish Failure")
    assert stored(world) == 0


def test_commit_of_publishes_without_a_publisher_flow_fails_and_of_none_does_not(world: Any) -> None:
    peer = world.client()
    peer.session()
    assert peer.commit(published=(PublisherNotify(1, 1, 1),)).response.text == "Message Publish Failure"
    peer, publisher = world.transacted("other")

    assert peer.commit(published=(PublisherNotify(publisher, 0, 0),)).response == OK


@pytest.mark.parametrize("wrong", ["more", "other flow", "outside the session", "browser"])
def test_commit_that_consumes_what_the_flow_does_not_hold_fails(world: Any, wrong: str) -> None:
    peer, publisher = world.transacted()
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


def test_commit_without_counters_breaks_the_protocol(world: Any) -> None:
    peer = world.client()
    peer.session()
    peer.send(peer.ending(2, transaction=None))

    assert peer.connection.state is ConnectionState.CLOSING


@pytest.mark.parametrize("kind", [None, 4, 8, 77])
def test_other_transaction_controls_break_the_protocol(world: Any, kind: int | None) -> None:
    peer = world.client()
    peer.send(AssuredControl(kind=AssuredKind.TRANSACTION, transaction_kind=kind, session_id=1))

    assert peer.connection.state is ConnectionState.CLOSING
