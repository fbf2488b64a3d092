"""What an administrator changes while clients are there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from flumebeam.broker.core.access import drop_setup, put_setup
from flumebeam.broker.core.administration import (
    QueueSetup,
    configure_queue,
    delete_messages,
)
from flumebeam.broker.core.connection import ConnectionState
from flumebeam.broker.core.profiles import ClientUsername
from flumebeam.broker.core.queue_settings import Permission
from flumebeam.smf.assuredctrl import AckRange, AssuredKind, ConsumerAck
from flumebeam.smf.values import Response

SHUTDOWN = Response(503, "Queue Shutdown")


def change(world: Any, **changes: Any) -> None:
    """Change queue ``q``: its access, owner or permission, or else its settings."""
    queue = world.engine.vpn.queues["q"]
    setup = QueueSetup.of(queue)
    own = {name: changes.pop(name) for name in ("access", "owner", "permission") if name in changes}
    configure_queue(world.engine.vpn, queue, replace(setup, settings=replace(setup.settings, **changes), **own))
    world.engine.vpn.settle()


def status(world: Any) -> Any:
    return world.engine.queue("q")


def test_queue_shut_for_ingress_loses_what_its_topics_match_and_refuses_what_is_sent_to_it(world: Any) -> None:
    client = world.client()
    flow = client.publisher().flow_id
    client.publish(flow, b"before")
    change(world, ingress_enabled=False)
    client.received()
    client.publish(flow, b"matched")
    assert client.received()[-1].response.code == 200
    client.publish(flow, b"sent", topic="#P2P/QUE/q")
    assert client.received()[0].response == SHUTDOWN
    change(world, ingress_enabled=True)
    client.publish(flow, b"after")

    assert status(world).messages == 2


def test_queue_shut_for_egress_unbinds_and_refuses_and_keeps_its_messages(world: Any) -> None:
    client = world.client()
    client.publish(client.publisher().flow_id, b"1")
    flow = client.consume()
    client.received()
    change(world, egress_enabled=False)
    (unbound,) = client.received()

    assert (unbound.kind, unbound.flow_id, unbound.response) == (AssuredKind.UNBIND, flow, SHUTDOWN)
    assert client.bind().response == SHUTDOWN
    change(world, egress_enabled=True)
    client.consume()
    assert [message.body for message in client.deliveries()] == [b"1"]


def test_change_of_who_may_consume_ends_the_flows_there_are_and_that_of_a_limit_does_not(world: Any) -> None:
    client = world.client()
    client.consume()
    client.received()
    change(world, max_bytes=100)
    assert client.received() == []
    change(world, permission=Permission.READ_ONLY)
    (unbound,) = client.received()

    assert unbound.response == Response(503, "Endpoint Modified")
    assert client.bind().response.code == 403


def test_limits_of_a_queue_are_its_own(world: Any) -> None:
    client = world.client()
    publisher = client.publisher().flow_id
    change(world, max_bytes=10, max_unacked=1, max_consumers=1)
    client.publish(publisher, b"12345")
    client.publish(publisher, b"123456")
    assert Response(503, "Spool Over Quota") in [answer.response for answer in client.received()]
    client.publish(publisher, b"12345")
    bound = client.bind()
    client.ack(bound.flow_id)

    assert len(client.deliveries()) == 1
    assert bound.max_unacked == 1
    assert client.bind().response == Response(503, "Max clients exceeded for queue")


def test_deleted_messages_fail_the_commit_that_counts_on_them_and_ignore_late_acknowledgements(world: Any) -> None:
    client = world.client()
    client.publish(client.publisher().flow_id, b"1", b"2")
    session = client.session()
    flow = client.consume(session_id=session.session_id)
    last = client.deliveries()[-1].parameters.message_id
    assert delete_messages(world.engine.vpn, world.engine.vpn.queues["q"]) == 2
    consumed = ConsumerAck(flow_id=flow, low=last - 1, high=last, messages=2, last_received=last, window=255)

    assert client.commit(None, consumed).response == Response(503, "Message Consume Failure")
    client.ack(flow, last, AckRange(last - 1, last))
    assert (status(world).messages, status(world).bytes, world.engine.vpn.spool.bytes) == (0, 0, 0)


@pytest.mark.parametrize("gone", [True, False])
def test_clients_of_a_username_go_with_it(world: Any, gone: bool) -> None:
    vpn = world.engine.vpn
    put_setup(vpn, ClientUsername("ann", None))
    hers, other = world.client("a", username="ann"), world.client("b")
    if gone:
        drop_setup(vpn, vpn.users["ann"])
    else:
        put_setup(vpn, ClientUsername("ann", None, enabled=False))

    assert hers.connection.state is ConnectionState.CLOSING
    assert other.connection.state is ConnectionState.LOGGED_IN


def test_broker_without_its_state_has_the_queues_and_usernames_that_were_set_up(world: Any, make_world: Any) -> None:
    change(world, max_bytes=7, ingress_enabled=False)
    put_setup(world.engine.vpn, ClientUsername("ann", "pw"))
    drop_setup(world.engine.vpn, world.engine.vpn.users["default"])
    fresh = make_world()
    fresh.engine.copy_setup(world.engine)

    assert fresh.engine.vpn.queues["q"].settings == world.engine.vpn.queues["q"].settings
    assert list(fresh.engine.vpn.users) == ["ann"]


def test_certificate_stands_for_the_password_of_the_user_it_names(world: Any) -> None:
    put_setup(world.engine.vpn, ClientUsername("ann", "pw"))
    certified, claimed = world.stranger(), world.stranger()
    certified.connection.certified_name = "ann"

    assert certified.login("a", username="default", authentication=1).response.code == 200
    assert certified.connection.username == "ann"
    assert claimed.login("b", username="ann", authentication=1).response.code == 401
