"""Suite ``lanes``: put and take of the channel on each lane through the vendor's client, in transactions.

Bodies of two sizes, without headers and with three: one that all events share, one of few values, and an id for each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.bench.broker_host import BrokerProcess
from tests.bench.figures import Spread, spread
from tests.bench.passage import Passage, drained, filled
from tests.bench.programs import Program

__all__ = ["KINDS", "LANES", "SIDES", "Kind", "LaneFigures", "measure_lanes"]

LANES: Final = {
    "native": "native, C functions",
    "wrapper": "wrapper, own thread",
    "plain": "plain, another thread",
}
"""The lanes, and what tables call them."""
SIDES: Final = ("put", "take")
_TRANSACTION: Final = 5_000
_TRANSACTIONS: Final = 8
"""At least so many: what is put is seen when it is committed, so that the first one is not measured."""
_LARGE_SHARE: Final = 4
"""How many times fewer large events there are."""


class Kind(NamedTuple):
    """What events are like: bytes of a body, and whether there are headers."""

    size: int
    headers: bool


KINDS: Final = tuple(Kind(size, headers) for size in (200, 2_000) for headers in (False, True))


@dataclass(frozen=True, slots=True)
class LaneFigures:
    """What all runs gave.

    Attributes:
        passages: By lane, side and kind.
    """

    passages: dict[tuple[str, str, Kind], list[Passage]]

    def of(self, lane: str, side: str, kind: Kind, what: Callable[[Passage], float]) -> Spread:
        """Return one figure over all runs."""
        return spread([what(passage) for passage in self.passages[lane, side, kind]])

    def to_json(self) -> dict[str, Any]:
        """Return figures and single runs as plain data."""
        found: dict[str, Any] = {}
        for (lane, side, kind), passages in self.passages.items():
            rate = self.of(lane, side, kind, _rate)
            name = f"{side}, {kind.size} bytes, {'with' if kind.headers else 'no'} headers"
            found.setdefault(lane, {})[name] = {
                "events_per_second": {"median": rate.median, "low": rate.low, "high": rate.high},
                "megabytes_per_second": rate.median * kind.size / 1e6,
                "cpu_seconds_per_million": self.of(lane, side, kind, lambda passage: passage.program_cpu).median,
                "broker_cpu_seconds_per_million": self.of(lane, side, kind, lambda passage: passage.broker_cpu).median,
                "peak_rss_bytes": self.of(lane, side, kind, lambda passage: passage.peak_rss_bytes).median,
                "runs_events_per_second": [passage.rate for passage in passages],
            }
        return found


def _rate(passage: Passage) -> float:
    return passage.rate


def measure_lanes(workspace: Path, *, events: int, runs: int, tell: Callable[[str], None]) -> LaneFigures:
    """Run all lanes so many times, in turn, on one broker.

    Args:
        workspace: An empty directory.
        events: Small events of one run.
        runs: How many rounds.
        tell: Called with what is done at the moment.
    """
    passages: dict[tuple[str, str, Kind], list[Passage]] = {
        (lane, side, kind): [] for lane in LANES for side in SIDES for kind in KINDS
    }
    with BrokerProcess(settings={"max_transaction_messages": _TRANSACTION}) as broker:
        for run in range(runs):
            for number, kind in enumerate(KINDS):
                for lane, meaning in LANES.items():
                    tell(f"run {run + 1} of {runs}, {meaning}, {kind.size} bytes")
                    count = events if kind.size == KINDS[0].size else max(1, events // _LARGE_SHARE)
                    name = f"{lane}-{number}-{run}"
                    for side, passage in zip(SIDES, _pass(workspace, broker, name, lane, kind, count), strict=True):
                        passages[lane, side, kind].append(passage)
    return LaneFigures(passages)


def _pass(
    workspace: Path, broker: BrokerProcess, name: str, lane: str, kind: Kind, events: int
) -> tuple[Passage, Passage]:
    topic = f"bench/{name}"
    broker.create_queue(name, topic)
    arguments = ["--host", broker.url, "--lane", lane, "--topic", topic, "--queue", name]
    arguments += [
        f"--events={events}",
        f"--size={kind.size}",
        f"--transaction={max(1, min(_TRANSACTION, events // _TRANSACTIONS))}",
    ]
    arguments += ["--headers"] if kind.headers else []
    with Program("tests.bench.put_take", ["put", *arguments], workspace / f"{name}-put.log") as program:
        put = filled(broker, name, program, events)
    with Program("tests.bench.put_take", ["take", *arguments], workspace / f"{name}-take.log") as program:
        taken = drained(broker, name, program, events)
    broker.delete_queue(name)
    return put, taken
