"""The tables of states, and the page that is made from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flumebeam.broker.core.resumables import Resumables
from flumebeam.broker.core.states import (
    CONNECTION,
    RESUMABLE,
    TABLES,
    ConnectionState,
    FlowState,
    ResumableState,
    TransactionState,
    after,
)
from flumebeam.broker.core.transactions import TransactedSession
from flumebeam.broker.diagram import PAGE, page
from flumebeam.smf.assuredctrl import SessionState

ROOT = Path(__file__).parents[4]


def test_page_is_what_the_tables_say() -> None:
    assert (ROOT / PAGE).read_text(encoding="utf-8") == page(), "run python -m flumebeam.broker.diagram"


@pytest.mark.parametrize("name", TABLES)
def test_every_state_can_be_reached_and_named(name: str) -> None:
    table = TABLES[name]
    kind = type(next(iter(table))[0])
    assert {state for state, _ in table} | set(table.values()) == set(kind)
    assert name in page()


def test_nobody_logs_in_twice() -> None:
    state = after(CONNECTION, ConnectionState.CONNECTED, "login accepted")
    with pytest.raises(KeyError):
        after(CONNECTION, state, "login accepted")


def test_things_that_can_be_resumed_go_by_their_table() -> None:
    things: Resumables[str] = Resumables(10, 5)
    assert things.state("x") is ResumableState.FORGOTTEN
    with pytest.raises(KeyError):
        things.leave("x", 0)
    things.keep("x", "thing")
    assert things.state("x") is ResumableState.OPEN
    things.leave("x", 0)
    assert things.state("x") is ResumableState.AWAY
    things.keep("x", "thing")
    things.remove("x")
    things.remove("x")
    assert things.state("x") is after(RESUMABLE, ResumableState.FORGOTTEN, "closed")


def test_exclusive_queue_has_one_active_flow_and_hands_over_in_the_order_of_binding(world: Any) -> None:
    peers = [world.client(name) for name in ("a", "b", "c")]
    flows = [peer.connection.consumers[peer.bind().flow_id] for peer in peers]
    assert [flow.state for flow in flows] == [FlowState.ACTIVE, FlowState.STANDBY, FlowState.STANDBY]
    peers[1].leave()
    peers[0].leave()
    assert [flow.state for flow in flows] == [FlowState.UNBOUND, FlowState.UNBOUND, FlowState.ACTIVE]
    world.engine.delete_queue("q")
    assert flows[2].state is FlowState.UNBOUND


def test_interrupted_transaction_is_never_committed() -> None:
    session = TransactedSession(1, "s", "app", 10, 1000)
    session.interrupt()
    with pytest.raises(KeyError):
        session.end((1, 2), "commit carried out")
    assert session.end((1, 2), "rolled back") is SessionState.ROLLED_BACK
    assert session.end((2, 3), "commit carried out") is SessionState.COMMITTED
    assert session.state is TransactionState.OPEN
    assert session.outcome((1, 2)) is SessionState.NEW


def test_what_nobody_comes_back_for_is_forgotten() -> None:
    things: Resumables[str] = Resumables(10, 5)
    things.keep("x", "thing")
    things.leave("x", 0)
    assert things.expire(9) == []
    assert things.expire(10) == ["thing"]
    assert things.state("x") is after(RESUMABLE, ResumableState.AWAY, "retention over")
