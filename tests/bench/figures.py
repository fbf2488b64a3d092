"""From measured values to figures: medians, spreads, percentiles, ratios. Pure functions; nothing is measured here."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

__all__ = ["FLAT_BYTES", "FLAT_SHARE", "Spread", "is_flat", "per_million", "percentile", "spread"]

FLAT_SHARE: Final = 0.10
"""Memory counts as flat if it grows by less than this share of the smaller run's..."""
FLAT_BYTES: Final = 20 * 1024 * 1024
"""...or by less than this many bytes."""


@dataclass(frozen=True, slots=True)
class Spread:
    """What several runs gave.

    Attributes:
        median: The middle one.
        low: The smallest.
        high: The largest.
    """

    median: float
    low: float
    high: float

    def ratio_to(self, other: Spread) -> float:
        """Return how many times the other's median this one's is; infinite if the other's is 0."""
        return self.median / other.median if other.median else math.inf


def spread(values: Sequence[float]) -> Spread:
    """Return median, smallest and largest of at least one value."""
    if not values:
        raise ValueError("No run, no median.")
    return Spread(statistics.median(values), min(values), max(values))


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least ``share`` of the values do not exceed (nearest rank).

    Args:
        ordered: Values in ascending order, at least one.
        share: More than 0, up to 1.
    """
    if not ordered:
        raise ValueError("No values, no percentile.")
    if not 0 < share <= 1:
        raise ValueError(f"A percentile lies above 0 and up to 1, not at {share}.")
    return ordered[math.ceil(share * len(ordered)) - 1]


def per_million(seconds: float, events: int) -> float:
    """Return seconds for a million events, as microseconds an event."""
    return seconds * 1e6 / events if events else math.nan


def is_flat(small: float, large: float) -> bool:
    """Tell whether memory stayed the same between a small and a large run, both in bytes."""
    growth = large - small
    return growth < FLAT_BYTES or growth < FLAT_SHARE * small


def thinned(values: Sequence[float], count: int) -> list[float]:
    """Return at most ``count`` values that stand for all: of each stretch of equal length the largest."""
    if len(values) <= count:
        return list(values)
    edges = [len(values) * index // count for index in range(count + 1)]
    return [max(values[begin:end]) for begin, end in pairwise(edges)]
