"""Queues whose consumers and browsers have selectors."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from flumebeam.broker.core import flows, selection
from flumebeam.broker.core.administration import delete_messages
from flumebeam.smf.assuredctrl import AckRange, AssuredControl, AssuredKind, FlowType, Outcome
from tests.unit.structured import structured


@pytest.fixture
def world(make_world: Callable[..., Any]) -> Any:
    """A broker with a non-exclusive queue ``q`` that gets ``t/>``."""
    made = make_world()
    made.engine.create_queue("q", "non-exclusive", ["t/>"])
    return made


def publish(world: Any, *numbers: int) -> None:
    """Publish messages with a number as property and as body."""
    peer = world.client("filler")
    flow = peer.publisher().flow_id
    for number in numbers:
        payload, options = structured(b"%d" % number, {"n": number, "odd": number % 2 == 1})
        peer.publish(flow, payload, **options)
    peer.leave()


def numbers(messages: list[Any]) -> list[int]:
    return [int(message.body.partition(b"\x01")[0]) for message in messages]


def ids(messages: list[Any]) -> list[int]:
    return [message.parameters.message_id for message in messages]


def queue(world: Any) -> Any:
    return world.engine.vpn.queues["q"]


def test_consumer_gets_what_matches_and_the_rest_stays(world: Any) -> None:
    publish(world, *range(10))
    peer = world.client()
    flow = peer.consume(selector="n >= 7")
    publish(world, 20, 3)
    got = peer.deliveries()
    peer.ack(flow, ids(got)[-1], AckRange(0, ids(got)[-1]))

    assert numbers(got) == [7, 8, 9, 20]
    assert world.engine.queue("q").messages == 8
    world.tick(1)
    peer.leave()
    assert queue(world).line is None
    other = world.client("other")
    other.consume()
    assert numbers(other.deliveries()) == [0, 1, 2, 3, 4, 5, 6, 3]


def test_consumers_with_different_selectors_share_a_queue_with_one_that_has_none(world: Any) -> None:
    publish(world, *range(40))
    odd, low, rest = world.client("odd"), world.client("low"), world.client("rest")
    held = rest.bind().flow_id
    odd.consume(selector="odd")
    low.consume(selector="n < 10")
    first = numbers(odd.deliveries()) + numbers(low.deliveries())
    rest.ack(held)
    others = numbers(rest.deliveries())

    assert sorted(first) == sorted({*range(1, 40, 2), *range(0, 10, 2)})
    assert others == list(range(10, 40, 2))


def test_selector_is_asked_once_per_message_however_often_the_flow_is_served(world: Any) -> None:
    publish(world, *range(100))
    peer = world.client()
    flow = peer.bind(selector="n = 50 OR n = 99").flow_id
    peer.ack(flow, window=1)
    (first,) = peer.deliveries()
    for _ in range(20):
        peer.ack(flow, 0, window=1)
    peer.ack(flow, ids([first])[0], window=1)
    assert numbers(peer.deliveries()) == [99]
    selector = queue(world).flows[0].selector

    assert (selector.examined, selector.matched) == (100, 2)


def test_exclusive_queue_serves_its_active_flow_only(make_world: Callable[..., Any]) -> None:
    world = make_world()
    world.engine.create_queue("q", "exclusive", ["t/>"])
    active, standby = world.client("active"), world.client("standby")
    active.consume(selector="odd")
    standby.consume(selector="n < 5")
    publish(world, *range(10))

    assert (numbers(active.deliveries()), standby.deliveries()) == ([1, 3, 5, 7, 9], [])
    active.leave()
    assert numbers(standby.deliveries()) == [0, 1, 2, 3, 4]


def test_messages_that_come_one_by_one_go_in_turn_to_consumers_that_both_want_them(world: Any) -> None:
    peers = [world.client("one"), world.client("two"), world.client("three")]
    for peer, selector in zip(peers, ("n < 100", None, "n >= 0"), strict=True):
        peer.consume(**({"selector": selector} if selector else {}))
    for number in range(9):
        publish(world, number)

    assert [len(peer.deliveries()) for peer in peers] == [3, 3, 3]


def test_message_that_comes_back_is_offered_to_all_again(world: Any) -> None:
    publish(world, *range(6))
    one, two = world.client("one"), world.client("two")
    flow = one.consume(selector="odd", flow_type=3)
    got = one.deliveries()
    two.consume(selector="n <= 3")
    assert numbers(two.deliveries()) == [0, 2]
    one.ack(flow, ids(got)[-1], window=0)
    for message in got:
        number = message.parameters.message_id
        one.ack(flow, ids(got)[-1], AckRange(number, number, Outcome.FAILED), window=0)
    again = two.deliveries()
    assert numbers(again) == [1, 3]
    assert all(message.parameters.redelivered for message in again)
    one.ack(flow, ids(got)[-1])

    assert numbers(one.deliveries()) == [5]


def test_message_is_remembered_once_however_often_it_comes_back(world: Any) -> None:
    publish(world, 1)
    one, idle = world.client("one"), world.client("idle")
    other = idle.consume(selector="odd")
    (first,) = idle.deliveries()
    flow = one.consume(selector="odd", flow_type=3)
    idle.send(AssuredControl(kind=AssuredKind.ACK, flow_id=other, last_acked=0, window=0))
    number = first.parameters.message_id
    idle.ack(other, number, AckRange(number, number, Outcome.FAILED), window=0)
    for _ in range(50):
        (again,) = one.deliveries()
        number = again.parameters.message_id
        one.ack(flow, number, AckRange(number, number, Outcome.FAILED))
    (course,) = queue(world).line._courses[queue(world).flows[0]]

    assert len(course.returned) == len(course.known) == 1


def test_consumer_that_goes_leaves_what_it_held_to_the_others(world: Any) -> None:
    publish(world, *range(6))
    one, two = world.client("one"), world.client("two")
    one.consume()
    one.deliveries()
    two.consume(selector="odd")
    assert two.deliveries() == []
    one.leave()

    assert numbers(two.deliveries()) == [1, 3, 5]


def test_client_that_comes_back_goes_on_holding_what_it_has(world: Any) -> None:
    publish(world, *range(6))
    one = world.client("one")
    bound = one.bind(selector="odd")
    one.ack(bound.flow_id)
    got = one.deliveries()
    other = world.client("other")
    other.consume(selector="n = 100")
    one.leave()
    one = world.client("one")
    again = one.bind(selector="odd", endpoint_error_id=bound.endpoint_error_id, last_received=ids(got)[-1]).flow_id
    one.ack(again, ids(got)[-1])

    assert one.deliveries() == []
    one.ack(again, ids(got)[-1], AckRange(0, ids(got)[-1]))
    assert world.engine.queue("q").messages == 3


def test_output_that_is_full_leaves_the_rest_for_the_next_turn(make_world: Callable[..., Any]) -> None:
    world = make_world(delivery_batch_bytes=1_000)
    world.engine.create_queue("q", "exclusive", ["t/>"])
    publish(world, *range(20))
    peer = world.client()
    peer.consume(selector="n >= 0")
    got = peer.deliveries()
    assert 0 < len(got) < 20
    while len(got) < 20:
        world.engine.writable(peer.connection, True, world.now)
        got += peer.deliveries()

    assert numbers(got) == list(range(20))


def test_long_search_gives_others_their_turn(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "SCANNED_AT_ONCE", 10)
    publish(world, *range(35))
    peer, rest = world.client("one"), world.client("two")
    peer.consume(selector="n = 34")
    turns = 0
    while not (got := peer.deliveries()):
        assert peer.connection.starved
        assert peer.connection in world.engine.take_pending() or turns == 0
        world.engine.writable(peer.connection, True, world.now)
        turns += 1
    rest.consume()

    assert (numbers(got), turns) == ([34], 3)
    assert numbers(rest.deliveries()) == list(range(34))


def test_messages_that_are_gone_cost_nothing_for_long(world: Any) -> None:
    idle, busy = world.client("idle"), world.client("busy")
    idle.bind(selector="odd")
    flow = busy.consume()
    for start in range(0, 4_000, 200):
        publish(world, *range(start, start + 200))
        last = ids(busy.deliveries())[-1]
        busy.ack(flow, last, AckRange(0, last))

    assert world.engine.queue("q").messages == 0
    assert len(queue(world).line._rows[0]) <= 1_024


def test_deleted_and_browsed_messages_are_skipped(world: Any) -> None:
    publish(world, *range(6))
    peer, browser = world.client("one"), world.client("two")
    flow = peer.bind(selector="n >= 2").flow_id
    browsing = browser.consume(flow_type=FlowType.BROWSER)
    shown = browser.deliveries()
    assert numbers(shown) == list(range(6))
    browser.ack(browsing, 0, AckRange(ids(shown)[3], ids(shown)[3]))
    peer.ack(flow)
    assert numbers(peer.deliveries()) == [2, 4, 5]
    assert delete_messages(world.engine.vpn, queue(world)) == 5
    publish(world, 7)

    assert numbers(peer.deliveries()) == [7]


def test_random_traffic_loses_and_doubles_nothing(world: Any) -> None:
    choose = random.Random(7)
    peers = [(world.client(f"c{number}"), text) for number, text in enumerate(("odd", "n < 50", None, "n >= 30"))]
    flows_ = [peer.consume(flow_type=3, **({} if text is None else {"selector": text})) for peer, text in peers]
    settled: list[int] = []
    for step in range(200):
        if step < 100:
            publish(world, step)
        for (peer, _), flow in zip(peers, flows_, strict=True):
            for message in peer.deliveries():
                number = message.parameters.message_id
                outcome = choose.choice((Outcome.ACCEPTED, Outcome.FAILED))
                peer.ack(flow, number, AckRange(number, number, outcome), window=choose.choice((0, 3, 255)))
                if outcome is Outcome.ACCEPTED:
                    settled += numbers([message])
            peer.ack(flow, 0, window=255)

    assert world.engine.queue("q").messages == 0
    assert sorted(settled) == list(range(100))


# Browsers


def test_browser_sees_what_matches_from_the_oldest_on_and_what_comes_later(world: Any) -> None:
    publish(world, *range(6))
    peer = world.client()
    peer.consume(flow_type=FlowType.BROWSER, selector="odd")
    assert numbers(peer.deliveries()) == [1, 3, 5]
    publish(world, 6, 7)

    assert numbers(peer.deliveries()) == [7]
    assert world.engine.queue("q").messages == 8


def test_browser_of_a_long_queue_gives_others_their_turn(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows, "_EXAMINED_AT_ONCE", 10)
    publish(world, *range(35))
    peer = world.client()
    peer.consume(flow_type=FlowType.BROWSER, selector="n = 34")
    turns = 0
    while not (got := peer.deliveries()):
        world.engine.writable(peer.connection, True, world.now)
        turns += 1

    assert (numbers(got), turns) == ([34], 3)


def test_browser_does_not_keep_more_than_a_megabyte_in_memory(make_world: Callable[..., Any]) -> None:
    world = make_world()
    world.engine.create_queue("q", "exclusive", ["t/>"])
    filler = world.client("filler")
    filler.publish(filler.publisher().flow_id, *(bytes(300_000) for _ in range(10)))
    peer = world.client()
    flow = peer.bind(flow_type=FlowType.BROWSER).flow_id
    peer.ack(flow, window=1)
    (browser,) = queue(world).browsers

    assert 1 <= len(browser._ahead) <= 4


def test_browser_without_permission_to_consume_removes_nothing(make_world: Callable[..., Any]) -> None:
    world = make_world(users={"default": None, "ann": None})
    world.engine.create_queue("q", "exclusive", ["t/>"], owner="ann", permission="read-only")
    publish(world, 1)
    peer = world.client()
    flow = peer.consume(flow_type=FlowType.BROWSER)
    (shown,) = ids(peer.deliveries())
    peer.ack(flow, shown, AckRange(shown, shown))
    assert world.engine.queue("q").messages == 1
    owner = world.client("ann", username="ann")
    flow = owner.consume(flow_type=FlowType.BROWSER)
    owner.deliveries()
    owner.ack(flow, shown, AckRange(shown, shown))

    assert world.engine.queue("q").messages == 0
