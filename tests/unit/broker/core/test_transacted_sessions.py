"""Transacted sessions: opened, resumed with their last outcome, given up and closed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flumebeam.broker.core.connection import ConnectionState
from flumebeam.broker.faults import FailCommit, LoseCommitResponse
from flumebeam.smf.assuredctrl import AssuredControl, AssuredKind, PublisherNotify, SessionState, TransactionKind
from flumebeam.smf.values import Response
from tests.unit.broker.core.transactions import OK, stored


def test_new_session_says_that_no_transaction_of_it_has_ended(world: Any) -> None:
    opened = world.client().session()

    assert opened.response == OK
    assert opened.transaction_kind == TransactionKind.OPEN_RESPONSE
    assert opened.session_state == SessionState.NEW
    assert opened.transaction == (0, 1)
    assert opened.session_name


@pytest.mark.parametrize("state", ["open", "committed", "rolled back", "failed"])
def test_session_is_resumed_with_the_outcome_of_exactly_the_transaction_asked_for(world: Any, state: str) -> None:
    peer, _ = world.transacted()
    opened = peer.session()
    name, pair = opened.session_name, (0, 1)
    peer.publisher(session_id=peer.session_id)
    expected = {"open": 0, "committed": 1, "rolled back": 2, "failed": 2}[state]
    if state != "open":
        if state == "failed":
            world.faults.add(FailCommit())
        (peer.rollback if state == "rolled back" else peer.commit)()
        pair = (1, 2)
    peer.leave()
    peer = world.client()
    again = peer.session(session_name=name, transaction=pair)

    assert (again.session_id, again.session_name) == (opened.session_id, name)
    assert again.transaction == pair
    assert again.session_state == expected
    assert peer.session(session_name=name, transaction=(7, 8)).session_state == 0


def test_open_transaction_goes_on_after_a_reconnect(world: Any) -> None:
    peer = world.client()
    session = peer.session()
    opened = peer.publisher(session_id=session.session_id)
    peer.publish(opened.flow_id, b"a")
    peer.leave()
    peer = world.client()
    peer.session(session_name=session.session_name)
    again = peer.publisher(session_id=session.session_id, flow_name=opened.flow_name)
    assert (again.last_sent, again.session_id) == (1, session.session_id)
    peer.publish(again.flow_id, b"b")
    peer.staged = 2

    assert peer.commit(again.flow_id).response == OK
    assert stored(world) == 2


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("cut", [True, False])
def test_lost_commit_response_leaves_the_outcome_to_be_asked_for(world: Any, applied: bool, cut: bool) -> None:
    peer, publisher = world.transacted()
    name = peer.connection.sessions[peer.session_id].name
    peer.publish(publisher, b"a")
    world.faults.add(LoseCommitResponse(applied=applied, cut=cut))
    peer.send(peer.ending(2, published=(PublisherNotify(publisher, 1, 1),)))

    assert peer.received() == []
    assert (peer.connection.state is ConnectionState.CLOSING) is cut
    peer.leave()
    assert stored(world) == int(applied)
    peer = world.client()
    assert peer.session(session_name=name, transaction=(1, 2)).session_state == int(applied)
    assert stored(world) == int(applied)


def test_lost_response_of_a_failing_commit_is_rolled_back(world: Any) -> None:
    peer, publisher = world.transacted()
    name = peer.connection.sessions[peer.session_id].name
    world.faults.add(LoseCommitResponse(applied=True))
    peer.send(peer.ending(2, published=(PublisherNotify(publisher, 1, 1),)))
    peer.leave()

    assert world.client().session(session_name=name, transaction=(1, 2)).session_state == SessionState.ROLLED_BACK


def test_unknown_session_is_refused_with_name_and_id_and_counters(world: Any) -> None:
    mine = world.client().session().session_name
    other = world.client("other")
    for name in ("nobody", mine):
        refused = other.session(session_name=name, transaction=(3, 4))

        assert refused.response == Response(503, "Unknown Transacted Session Name")
        assert refused.transaction_kind == TransactionKind.OPEN_RESPONSE
        assert (refused.session_name, refused.transaction) == (name, (3, 4))
        assert refused.session_id is not None
        assert refused.session_state == SessionState.NEW


def test_unknown_publisher_flow_inside_a_session_is_refused_with_the_session_id(world: Any) -> None:
    peer = world.client()
    session = peer.session().session_id
    outside = peer.publisher().flow_name

    for name in ("nobody", outside):
        refused = peer.publisher(session_id=session, flow_name=name)
        assert refused.response == Response(400, "Unknown Flow Name")
        assert refused.session_id == session
    assert peer.publisher(session_id=99).response == Response(503, "Unknown Transacted Session")


def test_new_publisher_flow_of_a_session_replaces_the_one_before(world: Any) -> None:
    peer = world.client()
    session = peer.session().session_id
    first = peer.publisher(session_id=session)
    second = peer.publisher(session_id=session)
    peer.publish(second.flow_id, b"a")
    assert peer.commit(second.flow_id).response == OK

    assert peer.publisher(session_id=session, flow_name=first.flow_name).response.code == 400
    assert stored(world) == 1


def test_session_of_an_absent_client_is_rolled_back_after_its_time(make_world: Callable[..., Any]) -> None:
    world = make_world(session_retention_seconds=180)
    for seconds, code in ((179, 200), (180, 503)):
        peer = world.client()
        session = peer.session()
        name = peer.publisher(session_id=session.session_id).flow_name
        peer.leave()
        world.tick(seconds)
        peer = world.client()
        assert peer.session(session_name=session.session_name).response.code == code
        if code == 503:
            assert peer.publisher(flow_name=name).response.code == 400
            assert "stayed away" in " ".join(world.lines)


def test_closed_session_gives_back_what_it_held_and_forgets_what_it_staged(world: Any) -> None:
    peer, publisher = world.transacted()
    peer.publish(publisher, b"a")
    peer.commit(publisher)
    outside = peer.bind("q").flow_id
    inside = peer.consume(session_id=peer.session_id, queue="q")
    peer.publish(publisher, b"b")
    close = AssuredControl(kind=AssuredKind.TRANSACTION, transaction_kind=1, session_id=peer.session_id)
    answer = peer.ask(close)

    assert (answer.response, answer.transaction_kind) == (OK, TransactionKind.CLOSE_RESPONSE)
    assert list(peer.connection.consumers) == [outside] != [inside]
    assert stored(world) == 1
    peer.send(close)
    assert peer.received() == []
    peer.send(peer.ending(2))
    assert peer.connection.state is ConnectionState.CLOSING


def test_session_without_publisher_closes(world: Any) -> None:
    peer = world.client()
    session = peer.session().session_id
    close = AssuredControl(kind=AssuredKind.TRANSACTION, transaction_kind=1, session_id=session)

    assert peer.ask(close).response == OK


def test_number_of_sessions_is_limited(make_world: Callable[..., Any]) -> None:
    peer = make_world(max_sessions_per_connection=1).client()
    peer.session()

    assert peer.session().response == Response(503, "Max Transacted Sessions Exceeded")
