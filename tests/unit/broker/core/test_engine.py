"""Dispatch, hostile bytes, time-outs, administration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flumebeam.broker.core.connection import ConnectionState
from flumebeam.errors import ConfigurationError, QueueError
from flumebeam.smf.assuredctrl import AckRange, AssuredControl, AssuredKind
from flumebeam.smf.header import Header, Protocol, encode_frame
from flumebeam.smf.messages import KeepAlive


def test_keepalive_is_answered_before_and_after_login(world: Any) -> None:
    peer = world.stranger()
    peer.send(KeepAlive())
    assert peer.received() == [KeepAlive()]
    peer.login()
    peer.send(KeepAlive())
    assert peer.received() == [KeepAlive()]


def test_anything_but_a_login_first_closes_the_connection(world: Any) -> None:
    peer = world.stranger()
    peer.send(AssuredControl(kind=AssuredKind.CREATE, queue="x"), KeepAlive())

    assert peer.connection.state is ConnectionState.CLOSING
    assert peer.received() == []
    assert "The first message must be a login" in world.lines[-1]


def test_message_before_login_closes_the_connection(world: Any) -> None:
    peer = world.stranger()
    peer.direct(b"x")

    assert peer.connection.state is ConnectionState.CLOSING


def test_stranger_cannot_send_large_frames(make_world: Callable[..., Any]) -> None:
    world = make_world(max_login_bytes=1000)
    peer = world.stranger()
    peer.feed(encode_frame(Header(Protocol.CLIENT_CONTROL), b"", b"x" * 1000)[:20])
    assert peer.connection.state is ConnectionState.CLOSING

    peer = world.client()
    peer.feed(encode_frame(Header(Protocol.MESSAGE), b"", b"x" * 100_000)[:20])
    assert peer.connection.state is ConnectionState.LOGGED_IN


def test_broken_bytes_close_only_their_connection(world: Any) -> None:
    good, bad = world.client("good"), world.client("bad")
    bad.feed(b"GET / HTTP/1.0\r\n\r\n")
    good.send(KeepAlive())

    assert bad.connection.state is ConnectionState.CLOSING
    assert good.received() == [KeepAlive()]
    assert bad.connection in world.engine.take_pending()
    assert not world.engine.take_pending()


def test_confirmation_of_a_flow_change_is_ignored(world: Any) -> None:
    peer = world.client()
    peer.send(AssuredControl(kind=AssuredKind.FLOW_CHANGE, flow_id=1, active=0))

    assert peer.received() == []
    assert peer.connection.state is ConnectionState.LOGGED_IN


def test_connection_that_does_not_log_in_is_closed_after_its_time(make_world: Callable[..., Any]) -> None:
    world = make_world(login_timeout_seconds=5)
    peer = world.stranger()
    world.tick(5)
    assert peer.connection.state is ConnectionState.CONNECTED
    world.tick(0.1)

    assert peer.connection.state is ConnectionState.CLOSING


def test_silent_client_is_closed_after_its_keepalives_and_one_without_never(make_world: Callable[..., Any]) -> None:
    world = make_world(keepalive_misses=3)
    peer, patient = world.client("app", keepalive_seconds=2), world.client("patient", keepalive_seconds=None)
    world.tick(6)
    peer.send(KeepAlive())
    world.tick(6)
    assert peer.connection.state is ConnectionState.LOGGED_IN
    world.tick(0.1)

    assert peer.connection.state is ConnectionState.CLOSING
    assert "app was silent" in world.lines[-1]
    assert patient.connection.state is ConnectionState.LOGGED_IN


def test_silence_is_excused_after_a_freeze(make_world: Callable[..., Any]) -> None:
    world = make_world(keepalive_misses=3)
    peer = world.client("app", keepalive_seconds=2)
    world.now += 100
    world.engine.excuse_silence(world.now)
    world.tick(1)

    assert peer.connection.state is ConnectionState.LOGGED_IN


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("", "exclusive", ()), "1 to 200 bytes"),
        (("n" * 201, "exclusive", ()), "1 to 200 bytes"),
        (("x", "shared", ()), "not 'shared'"),
        (("x", "exclusive", ("",)), "cannot subscribe"),
        (("x", "exclusive", (), None, "all"), "choose one of no-access, read-only"),
    ],
)
def test_mistakes_in_queues_are_named(world: Any, arguments: tuple[Any, ...], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        world.engine.create_queue(*arguments)


def test_creating_a_queue_again_adds_subscriptions_and_keeps_its_access(world: Any) -> None:
    world.engine.create_queue("q", "exclusive", ["t/>", "u"])

    assert world.engine.queue("q").subscriptions == ("t/>", "u")
    with pytest.raises(QueueError, match="is exclusive"):
        world.engine.create_queue("q", "non-exclusive", [])


def test_number_of_queues_is_limited(make_world: Callable[..., Any]) -> None:
    world = make_world(max_queues=1)
    world.engine.create_queue("a", "exclusive", [])
    with pytest.raises(QueueError, match="max_queues"):
        world.engine.create_queue("b", "exclusive", [])


def test_without_room_to_store_only_what_no_queue_wants_is_taken(world: Any) -> None:
    peer = world.client()
    flow = peer.publisher().flow_id
    world.engine.refuse_storage(True)
    peer.publish(flow, b"x", topic="nobody")
    peer.publish(flow, b"x")

    assert [answer.response.text for answer in peer.received()] == ["OK", "Spool Over Quota", "OK"]
    world.engine.refuse_storage(False)
    peer.publish(flow, b"x")
    assert world.engine.queue("q").messages == 1


def test_unknown_queues_are_errors_that_say_what_to_do(world: Any) -> None:
    with pytest.raises(QueueError, match="create it first"):
        world.engine.queue("x")
    with pytest.raises(QueueError, match="no queue x"):
        world.engine.delete_queue("x")


def test_queue_tells_how_many_messages_it_ever_got(world: Any) -> None:
    peer = world.client()
    peer.publish(peer.publisher().flow_id, b"a", b"b")
    flow = peer.consume()
    peer.ack(flow, 2**63, AckRange(0, 2**63))

    assert (world.engine.queue("q").messages, world.engine.queue("q").received) == (0, 2)


def test_queues_are_listed_by_name(world: Any) -> None:
    world.engine.create_queue("b", "non-exclusive", [])
    world.engine.create_queue("a", "exclusive", [])

    assert [(status.name, status.access) for status in world.engine.queues()] == [
        ("a", "exclusive"),
        ("b", "non-exclusive"),
        ("q", "exclusive"),
    ]


def test_deleting_a_queue_unbinds_its_consumers_and_frees_its_messages(world: Any) -> None:
    peer = world.client()
    consumer, browser = peer.consume("q"), peer.bind("q", flow_type=2).flow_id
    publisher = peer.publisher().flow_id
    peer.publish(publisher, b"x")
    peer.received()
    world.engine.delete_queue("q")

    assert [(m.kind, m.flow_id, m.response.text) for m in peer.received()] == [
        (AssuredKind.UNBIND, consumer, "Queue Deleted"),
        (AssuredKind.UNBIND, browser, "Queue Deleted"),
    ]
    assert world.engine.queues() == ()
    assert world.engine._vpn.spool.bytes == 0
    peer.publish(publisher, b"y")
    assert world.engine._vpn.spool.bytes == 0
    peer.leave()


def test_copied_queues_have_their_definition_and_no_messages(world: Any, make_world: Callable[..., Any]) -> None:
    world.engine.create_queue("p", "non-exclusive", ["u"], "owner", "read-only")
    peer = world.client()
    peer.publish(peer.publisher().flow_id, b"x")
    peer.bind("#P2P/QTMP/v:x/1", durability=2)
    other = make_world()
    other.engine.copy_setup(world.engine)

    assert [(s.name, s.access, s.subscriptions, s.messages) for s in other.engine.queues()] == [
        ("p", "non-exclusive", ("u",), 0),
        ("q", "exclusive", ("t/>",), 0),
    ]
    assert other.client().bind("p").response.code == 403
    assert other.client("two").bind("p", flow_type=2).response.code == 200


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    protocol=st.sampled_from([0x09, 0x0B, 0x0C, 0x0D, 0x0F, 0x13, 0x06]),
    flags=st.sampled_from([0, 0x10]),
    parameters=st.binary(max_size=30),
    kind=st.integers(0, 14),
    body=st.binary(max_size=40),
)
def test_any_bytes_after_login_are_handled_or_close_the_connection(
    make_world: Callable[..., Any], protocol: int, flags: int, parameters: bytes, kind: int, body: bytes
) -> None:
    world = make_world()
    peer = world.client()
    peer.session()
    peer.consume("#P2P/QTMP/v:x/1", durability=2)
    payload = bytes((3, kind)) + (6 + len(body)).to_bytes(4, "big") + body
    peer.feed(encode_frame(Header(protocol, flags), parameters, payload))
    world.tick(1)
    peer.leave()
    world.tick(1000)

    assert world.engine.queues() == ()
