"""The states of a channel transaction and the moves between them, as a table.

========== ========= ========= ========= ========= =========
state      begin     commit    rollback  fail      close
========== ========= ========= ========= ========= =========
new        open      --        --        --        closed
open       --        completed completed failed    --
failed     --        --        completed --        --
completed  --        --        --        --        closed
closed     --        --        --        --        closed
========== ========= ========= ========= ========= =========

A move that the table does not name raises and changes nothing. ``fail`` is what a lost connection does: only a
rollback is possible then. Leaving a transaction that is open or failed rolls it back before it closes it.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from flumebeam.errors import TransactionStateError

__all__ = ["TRANSITIONS", "Move", "TransactionState", "next_state"]


class TransactionState(Enum):
    """Where a transaction stands."""

    NEW = "new"
    OPEN = "open"
    FAILED = "failed"
    COMPLETED = "completed"
    CLOSED = "closed"


class Move(Enum):
    """What moves a transaction from one state to another."""

    BEGIN = "begin"
    COMMIT = "commit"
    ROLLBACK = "rollback"
    FAIL = "fail"
    CLOSE = "close"


TRANSITIONS: Final = {
    (TransactionState.NEW, Move.BEGIN): TransactionState.OPEN,
    (TransactionState.NEW, Move.CLOSE): TransactionState.CLOSED,
    (TransactionState.OPEN, Move.COMMIT): TransactionState.COMPLETED,
    (TransactionState.OPEN, Move.ROLLBACK): TransactionState.COMPLETED,
    (TransactionState.OPEN, Move.FAIL): TransactionState.FAILED,
    (TransactionState.FAILED, Move.ROLLBACK): TransactionState.COMPLETED,
    (TransactionState.COMPLETED, Move.CLOSE): TransactionState.CLOSED,
    (TransactionState.CLOSED, Move.CLOSE): TransactionState.CLOSED,
}
"""Every allowed move: (state, move) to the next state."""


def next_state(state: TransactionState, move: Move) -> TransactionState:
    """Return the state that a move leads to.

    Args:
        state: Where the transaction stands.
        move: What is asked of it.

    Raises:
        TransactionStateError: The table does not allow it.
    """
    try:
        return TRANSITIONS[state, move]
    except KeyError:
        raise TransactionStateError(f"A transaction that is {state.value} cannot {move.value}.") from None
