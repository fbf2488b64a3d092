"""Publisher flows, acknowledgements, direct messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flumebeam.broker.core.connection import ConnectionState
from flumebeam.broker.faults import LosePublishAck, NackPublishes
from flumebeam.smf.assuredctrl import AssuredControl, AssuredKind
from flumebeam.smf.header import Flag
from flumebeam.smf.subctrl import SubscriptionKind
from flumebeam.smf.values import Response

OK = Response(200, "OK")


def acks(peer: Any) -> list[tuple[int, str, int]]:
    """Return code, text and last id of the acknowledgements received."""
    return [(m.response.code, m.response.text, m.last_acked) for m in peer.received() if m.kind is AssuredKind.ACK]


def test_messages_of_one_read_are_acknowledged_once_with_a_response(world: Any) -> None:
    peer = world.client()
    flow = peer.publisher().flow_id
    peer.publish(flow, b"a", b"b", b"c")

    assert acks(peer) == [(200, "OK", 3)]
    assert world.engine.queue("q").messages == 3


def test_body_is_accounted_once_for_all_queues(world: Any) -> None:
    world.engine.create_queue("q2", "exclusive", [">"])
    peer = world.client()
    peer.publish(peer.publisher().flow_id, b"12345")

    assert [status.bytes for status in world.engine.queues()] == [5, 5]
    assert world.engine._vpn.spool.bytes == 5
    world.engine.delete_queue("q")
    assert world.engine._vpn.spool.bytes == 5
    world.engine.delete_queue("q2")
    assert world.engine._vpn.spool.bytes == 0


def test_repeated_message_is_dropped_and_answered_with_the_position(world: Any) -> None:
    peer = world.client()
    flow = peer.publisher().flow_id
    peer.publish(flow, b"a", b"b")
    peer.received()
    peer.send(peer.message(flow, 1, 0), peer.message(flow, 2, 1), peer.message(flow, 1, 2))

    assert acks(peer) == [(200, "OK", 2)]
    assert world.engine.queue("q").messages == 2


def test_message_after_a_gap_is_not_kept(world: Any) -> None:
    peer = world.client()
    flow = peer.publisher().flow_id
    peer.publish(flow, b"a")
    peer.send(peer.message(flow, 3, 2))

    assert acks(peer)[-1] == (200, "OK", 1)
    assert world.engine.queue("q").messages == 1


def test_first_message_of_a_flow_may_have_any_id(world: Any) -> None:
    peer = world.client()
    flow = peer.publisher().flow_id
    peer.send(peer.message(flow, 1000, 999))

    assert acks(peer) == [(200, "OK", 1000)]


def test_message_without_match_is_dropped_or_refused_as_configured(make_world: Callable[..., Any]) -> None:
    lenient, strict = make_world().client(), make_world(reject_on_no_match=True).client()
    for peer in (lenient, strict):
        peer.publish(peer.publisher().flow_id, b"x")

    assert acks(lenient) == [(200, "OK", 1)]
    assert acks(strict) == [(503, "No Subscription Match", 1), (200, "OK", 1)]


@pytest.mark.parametrize(
    ("topic", "refusal"),
    [
        ("#P2P/QUE/nowhere", Response(503, "Queue Not Found")),
        ("#P2P/QTMP/v:x/nowhere", Response(503, "Queue Not Found")),
        ("t" * 251, Response(400, "Topic Parse Error")),
    ],
)
def test_message_that_cannot_be_kept_is_refused_and_the_next_ones_go_on(
    world: Any, topic: str, refusal: Response
) -> None:
    peer = world.client()
    flow = peer.publisher().flow_id
    peer.publish(flow, b"a")
    peer.received()
    peer.publish(flow, b"x", topic=topic)
    peer.publish(flow, b"b")

    assert acks(peer) == [(*refusal, 2), (200, "OK", 2), (200, "OK", 3)]
    assert world.engine.queue("q").messages == 2


def test_message_to_a_queue_by_name_goes_only_there(world: Any) -> None:
    world.engine.create_queue("all", "exclusive", [">"])
    peer = world.client()
    peer.publish(peer.publisher().flow_id, b"x", topic="#P2P/QUE/q")

    assert [(status.name, status.messages) for status in world.engine.queues()] == [("all", 0), ("q", 1)]


@pytest.mark.parametrize(
    "options", [{"max_spool_bytes": 9}, {"max_queue_bytes": 9}, {"max_queue_messages": 1}], ids=str
)
def test_message_over_a_quota_is_refused_until_there_is_room(
    make_world: Callable[..., Any], options: dict[str, int]
) -> None:
    world = make_world(**options)
    world.engine.create_queue("q", "exclusive", ["t/>"])
    peer = world.client()
    flow = peer.publisher().flow_id
    peer.publish(flow, b"12345")
    peer.publish(flow, b"12345")
    peer.direct(b"12345")

    assert acks(peer) == [(200, "OK", 1), (503, "Spool Over Quota", 2), (200, "OK", 2)]
    assert world.engine.queue("q").messages == 1
    world.engine.delete_queue("q")
    world.engine.create_queue("q", "exclusive", ["t/>"])
    peer.publish(flow, b"12345")
    assert acks(peer) == [(200, "OK", 3)]


def test_publisher_that_comes_back_resumes_by_name_without_loss_or_repetition(world: Any) -> None:
    peer = world.client()
    opened = peer.publisher()
    peer.publish(opened.flow_id, b"a", b"b")
    peer.leave()
    peer = world.client()
    again = peer.publisher(flow_name=opened.flow_name, last_acked=1, last_sent=3)

    assert (again.flow_id, again.flow_name) == (opened.flow_id, opened.flow_name)
    assert (again.last_sent, again.last_acked) == (2, 2)
    peer.send(*(peer.message(again.flow_id, i, i - 1, redelivered=True) for i in (2, 3)))
    assert acks(peer) == [(200, "OK", 3)]
    assert world.engine.queue("q").messages == 3


def test_unknown_flow_names_are_refused_with_400(world: Any) -> None:
    peer, other = world.client(), world.client("other")
    opened = peer.publisher()

    assert peer.publisher(flow_name="nobody").response == Response(400, "Unknown Flow Name")
    assert other.publisher(flow_name=opened.flow_name).response == Response(400, "Unknown Flow Name")


def test_position_of_a_publisher_is_forgotten_after_its_time(make_world: Callable[..., Any]) -> None:
    world = make_world(publisher_retention_seconds=10)
    for seconds, code in ((9, 200), (10, 400)):
        peer = world.client()
        name = peer.publisher().flow_name
        peer.leave()
        world.tick(seconds)
        peer = world.client()
        assert peer.publisher(flow_name=name).response.code == code


def test_positions_of_absent_publishers_are_limited_in_number(make_world: Callable[..., Any]) -> None:
    world = make_world(max_resumable=2)
    names = []
    for _ in range(3):
        peer = world.client()
        names.append(peer.publisher().flow_name)
        peer.leave()
    world.tick(1)
    peer = world.client()

    assert [peer.publisher(flow_name=name).response.code for name in names] == [400, 200, 200]


def test_closed_publisher_flow_is_gone(world: Any) -> None:
    peer = world.client()
    opened = peer.publisher()
    close = AssuredControl(kind=AssuredKind.CLOSE_PUBLISHER, flow_id=opened.flow_id)

    assert peer.ask(close).response == OK
    assert peer.ask(close).response.code == 503
    assert peer.publisher(flow_name=opened.flow_name).response.code == 400
    peer.send(peer.message(opened.flow_id, 1, 0))
    assert peer.connection.state is ConnectionState.CLOSING


def test_closed_publisher_flow_of_a_session_can_be_opened_again(world: Any) -> None:
    peer = world.client()
    session = peer.session().session_id
    flow = peer.publisher(session_id=session).flow_id
    peer.ask(AssuredControl(kind=AssuredKind.CLOSE_PUBLISHER, flow_id=flow))
    flow = peer.publisher(session_id=session).flow_id
    peer.publish(flow, b"x")

    assert peer.commit(flow).response == OK


def test_number_of_flows_of_each_kind_is_limited(make_world: Callable[..., Any]) -> None:
    world = make_world(max_flows_per_connection=1)
    world.engine.create_queue("q", "exclusive", [])
    peer = world.client()
    peer.publisher()
    peer.bind("q")

    assert peer.publisher().response == Response(503, "Max Flows Exceeded")
    assert peer.bind("q").response == Response(503, "Max Flows Exceeded")


def test_direct_message_goes_once_to_each_subscriber_and_into_queues(world: Any) -> None:
    one, two = world.client("one"), world.client("two")
    for topic in ("t/1", "t/*", ">"):
        one.subscribe(topic)
    two.direct(b"hi")

    assert [(m.body, m.parameters.flow_id) for m in one.deliveries()] == [(b"hi", None)]
    assert two.deliveries() == []
    assert world.engine.queue("q").messages == 1
    two.consume("q")
    (spooled,) = two.deliveries()
    assert (spooled.body, spooled.parameters.delivery_mode) == (b"hi", 0)


def test_client_that_left_gets_nothing_and_strangers_leave_unnoticed(world: Any) -> None:
    gone, peer = world.client("gone"), world.client()
    gone.subscribe("d")
    gone.leave()
    reported = len(world.lines)
    world.stranger().leave()
    peer.direct(b"x", topic="d")

    assert gone.received() == []
    assert len(world.lines) == reported


def test_guaranteed_message_is_demoted_for_direct_subscribers(world: Any) -> None:
    peer = world.client()
    peer.subscribe("t/1")
    peer.publish(peer.publisher().flow_id, b"x")
    (message,) = peer.deliveries()

    assert message.flags == Flag.DMQ_ELIGIBLE
    assert message.parameters.message_id is None
    assert world.engine.queue("q").messages == 1


def test_direct_messages_to_a_client_that_does_not_read_are_discarded_and_that_is_shown(world: Any) -> None:
    slow, peer = world.client("slow"), world.client()
    slow.subscribe("d")
    world.engine.writable(slow.connection, False, world.now)
    peer.direct(b"lost", topic="d")
    world.engine.writable(slow.connection, True, world.now)
    peer.direct(b"a", topic="d")
    peer.direct(b"b", topic="d")

    assert [(m.body, bool(m.flags & Flag.DISCARDED)) for m in slow.deliveries()] == [(b"a", True), (b"b", False)]


def test_lost_acknowledgement_makes_up_with_the_next_one(world: Any) -> None:
    peer = world.client()
    flow = peer.publisher().flow_id
    world.faults.add(LosePublishAck())
    peer.publish(flow, b"a")
    assert acks(peer) == []
    peer.send(peer.message(flow, 1, 0, redelivered=True))

    assert acks(peer) == [(200, "OK", 1)]
    assert world.engine.queue("q").messages == 1


def test_next_publishes_are_refused_as_the_plan_says(world: Any) -> None:
    peer = world.client()
    flow = peer.publisher().flow_id
    world.faults.add(NackPublishes(count=2, code=403, reason="Publish ACL Denied"))
    peer.publish(flow, b"a", b"b", b"c")

    assert acks(peer) == [(403, "Publish ACL Denied", 1), (403, "Publish ACL Denied", 2), (200, "OK", 3)]
    assert world.engine.queue("q").messages == 1


def test_queue_that_subscribes_later_gets_what_is_published_later(world: Any) -> None:
    world.engine.create_queue("late", "exclusive", [])
    peer = world.client()
    flow = peer.publisher().flow_id
    peer.publish(flow, b"a")
    peer.subscribe("t/*", "late")
    peer.publish(flow, b"b")
    peer.subscribe("t/*", "late", kind=SubscriptionKind.REMOVE_FROM_QUEUE)
    peer.publish(flow, b"c")

    assert world.engine.queue("late").messages == 1


def test_queue_that_is_made_later_can_be_addressed(world: Any) -> None:
    peer = world.client()
    flow = peer.publisher().flow_id
    peer.publish(flow, b"a", topic="#P2P/QUE/late")
    world.engine.create_queue("late", "exclusive", [])
    peer.publish(flow, b"b", topic="#P2P/QUE/late")

    assert world.engine.queue("late").messages == 1


def test_many_topics_do_not_grow_what_is_remembered(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flumebeam.broker.core.routes._MAX_REMEMBERED", 3)
    peer = world.client()
    for number in range(10):
        peer.direct(b"", topic=f"t/{number}")

    assert len(world.engine._vpn.routes._remembered) <= 3
    assert world.engine.queue("q").messages == 10
