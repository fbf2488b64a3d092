"""What usernames and profiles allow their clients, from the login on and after each change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from flumebeam.broker.core.access import all_setup, put_setup
from flumebeam.broker.core.acl import AclProfile, Rule, everything_but, nothing_but
from flumebeam.broker.core.profiles import ClientUsername
from flumebeam.errors import ConfigurationError
from flumebeam.smf.assuredctrl import AssuredControl, AssuredKind, ConsumerAck
from flumebeam.smf.clientctrl import Capability
from flumebeam.smf.subctrl import SubscriptionKind
from flumebeam.smf.values import Response

NOT_PERMITTED = Response(403, "Permission Not Allowed")
NO_PUBLISH = Response(403, "Publish ACL Denied")
NO_SUBSCRIPTION = Response(403, "Subscription ACL Denied")


def acl(world: Any, **rules: Rule) -> None:
    put_setup(world.engine.vpn, replace(world.engine.vpn.acl_profiles["default"], **rules))


def profile(world: Any, **changes: Any) -> None:
    put_setup(world.engine.vpn, replace(world.engine.vpn.client_profiles["default"], **changes))


# ACL profiles


def test_denied_address_is_refused_at_login(world: Any) -> None:
    acl(world, connect=Rule(True, ("10.0.0.0/8",)))

    assert world.stranger().login().response == Response(403, "Forbidden")


def test_denied_publish_is_refused_outside_and_inside_transactions_and_dropped_if_direct(world: Any) -> None:
    acl(world, publish=everything_but("t/no"))
    other = world.client("other")
    other.subscribe("t/>")
    peer = world.client()
    plain = peer.publisher().flow_id
    peer.publish(plain, b"1", topic="t/yes")
    peer.publish(plain, b"2", topic="t/no")
    assert NO_PUBLISH in [answer.response for answer in peer.received()]
    peer.direct(b"3", topic="t/no")
    peer.session()
    inside = peer.publisher(session_id=peer.session_id).flow_id
    peer.staged = 0
    peer.publish(inside, b"4", topic="t/yes")
    peer.publish(inside, b"5", topic="t/no")
    assert peer.commit(inside).response == Response(503, "Publish ACL Denied")

    assert world.engine.queue("q").messages == 1
    assert [message.body for message in other.deliveries()] == [b"1"]
    assert peer.connection.traffic.denied == 3


def test_denied_subscription_is_refused_for_client_and_queue_and_never_for_the_inbox(world: Any) -> None:
    acl(world, subscribe=nothing_but("ok/>"))
    peer = world.client()

    assert peer.subscribe("no").response == NO_SUBSCRIPTION
    assert peer.subscribe("no", "q").response == NO_SUBSCRIPTION
    assert peer.subscribe("ok/1").response.code == 200
    assert peer.subscribe("ok/1", "q").response.code == 200
    assert peer.subscribe(f"{peer.connection.inbox}/>").response.code == 200
    assert peer.subscribe("t/>", "q", kind=SubscriptionKind.REMOVE_FROM_QUEUE).response.code == 200


def test_shared_subscription_needs_its_topic_its_name_and_the_client_profile(world: Any) -> None:
    acl(world, subscribe=nothing_but("ok/>"), share=everything_but("no"))
    peer = world.client()

    assert peer.subscribe("#share/g/no").response == NO_SUBSCRIPTION
    assert peer.subscribe("#share/no/ok/1").response == NO_SUBSCRIPTION
    assert peer.subscribe("#share/g/ok/1").response.code == 200
    profile(world, share_subscriptions=False)
    assert peer.subscribe("#share/h/ok/1", "q").response == Response(403, "Shared Subscription Permission Denied")
    assert peer.subscribe("ok/1").response.code == 200


def test_change_of_a_profile_is_that_of_clients_that_are_there(world: Any) -> None:
    peer = world.client()
    flow = peer.publisher().flow_id
    peer.publish(flow, b"1")
    acl(world, publish=Rule(False))
    peer.publish(flow, b"2")

    assert world.engine.queue("q").messages == 1
    assert peer.received()[-1].response.code == 200
    acl(world, publish=Rule(True))
    peer.publish(flow, b"3")
    assert world.engine.queue("q").messages == 2


# Client profiles


@pytest.mark.parametrize(
    ("denied", "withheld"),
    [
        ("send_guaranteed", Capability.PUBLISHER_FLOWS),
        ("receive_guaranteed", Capability.CONSUMER_FLOWS),
        ("create_endpoints", Capability.ENDPOINT_MANAGEMENT),
        ("transact", Capability.TRANSACTED_SESSIONS),
    ],
)
def test_client_is_told_at_login_what_it_may_not_do_and_refused_if_it_tries(
    world: Any, denied: str, withheld: Capability
) -> None:
    profile(world, **{denied: False})
    peer = world.stranger()
    granted = peer.login().capabilities.granted
    tries = {
        "send_guaranteed": peer.publisher,
        "receive_guaranteed": peer.bind,
        "create_endpoints": lambda: peer.ask(AssuredControl(kind=AssuredKind.CREATE, queue="n", durability=1)),
        "transact": peer.session,
    }

    assert withheld not in granted
    assert {name: attempt().response.code for name, attempt in tries.items()} == {
        name: 403 if name == denied else 200 for name in tries
    }


def test_client_that_may_not_create_endpoints_neither_deletes_them_nor_has_temporary_ones(world: Any) -> None:
    profile(world, create_endpoints=False)
    peer = world.client()

    assert peer.ask(AssuredControl(kind=AssuredKind.DELETE, queue="q")).response == NOT_PERMITTED
    assert peer.bind("#P2P/QTMP/v:x/1", durability=2).response == NOT_PERMITTED


def test_endpoints_may_be_created_of_one_durability_only(world: Any) -> None:
    peer = world.client()
    create = AssuredControl(kind=AssuredKind.CREATE, queue="n", durability=1)
    profile(world, endpoint_durability="non-durable")
    assert peer.ask(create).response == NOT_PERMITTED
    assert peer.bind("#P2P/QTMP/v:x/1", durability=2).response.code == 200
    profile(world, endpoint_durability="durable")
    assert peer.bind("#P2P/QTMP/v:x/2", durability=2).response == NOT_PERMITTED
    assert peer.ask(create).response.code == 200


def test_limits_of_a_client_profile_hold(world: Any) -> None:
    profile(
        world, max_subscriptions=1, max_receiving=1, max_sending=1, max_sessions=1, max_endpoints=1, max_connections=2
    )
    peer = world.client()
    peer.subscribe(f"{peer.connection.inbox}/>")

    assert [peer.subscribe(topic).response.code for topic in ("a", "b")] == [200, 400]
    assert [peer.publisher().response.text for _ in range(2)] == ["OK", "Max Flows Exceeded"]
    assert [peer.bind().response.text for _ in range(2)] == ["OK", "Max Flows Exceeded"]
    assert [peer.session().response.text for _ in range(2)] == ["OK", "Max Transacted Sessions Exceeded"]
    made = [peer.ask(AssuredControl(kind=AssuredKind.CREATE, queue=name, durability=1)) for name in "ab"]
    assert [answer.response.text for answer in made] == ["OK", "Max Num Queues Exceeded"]
    world.client("app")
    world.client("second")
    assert world.stranger().login("third").response == Response(503, "Too Many Clients")
    world.client("app")


@pytest.mark.parametrize("limit", ["max_connections", "max_smf_connections"])
def test_connections_of_a_username_are_limited_by_both_names_of_the_limit(world: Any, limit: str) -> None:
    profile(world, **{limit: 1})
    world.client("one")

    assert world.stranger().login("two").response == Response(503, "Too Many Clients")


def test_transaction_has_the_limit_of_the_client_profile_also_after_a_change(world: Any) -> None:
    peer = world.client()
    opened = peer.session()
    flow = peer.publisher(session_id=opened.session_id)
    bodies = [b"%d" % number for number in range(300)]
    peer.publish(flow.flow_id, *bodies)
    assert peer.commit(flow.flow_id).response.text == "Transaction Failure"
    profile(world, max_transaction_messages=300)
    again = world.client()
    again.transaction = 1
    again.session(session_name=opened.session_name, transaction=(1, 2))
    flow = again.publisher(session_id=opened.session_id, flow_name=flow.flow_name)
    again.publish(flow.flow_id, *bodies)

    assert again.commit(flow.flow_id).response.code == 200
    assert world.engine.queue("q").messages == 300


def test_unmatched_message_is_refused_where_the_profile_of_its_publisher_says_so(world: Any) -> None:
    peer = world.client()
    flow = peer.publisher().flow_id
    peer.publish(flow, b"1", topic="nobody")
    assert [answer.response.code for answer in peer.received()] == [200]
    profile(world, reject_on_no_match=True)
    peer.publish(flow, b"2", topic="nobody")

    assert peer.received()[0].response == Response(503, "No Subscription Match")


# Client usernames


def test_subscription_manager_subscribes_for_others(world: Any) -> None:
    put_setup(world.engine.vpn, ClientUsername("boss", None, manages_subscriptions=True))
    boss, peer = world.client("boss", username="boss"), world.client()
    add, remove = SubscriptionKind.ADD_FOR_CLIENT, SubscriptionKind.REMOVE_FOR_CLIENT

    assert peer.subscribe("a", "boss", kind=add).response == Response(403, "Subscription Manager Denied")
    assert boss.subscribe("a", "app", kind=add).response.code == 200
    boss.direct(b"x", topic="a")
    assert [message.body for message in peer.deliveries()] == [b"x"]
    assert boss.subscribe("a", "app", kind=remove).response.code == 200
    assert boss.subscribe("a", "app", kind=remove).response.text == "Subscription Not Found"
    assert boss.subscribe("a", "nobody", kind=add).response.text == "Client Not Found"


def test_username_is_configured_after_its_profiles(world: Any) -> None:
    with pytest.raises(ConfigurationError, match="add it first"):
        world.engine.configure([ClientUsername("ann", None, acl_profile="p")])
    with pytest.raises(ConfigurationError, match="no message VPN more"):
        world.engine.configure([], "more")
    world.engine.configure([AclProfile(name="p"), ClientUsername("ann", None, acl_profile="p")])

    assert world.engine.vpn.users["ann"].acl_profile == "p"


def test_clients_of_another_username_are_left_alone(world: Any) -> None:
    peer = world.client()
    put_setup(world.engine.vpn, ClientUsername("ann", "pw", enabled=False))

    assert peer.subscribe("a").response.code == 200
    assert [value.name for value in all_setup(world.engine.vpn)] == ["default", "default", "default", "ann"]


def test_consumed_messages_count_for_the_limit_of_the_profile(world: Any) -> None:
    profile(world, max_transaction_messages=1)
    peer = world.client()
    peer.publish(peer.publisher().flow_id, b"1", b"2")
    peer.session()
    flow = peer.consume(session_id=peer.session_id)
    ids = [message.parameters.message_id for message in peer.deliveries()]

    taken = ConsumerAck(flow_id=flow, low=ids[0], high=ids[1], messages=2, last_received=ids[1], window=255)
    assert peer.commit(None, taken).response.text == "Transaction Failure"
