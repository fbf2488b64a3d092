"""Messages that one of several gets: shared subscriptions, and delivery to one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flumebeam.broker.core.shared import Subscription, parse_subscription
from flumebeam.smf.header import Flag
from flumebeam.smf.messages import Message
from flumebeam.smf.params import HeaderParameters
from flumebeam.smf.subctrl import SubscriptionFlag, SubscriptionKind
from flumebeam.smf.values import Response

ALWAYS = SubscriptionFlag.DELIVER_ALWAYS | SubscriptionFlag.WANTS_RESPONSE | SubscriptionFlag.TOPIC


def to_one(peer: Any, body: bytes, topic: str = "t") -> None:
    parameters = HeaderParameters(topic=topic, priority=4)
    peer.send(Message(parameters=parameters, body=body, flags=Flag.DELIVER_TO_ONE))


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("a/b", Subscription("a/b", None)),
        ("#noexport/a/b", Subscription("a/b", None)),
        ("#share/g/a/b", Subscription("a/b", "g")),
        ("#noexport/#share/g/a", Subscription("a", "g")),
        ("#share/g/#noexport/a", Subscription("a", "g")),
        ("#share/g", Subscription("", "g")),
    ],
)
def test_subscription_is_taken_apart(text: str, parsed: Subscription) -> None:
    assert parse_subscription(text) == parsed


def test_members_of_a_group_get_messages_in_turn_and_others_all(world: Any) -> None:
    members = [world.client(name) for name in "abc"]
    for member in members:
        assert member.subscribe("#share/g/t/>").response.code == 200
    other, second = world.client("other"), world.client("second")
    other.subscribe("t/*")
    second.subscribe("#share/h/t/>")
    sender = world.client("sender")
    for number in range(6):
        sender.direct(b"%d" % number)
    sender.publish(sender.publisher().flow_id, b"6")

    assert sorted(len(member.bodies()) for member in members) == [2, 2, 3]
    assert other.bodies() == second.bodies() == [b"%d" % number for number in range(7)]


def test_member_that_leaves_or_unsubscribes_gets_no_more(world: Any) -> None:
    one, two, three = (world.client(name) for name in "abc")
    for member in (one, two, three):
        member.subscribe("#share/g/t/>")
    one.leave()
    assert two.subscribe("#share/g/t/>", kind=SubscriptionKind.REMOVE).response.code == 200
    sender = world.client("sender")
    for number in range(3):
        sender.direct(b"%d" % number)

    assert three.bodies() == [b"0", b"1", b"2"]
    assert two.bodies() == []
    three.leave()
    assert len(world.engine.vpn.routes) == 1
    sender.direct(b"3")


def test_member_that_does_not_keep_up_is_passed_over(make_world: Callable[..., Any]) -> None:
    world = make_world(delivery_batch_bytes=100)
    slow, fast = world.client("slow"), world.client("fast")
    for member in (slow, fast):
        member.subscribe("#share/g/t/>")
    sender = world.client("sender")
    sender.direct(bytes(200))
    sender.direct(bytes(200))
    assert len(fast.deliveries()) == 1
    sender.direct(b"x")

    assert fast.bodies() == [b"x"]
    sender.direct(bytes(200))
    assert len(fast.deliveries()) == 1
    assert (slow.connection.traffic.discarded, fast.connection.traffic.discarded) == (0, 0)


def test_message_that_no_member_can_take_is_discarded_and_told(make_world: Callable[..., Any]) -> None:
    world = make_world(delivery_batch_bytes=100)
    only = world.client("only")
    only.subscribe("#share/g/t/>")
    sender = world.client("sender")
    for body in (bytes(200), b"lost"):
        sender.direct(body)
    first = only.deliveries()
    sender.direct(b"after")

    assert len(first) == 1
    assert only.connection.traffic.discarded == 1
    (after,) = only.deliveries()
    assert after.flags & Flag.DISCARDED


def test_queues_of_a_group_get_messages_in_turn_while_they_are_open(world: Any) -> None:
    for name in "abc":
        world.engine.create_queue(name, "exclusive", ["#share/g/s/>"])
    peer = world.client()
    flow = peer.publisher().flow_id
    peer.publish(flow, *(b"%d" % number for number in range(6)), topic="s/1")
    assert [world.engine.queue(name).messages for name in "abc"] == [2, 2, 2]
    assert world.engine.queue("q").messages == 0
    peer.subscribe("#share/g/s/>", "c", kind=SubscriptionKind.REMOVE_FROM_QUEUE)
    peer.direct(b"6", topic="s/1")
    peer.direct(b"7", topic="s/1")
    assert [world.engine.queue(name).messages for name in "abc"] == [3, 3, 2]
    for name in "ab":
        queue = world.engine.vpn.queues[name]
        queue.settings = type(queue.settings)(
            **{field: getattr(queue.settings, field) for field in queue.settings.__slots__} | {"ingress_enabled": False}
        )
    peer.publish(flow, b"8", topic="s/1")

    assert [world.engine.queue(name).messages for name in "abc"] == [3, 3, 2]


def test_each_member_of_a_group_counts_for_the_limit(make_world: Callable[..., Any]) -> None:
    world = make_world(max_subscriptions=2)
    codes = [world.client(name).subscribe("#share/g/t").response for name in "abc"]

    assert [response.code for response in codes[:2]] == [200, 200]
    assert codes[2] == Response(400, "Max Num Subscriptions Exceeded")


def test_message_for_one_goes_to_one_in_turn_and_to_those_that_always_get_it(world: Any) -> None:
    one, two, always = (world.client(name) for name in ("one", "two", "always"))
    one.subscribe("t")
    two.subscribe(">")
    always.subscribe("t", flags=ALWAYS)
    sender = world.client("sender")
    for number in range(4):
        to_one(sender, b"%d" % number)

    got = [one.bodies(), two.bodies()]
    assert sorted(body for part in got for body in part) == [b"0", b"1", b"2", b"3"]
    assert list(map(len, got)) == [2, 2]
    assert always.bodies() == [b"0", b"1", b"2", b"3"]
    one.leave()
    two.leave()
    to_one(sender, b"4")
    assert always.bodies() == [b"4"]
    always.subscribe("t", kind=SubscriptionKind.REMOVE)
    to_one(sender, b"5")
    assert always.bodies() == []
