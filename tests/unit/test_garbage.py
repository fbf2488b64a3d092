"""Garbage is looked for seldom while the work goes on, and as before behind it."""

from __future__ import annotations

import gc
from contextlib import suppress

from flumebeam.garbage import collect_often_enough, collecting_seldom


def test_small_objects_of_many_batches_start_no_search_for_cycles() -> None:
    with collecting_seldom():
        before = gc.get_stats()[0]["collections"]
        kept = [(number, number) for number in range(50_000)]
        assert gc.get_stats()[0]["collections"] == before
        assert len(kept) == 50_000


def test_what_was_set_before_is_set_again_whatever_becomes_of_the_work() -> None:
    before = gc.get_threshold(), gc.get_freeze_count()
    within = 0
    with suppress(ValueError), collecting_seldom():
        within = gc.get_freeze_count()
        raise ValueError

    assert within > before[1]
    assert (gc.get_threshold(), gc.get_freeze_count()) == before


def test_it_is_looked_for_more_often_where_a_part_leaves_cycles_and_never_less() -> None:
    before = gc.get_threshold()
    try:
        with collecting_seldom():
            seldom = gc.get_threshold()
            collect_often_enough()
            often = gc.get_threshold()
            assert often[0] < seldom[0]
        assert gc.get_threshold() == before
        gc.set_threshold(700, 10, 10)
        collect_often_enough()
        assert gc.get_threshold() == (700, 10, 10)
    finally:
        gc.set_threshold(*before)
