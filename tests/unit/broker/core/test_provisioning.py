"""Queues and subscriptions that clients create and delete."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flumebeam.smf.assuredctrl import AccessType, AssuredControl, AssuredKind, Durability
from flumebeam.smf.subctrl import SubscriptionControl, SubscriptionFlag, SubscriptionKind
from flumebeam.smf.values import Response

OK = Response(200, "OK")


def create(name: str, access: int = AccessType.EXCLUSIVE, **options: Any) -> AssuredControl:
    return AssuredControl(**({"kind": AssuredKind.CREATE, "queue": name, "durability": 1, "access": access} | options))


def test_client_creates_a_queue_once(world: Any) -> None:
    peer = world.client()

    assert peer.ask(create("new", AccessType.NON_EXCLUSIVE)).response == OK
    assert world.engine.queue("new").access == "non-exclusive"
    assert peer.ask(create("new", AccessType.NON_EXCLUSIVE)).response == Response(400, "Already Exists")
    assert peer.ask(create("new")).response == Response(400, "Endpoint Property Mismatch")


def test_invalid_and_too_many_queues_are_refused(make_world: Callable[..., Any]) -> None:
    peer = make_world(max_queues=1).client()

    assert peer.ask(create("")).response.code == 400
    assert peer.ask(create("x", durability=Durability.NON_DURABLE)).response.code == 400
    assert peer.ask(create("a")).response == OK
    assert peer.ask(create("b")).response == Response(503, "Max Num Queues Exceeded")
    assert peer.bind("#P2P/QTMP/v:x/1", durability=2).response == Response(503, "Max Num Queues Exceeded")


def test_client_deletes_a_queue(world: Any) -> None:
    peer = world.client()
    delete = AssuredControl(kind=AssuredKind.DELETE, queue="q")

    assert peer.ask(delete).response == OK
    assert peer.ask(delete).response == Response(503, "Unknown Queue")


def test_others_may_do_with_a_queue_what_its_permission_says(make_world: Callable[..., Any]) -> None:
    world = make_world(users={"ann": None, "bob": None})
    ann, bob = world.client("a", username="ann"), world.client("b", username="bob")
    ann.ask(create("hers"))
    refused = Response(403, "Permission Not Allowed")

    assert ann.bind("hers").response == OK
    assert bob.bind("hers").response == refused
    assert bob.bind("hers", flow_type=2).response == refused
    assert bob.subscribe("x", "hers").response == refused
    assert bob.ask(AssuredControl(kind=AssuredKind.DELETE, queue="hers")).response == refused
    assert ann.subscribe("x", "hers").response == OK
    world.engine.create_queue("shown", "exclusive", [], "ann", "read-only")
    assert bob.bind("shown", flow_type=2).response == OK
    assert bob.bind("shown").response == refused


def test_queue_subscriptions_are_added_and_removed_once(world: Any) -> None:
    peer = world.client()
    remove = {"kind": SubscriptionKind.REMOVE_FROM_QUEUE}

    assert peer.subscribe("u/>", "q").response == OK
    assert peer.subscribe("u/>", "q").response == Response(400, "Subscription Already Exists")
    assert world.engine.queue("q").subscriptions == ("t/>", "u/>")
    assert peer.subscribe("u/>", "q", **remove).response == OK
    assert peer.subscribe("u/>", "q", **remove).response == Response(400, "Subscription Not Found")
    assert peer.subscribe("u/>", "nowhere").response == Response(503, "Unknown Queue")
    peer.publish(peer.publisher().flow_id, b"x", topic="u/1")
    assert world.engine.queue("q").messages == 0


def test_subscription_of_a_temporary_queue_is_removed(world: Any) -> None:
    peer = world.client()
    name = "#P2P/QTMP/v:x/1"
    peer.bind(name, durability=2)

    assert peer.subscribe("u", name).response == OK
    assert peer.subscribe("u", name, kind=SubscriptionKind.REMOVE_FROM_QUEUE).response == OK
    assert world.engine.queue(name).subscriptions == ()


@pytest.mark.parametrize(
    "topic", ["", "t" * 251, "#share/group", "#share/group/", "#share//t", "#share/g*/t", "#share/>/t", "#noexport/"]
)
@pytest.mark.parametrize("queue", [None, "q"])
def test_invalid_subscriptions_are_refused(world: Any, topic: str, queue: str | None) -> None:
    assert world.client().subscribe(topic, queue).response == Response(400, "Subscription Parse Error")


def test_client_subscriptions_are_added_and_removed_once(world: Any) -> None:
    peer = world.client()
    remove = {"kind": SubscriptionKind.REMOVE}

    assert peer.subscribe("u").response == OK
    assert peer.subscribe("u").response == Response(400, "Subscription Already Exists")
    assert peer.subscribe("u", **remove).response == OK
    assert peer.subscribe("u", **remove).response == Response(400, "Subscription Not Found")
    assert peer.subscribe("u", "other", kind=SubscriptionKind.ADD_FOR_CLIENT).response.code == 403


def test_client_with_a_long_name_may_subscribe_to_its_inbox(world: Any) -> None:
    peer = world.client("ü" * 80)
    peer.connection.inbox = "#P2P/" + "x" * 260

    assert peer.subscribe(f"{peer.connection.inbox}/>").response == OK


def test_number_of_subscriptions_is_limited(make_world: Callable[..., Any]) -> None:
    world = make_world(max_subscriptions=2)
    world.engine.create_queue("q", "exclusive", ["a"])
    peer = world.client()
    too_many = Response(400, "Max Num Subscriptions Exceeded")

    assert peer.subscribe("b").response == OK
    assert peer.subscribe("c").response == too_many
    assert peer.subscribe("c", "q").response == too_many


def test_request_that_asks_for_no_response_gets_none_and_counts(world: Any) -> None:
    peer = world.client()
    peer.send(SubscriptionControl(kind=SubscriptionKind.ADD, topic="d/1", flags=SubscriptionFlag.TOPIC))
    assert peer.received() == []
    peer.direct(b"x", topic="d/1")

    assert [message.body for message in peer.deliveries()] == [b"x"]
