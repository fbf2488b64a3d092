"""Suite ``scaling``: the same drain several times at once, each on a queue of its own, as partitions are drained.

All drains begin with full queues. The rate is that of all together, from the first message that one of them took to the
last one that was acknowledged; the machine's cores, the broker's among them, are the limit, so the CPU of an event is
given as well: it is what a plan for more machines goes by.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any, Final

from tests.bench.broker_host import BrokerProcess
from tests.bench.chain import ChainRun, watch
from tests.bench.figures import per_million
from tests.bench.programs import Program, ProgramFailedError
from tests.bench.workload import lines_in, write_lines

__all__ = ["Scaling", "measure_scaling"]

_START_SECONDS: Final = 120.0
_BROKER: Final = "broker"


@dataclass(frozen=True, slots=True)
class Scaling:
    """What was measured.

    Attributes:
        size: Bytes of a line.
        runs: By whether messages are packed, and by the number of flows.
    """

    size: int
    runs: dict[tuple[bool, int], ChainRun]

    def cpu(self, packed: bool, flows: int) -> tuple[float, float]:
        """Return CPU seconds per million events of the drains, and of the broker."""
        run = self.runs[packed, flows]
        broker = run.cpu_seconds[_BROKER]
        return per_million(sum(run.cpu_seconds.values()) - broker, run.events), per_million(broker, run.events)

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain data."""
        found: dict[str, Any] = {"line_bytes": self.size}
        for (packed, flows), run in self.runs.items():
            drains, broker = self.cpu(packed, flows)
            found[f"{'packed' if packed else 'single'}, {flows}"] = {
                "flows": flows,
                "events": run.events,
                "events_per_second": run.rate,
                "cpu_seconds_per_million": {"drains": drains, _BROKER: broker},
                "peak_rss_bytes": sum(run.peak_rss_bytes.values()) - run.peak_rss_bytes[_BROKER],
            }
        return found


def measure_scaling(
    workspace: Path, flows: Sequence[int], *, events: int, size: int, tell: Callable[[str], None]
) -> Scaling:
    """Run so many drains at once, with messages of one event and packed ones.

    Args:
        workspace: An empty directory.
        flows: How many, one after the other.
        events: Events for all drains together; packed five times as many.
        size: Bytes of a line.
        tell: Called with what is done at the moment.
    """
    found: dict[tuple[bool, int], ChainRun] = {}
    for packed in (False, True):
        for count in flows:
            tell(f"{count} flows, {'packed' if packed else 'one event a message'}")
            place = workspace / f"{packed}-{count}"
            place.mkdir()
            share = events * (5 if packed else 1) // count
            source = write_lines(place / "input.log", share, size)
            found[packed, count] = _run(place, source, share, count, ["--pack"] if packed else [])
            rmtree(place)
    return Scaling(size, found)


def _run(place: Path, source: Path, events: int, flows: int, how: list[str]) -> ChainRun:
    queues = [f"q{number}" for number in range(flows)]
    with ExitStack() as stack:
        broker = stack.enter_context(BrokerProcess())
        host = ["--solace_host", broker.url]
        for queue in queues:
            broker.create_queue(queue, "bench/scaling")
        options = ["--input", str(source), "--topic", "bench/scaling", "--tracker_dir", str(place / "positions"), *how]
        with Program("flumebeam", ["run", "ingest", *options, *host], place / "ingest.log") as ingest:
            ingest.wait(_START_SECONDS + events / 1000)
        filled = broker.depth(queues[0]).messages

        def drain(queue: str) -> Program:
            options = ["--queue", queue, "--target", str(place / "files" / queue), "--max_events", str(events)]
            return stack.enter_context(
                Program("flumebeam", ["run", "drain_to_hdfs", *options, *host], place / f"{queue}.log")
            )

        drains = {queue: drain(queue) for queue in queues}

        def touched(queue: str) -> bool:
            depth = broker.depth(queue)
            return depth.unacknowledged > 0 or depth.messages < filled

        found = watch(
            events * flows,
            {**{queue: program.usage for queue, program in drains.items()}, _BROKER: broker.usage},
            begun=lambda: any(touched(queue) for queue in queues),
            over=lambda: not any(broker.depth(queue).messages for queue in queues),
            programs=drains.values(),
        )
        for program in drains.values():
            program.wait(_START_SECONDS)
    if (written := lines_in(place / "files")) != events * flows:
        raise ProgramFailedError(f"The drains wrote {written} lines of {events * flows}: figures of it mean nothing.")
    return found
