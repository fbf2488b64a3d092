from __future__ import annotations

import math

import pytest

from tests.bench.figures import FLAT_BYTES, Spread, is_flat, per_million, percentile, spread, thinned


def test_a_spread_is_the_middle_run_and_the_extremes() -> None:
    assert spread([30.0, 10.0, 20.0]) == Spread(20.0, 10.0, 30.0)
    assert spread([10.0, 40.0]) == Spread(25.0, 10.0, 40.0)
    with pytest.raises(ValueError, match="No run"):
        spread([])


def test_a_ratio_is_taken_of_medians() -> None:
    assert spread([1.0, 30.0, 1000.0]).ratio_to(spread([9.0, 10.0, 11.0])) == 3.0
    assert spread([1.0]).ratio_to(spread([0.0])) == math.inf


@pytest.mark.parametrize(
    ("share", "expected"), [(0.01, 1.0), (0.5, 50.0), (0.501, 51.0), (0.99, 99.0), (0.991, 100.0), (1.0, 100.0)]
)
def test_a_percentile_is_the_value_that_so_many_do_not_exceed(share: float, expected: float) -> None:
    assert percentile([float(value) for value in range(1, 101)], share) == expected


def test_a_percentile_of_few_values_is_one_of_them() -> None:
    assert percentile([7.0], 0.5) == percentile([7.0], 0.99) == 7.0
    assert percentile([1.0, 2.0, 3.0], 0.99) == 3.0


@pytest.mark.parametrize("share", [0.0, -0.5, 1.01])
def test_an_impossible_percentile_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        percentile([1.0], share)
    with pytest.raises(ValueError, match="No values"):
        percentile([], 0.5)


def test_cpu_is_given_for_a_million_events() -> None:
    assert per_million(2.5, 50_000) == 50.0
    assert math.isnan(per_million(1.0, 0))


@pytest.mark.parametrize(
    ("small", "large", "flat"),
    [
        (100 * FLAT_BYTES, 100 * FLAT_BYTES + 9 * FLAT_BYTES, True),
        (100 * FLAT_BYTES, 100 * FLAT_BYTES + 10 * FLAT_BYTES, False),
        (FLAT_BYTES, 2 * FLAT_BYTES - 1, True),
        (FLAT_BYTES, 2 * FLAT_BYTES, False),
        (FLAT_BYTES, 1, True),
    ],
)
def test_memory_is_flat_if_it_grows_by_little_in_share_or_in_bytes(small: int, large: int, flat: bool) -> None:
    assert is_flat(small, large) is flat


def test_thinned_values_keep_the_peak_of_each_stretch() -> None:
    assert thinned([1.0, 5.0, 2.0, 3.0, 9.0, 4.0], 3) == [5.0, 3.0, 9.0]
    assert thinned([1.0, 2.0], 3) == [1.0, 2.0]
    assert len(thinned([0.0] * 101, 40)) == 40
