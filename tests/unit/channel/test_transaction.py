from __future__ import annotations

import itertools

import pytest

from flumebeam.channel.transaction import TRANSITIONS, Move, TransactionState, next_state
from flumebeam.errors import TransactionStateError


@pytest.mark.parametrize(("state", "move"), list(itertools.product(TransactionState, Move)))
def test_only_the_moves_of_the_table_are_allowed(state: TransactionState, move: Move) -> None:
    if (state, move) in TRANSITIONS:
        assert next_state(state, move) is TRANSITIONS[state, move]
    else:
        with pytest.raises(TransactionStateError, match=f"that is {state.value} cannot {move.value}"):
            next_state(state, move)


def test_nothing_leads_out_of_a_closed_transaction() -> None:
    assert {target for (state, _), target in TRANSITIONS.items() if state is TransactionState.CLOSED} == {
        TransactionState.CLOSED
    }


def test_a_failed_transaction_can_only_be_rolled_back() -> None:
    assert {move for state, move in TRANSITIONS if state is TransactionState.FAILED} == {Move.ROLLBACK}
