"""Clients that do not want what they publish themselves: on a flow, or as direct messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flumebeam.smf.assuredctrl import AssuredControl, AssuredKind
from flumebeam.smf.values import Response

DISCARDED = "noLocalDeliveryDiscardedMsgCount"


def refusals(peer: Any) -> list[tuple[int, str]]:
    """Return code and text of the answers since the last call that are no success."""
    answers = [m.response for m in peer.received() if isinstance(m, AssuredControl) and m.response is not None]
    return [(response.code, response.text) for response in answers if response.code != 200]


def publish(peer: Any) -> list[tuple[int, str]]:
    """Publish a message and return the refusals."""
    flow = next(iter(peer.ids), None) or peer.publisher().flow_id
    peer.publish(flow, b"1")
    return refusals(peer)


@pytest.fixture
def silent(make_world: Callable[..., Any]) -> Any:
    """Return a broker whose queue ``q`` discards without telling, and queue ``r`` beside it."""
    world = make_world()
    world.engine.create_queue("q", "exclusive", ["t/>"], reject_on_discard="never")
    world.engine.create_queue("r", "exclusive", ["t/>"])
    return world


def test_queue_does_not_take_what_its_own_consumer_publishes_and_says_so(world: Any) -> None:
    peer = world.client()
    peer.consume(no_local=True)

    assert publish(peer) == [(503, "No Local Discard")]
    assert (world.engine.queue("q").messages, world.engine.queue("q").counts) == (0, {DISCARDED: 1})


def test_what_others_publish_is_taken(world: Any) -> None:
    world.client("reader").consume(no_local=True)

    assert publish(world.client("writer")) == []
    assert world.engine.queue("q").messages == 1


def test_other_queues_take_it_where_nobody_is_told(silent: Any) -> None:
    peer = silent.client()
    peer.consume(no_local=True)

    assert publish(peer) == []
    assert [silent.engine.queue(name).messages for name in "qr"] == [0, 1]
    assert silent.engine.queue("q").counts == {DISCARDED: 1}


def test_flow_that_stands_by_does_not_count(world: Any) -> None:
    world.client("active").consume()
    peer = world.client("standby")
    peer.consume(no_local=True)

    assert publish(peer) == []
    assert world.engine.queue("q").messages == 1


@pytest.mark.parametrize("by", ["client", "administrator"])
def test_flow_that_is_gone_does_not_count(world: Any, by: str) -> None:
    peer = world.client()
    flow = peer.consume(no_local=True)
    if by == "client":
        peer.ask(AssuredControl(kind=AssuredKind.UNBIND, flow_id=flow))
    else:
        world.engine.vpn.unbind_all(world.engine.vpn.queues["q"], Response(503, "Queue Shutdown"))

    peer.received()
    assert publish(peer) == []
    assert world.engine.queue("q").messages == 1


def test_direct_messages_that_queues_take_are_meant_too(silent: Any) -> None:
    peer = silent.client()
    peer.consume(no_local=True)
    peer.direct(b"1")

    assert [silent.engine.queue(name).messages for name in "qr"] == [0, 1]


def test_transaction_with_such_a_message_fails_where_the_publisher_is_told(world: Any) -> None:
    peer = world.client()
    peer.consume(no_local=True)
    peer.session()
    flow = peer.publisher(session_id=peer.session_id).flow_id
    peer.publish(flow, b"1")

    assert peer.commit(flow).response == Response(503, "Message Publish Failure")
    assert world.engine.queue("q").messages == 0


def test_transaction_goes_on_without_it_where_nobody_is_told(silent: Any) -> None:
    peer = silent.client()
    peer.consume(no_local=True)
    peer.session()
    flow = peer.publisher(session_id=peer.session_id).flow_id
    peer.publish(flow, b"1")

    assert peer.commit(flow).response == Response(200, "OK")
    assert [silent.engine.queue(name).messages for name in "qr"] == [0, 1]


def test_client_does_not_get_its_own_messages_as_direct_ones_and_others_do(world: Any) -> None:
    peer, other = world.stranger(), world.client("other")
    assert peer.login("app", no_local=b"").no_local == b""
    for each in (peer, other):
        each.subscribe("t/>")
    peer.direct(b"direct")
    peer.publish(peer.publisher().flow_id, b"guaranteed")
    peer.staged = 0
    peer.session()
    flow = peer.publisher(session_id=peer.session_id).flow_id
    peer.publish(flow, b"transacted")
    peer.commit(flow)

    assert peer.connection.traffic.delivered == 0
    assert [message.body for message in other.deliveries()] == [b"direct", b"guaranteed", b"transacted"]
    other.direct(b"theirs")
    assert [message.body for message in peer.deliveries()] == [b"theirs"]


def test_client_that_does_not_ask_gets_its_own_messages(world: Any) -> None:
    peer = world.client()
    peer.subscribe("t/>")
    peer.direct(b"1")

    assert len(peer.deliveries()) == 1
