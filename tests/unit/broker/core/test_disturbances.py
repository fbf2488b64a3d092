"""What faults of the plan make of answers, logins and sessions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flumebeam.broker.core.connection import ConnectionState
from flumebeam.broker.faults import (
    AcceptUnknownSession,
    CutAfterCommit,
    CutAfterPublishes,
    DelayAnswer,
    DuplicateAnswer,
    LoseBindResponse,
    LoseRollbackResponse,
    RefuseLogins,
)
from flumebeam.smf.assuredctrl import AssuredControl, AssuredKind
from flumebeam.smf.messages import KeepAlive
from flumebeam.smf.values import Response


def alive(peer: Any) -> bool:
    return bool(peer.connection.state is ConnectionState.LOGGED_IN)


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("cut", [True, False])
def test_lost_rollback_is_carried_out_or_not_and_never_answered(world: Any, applied: bool, cut: bool) -> None:
    peer = world.client()
    peer.session()
    publisher = peer.publisher(session_id=peer.session_id).flow_id
    peer.publish(publisher, b"a")
    world.faults.add(LoseRollbackResponse(applied=applied, cut=cut))
    peer.send(peer.ending(3))

    assert peer.received() == []
    assert alive(peer) is not cut
    name = world.engine.vpn.sessions
    (session,) = (thing for thing in name._things.values())
    assert len(session._staged) == (not applied)


@pytest.mark.parametrize("cut", [True, False])
def test_lost_bind_is_bound_all_the_same(world: Any, cut: bool) -> None:
    peer = world.client()
    world.faults.add(LoseBindResponse(cut=cut))
    peer.send(AssuredControl(kind=AssuredKind.BIND, correlation=1, queue="q", durability=1, window=0))

    assert peer.received() == []
    assert alive(peer) is not cut
    assert world.engine.queue("q").consumers == 1


def test_connection_breaks_after_the_answer_to_a_commit(world: Any) -> None:
    peer = world.client()
    peer.session()
    world.faults.add(CutAfterCommit())

    assert peer.commit().response.code == 200
    assert not alive(peer)


def test_connection_breaks_after_a_publish_and_hears_nothing_more(world: Any) -> None:
    peer = world.client()
    flow = peer.publisher().flow_id
    world.faults.add(CutAfterPublishes(count=2))
    peer.publish(flow, b"a", b"b", b"c")

    assert world.engine.queue("q").messages == 2
    assert not alive(peer)


def test_duplicate_answer_comes_twice(world: Any) -> None:
    peer = world.client()
    flow = peer.publisher().flow_id
    world.faults.add(DuplicateAnswer(answer="publish-ack"))
    peer.publish(flow, b"a")
    first, second = peer.received()

    assert first == second
    peer.publish(flow, b"b")
    assert len(peer.received()) == 1


def test_delayed_answer_is_left_to_the_shell_and_others_go_ahead(world: Any) -> None:
    peer = world.client()
    world.faults.add(DelayAnswer(answer="bind", seconds=2))
    peer.send(AssuredControl(kind=AssuredKind.BIND, correlation=1, queue="q", durability=1, window=0), KeepAlive())

    assert peer.received() == [KeepAlive()]
    ((seconds, connection, message),) = world.engine.take_late()
    assert (seconds, connection, message.kind) == (2, peer.connection, AssuredKind.BIND)
    assert world.engine.take_late() == []


def test_faults_of_another_answer_change_nothing(world: Any) -> None:
    peer = world.client()
    world.faults.add(DelayAnswer(answer="commit", seconds=2))

    assert peer.bind().response.code == 200
    assert len(world.faults) == 1


def test_refused_login_says_what_the_plan_says(world: Any) -> None:
    world.faults.add(RefuseLogins(code=503, reason="Too Many Clients"))
    peer = world.stranger()

    assert peer.login().response == Response(503, "Too Many Clients")
    assert peer.connection.state is ConnectionState.CLOSING
    assert world.stranger().login().response.code == 200


def test_unknown_session_may_be_accepted_as_a_new_one(world: Any) -> None:
    peer = world.client()
    world.faults.add(AcceptUnknownSession())
    opened = peer.session(session_name="of-another-life", transaction=(4, 5))

    assert opened.response.code == 200
    assert opened.session_name != "of-another-life"
    assert (opened.transaction, opened.session_state) == ((4, 5), 0)
    assert peer.session(session_name="of-another-life").response.code == 503


def test_nobody_logs_in_at_a_broker_that_is_not_active(world: Any) -> None:
    peer = world.stranger()
    peer.connection.refusal = Response(503, "Replication Is Standby")

    assert peer.login().response == Response(503, "Replication Is Standby")


def test_messages_are_counted_where_their_rate_is_limited(make_world: Callable[..., Any]) -> None:
    for limit, count in ((None, 0), (100, 2)):
        world = make_world(max_ingress_per_second=limit)
        peer = world.client()
        peer.publish(peer.publisher().flow_id, b"a", b"b")

        assert world.engine.take_ingress() == count
        assert world.engine.take_ingress() == 0
