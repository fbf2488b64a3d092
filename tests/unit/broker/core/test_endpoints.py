from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from flumebeam.broker.core.access import put_setup
from flumebeam.broker.core.acl import AclProfile, nothing_but
from flumebeam.broker.core.endpoints import decode_permission, encode_permission
from flumebeam.broker.core.profiles import ClientUsername
from flumebeam.broker.core.queue_settings import Permission
from flumebeam.errors import ConfigurationError, QueueError
from flumebeam.smf.assuredctrl import AckRange, AssuredControl, AssuredKind, EndpointBehavior, FlowType
from flumebeam.smf.subctrl import SubscriptionControl, SubscriptionKind


@pytest.fixture
def world(make_world: Callable[..., Any]) -> Any:
    """Return a broker for the users ``ann`` and ``bob``, without queues."""
    return make_world(users={"default": None, "ann": None, "bob": None})


def create(client: Any, **options: Any) -> Any:
    return client.ask(AssuredControl(kind=AssuredKind.CREATE, **({"durability": 1} | options))).response


def delete(client: Any, **options: Any) -> Any:
    return client.ask(AssuredControl(kind=AssuredKind.DELETE, **options)).response


def unsubscribe(client: Any, endpoint: str) -> Any:
    return client.ask(AssuredControl(kind=AssuredKind.UNSUBSCRIBE, endpoint=endpoint)).response


def bind(client: Any, endpoint: str = "e", **options: Any) -> Any:
    return client.bind(None, endpoint=endpoint, **options)


def unbind(client: Any, flow: int) -> None:
    client.send(AssuredControl(kind=AssuredKind.UNBIND, flow_id=flow))
    client.received()


def publish(world: Any, *bodies: bytes, topic: str = "t/1") -> None:
    client = world.client("publisher")
    client.publish(client.publisher().flow_id, *bodies, topic=topic)


def held(world: Any, endpoint: str = "e") -> int:
    messages: int = world.engine.topic_endpoint(endpoint).messages
    return messages


# Topic endpoints


def test_topic_endpoint_keeps_what_comes_while_its_consumer_is_away(world: Any) -> None:
    client = world.client()
    assert create(client, endpoint="e").code == 200
    bound = bind(client, topic="t/>")
    assert (bound.response.code, bound.endpoint, bound.topic, bound.queue) == (200, "e", "t/>", None)
    unbind(client, bound.flow_id)
    publish(world, b"away")
    flow = bind(client, topic="t/>").flow_id
    client.ack(flow)

    assert [message.body for message in client.deliveries()] == [b"away"]


def test_other_topic_deletes_what_the_endpoint_holds(world: Any) -> None:
    client = world.client()
    create(client, endpoint="e")
    unbind(client, bind(client, topic="t/>").flow_id)
    publish(world, b"old")
    unbind(client, bind(client, topic="u").flow_id)
    publish(world, b"no more")
    publish(world, b"new", topic="u")

    assert world.engine.topic_endpoint("e").subscriptions == ("u",)
    assert held(world) == 1


def test_bind_without_a_topic_keeps_the_one_that_is_there(world: Any) -> None:
    client = world.client()
    create(client, endpoint="e")
    unbind(client, bind(client, topic="t/>").flow_id)
    publish(world, b"old")

    assert bind(client).response.code == 200
    assert held(world) == 1


def test_other_topic_unbinds_those_that_want_the_former_one(world: Any) -> None:
    ann, bob = world.client("ann"), world.client("bob")
    create(ann, endpoint="e")
    world.engine.delete_topic_endpoint("e")
    world.engine.create_topic_endpoint("e", "non-exclusive", "t/>", max_consumers=2)
    flow = bind(ann, topic="t/>").flow_id
    assert bind(bob, topic="u").response.code == 200

    (told,) = ann.received()
    assert (told.kind, told.flow_id) == (AssuredKind.UNBIND, flow)
    assert told.response.text == "Topic or Selector Modified on Durable Topic Endpoint"


@pytest.mark.parametrize("topic", ["", "t" * 251, "#share/g/t"], ids=len)
def test_topic_that_is_none_is_refused(world: Any, topic: str) -> None:
    client = world.client()
    create(client, endpoint="e")

    assert bind(client, topic=topic).response.text == "Invalid Topic Name"


def test_topic_endpoint_is_refused_with_its_own_errors(world: Any) -> None:
    client = world.client()
    assert bind(client, "none", topic="t").response.text == "Unknown Durable Topic Endpoint"
    world.engine.create_topic_endpoint("e", "exclusive", "t/>")
    bind(client)
    assert bind(client).response.text == "Max clients exceeded for durable topic endpoint"
    world.engine.create_topic_endpoint("shut", "exclusive", None, egress_enabled=False)
    assert bind(client, "shut", topic="t").response.text == "Durable Topic Endpoint Shutdown"


