"""Message VPNs share a broker and see nothing of each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from flumebeam.broker.core.access import all_setup, put_setup
from flumebeam.broker.core.acl import AclProfile
from flumebeam.broker.core.connection import ConnectionState
from flumebeam.broker.core.vpns import configure_vpn
from flumebeam.errors import ConfigurationError
from flumebeam.smf.assuredctrl import AssuredControl, AssuredKind
from flumebeam.smf.values import Response


@pytest.fixture
def pair(world: Any) -> Any:
    """A broker whose first message VPN and ``more`` both have a queue ``q`` that gets ``t/>``."""
    world.engine.create_vpn("more", {"default": None, "ann": "pw"})
    world.engine.create_queue("q", "exclusive", ["t/>"], vpn="more")
    return world


def change(world: Any, name: str = "more", **changes: Any) -> None:
    vpn = world.engine.host.vpns[name]
    configure_vpn(vpn, replace(vpn.settings, **changes))


def test_clients_of_one_name_and_queues_of_one_name_live_side_by_side(pair: Any) -> None:
    here, there = pair.client("app"), pair.client("app", vpn="more")
    for peer, body in ((here, b"here"), (there, b"there")):
        peer.subscribe("t/>")
        peer.publish(peer.publisher().flow_id, body)

    for peer, body in ((here, b"here"), (there, b"there")):
        assert [message.body for message in peer.deliveries()] == [body]
        peer.consume()
        assert [message.body for message in peer.deliveries()] == [body]
    assert pair.engine.clients() == {"app": here.connection}
    assert pair.engine.clients("more") == {"app": there.connection}
    assert [status.messages for status in pair.engine.queues("more")] == [1]


def test_message_ids_and_handles_are_those_of_one_broker(pair: Any) -> None:
    here, there = pair.client("app"), pair.client("app", vpn="more")
    flows = [peer.publisher().flow_id for peer in (here, there)]
    for peer, flow in ((here, flows[0]), (there, flows[1]), (here, flows[0])):
        peer.publish(flow, b"x")
    ids = [entry.message.id for name in ("default", "more") for entry in pair.engine.host.vpns[name].queues["q"].ready]

    assert len(set(flows)) == 2
    assert len(set(ids)) == 3
    assert pair.engine.host.spooled_bytes() == 3


def test_flow_and_session_of_another_vpn_cannot_be_resumed(pair: Any) -> None:
    here, there = pair.client("app"), pair.client("app", vpn="more")
    flow, session = here.publisher().flow_name, here.session().session_name

    assert there.publisher(flow_name=flow).response.code == 400
    assert there.session(session_name=session).response.code == 503


def test_username_is_that_of_its_vpn(pair: Any) -> None:
    assert pair.stranger().login("a", username="ann", password="pw").response.code == 401
    assert pair.stranger().login("a", username="ann", password="pw", vpn="more").response.code == 200


def test_disabled_vpn_closes_its_clients_and_lets_nobody_in(pair: Any) -> None:
    here, there = pair.client("app"), pair.client("app", vpn="more")
    change(pair, enabled=False)

    assert there.connection.state is ConnectionState.CLOSING
    assert here.connection.state is ConnectionState.LOGGED_IN
    assert pair.stranger().login("b", vpn="more").response == Response(503, "Message VPN Unavailable")
    change(pair, enabled=True)
    assert pair.stranger().login("b", vpn="more").response.code == 200


def test_limits_of_a_vpn_are_its_own(pair: Any) -> None:
    change(pair, max_spool_bytes=5, max_connections=1, max_subscriptions=2, max_queues=1)
    there = pair.client("app", vpn="more")
    flow = there.publisher().flow_id
    there.publish(flow, b"12345")
    there.received()
    there.publish(flow, b"6")

    assert there.received()[0].response == Response(503, "Spool Over Quota")
    assert pair.stranger().login("b", vpn="more").response == Response(503, "Too Many Clients")
    assert pair.client("app", vpn="more").subscribe("a").response.code == 200
    there = pair.client("app", vpn="more")
    assert there.subscribe("a").response.code == 200
    assert there.subscribe("b").response == Response(400, "Max Num Subscriptions Exceeded")
    assert there.bind("#P2P/QTMP/v:x/1", durability=2).response == Response(503, "Max Num Queues Exceeded")


def test_spool_of_the_broker_is_shared_by_all(make_world: Callable[..., Any]) -> None:
    world = make_world(max_spool_bytes=8, more_vpns={"more": {"default": None}})
    for name in ("default", "more"):
        world.engine.create_queue("q", "exclusive", ["t/>"], vpn=name)
        peer = world.client("app", vpn=name)
        flow = peer.publisher().flow_id
        peer.publish(flow, b"12345")
        answers = [answer.response.text for answer in peer.received()]

    assert answers[0] == "Spool Over Quota"
    assert world.engine.queue("q", "more").messages == 0


def test_deleted_vpn_takes_all_that_is_in_it_along(pair: Any) -> None:
    there = pair.client("app", vpn="more")
    there.publish(there.publisher().flow_id, b"x")
    there.consume()
    pair.engine.delete_vpn("more")

    assert there.connection.state is ConnectionState.CLOSING
    assert pair.stranger().login("b", vpn="more").response == Response(403, "Message VPN Not Allowed")
    assert pair.engine.host.spooled_bytes() == 0
    there.leave()
    pair.tick(1000)
    pair.engine.create_vpn("more", {"default": None})
    assert pair.engine.queues("more") == ()


def test_clients_that_stay_away_are_forgotten_in_each_vpn(pair: Any) -> None:
    there = pair.client("app", vpn="more")
    name = there.session().session_name
    there.leave()
    pair.tick(1000)

    assert pair.client("app", vpn="more").session(session_name=name).response.code == 503


def test_set_up_is_copied_for_all_vpns(pair: Any, make_world: Callable[..., Any]) -> None:
    change(pair, max_queues=7)
    change(pair, "default", max_queues=8)
    put_setup(pair.engine.vpn, AclProfile(name="default"))
    put_setup(pair.engine.vpn, AclProfile.permissive("p"))
    other = make_world(more_vpns={"unwanted": {}}, users={"unwanted": None})
    other.engine.copy_setup(pair.engine)
    again = make_world(more_vpns={"more": {}})
    again.engine.copy_setup(pair.engine)

    for copied in (other, again):
        vpns = copied.engine.host.vpns
        assert list(vpns) == ["default", "more"]
        assert [vpn.settings.max_queues for vpn in vpns.values()] == [8, 7]
        assert list(vpns["more"].users) == ["default", "ann"]
        assert list(all_setup(vpns["default"])) == list(all_setup(pair.engine.vpn))
        assert copied.engine.queue("q", "more").subscriptions == ("t/>",)


@pytest.mark.parametrize("name", ["", "n" * 33, "a*", "a?"])
def test_name_that_is_none_is_refused(world: Any, name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be the name of a message VPN"):
        world.engine.create_vpn(name, {})


def test_mistakes_are_named(make_world: Callable[..., Any]) -> None:
    world = make_world(max_vpns=2, more_vpns={"more": {}})
    with pytest.raises(ConfigurationError, match="There is a message VPN more already"):
        world.engine.create_vpn("more", {})
    with pytest.raises(ConfigurationError, match="raise max_vpns"):
        world.engine.create_vpn("third", {})
    with pytest.raises(ConfigurationError, match="There is no message VPN third"):
        world.engine.delete_vpn("third")
    with pytest.raises(ConfigurationError, match="cannot be deleted"):
        world.engine.delete_vpn("default")


@pytest.mark.parametrize(
    ("limit", "take", "refusal"),
    [
        ("max_receiving", lambda peer: peer.bind(), "Max Flows Exceeded"),
        ("max_sending", lambda peer: peer.publisher(), "Max Flows Exceeded"),
        ("max_sessions", lambda peer: peer.session(), "Max Transacted Sessions Exceeded"),
        ("max_subscriptions", lambda peer: peer.subscribe("a"), "Max Num Subscriptions Exceeded"),
        ("max_queues", lambda peer: create(peer), "Max Num Queues Exceeded"),
    ],
)
def test_limit_of_a_vpn_is_for_all_its_clients_together(
    world: Any, limit: str, take: Callable[[Any], Any], refusal: str
) -> None:
    change(world, "default", **{limit: 2})
    one, two = world.client("one"), world.client("two")

    # A queue with a subscription is there.
    there = limit in ("max_queues", "max_subscriptions")
    assert take(one).response.text == "OK"
    if not there:
        assert take(two).response.text == "OK"
    assert take(two).response.text == refusal
    if not there:
        one.leave()
        assert take(two).response.text == "OK"


def create(peer: Any) -> Any:
    name = f"of {peer.connection.client_name}"
    return peer.ask(AssuredControl(kind=AssuredKind.CREATE, queue=name, durability=1))


@pytest.mark.parametrize("limit", ["max_connections", "max_smf_connections"])
def test_connections_of_a_vpn_are_limited_by_both_names_of_the_limit(world: Any, limit: str) -> None:
    change(world, "default", **{limit: 1})
    world.client("one")

    assert world.stranger().login("two").response == Response(503, "Too Many Clients")


def transaction(peer: Any) -> int:
    """Begin a transaction by a message."""
    flow: int = peer.publisher(session_id=peer.session().session_id).flow_id
    peer.publish(flow, b"x")
    return flow


def test_transaction_too_many_fails_at_its_commit_and_the_next_one_has_room(world: Any) -> None:
    change(world, "default", max_transactions=1)
    one, two = world.client("one"), world.client("two")
    first, second = transaction(one), transaction(two)

    assert two.commit(second).response == Response(503, "Max Transactions Exceeded")
    two.publish(second, b"y")
    assert two.commit(second).response.text == "Max Transactions Exceeded"
    assert one.commit(first).response.code == 200
    two.publish(second, b"z")
    assert two.commit(second).response.code == 200
    assert world.engine.queue("q").messages == 2


def test_transaction_that_ends_in_any_way_makes_room(world: Any) -> None:
    change(world, "default", max_transactions=1)
    one = world.client("one")
    flow = transaction(one)
    one.rollback()
    one.publish(flow, b"y")
    one.send(AssuredControl(kind=AssuredKind.TRANSACTION, transaction_kind=1, session_id=one.session_id))
    gone = world.client("gone")
    transaction(gone)
    gone.leave()
    # The client that is away may come back to its transaction, until it has stayed away for too long.
    other = world.client("other")
    assert other.commit(transaction(other)).response.text == "Max Transactions Exceeded"
    world.tick(world.config.session_retention_seconds + 1)

    assert world.engine.vpn.open_transactions == 0
    last = world.client("last")
    assert last.commit(transaction(last)).response.code == 200


def test_client_profile_limits_the_transactions_of_one_client(world: Any) -> None:
    vpn = world.engine.vpn
    put_setup(vpn, replace(vpn.client_profiles["default"], max_transactions=1))
    one, other = world.client("one"), world.client("other")
    transaction(one)
    assert one.commit(transaction(one)).response.text == "Max Transactions Exceeded"

    assert other.commit(transaction(other)).response.code == 200
