from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flumebeam.commitlog.ids import IdIndex, IdSet
from flumebeam.errors import FormatError
from flumebeam.ids import DeliveryId, delivery_ids

_TOP = 2**64 - 1
_NUMBERS = st.one_of(st.integers(0, 40), st.integers(_TOP - 3, _TOP), st.integers(2**63 - 2, 2**63 + 2))
_IDS = st.lists(st.builds(DeliveryId, st.sampled_from([0, 7, _TOP]), _NUMBERS), max_size=60)


@given(_IDS, _IDS)
def test_a_set_contains_what_was_put_in_and_nothing_else(put: list[DeliveryId], asked: list[DeliveryId]) -> None:
    ids = IdSet.of(delivery_ids(put))

    assert ids.contains(delivery_ids(asked)).tolist() == [i in set(put) for i in asked]
    assert len(ids) == len(set(put))
    assert bool(ids) == bool(put)


@given(st.lists(_IDS, max_size=5), _IDS)
def test_a_union_contains_what_any_of_its_sets_contains(sets: list[list[DeliveryId]], asked: list[DeliveryId]) -> None:
    union = IdSet().union(*(IdSet.of(delivery_ids(ids)) for ids in sets))
    together = [i for ids in sets for i in ids]

    assert union == IdSet.of(delivery_ids(together))
    assert union.contains(delivery_ids(asked)).tolist() == [i in set(together) for i in asked]


@given(st.lists(_IDS, max_size=12), _IDS)
def test_an_index_contains_what_was_added_at_any_time(sets: list[list[DeliveryId]], asked: list[DeliveryId]) -> None:
    index = IdIndex()
    for ids in sets:
        index.add(IdSet.of(delivery_ids(ids)))

    assert index.contains(delivery_ids(asked)).tolist() == [any(i in ids for ids in sets) for i in asked]


@given(_IDS)
def test_a_set_comes_back_from_its_bytes(put: list[DeliveryId]) -> None:
    ids = IdSet.of(delivery_ids(put))

    assert IdSet.from_bytes(ids.to_bytes()) == ids
    assert len(IdSet.from_bytes(ids.to_bytes())) == len(set(put))


@given(st.binary(max_size=80))
def test_any_bytes_end_in_a_set_or_in_our_error(data: bytes) -> None:
    try:
        IdSet.from_bytes(data)
    except FormatError:
        pass


@given(_IDS.filter(len), st.data())
def test_cut_bytes_are_an_error(put: list[DeliveryId], data: st.DataObject) -> None:
    whole = IdSet.of(delivery_ids(put)).to_bytes()
    cut = data.draw(st.integers(0, len(whole) - 1))

    with pytest.raises(FormatError):
        IdSet.from_bytes(whole[:cut])
    with pytest.raises(FormatError):
        IdSet.from_bytes(whole + b"\0")


def test_ids_in_a_row_are_one_run_of_a_few_bytes() -> None:
    ids = IdSet.of(delivery_ids(DeliveryId(5, n) for n in range(10_000)))

    assert ids.run_count == 1
    assert len(ids.to_bytes()) < 50


def test_bridging_closes_the_gaps_of_each_origin_and_nothing_between_origins() -> None:
    ids = IdSet.of(delivery_ids([DeliveryId(1, 10), DeliveryId(1, 20), DeliveryId(2, 3)])).bridged()

    asked = [DeliveryId(1, 15), DeliveryId(1, 9), DeliveryId(1, 21), DeliveryId(2, 3), DeliveryId(2, 4)]
    assert ids.contains(delivery_ids(asked)).tolist() == [True, False, False, True, False]


def test_a_slice_of_a_column_is_asked_as_what_it_is() -> None:
    ids = IdSet.of(delivery_ids([DeliveryId(1, 2)]))
    column = delivery_ids([DeliveryId(1, n) for n in range(4)])

    assert ids.contains(column.slice(2, 1)).tolist() == [True]
    assert ids.contains(column.slice(2, 0)).tolist() == []


def test_an_index_holds_few_runs_however_many_sets_were_added() -> None:
    index = IdIndex()
    for start in range(0, 10_000, 10):
        index.add(IdSet.of(delivery_ids(DeliveryId(1, n) for n in range(start, start + 10))))

    assert index.run_count == 1
    assert index.contains(delivery_ids([DeliveryId(1, 9_999), DeliveryId(1, 10_000)])).tolist() == [True, False]


def test_sets_are_exact_at_the_ends_of_the_numbers() -> None:
    ids = IdSet.of(delivery_ids([DeliveryId(0, 0), DeliveryId(0, _TOP)]))

    assert ids.run_count == 2
    assert not ids.contains(delivery_ids([DeliveryId(0, 1), DeliveryId(0, _TOP - 1)])).any()
    assert ids.contains(delivery_ids([DeliveryId(0, 0), DeliveryId(0, _TOP)])).dtype == np.bool_