def test_topic_that_the_client_may_not_subscribe_to_is_refused(world: Any) -> None:
    put_setup(world.engine.vpn, replace(AclProfile.permissive("p"), subscribe=nothing_but("ok/>")))
    put_setup(world.engine.vpn, ClientUsername("ann", None, acl_profile="p"))
    world.engine.create_topic_endpoint("e", "exclusive", "t/>")
    client = world.client(username="ann")

    assert bind(client, topic="t/>").response.text == "Subscription ACL Denied"
    assert bind(client, topic="ok/1").response.code == 200


def test_number_of_subscriptions_is_limited(make_world: Callable[..., Any]) -> None:
    world = make_world(max_subscriptions=1)
    client = world.client()
    create(client, endpoint="e")
    create(client, endpoint="f")
    bind(client, topic="t")

    assert bind(client, "f", topic="t").response.text == "Max Num Subscriptions Exceeded"


def test_queue_and_topic_endpoint_of_one_name_are_two_things(world: Any) -> None:
    client = world.client()
    assert create(client, endpoint="x").code == create(client, queue="x").code == 200
    publish(world, b"m", topic="#P2P/QUE/x")

    assert world.engine.queue("x").messages == 1
    assert held(world, "x") == 0
    assert client.bind("#P2P/DTE/x").response.text == "Unknown Queue"
    assert create(client, queue="#P2P/DTE/y").text == "Invalid Queue Name Or Durability"
    publish(world, b"m", topic="#P2P/QUE/#P2P/DTE/x")
    assert held(world, "x") == 0


def test_unsubscribed_topic_endpoint_is_empty_and_gets_nothing(world: Any) -> None:
    client = world.client()
    create(client, endpoint="e")
    flow = bind(client, topic="t/>").flow_id
    publish(world, b"m")
    assert unsubscribe(client, "e").text == "Unsubscribe not allowed, client(s) bound to DTE"
    unbind(client, flow)
    assert unsubscribe(client, "e").code == 200
    publish(world, b"n")

    assert held(world) == 0
    assert world.engine.topic_endpoint("e").subscriptions == ()
    assert unsubscribe(client, "none").text == "Unknown Durable Topic Endpoint"


def test_deleted_topic_endpoint_is_gone(world: Any) -> None:
    client = world.client()
    create(client, endpoint="e")

    assert delete(client, endpoint="e").code == 200
    assert delete(client, endpoint="e").text == "Unknown Durable Topic Endpoint"
    assert create(client, endpoint="e").code == 200
    assert create(client, endpoint="e").text == "Already Exists"
    assert create(client, endpoint="#TMP/x").text == create(client, endpoint="").text
    assert create(client, endpoint="e" * 201).text == "Invalid Queue Name Or Durability"


def test_temporary_topic_endpoint_has_a_name_of_the_brokers_choice_and_ends_with_its_flow(world: Any) -> None:
    client = world.client()
    bound = bind(client, "", topic="t/>", durability=2)
    publish(world, b"m")
    client.ack(bound.flow_id)

    assert [message.body for message in client.deliveries()] == [b"m"]
    assert bound.endpoint.startswith("#TMP/")
    assert bound.durability == 2
    unbind(client, bound.flow_id)
    assert not world.engine.vpn.queues
    assert bind(client, "", durability=2).response.text == "Invalid Topic Name"


def test_temporary_topic_endpoint_waits_for_its_client_to_come_back(world: Any) -> None:
    client = world.client()
    name = bind(client, "", topic="t/>", durability=2).endpoint
    client.leave()
    publish(world, b"m")
    again = world.client()
    flow = bind(again, name, topic="t/>", durability=2).flow_id
    again.ack(flow)
    assert [message.body for message in again.deliveries()] == [b"m"]

    again.leave()
    world.tick(61)
    assert not world.engine.vpn.queues


# Set-up by programs


def test_program_sets_up_a_topic_endpoint_and_changes_its_topic(world: Any) -> None:
    world.engine.create_topic_endpoint("e", "exclusive", "t/>")
    publish(world, b"old")
    world.engine.create_topic_endpoint("e", "exclusive", None)
    assert held(world) == 1
    world.engine.create_topic_endpoint("e", "exclusive", "u")

    assert (held(world), world.engine.topic_endpoint("e").subscriptions) == (0, ("u",))
    assert world.engine.queues() == ()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("", "exclusive", None), "'' cannot be the name of a topic endpoint"),
        (("e", "shared", None), "The access type of a queue is"),
        (("e", "exclusive", ""), "Topic endpoint e cannot be fed by '': Invalid Topic Name."),
    ],
)
def test_topic_endpoint_that_cannot_be_is_refused_in_one_sentence(
    world: Any, arguments: tuple[Any, ...], error: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"^{error}"):
        world.engine.create_topic_endpoint(*arguments)


def test_topic_endpoint_that_is_not_there_or_otherwise_is_named(world: Any) -> None:
    world.engine.create_topic_endpoint("e", "exclusive", None)
    with pytest.raises(QueueError, match=r"^Topic endpoint e exists already and is exclusive"):
        world.engine.create_topic_endpoint("e", "non-exclusive", None)
    world.engine.delete_topic_endpoint("e")
    with pytest.raises(QueueError, match=r"^There is no topic endpoint e; create it first"):
        world.engine.topic_endpoint("e")


