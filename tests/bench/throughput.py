"""Suite ``throughput``: ingest and drain through Beam, beside plain loops over the channel and the vendor's client.

Every run is one round over all lanes, on one broker, so that whatever else the machine does hits all alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.bench.broker_host import BrokerProcess
from tests.bench.figures import Spread, spread
from tests.bench.passage import Passage, drained, filled
from tests.bench.programs import Program, ProgramFailedError
from tests.bench.workload import lines_in, write_lines

__all__ = ["LANES", "LOOPS", "PEER", "SAME", "SIDES", "Throughput", "measure_throughput"]

LANES: Final = {
    "beam": "pipeline on Beam",
    "transactions": "on Beam, transactions",
    "packed": "pipeline on Beam, packed",
    "channel": "plain loop, our channel",
    "channel-transactions": "plain loop, transactions",
    "files": "with files, by id",
    "files-transactions": "with files, transactions",
    "files-packed": "with files, packed",
    "vendor": "plain loop, vendor's client",
}
"""The lanes, and what tables call them."""
PIPELINES: Final = ("beam", "transactions", "packed")
"""The lanes that ``flumebeam run`` runs."""
PEER: Final = "vendor"
"""The lane that ratios are taken to."""
LOOPS: Final = {lane: "channel-transactions" if lane.endswith("transactions") else "channel" for lane in LANES}
"""By lane: what publishing, or receiving and acknowledging, costs without Beam and without files."""
SAME: Final = {lane: lane for lane in LANES} | {
    "beam": "files",
    "transactions": "files-transactions",
    "packed": "files-packed",
}
"""By lane: the same work without Beam, files and commit log included."""
_TRANSACTION: Final = 5_000
"""Messages of a transaction of the lanes that say so: the broker is started with that limit."""
SIDES: Final = ("ingest", "drain")


@dataclass(frozen=True, slots=True)
class Throughput:
    """What all runs gave.

    Attributes:
        events: Events of one run.
        size: Bytes of a line.
        passages: One for each run, by lane and side.
    """

    events: int
    size: int
    passages: dict[tuple[str, str], list[Passage]]

    def of(self, lane: str, side: str, what: Callable[[Passage], float]) -> Spread:
        """Return one figure over all runs."""
        return spread([what(passage) for passage in self.passages[lane, side]])

    def to_json(self) -> dict[str, Any]:
        """Return figures and single runs as plain data."""
        found: dict[str, Any] = {"events": self.events, "line_bytes": self.size}
        for (lane, side), passages in self.passages.items():
            rate = self.of(lane, side, lambda passage: passage.rate)
            found.setdefault(lane, {})[side] = {
                "events_per_second": {"median": rate.median, "low": rate.low, "high": rate.high},
                "ratio_to_vendor": rate.ratio_to(self.of(PEER, side, lambda passage: passage.rate)),
                "ratio_to_same": rate.ratio_to(self.of(SAME[lane], side, lambda passage: passage.rate)),
                "ratio_to_loop": rate.ratio_to(self.of(LOOPS[lane], side, lambda passage: passage.rate)),
                "cpu_seconds_per_million": self.of(lane, side, lambda passage: passage.program_cpu).median,
                "broker_cpu_seconds_per_million": self.of(lane, side, lambda passage: passage.broker_cpu).median,
                "peak_rss_bytes": self.of(lane, side, lambda passage: passage.peak_rss_bytes).median,
                "runs_events_per_second": [passage.rate for passage in passages],
            }
        return found


def measure_throughput(
    workspace: Path, *, events: int, size: int, runs: int, tell: Callable[[str], None]
) -> Throughput:
    """Run all lanes so many times, in turn, and return what was measured.

    Args:
        workspace: An empty directory.
        events: Events of one lane in one run.
        size: Bytes of a line.
        runs: How many rounds.
        tell: Called with what is done at the moment.
    """
    source = write_lines(workspace / "input.log", events, size)
    passages: dict[tuple[str, str], list[Passage]] = {(lane, side): [] for lane in LANES for side in SIDES}
    with BrokerProcess(settings={"max_transaction_messages": _TRANSACTION}) as broker:
        for run in range(runs):
            for lane in LANES:
                name = f"{lane}-{run}"
                place = workspace / name
                place.mkdir()
                broker.create_queue(name, f"bench/{name}")
                tell(f"run {run + 1} of {runs}, {LANES[lane]}: in")
                with _writer(lane, broker, name, source, place) as program:
                    passages[lane, "ingest"].append(filled(broker, name, program, events, packed="packed" in lane))
                tell(f"run {run + 1} of {runs}, {LANES[lane]}: out")
                with _reader(lane, broker, name, events, place) as program:
                    passages[lane, "drain"].append(drained(broker, name, program, events))
                broker.delete_queue(name)
                writes = lane in PIPELINES or lane.startswith("files")
                if writes and (found := lines_in(place / "files")) != events:
                    raise ProgramFailedError(f"The drain wrote {found} lines of {events}: figures of it mean nothing.")
    return Throughput(events, size, passages)


def _writer(lane: str, broker: BrokerProcess, name: str, source: Path, place: Path) -> Program:
    topic, state = f"bench/{name}", str(place / "positions")
    if lane in PIPELINES:
        arguments = ["--input", str(source), "--topic", topic, "--tracker_dir", state, "--solace_host", broker.url]
        arguments += ["--pack"] if lane == "packed" else []
        arguments += [f"--max_transaction_messages={_TRANSACTION}"] if lane == "transactions" else []
        return Program("flumebeam", ["run", "ingest", *arguments], place / "ingest.log")
    arguments = ["--input", str(source), "--topic", topic, "--state", state, "--host", broker.url]
    return Program("tests.bench.loops", _loop(lane, "put", arguments), place / "put.log")


def _reader(lane: str, broker: BrokerProcess, name: str, events: int, place: Path) -> Program:
    if lane in PIPELINES:
        limits = ["--queue", name, "--max_events", str(events), "--target", str(place / "files")]
        limits += [f"--transaction_messages={_TRANSACTION}"] if lane == "transactions" else []
        return Program("flumebeam", ["run", "drain_to_hdfs", *limits, "--solace_host", broker.url], place / "drain.log")
    arguments = ["--queue", name, "--events", str(events), "--host", broker.url, "--target", str(place / "files")]
    return Program("tests.bench.loops", _loop(lane, "take", arguments), place / "take.log")


def _loop(lane: str, side: str, arguments: list[str]) -> list[str]:
    own, _, how = lane.partition("-")
    options = {"transactions": [f"--transaction={_TRANSACTION}"], "packed": ["--packed"], "": []}
    return [own, side, *arguments, *options[how]]
