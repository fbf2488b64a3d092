from __future__ import annotations

from tests.bench.passage import Passage
from tests.bench.throughput import LANES, SIDES, Throughput

MEGA = 1024 * 1024


def passage(rate: float) -> Passage:
    return Passage(
        events=1_000, seconds=1_000 / rate, program_cpu_seconds=0.05, broker_cpu_seconds=0.01, peak_rss_bytes=100 * MEGA
    )


def throughput(rates: dict[str, list[float]]) -> Throughput:
    return Throughput(
        1_000,
        200,
        {(lane, side): [passage(rate) for rate in rates.get(lane, [1_000.0])] for lane in LANES for side in SIDES},
    )