# Set-up by clients


def test_endpoint_is_made_as_its_client_asks(world: Any) -> None:
    asked = {
        "access": 2,
        "other_permissions": b"\0\0\0\x03",
        "quota_mb": 7,
        "max_message_bytes": 1_000,
        "respect_ttl": 1,
        "max_redeliveries": 3,
        "behavior": EndpointBehavior.DO_NOT_NOTIFY_SENDER,
    }
    client = world.client(username="ann")
    create(client, queue="q", **asked)
    queue = world.engine.vpn.queues["q"]
    assert (queue.owner, queue.permission) == ("ann", Permission.CONSUME)
    settings = queue.settings
    assert (settings.max_bytes, settings.max_message_bytes, settings.max_redeliveries) == (7_000_000, 1_000, 3)
    assert (settings.respect_ttl, settings.reject_on_discard) == (True, "never")
    bound = client.bind("q")
    assert (bound.quota_mb, bound.max_message_bytes, bound.respect_ttl, bound.max_redeliveries) == (7, 1_000, 1, 3)
    assert bound.behavior == EndpointBehavior.DELIVERY_COUNT

    create(client, endpoint="e", behavior=EndpointBehavior.NOTIFY_SENDER)
    assert world.engine.vpn.queues["#P2P/DTE/e"].settings.reject_on_discard == "when-queue-enabled"
    create(client, endpoint="f")
    assert world.engine.vpn.queues["#P2P/DTE/f"].settings.reject_on_discard == "never"


def test_client_is_told_whether_deliveries_are_counted(world: Any) -> None:
    world.engine.create_queue("q", "exclusive", [], delivery_count=False)

    assert world.client().bind("q").behavior == EndpointBehavior.NO_DELIVERY_COUNT


# Permissions


@pytest.mark.parametrize("permission", Permission)
def test_permission_is_bits_that_include_those_of_lower_ones(permission: Permission) -> None:
    assert decode_permission(encode_permission(permission)) is permission


def test_permission_that_is_not_whole_is_the_one_below() -> None:
    assert decode_permission(b"\0\0\0\x05") is Permission.READ_ONLY
    assert decode_permission(None) is Permission.NO_ACCESS


@pytest.mark.parametrize("level", range(5))
def test_others_may_do_what_the_permission_names_and_no_more(world: Any, level: int) -> None:
    names = ["no-access", "read-only", "consume", "modify-topic", "delete"]
    world.engine.create_queue("q", "exclusive", ["t/>"], owner="ann", permission=names[level])
    world.engine.create_topic_endpoint("e", "exclusive", "t/>", owner="ann", permission=names[level])
    publish(world, b"m")
    bob = world.client("b", username="bob")
    browsing = bob.bind("q", flow_type=FlowType.BROWSER)
    assert browsing.response.code == (200 if level >= Permission.READ_ONLY else 403)
    if browsing.response.code == 200:
        bob.ack(browsing.flow_id)
        (seen,) = bob.deliveries()
        number = seen.parameters.message_id
        bob.ack(browsing.flow_id, number, AckRange(number, number))
        assert browsing.granted_permissions == browsing.other_permissions == encode_permission(Permission(level))
        assert world.engine.queue("q").messages == (0 if level >= Permission.CONSUME else 1)
    allowed = [
        (bob.bind("q").response, Permission.CONSUME),
        (bind(bob, topic="t/>").response, Permission.CONSUME),
        (bob.subscribe("u", "q").response, Permission.MODIFY_TOPIC),
        (
            bob.ask(SubscriptionControl(kind=SubscriptionKind.REMOVE_FROM_QUEUE, topic="t/>", target="q")).response,
            Permission.MODIFY_TOPIC,
        ),
        (delete(bob, queue="q"), Permission.DELETE),
    ]
    assert [response.code for response, _ in allowed] == [200 if level >= needed else 403 for _, needed in allowed]
    bob.leave()
    other = world.client("o", username="bob")
    assert bind(other, topic="u").response.code == (200 if level >= Permission.MODIFY_TOPIC else 403)
    other.leave()
    last = world.client("l", username="bob")
    assert unsubscribe(last, "e").code == (200 if level >= Permission.MODIFY_TOPIC else 403)
    assert delete(last, endpoint="e").code == (200 if level >= Permission.DELETE else 403)


def test_owner_may_do_everything(world: Any) -> None:
    world.engine.create_queue("q", "exclusive", [], owner="ann", permission="no-access")
    ann = world.client(username="ann")
    bound = ann.bind("q")

    assert bound.granted_permissions == encode_permission(Permission.DELETE)
    assert bound.other_permissions == encode_permission(Permission.NO_ACCESS)
    assert delete(ann, queue="q").code == 200
