"""The tables of states, and the page that is made from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from flumebeam.broker.core.resumables import Resumables
from flumebeam.broker.core.states import (
    CONNECTION,
    RESUMABLE,
    TABLES,
    ConnectionState,
    ResumableState,
    after,
)
from flumebeam.broker.diagram import PAGE, page

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
