"""Queues that respect the priority of messages, and those that deliver them late."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from flumebeam.broker.core.administration import QueueSetup, configure_queue, delete_messages
from flumebeam.broker.core.spool import SpooledMessage
from flumebeam.smf.assuredctrl import AckRange, FlowType
from tests.unit.broker.conftest import bodies
from tests.unit.structured import structured

LATE = "delivery_delay_seconds"


@pytest.fixture
def filled(make_world: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that makes a broker with a queue ``q`` of some settings that gets ``t/>``."""

    def make(**settings: Any) -> Any:
        world = make_world()
        access = settings.pop("access", "exclusive")
        world.engine.create_queue("q", access, ["t/>"], **settings)
        return world

    return make


def publish(world: Any, *bodies: bytes) -> None:
    """Publish messages whose priority is the first figure of their body."""
    peer = world.client("filler")
    flow = peer.publisher().flow_id
    for body in bodies:
        message = peer.message(flow, peer.ids[flow] + 1, peer.ids[flow], body)
        peer.ids[flow] += 1
        peer.send(replace(message, parameters=replace(message.parameters, priority=int(body.split(b"-")[0]))))
    peer.leave()


def configure(world: Any, **changes: Any) -> None:
    vpn = world.engine.vpn
    queue = vpn.queues["q"]
    configure_queue(vpn, queue, replace(QueueSetup.of(queue), settings=replace(queue.settings, **changes)))
    world.engine.settle()


def consumed(world: Any, **options: Any) -> list[bytes]:
    peer = world.client()
    peer.consume(**options)
    return peer.bodies()


# Priorities


@pytest.mark.parametrize("access", ["exclusive", "non-exclusive"])
def test_higher_priority_is_delivered_first_and_equal_ones_in_their_order(
    filled: Callable[..., Any], access: str
) -> None:
    world = filled(access=access, respect_priority=True)
    publish(world, b"4-a", b"0-b", b"9-c", b"4-d", b"255-e", b"8-f")

    assert consumed(world) == [b"9-c", b"255-e", b"8-f", b"4-a", b"4-d", b"0-b"]


def test_without_the_setting_the_order_is_that_of_their_coming(filled: Callable[..., Any]) -> None:
    world = filled()
    publish(world, b"4-a", b"9-b")

    assert consumed(world) == [b"4-a", b"9-b"]


def test_urgent_message_overtakes_what_waits_and_not_what_was_sent(filled: Callable[..., Any]) -> None:
    world = filled(respect_priority=True)
    publish(world, b"1-a", b"1-b", b"1-c")
    peer = world.client()
    flow = peer.bind().flow_id
    peer.ack(flow, window=1)
    first = peer.deliveries()
    publish(world, b"9-d")
    peer.ack(flow, first[0].parameters.message_id, window=255)

    assert bodies(first + peer.deliveries()) == [b"1-a", b"9-d", b"1-b", b"1-c"]


def test_what_comes_back_takes_its_place_among_its_equals(filled: Callable[..., Any]) -> None:
    world = filled(respect_priority=True)
    publish(world, b"1-a", b"5-b", b"5-c")
    peer = world.client()
    peer.consume()
    peer.leave()
    publish(world, b"5-d")
    again = world.client()
    flow = again.consume()
    got = again.deliveries()

    assert bodies(got) == [b"5-b", b"5-c", b"5-d", b"1-a"]
    assert [message.parameters.redelivered for message in got] == [True, True, False, True]
    last = got[-1].parameters.message_id
    again.ack(flow, last, AckRange(0, last))
    assert world.engine.queue("q").messages == 0


def test_selector_and_priority_hold_together(filled: Callable[..., Any]) -> None:
    world = filled(access="non-exclusive", respect_priority=True)
    peer = world.client("filler")
    flow = peer.publisher().flow_id
    for number, priority in enumerate((1, 7, 3, 9)):
        payload, options = structured(b"%d" % number, {"n": number})
        message = peer.message(flow, number + 1, number, payload, **options)
        peer.send(replace(message, parameters=replace(message.parameters, priority=priority)))
    peer.leave()

    got = consumed(world, selector="n < 3")
    assert [int(body.partition(b"\x01")[0]) for body in got] == [1, 2, 0]


def test_browser_shows_the_oldest_first_whatever_their_priority(filled: Callable[..., Any]) -> None:
    world = filled(respect_priority=True)
    publish(world, b"1-a", b"9-b", b"5-c")

    assert consumed(world, flow_type=FlowType.BROWSER) == [b"1-a", b"9-b", b"5-c"]


