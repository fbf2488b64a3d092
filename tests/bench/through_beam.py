"""Suite ``beam``: what Beam costs. Each side of the broker alone, through Beam and by a plain loop, in turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.bench.broker_host import BrokerProcess
from tests.bench.figures import Spread, spread
from tests.bench.passage import Passage, drained, filled
from tests.bench.programs import Program
from tests.bench.sides import SIDES, WAYS

__all__ = ["BODY_BYTES", "ThroughBeam", "measure_through_beam"]

BODY_BYTES: Final = (200, 2_000)


@dataclass(frozen=True, slots=True)
class ThroughBeam:
    """What all runs gave.

    Attributes:
        events: Events of one way and side in one run.
        passages: One for each run, by body size, side and way.
    """

    events: int
    passages: dict[tuple[int, str, str], list[Passage]]

    def of(self, size: int, side: str, way: str, what: Callable[[Passage], float]) -> Spread:
        """Return one figure over all runs."""
        return spread([what(passage) for passage in self.passages[size, side, way]])

    def ratio(self, size: int, side: str) -> float:
        """Return how many times the loop's rate the one through Beam is, of medians."""
        return self.of(size, side, "beam", _rate).ratio_to(self.of(size, side, "loop", _rate))

    def to_json(self) -> dict[str, Any]:
        """Return figures and single runs as plain data."""
        found: dict[str, Any] = {"events": self.events}
        for (size, side, way), passages in self.passages.items():
            rate = self.of(size, side, way, _rate)
            place = found.setdefault(f"{side}, {size} bytes", {"ratio": self.ratio(size, side)})
            place[way] = {
                "events_per_second": {"median": rate.median, "low": rate.low, "high": rate.high},
                "cpu_seconds_per_million": self.of(size, side, way, lambda passage: passage.program_cpu).median,
                "runs_events_per_second": [passage.rate for passage in passages],
            }
        return found


def _rate(passage: Passage) -> float:
    return passage.rate


def measure_through_beam(workspace: Path, *, events: int, runs: int, tell: Callable[[str], None]) -> ThroughBeam:
    """Run all sides both ways so many times, in turn, and return what was measured.

    Args:
        workspace: An empty directory.
        events: Events of one way and side in one run.
        runs: How many rounds.
        tell: Called with what is done at the moment.
    """
    passages: dict[tuple[int, str, str], list[Passage]] = {
        (size, side, way): [] for size in BODY_BYTES for side in SIDES for way in WAYS
    }
    with BrokerProcess() as broker:
        for run in range(runs):
            for size in BODY_BYTES:
                for way in WAYS:
                    name = f"{way}-{size}-{run}"
                    broker.create_queue(name, f"bench/{name}")
                    # What the writes leave is what the read reads.
                    for side in ("transacted", "read", "persistent"):
                        tell(f"run {run + 1} of {runs}, {size} bytes, {side}, {way}")
                        arguments = ["--host", broker.url, "--events", str(events), "--size", str(size)]
                        arguments += ["--queue", name] if side == "read" else ["--topic", f"bench/{name}"]
                        watch = drained if side == "read" else filled
                        with Program(
                            "tests.bench.sides", [way, side, *arguments], workspace / f"{name}.log"
                        ) as program:
                            passages[size, side, way].append(watch(broker, name, program, events))
                    broker.delete_queue(name)
    return ThroughBeam(events, passages)
