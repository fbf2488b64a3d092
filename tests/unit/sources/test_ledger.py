from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from flumebeam.sources.ledger import Ledger


def offsets(*values: int) -> npt.NDArray[np.uint64]:
    return np.array(values, dtype=np.uint64)


def test_position_is_the_end_of_the_unbroken_prefix() -> None:
    ledger = Ledger(10)
    ledger.hand_out(offsets(20, 30))
    ledger.hand_out(offsets(40, 50))

    assert not ledger.acknowledge(offsets(30, 50))
    assert ledger.position == 10
    assert ledger.acknowledge(offsets(20))
    assert ledger.position == 30
    assert ledger.unacknowledged == 1
    assert ledger.acknowledge(offsets(40))
    assert (ledger.position, ledger.unacknowledged) == (50, 0)


def test_acknowledging_twice_changes_nothing() -> None:
    ledger = Ledger(0)
    ledger.hand_out(offsets(1, 2, 3))
    ledger.acknowledge(offsets(1, 3))

    assert not ledger.acknowledge(offsets(3, 1, 1))
    assert (ledger.position, ledger.unacknowledged) == (1, 1)


def test_records_that_were_not_handed_out_are_ignored() -> None:
    ledger = Ledger(5)
    ledger.hand_out(offsets(10, 20))

    assert not ledger.acknowledge(offsets(4, 15, 25, 2**64 - 1))
    assert (ledger.position, ledger.unacknowledged) == (5, 2)


def test_nothing_handed_out_leaves_the_position() -> None:
    ledger = Ledger(7)
    ledger.hand_out(offsets())

    assert not ledger.acknowledge(offsets(7))
    assert (ledger.position, ledger.unacknowledged) == (7, 0)


@given(st.data())
def test_any_order_of_acks_ends_where_a_set_would(data: st.DataObject) -> None:
    ends = sorted(data.draw(st.sets(st.integers(1, 1000), min_size=1, max_size=40)))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(ends)))))
    ledger, done = Ledger(0), set[int]()
    for low, high in zip([0, *cuts], [*cuts, len(ends)], strict=True):
        ledger.hand_out(offsets(*ends[low:high]))
    order = data.draw(st.permutations(ends))
    while order:
        size = data.draw(st.integers(1, len(order)))
        told, order = order[:size], order[size:]
        ledger.acknowledge(offsets(*told))
        done |= set(told)
        prefix = next((index for index, end in enumerate(ends) if end not in done), len(ends))
        assert ledger.position == (ends[prefix - 1] if prefix else 0)
        assert ledger.unacknowledged == len(ends) - len(done)