def test_changed_setting_counts_for_what_waits_and_for_what_comes_back(filled: Callable[..., Any]) -> None:
    world = filled()
    publish(world, b"1-a", b"1-b", b"9-c")
    holder = world.client("holder")
    flow = holder.bind().flow_id
    holder.ack(flow, window=1)
    configure(world, respect_priority=True)
    holder.leave()
    assert consumed(world) == [b"9-c", b"1-a", b"1-b"]

    world.engine.disconnect(world.engine.vpn.clients["app"], world.now)
    configure(world, respect_priority=False)
    world.tick(1)
    assert world.engine.vpn.queues["q"].line is None
    assert consumed(world) == [b"1-a", b"1-b", b"9-c"]


def test_partitions_keep_their_own_order(filled: Callable[..., Any]) -> None:
    world = filled(access="non-exclusive", partitions=1, respect_priority=True)
    publish(world, b"1-a", b"9-b")

    assert consumed(world) == [b"1-a", b"9-b"]


# Delays


def test_delayed_message_is_there_and_comes_when_its_time_is_over(filled: Callable[..., Any]) -> None:
    world = filled(**{LATE: 5})
    publish(world, b"1-a")
    world.tick(2)
    publish(world, b"1-b")
    peer = world.client()
    peer.consume()
    browser = world.client("browser")
    browser.consume(flow_type=FlowType.BROWSER)
    world.tick(2.9)

    assert (peer.deliveries(), browser.deliveries(), world.engine.queue("q").messages) == ([], [], 2)
    world.tick(0.2)
    assert peer.bodies() == [b"1-a"]
    world.tick(2)
    assert peer.bodies() == [b"1-b"]


def test_message_that_comes_back_is_not_delayed_again(filled: Callable[..., Any]) -> None:
    world = filled(**{LATE: 5})
    publish(world, b"1-a")
    world.tick(5)
    assert consumed(world) == [b"1-a"]
    world.engine.disconnect(world.engine.vpn.clients["app"], world.now)

    assert consumed(world) == [b"1-a"]


def test_delay_that_ends_lets_everything_go_in_order(filled: Callable[..., Any]) -> None:
    world = filled(**{LATE: 500})
    publish(world, b"1-a", b"9-b")
    configure(world, **{LATE: 0}, respect_priority=True)
    publish(world, b"5-c")

    assert consumed(world) == [b"9-b", b"5-c", b"1-a"]


def test_deleted_and_expired_messages_are_gone_also_if_they_are_delayed(filled: Callable[..., Any]) -> None:
    world = filled(respect_ttl=True, max_ttl_seconds=3, **{LATE: 5})
    publish(world, b"1-a")
    world.tick(2)
    publish(world, b"1-b")
    world.tick(1.5)
    assert [entry.message.body for entry in world.engine.vpn.queues["q"].waiting()] == [b"1-b"]
    world.tick(2)
    assert (world.engine.queue("q").messages, consumed(world)) == (0, [])

    publish(world, b"1-c", b"1-d")
    delete_messages(world.engine.vpn, world.engine.vpn.queues["q"])
    publish(world, b"1-e")
    configure(world, respect_ttl=False)
    world.tick(5)
    assert bodies_of(world) == [b"1-e"]


def bodies_of(world: Any) -> list[bytes]:
    (flow,) = world.engine.vpn.queues["q"].flows
    return [entry.message.body for entry in flow.unacked.values()]


def test_message_after_a_certain_one_is_found_also_if_it_is_delayed(filled: Callable[..., Any]) -> None:
    world = filled(**{LATE: 5})
    publish(world, b"1-a", b"1-b")
    queue = world.engine.vpn.queues["q"]
    first, second = queue.waiting()

    assert list(queue.waiting(first.message.id)) == [second]
    queue.remove_waiting(first.message.id)
    assert list(queue.waiting()) == [second]
    world.tick(6)
    assert consumed(world) == [b"1-b"]


def test_message_of_an_old_store_that_does_not_know_its_time_is_not_delayed(filled: Callable[..., Any]) -> None:
    world = filled(**{LATE: 5})
    publish(world, b"1-a")
    queue = world.engine.vpn.queues["q"]
    (entry,) = queue.waiting()
    old = SpooledMessage(7, entry.message.template, b"", b"old", float("inf"))
    queue.clear()
    queue.extend((old,), old.size)

    assert consumed(world) == [b"old"]
