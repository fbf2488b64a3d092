"""Who may come in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from flumebeam.broker.core.access import put_setup
from flumebeam.broker.core.connection import ConnectionState
from flumebeam.broker.core.vpns import configure_vpn
from flumebeam.smf.clientctrl import Capability, ClientControl, ClientControlKind
from flumebeam.smf.messages import KeepAlive
from flumebeam.smf.values import Response


@pytest.mark.parametrize(
    ("encoding", "of_the_vpn", "of_the_profile", "allowed"),
    [(0, True, True, True), (0, False, True, False), (0, True, False, False), (1, True, True, False)],
)
def test_client_ends_tls_after_its_login_where_vpn_and_profile_allow_it(
    world: Any, encoding: int, of_the_vpn: bool, of_the_profile: bool, allowed: bool
) -> None:
    vpn = world.engine.vpn
    configure_vpn(vpn, replace(vpn.settings, plain_after_tls=of_the_vpn))
    put_setup(vpn, replace(vpn.client_profiles["default"], plain_after_tls=of_the_profile))
    peer = world.stranger()

    assert peer.login(encoding=encoding).response.text == ("OK" if allowed else "SSL Downgrade Not Allowed")
    assert peer.connection.ends_tls is allowed
    plain = world.client("other")
    assert not plain.connection.ends_tls


def test_login_is_answered_with_what_guaranteed_messaging_needs(world: Any) -> None:
    reply = world.stranger().login("app")

    assert reply.response == Response(200, "OK")
    assert reply.client_name == "app"
    assert reply.vpn == "default"
    assert reply.p2p_topic.endswith("/app")
    assert {
        Capability.CONSUMER_FLOWS,
        Capability.PUBLISHER_FLOWS,
        Capability.TRANSACTED_SESSIONS,
        Capability.ACTIVE_FLOW_INDICATION,
    } <= reply.capabilities.granted
    assert "app logged in as default" in world.lines[-1]


def test_client_is_told_of_compression_where_there_is_a_port_for_it(make_world: Callable[..., Any]) -> None:
    granted = [make_world(compressed_port=port).stranger().login().capabilities.granted for port in (None, 0)]

    assert [Capability.COMPRESSION in each for each in granted] == [False, True]


def test_client_is_told_that_it_may_subscribe_for_others_and_set_what_is_discarded(world: Any) -> None:
    granted = world.stranger().login().capabilities.granted

    assert {Capability.NO_LOCAL, Capability.SUBSCRIPTION_MANAGER, Capability.DISCARD_BEHAVIOR} <= granted


@pytest.mark.parametrize(
    ("options", "login", "response"),
    [
        ({}, {"vpn": "other"}, Response(403, "Message VPN Not Allowed")),
        ({}, {"username": "nobody"}, Response(401, "Unauthorized")),
        ({}, {"username": None}, Response(401, "Unauthorized")),
        ({"users": {"u": "right"}}, {"username": "u", "password": "wrong"}, Response(401, "Unauthorized")),
        ({"users": {"u": "right"}}, {"username": "u", "password": None}, Response(401, "Unauthorized")),
        ({}, {"client_name": "n" * 161}, Response(400, "Client Name Parse Error")),
    ],
)
def test_refused_login_names_the_reason_and_closes(
    make_world: Callable[..., Any], options: dict[str, Any], login: dict[str, Any], response: Response
) -> None:
    world = make_world(**options)
    peer = world.stranger()
    reply = peer.login(login.pop("client_name", "app"), **login)

    assert reply.response == response
    assert reply.capabilities is None
    assert peer.connection.state is ConnectionState.CLOSING
    assert f"refused: {response.code} {response.text}" in world.lines[-1]
    assert not world.engine.clients()


def test_what_follows_a_refused_login_is_ignored(world: Any) -> None:
    peer = world.stranger()
    peer.send(ClientControl(username="nobody", client_name="app"), KeepAlive(), ClientControl(username="default"))

    assert [message.response for message in peer.received()] == [Response(401, "Unauthorized")]
    assert not world.engine.clients()


def test_right_password_is_accepted_and_never_reported(make_world: Callable[..., Any]) -> None:
    world = make_world(users={"u": "geheim"})
    world.client(username="u", password="geheim")

    assert "geheim" not in "".join(world.lines) + repr(world.config)


def test_token_stands_for_a_username_and_its_password(make_world: Callable[..., Any]) -> None:
    world = make_world(users={"ann": "pw"}, oauth_username={"good": "ann", "stray": "bob"}.get)

    def login(token: str | None) -> Response:
        response: Response = (
            world.stranger().login("app", username=None, authentication=10, access_token=token).response
        )
        return response

    assert login("good") == Response(200, "OK")
    assert [login(token) for token in ("bad", "stray", None)] == [Response(401, "Unauthorized")] * 3
    assert "good" not in "".join(world.lines)


def test_broker_that_knows_no_tokens_refuses_them(world: Any) -> None:
    reply = world.stranger().login("app", authentication=10, access_token="any")

    assert reply.response == Response(401, "Unauthorized")


def test_client_without_name_or_vpn_gets_a_name(world: Any) -> None:
    world.stranger().login(None, vpn=None)
    world.stranger().login(None, vpn=None)

    assert len(world.engine.clients()) == 2


def test_login_with_a_name_in_use_displaces_the_former_connection(world: Any) -> None:
    former = world.client("app")
    flow = former.consume("q")
    again = world.client("app")

    assert former.connection.state is ConnectionState.CLOSING
    assert world.engine.clients() == {"app": again.connection}
    assert world.engine.queue("q").consumers == 0
    former.leave()
    assert world.engine.clients() == {"app": again.connection}
    assert again.consume("q") != flow


def test_connections_beyond_the_limit_are_told_and_far_beyond_it_closed(make_world: Callable[..., Any]) -> None:
    world = make_world(max_connections=2)
    world.client("a")
    world.client("b")

    assert world.stranger().login("c").response == Response(503, "Too Many Clients")
    assert world.stranger().connection.state is ConnectionState.CONNECTED
    assert world.stranger().connection.state is ConnectionState.CLOSING


def test_second_login_breaks_the_protocol(world: Any) -> None:
    peer = world.client()
    peer.send(ClientControl(username="default", client_name="app"))

    assert peer.connection.state is ConnectionState.CLOSING
    assert "broke the protocol" in world.lines[-1]


def update(peer: Any, **changes: Any) -> Any:
    return peer.ask(ClientControl(kind=ClientControlKind.UPDATE, **changes))


def test_client_changes_its_name_and_description_and_has_an_inbox_of_its_new_name(world: Any) -> None:
    peer = world.client("app")
    reply = update(peer, client_name="new", description="d")

    assert (reply.response.code, reply.client_name, reply.description) == (200, "new", "d")
    assert reply.p2p_topic.endswith("/new")
    assert world.engine.clients() == {"new": peer.connection}
    assert "app is now new" in world.lines
    assert update(peer, client_name="new").description == "d"
    peer.leave()
    assert world.engine.clients() == {}


def test_flow_and_session_are_resumed_under_the_new_name(world: Any) -> None:
    peer = world.client("app")
    plain = peer.publisher()
    session = peer.session()
    inside = peer.publisher(session_id=session.session_id)
    update(peer, client_name="new")
    peer.leave()
    former, renamed = world.client("app"), world.client("new")

    assert former.publisher(flow_name=plain.flow_name).response.code == 400
    assert former.session(session_name=session.session_name).response.code == 503
    assert renamed.publisher(flow_name=plain.flow_name).response.code == 200
    assert renamed.session(session_name=session.session_name).response.code == 200
    assert renamed.publisher(flow_name=inside.flow_name, session_id=session.session_id).response.code == 200


def test_name_in_use_or_too_long_is_refused_and_the_connection_stays(world: Any) -> None:
    world.client("other")
    peer = world.client("app")

    assert update(peer, client_name="other").response == Response(403, "Client Name Already In Use")
    assert update(peer, client_name="n" * 161).response == Response(400, "Client Name Parse Error")
    assert world.engine.clients()["app"] is peer.connection


def test_update_before_the_login_closes_the_connection(world: Any) -> None:
    peer = world.stranger()
    peer.send(ClientControl(kind=ClientControlKind.UPDATE, client_name="n"))

    assert peer.connection.state is ConnectionState.CLOSING


def test_token_is_looked_up_once_at_each_login(make_world: Callable[..., Any]) -> None:
    asked: list[str] = []
    world = make_world(oauth_username=lambda token: asked.append(token) or "default")
    world.client(username=None, password=None, authentication=10, access_token="t")

    assert asked == ["t"]
