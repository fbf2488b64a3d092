"""What a client may resume at a broker of the next life: publisher flows and transacted sessions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flumebeam.broker.store import Store
from flumebeam.smf.assuredctrl import SessionState
from flumebeam.smf.clientctrl import ClientControl, ClientControlKind
from tests.unit.broker.durable import durable_state
from tests.unit.broker.lives import reborn


def test_publisher_goes_on_where_it_was(make_world: Callable[..., Any], keeper: Any, store: Store) -> None:
    peer = keeper.client()
    opened = peer.publisher()
    peer.publish(opened.flow_id, b"a", b"b")

    after = reborn(make_world, keeper, store).client()
    again = after.publisher(flow_name=opened.flow_name, last_acked=1, last_sent=3)
    assert (again.response.code, again.last_sent) == (200, 2)
    after.send(*(after.message(again.flow_id, number, number - 1, b"%d" % number) for number in (5, 2, 3)))

    after.consume("q")
    assert after.bodies() == [b"a", b"b", b"3"]


def test_largest_message_id_of_a_client_survives(make_world: Callable[..., Any], keeper: Any, store: Store) -> None:
    peer = keeper.client()
    opened = peer.publisher()
    peer.send(peer.message(opened.flow_id, (1 << 64) - 1, 0, b"a"))

    assert reborn(make_world, keeper, store).engine.vpn.publishers[opened.flow_name].last_id == (1 << 64) - 1


def test_ids_and_handles_start_above_all_that_were_given_out(
    make_world: Callable[..., Any], keeper: Any, store: Store
) -> None:
    peer = keeper.client()
    flow = peer.publisher().flow_id
    peer.publish(flow, b"a")
    vpn = keeper.engine.vpn

    again = reborn(make_world, keeper, store).engine.vpn

    assert again.host.ids.last > vpn.host.ids.last
    assert again.host.last_handle > vpn.host.last_handle


def test_outcome_of_the_last_transaction_survives(make_world: Callable[..., Any], keeper: Any, store: Store) -> None:
    peer, flow = keeper.transacted()
    opened_name = next(iter(durable_state(keeper.engine)["sessions"]))
    peer.publish(flow, b"a")
    peer.commit(flow)

    after = reborn(make_world, keeper, store).client("app")

    assert after.session(session_name=opened_name, transaction=(1, 2)).session_state == SessionState.COMMITTED
    assert after.session(session_name=opened_name, transaction=(2, 3)).session_state == SessionState.NEW


def test_transaction_that_was_open_is_rolled_back_whatever_its_client_counts(
    make_world: Callable[..., Any], keeper: Any, store: Store
) -> None:
    peer, flow = keeper.transacted()
    session_name = next(iter(durable_state(keeper.engine)["sessions"]))
    flow_name = next(iter(durable_state(keeper.engine)["publishers"]))
    peer.publish(flow, b"1")
    peer.commit(flow)
    peer.publish(flow, b"2", b"3")

    after = reborn(make_world, keeper, store).client("app")
    after.session(session_name=session_name, transaction=(1, 2))
    again = after.publisher(flow_name=flow_name, session_id=after.session_id)
    after.ids[again.flow_id], after.transaction = 3, 1
    after.publish(again.flow_id, b"4")
    refused = after.commit(again.flow_id)
    after.publish(again.flow_id, b"5")
    taken = after.commit(again.flow_id)

    assert (refused.response.code, taken.response.code) == (503, 200)
    after.consume("q")
    assert after.bodies() == [b"1", b"5"]


def test_what_a_renamed_client_may_resume_survives(make_world: Callable[..., Any], keeper: Any, store: Store) -> None:
    peer, flow = keeper.transacted()
    peer.publish(flow, b"a")
    peer.commit(flow)
    plain = peer.publisher()
    peer.publish(plain.flow_id, b"b")
    peer.ask(ClientControl(kind=ClientControlKind.UPDATE, client_name="new"))
    before = durable_state(keeper.engine)

    after = reborn(make_world, keeper, store)

    assert durable_state(after.engine) == before
    assert after.client("new").publisher(flow_name=plain.flow_name).last_sent == 1
