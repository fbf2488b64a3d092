"""Counts of events within a second: made per batch, merged by adding, written as one line of JSON."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flumebeam.batch import EventBatch
from flumebeam.event import SEVERITY_HEADER

__all__ = ["Tally", "tally_batch"]

_NAMES: Final = 1_000
"""How many different sources are told apart within one tally; the rest is counted together."""
_OTHERS: Final = "(others)"
_TOP: Final = 5
_STEP: Final = math.log(1.01)
"""Latencies are kept in steps of one percent, so that percentiles can be merged."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What was counted within a second or a window.

    Attributes:
        start: Beginning of the second or window, seconds since 1970 UTC.
        events: Events in all.
        severities: Events by level; those without one are not in it.
        sources: Events by source, of at most 1,000 different ones.
        latencies: Events by latency, in steps of one percent: how long after sending they were counted. Events
            without a sender's time are not in it.
    """

    start: int
    events: int = 0
    severities: Mapping[str, int] = field(default_factory=dict)
    sources: Mapping[str, int] = field(default_factory=dict)
    latencies: Mapping[int, int] = field(default_factory=dict)

    def __add__(self, other: Tally) -> Tally:
        """Return both together, with the earlier start."""
        return Tally(
            min(self.start, other.start),
            self.events + other.events,
            Counter(self.severities) + Counter(other.severities),
            _bounded(Counter(self.sources) + Counter(other.sources)),
            Counter(self.latencies) + Counter(other.latencies),
        )

    def latency_ms(self, quantile: float) -> float | None:
        """Return how many milliseconds after sending this share of the events had been counted.

        Args:
            quantile: 0 to 1.

        Returns:
            Within one percent, and within the millisecond of senders' clocks; ``None`` if nothing is known.
        """
        wanted = quantile * sum(self.latencies.values())
        seen = 0
        for step, count in sorted(self.latencies.items()):
            seen += count
            if seen >= wanted:
                return float(f"{math.expm1(step * _STEP):.3g}")
        return None

    def top_sources(self, count: int = _TOP) -> list[tuple[str, int]]:
        """Return the busiest sources, the busiest first."""
        return sorted(self.sources.items(), key=lambda item: (-item[1], item[0]))[:count]

    def to_json(self, total: int) -> str:
        """Return one line of JSON, without its newline.

        Args:
            total: Events counted so far, this tally included.
        """
        facts: dict[str, Any] = {
            "time": datetime.fromtimestamp(self.start, UTC).isoformat().replace("+00:00", "Z"),
            "events": self.events,
            "total": total,
            "severity": dict(sorted(self.severities.items())),
            "top": [list(item) for item in self.top_sources()],
            "latency_ms": {"p50": self.latency_ms(0.5), "p99": self.latency_ms(0.99)},
        }
        return json.dumps(facts, ensure_ascii=False)


def tally_batch(batch: EventBatch, *, now_ms: int, source_header: str, time_header: str) -> Tally:
    """Count one batch.

    Args:
        batch: Events.
        now_ms: The clock, milliseconds since 1970 UTC.
        source_header: Header that names an event's source.
        time_header: Header that says when an event was sent, milliseconds since 1970 UTC.
    """
    return Tally(
        now_ms // 1000,
        len(batch),
        _count(batch, SEVERITY_HEADER),
        _bounded(_count(batch, source_header)),
        _latencies(batch, now_ms, time_header),
    )


def _count(batch: EventBatch, header: str) -> Counter[str]:
    if (value := batch.shared.get(header)) is not None:
        return Counter({value: len(batch)})
    if (column := batch.columns.get(header)) is None:
        return Counter()
    counts = pc.value_counts(column.drop_null())
    return Counter(dict(zip(counts.field(0).to_pylist(), counts.field(1).to_pylist(), strict=True)))


def _bounded(counts: Counter[str]) -> Counter[str]:
    if len(counts) <= _NAMES:
        return counts
    kept = Counter(dict(counts.most_common(_NAMES)))
    kept[_OTHERS] += counts.total() - kept.total()
    return kept


def _latencies(batch: EventBatch, now_ms: int, header: str) -> Counter[int]:
    if (value := batch.shared.get(header)) is not None:
        sent = np.full(len(batch), float(value))
    elif (column := batch.columns.get(header)) is not None:
        sent = column.drop_null().cast(pa.float64()).to_numpy(zero_copy_only=False)
    else:
        return Counter()
    # A sender whose clock is ahead of ours has no negative latency.
    steps = np.rint(np.log1p(np.maximum(now_ms - sent, 0)) / _STEP).astype(np.int64)
    values, counts = np.unique(steps, return_counts=True)
    return Counter(dict(zip(values.tolist(), counts.tolist(), strict=True)))
