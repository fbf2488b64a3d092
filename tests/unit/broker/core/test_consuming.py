"""Consumer flows, browsers, settlement, exclusive and non-exclusive queues."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flumebeam.broker.core.connection import ConnectionState
from flumebeam.smf.assuredctrl import AckRange, AssuredControl, AssuredKind, Outcome
from flumebeam.smf.values import Response
from tests.unit.broker.conftest import bodies

OK = Response(200, "OK")


def fill(world: Any, *bodies: bytes, topic: str = "t/1") -> None:
    peer = world.client("filler")
    peer.publish(peer.publisher().flow_id, *bodies, topic=topic)
    peer.leave()


def ids(messages: list[Any]) -> list[int]:
    return [message.parameters.message_id for message in messages]


def test_messages_come_in_order_with_rising_ids_chained_to_the_one_before(world: Any) -> None:
    fill(world, b"a", b"b", b"c")
    peer = world.client()
    flow = peer.consume()
    messages = peer.deliveries()
    first = messages[0].parameters.message_id

    assert bodies(messages) == [b"a", b"b", b"c"]
    assert ids(messages) == [first, first + 1, first + 2]
    assert [m.parameters.previous_id for m in messages] == [0, first, first + 1]
    assert {m.parameters.flow_id for m in messages} == {flow}
    assert {m.parameters.spooler_id for m in messages} == {1 << 60}
    assert not any(m.parameters.redelivered for m in messages)
    assert (1_700_000_000_000 - 1_577_836_800_000) << 10 < first < 1 << 52


def test_window_bounds_what_is_under_way(world: Any) -> None:
    fill(world, *(b"%d" % number for number in range(10)))
    peer = world.client()
    flow = peer.bind().flow_id
    assert peer.received() == []
    peer.ack(flow, window=3)
    got = peer.deliveries()
    assert bodies(got) == [b"0", b"1", b"2"]
    peer.ack(flow, ids(got)[1], window=3)
    assert peer.bodies() == [b"3", b"4"]
    peer.ack(flow, ids(got)[2], window=None)
    assert peer.bodies() == [b"5"]
    peer.ack(flow, 0, window=0)

    assert peer.deliveries() == []
    assert world.engine.queue("q").unacknowledged == 6


def test_unacknowledged_limit_stops_a_flow_until_the_application_settles(make_world: Callable[..., Any]) -> None:
    world = make_world(max_delivered_unacked=2)
    world.engine.create_queue("q", "exclusive", ["t/>"])
    fill(world, b"a", b"b", b"c")
    peer = world.client()
    flow = peer.consume()
    got = peer.deliveries()
    peer.ack(flow, ids(got)[-1])
    assert bodies(got) == [b"a", b"b"]
    assert peer.deliveries() == []
    peer.ack(flow, ids(got)[-1], AckRange(0, ids(got)[0]))

    assert peer.bodies() == [b"c"]


def test_acknowledged_ranges_leave_the_queue_and_nothing_else_does(world: Any) -> None:
    fill(world, *(b"%d" % number for number in range(6)))
    peer = world.client()
    flow = peer.consume()
    got = ids(peer.deliveries())
    peer.ack(flow, got[5], AckRange(0, got[1]), AckRange(got[3], got[3]), AckRange(got[3], got[3]))
    peer.ack(flow, got[5], AckRange(got[4], got[5]), AckRange(2**63, 2**64 - 1))

    assert world.engine.queue("q").messages == 1
    peer.leave()
    peer = world.client()
    peer.consume()
    assert peer.bodies() == [b"2"]
    assert world.engine._vpn.spool.bytes == 1


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.RELEASED])
def test_failed_message_comes_again_with_a_new_id_and_its_permanent_one(world: Any, outcome: Outcome) -> None:
    fill(world, b"a", b"b")
    peer = world.client()
    flow = peer.consume(flow_type=3)
    got = ids(peer.deliveries())
    peer.ack(flow, got[1], AckRange(got[0], got[0], outcome))
    (again,) = peer.deliveries()

    assert again.body == b"a"
    assert again.parameters.message_id > got[1]
    assert again.parameters.stable_id == got[0]
    assert again.parameters.redelivered
    assert again.parameters.redelivery_count == 1


def test_rejected_message_leaves_the_queue(world: Any) -> None:
    fill(world, b"a")
    peer = world.client()
    flow = peer.consume(flow_type=3)
    got = ids(peer.deliveries())
    peer.ack(flow, got[0], AckRange(got[0], got[0], Outcome.REJECTED))

    assert world.engine.queue("q").messages == 0
    assert peer.deliveries() == []


def test_unbound_flow_gives_back_what_it_held_in_order_and_marked(world: Any) -> None:
    fill(world, b"a", b"b", b"c")
    peer = world.client()
    flow = peer.consume()
    got = ids(peer.deliveries())
    peer.ack(flow, got[2], AckRange(got[1], got[1]), window=0)
    peer.send(AssuredControl(kind=AssuredKind.UNBIND, flow_id=flow))
    (unbound,) = peer.received()
    assert (unbound.kind, unbound.flow_id, unbound.response) == (AssuredKind.UNBIND, flow, OK)
    peer.ack(flow, got[2], AckRange(got[0], got[0]))
    peer.consume()
    again = peer.deliveries()

    assert bodies(again) == [b"a", b"c"]
    assert all(m.parameters.redelivered for m in again)


def test_unbinding_an_unknown_flow_is_answered(world: Any) -> None:
    peer = world.client()
    peer.send(AssuredControl(kind=AssuredKind.UNBIND, flow_id=99))

    assert [message.flow_id for message in peer.received()] == [99]


def test_message_keeps_its_id_for_the_next_flow(world: Any) -> None:
    fill(world, b"a", b"b")
    peer = world.client()
    flow = peer.consume()
    first = ids(peer.deliveries())
    peer.ack(flow, first[1], AckRange(first[0], first[0], Outcome.FAILED))
    renumbered = ids(peer.deliveries())
    peer.leave()
    peer = world.client()
    flow = peer.consume()
    again = peer.deliveries()

    assert ids(again)[0] == renumbered[0]
    peer.ack(flow, ids(again)[1], AckRange(renumbered[0], renumbered[0]))
    assert world.engine.queue("q").messages == 1


@pytest.mark.parametrize(
    ("queue", "options", "response"),
    [
        ("nowhere", {}, Response(503, "Unknown Queue")),
        ("", {}, Response(503, "Unknown Queue")),
        ("q", {"selector": "a = "}, Response(400, "Invalid Selector")),
        ("q", {"session_id": 99}, Response(503, "Unknown Transacted Session")),
        ("temporary", {"durability": 2}, Response(400, "Invalid Temporary Queue Name")),
        ("#P2P/QTMP/" + "x" * 200, {"durability": 2}, Response(400, "Invalid Temporary Queue Name")),
    ],
)
def test_bind_that_cannot_be_is_refused(world: Any, queue: str, options: dict[str, Any], response: Response) -> None:
    refused = world.client().bind(queue, **options)

    assert (refused.response, refused.flow_id) == (response, None)


def test_exclusive_queue_is_handed_over_in_the_order_of_binding(world: Any) -> None:
    fill(world, b"a", b"b")
    first, second, third = world.client("1"), world.client("2"), world.client("3")
    one, two = first.bind(window=1), second.bind(window=1, wants_flow_changes=None)
    three = third.bind(window=255)
    assert [bound.active for bound in (one, two, three)] == [1, 0, 0]
    third.ack(three.flow_id)
    second.ack(two.flow_id)
    assert third.received() == second.received() == []
    first.leave()
    assert bodies(second.received()) == [b"a", b"b"]
    second.leave()
    change, *again = third.received()

    assert (change.kind, change.flow_id, change.active) == (AssuredKind.FLOW_CHANGE, three.flow_id, 1)
    assert bodies(again) == [b"a", b"b"]
    assert [m.parameters.redelivery_count for m in again] == [2, 1]


def test_standby_flow_that_leaves_changes_nothing(world: Any) -> None:
    fill(world, b"a")
    first, second = world.client("1"), world.client("2")
    first.consume()
    first.received()
    second.consume()
    second.leave()

    assert first.received() == []
    assert world.engine.queue("q").unacknowledged == 1


def test_messages_that_come_one_by_one_go_to_the_consumers_in_turn_too(world: Any) -> None:
    world.engine.create_queue("n", "non-exclusive", ["n"])
    clients = [world.client(name) for name in ("a", "b")]
    for client in clients:
        client.consume("n")
    publisher = world.client("publisher")
    flow = publisher.publisher().flow_id
    for _ in range(4):
        publisher.publish(flow, b"m", topic="n")

    assert [len(client.deliveries()) for client in clients] == [2, 2]


def test_non_exclusive_queue_serves_its_consumers_in_turn(world: Any) -> None:
    world.engine.create_queue("n", "non-exclusive", ["n"])
    peers = [world.client(str(number)) for number in range(3)]
    for peer in peers:
        peer.consume("n")
    fill(world, *(b"%d" % number for number in range(9)), topic="n")
    shares = [peer.bodies() for peer in peers]

    assert sorted(b for share in shares for b in share) == [b"%d" % number for number in range(9)]
    assert [len(share) for share in shares] == [3, 3, 3]


def test_what_one_consumer_gives_back_goes_to_another_before_younger_messages(world: Any) -> None:
    world.engine.create_queue("n", "non-exclusive", ["n"])
    one, two = world.client("1"), world.client("2")
    one.ack(one.bind("n").flow_id, window=2)
    fill(world, b"a", b"b", b"c", topic="n")
    two.ack(two.bind("n").flow_id, window=1)
    assert two.bodies() == [b"c"]
    fill(world, b"d", topic="n")
    one.leave()
    flow = next(iter(two.connection.consumers))
    two.ack(flow, 2**63)

    assert two.bodies() == [b"a", b"b", b"d"]


def test_older_message_returns_to_its_place_between_others(world: Any) -> None:
    world.engine.create_queue("n", "non-exclusive", ["n"])
    fill(world, b"a", b"b", b"c", b"d", topic="n")
    one, two = world.client("1"), world.client("2")
    for peer in (one, two, one):
        flow = next(iter(peer.connection.consumers), None) or peer.bind("n").flow_id
        peer.ack(flow, 2**63, window=1)
    one.received()
    two.leave()
    one.leave()
    peer = world.client("3")
    peer.consume("n")

    assert peer.bodies() == [b"a", b"b", b"c", b"d"]


def test_browser_shows_and_leaves_messages_and_removes_one_on_request(world: Any) -> None:
    fill(world, b"a", b"b", b"c")
    peer = world.client()
    flow = peer.bind(flow_type=2).flow_id
    peer.ack(flow, window=2)
    shown = peer.deliveries()
    assert bodies(shown) == [b"a", b"b"]
    peer.ack(flow, ids(shown)[1], AckRange(ids(shown)[0], ids(shown)[0]), AckRange(5, 5))
    assert peer.bodies() == [b"c"]
    fill(world, b"d")
    peer.ack(flow, 2**63)
    assert peer.bodies() == [b"d"]
    assert world.engine.queue("q").messages == 3
    peer.send(AssuredControl(kind=AssuredKind.UNBIND, flow_id=flow))
    peer.received()
    peer.consume()

    assert peer.bodies() == [b"b", b"c", b"d"]


def test_browser_does_not_show_what_has_gone_or_is_with_a_consumer(world: Any) -> None:
    fill(world, *(b"%d" % number for number in range(5)))
    browser, consumer = world.client("b"), world.client("c")
    shows = browser.bind(flow_type=2).flow_id
    browser.ack(shows, window=1)
    takes = consumer.bind().flow_id
    consumer.ack(takes, window=4)
    taken = ids(consumer.deliveries())
    consumer.ack(takes, taken[0], AckRange(0, taken[1]), window=0)
    assert browser.bodies() == [b"0"]
    browser.ack(shows, taken[0])

    assert browser.bodies() == [b"4"]


def test_browser_reads_a_long_queue_to_its_end(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flumebeam.broker.core.flows._BROWSE_AHEAD", 2)
    fill(world, *(b"%d" % number for number in range(7)))
    peer = world.client()
    peer.ack(peer.bind(flow_type=2).flow_id)

    assert len(peer.deliveries()) == 7


def test_messages_removed_by_browsers_do_not_pile_up(world: Any) -> None:
    fill(world, *(b"" for _ in range(200)))
    peer = world.client()
    flow = peer.bind(flow_type=2).flow_id
    peer.ack(flow)
    shown = ids(peer.deliveries())
    for message_id in shown[:150]:
        peer.ack(flow, 2**63, AckRange(message_id, message_id))

    assert world.engine.queue("q").messages == 50
    assert len(world.engine._vpn.queues["q"].ready) < 120


def test_temporary_queue_is_made_by_its_flow_and_ends_with_it(world: Any) -> None:
    peer = world.client()
    name = "#P2P/QTMP/v:x/1"
    bound = peer.bind(name, durability=2)
    assert (bound.durability, bound.response) == (2, OK)
    peer.subscribe("u", name)
    peer.publish(peer.publisher().flow_id, b"a", topic="u")
    peer.publish(next(iter(peer.ids)), b"b", topic=name)
    peer.ack(bound.flow_id)
    assert peer.bodies() == [b"a", b"b"]
    peer.send(AssuredControl(kind=AssuredKind.UNBIND, flow_id=bound.flow_id))

    assert [status.name for status in world.engine.queues()] == ["q"]


def test_temporary_queue_survives_a_short_reconnect(make_world: Callable[..., Any]) -> None:
    world = make_world(temporary_queue_grace_seconds=10)
    name = "#P2P/QTMP/v:x/1"
    peer = world.client()
    peer.bind(name, durability=2)
    fill(world, b"a", topic=name)
    peer.leave()
    world.tick(9)
    peer = world.client()
    peer.consume(name, durability=2)
    assert peer.bodies() == [b"a"]
    world.tick(100)
    peer.leave()
    world.tick(10)

    assert world.engine.queues() == ()


def test_slow_client_gets_one_batch_and_the_rest_when_it_reads_on(make_world: Callable[..., Any]) -> None:
    world = make_world(delivery_batch_bytes=1000)
    world.engine.create_queue("q", "exclusive", ["t/>"])
    fill(world, *(b"x" * 400 for _ in range(10)))
    peer, other = world.client(), world.client("other")
    peer.ack(peer.bind().flow_id)
    shares = [len(peer.deliveries())]
    other.ack(other.bind(flow_type=2).flow_id)
    assert len(other.deliveries()) <= 3
    shares.append(len(peer.deliveries()))
    world.engine.writable(peer.connection, False, world.now)
    fill(world, b"y")
    assert peer.deliveries() == []
    for _ in range(8):
        world.engine.writable(peer.connection, True, world.now)
        shares.append(len(peer.deliveries()))

    assert max(shares) <= 3
    assert sum(shares) == 11
    assert shares[-1] == 0


def test_closing_connection_gets_no_more_deliveries(world: Any) -> None:
    peer = world.client()
    peer.consume()
    peer.feed(b"garbage that is no frame")
    assert peer.connection.state is ConnectionState.CLOSING
    fill(world, b"a")

    assert world.engine.queue("q").unacknowledged == 0
    peer.leave()
    peer = world.client()
    peer.consume()
    assert [m.parameters.redelivered for m in peer.deliveries()] == [False]


def test_consumers_with_room_take_turns_and_slow_ones_hold_nobody_up(make_world: Callable[..., Any]) -> None:
    world = make_world()
    world.engine.create_queue("n", "non-exclusive", ["t/>"])
    fast = [world.client(f"fast{number}") for number in range(3)]
    flows = [peer.consume("n") for peer in fast]
    slow, closed = world.client("slow"), world.client("closed")
    slow.ack(slow.bind("n").flow_id, window=2)
    closed.bind("n")
    fill(world, *(b"%d" % number for number in range(92)))
    shares = [peer.deliveries() for peer in fast]

    assert [len(share) for share in shares] == [30, 30, 30]
    assert len(slow.deliveries()) == 2
    assert closed.deliveries() == []
    for peer, flow, share in zip(fast, flows, shares, strict=True):
        peer.ack(flow, ids(share)[-1], AckRange(0, ids(share)[-1]))
    fill(world, *(b"%d" % number for number in range(30)))
    assert [len(peer.deliveries()) for peer in fast] == [10, 10, 10]


def test_consumer_that_does_not_read_leaves_the_messages_to_the_others(make_world: Callable[..., Any]) -> None:
    world = make_world()
    world.engine.create_queue("n", "non-exclusive", ["t/>"])
    stuck, other = world.client("stuck"), world.client("other")
    stuck.consume("n")
    other.consume("n")
    world.engine.writable(stuck.connection, False, world.now)
    fill(world, *(b"%d" % number for number in range(10)))

    assert stuck.deliveries() == []
    assert len(other.deliveries()) == 10
