"""Suite ``rolled``: very many events through a queue into files of the size that a lake wants, packed and not.

Ingest and drain run side by side with the defaults that users get: the queue's limit of unacknowledged messages, files
of 128 MB. What is wanted: files of that size, memory that stays, and every event once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any, Final

from tests.bench.broker_host import BrokerProcess
from tests.bench.figures import is_flat
from tests.bench.programs import Program, ProgramFailedError
from tests.bench.workload import digest, visible_files, write_lines

__all__ = ["Rolled", "RolledRun", "measure_rolled"]

_SAMPLE_SECONDS: Final = 1.0
_WARM_SHARE: Final = 0.2
"""Of the samples: what comes before them is warming up."""
_LEAST_RATE: Final = 500.0
"""Events per second below which a run is given up."""


@dataclass(frozen=True, slots=True)
class RolledRun:
    """One run.

    Attributes:
        lane: Packed, or one event a message.
        events: Events that went through.
        seconds: How long both programs ran, their start included.
        file_bytes: Sizes of the files, in ascending order.
        memory: Of each process, the most resident bytes of the first half, once it was warm, and of the second.
    """

    lane: str
    events: int
    seconds: float
    file_bytes: list[int]
    memory: Mapping[str, tuple[int, int]]

    def flat(self, program: str) -> bool:
        """Tell whether a process needed no more memory in the second half."""
        return is_flat(*self.memory[program])


@dataclass(frozen=True, slots=True)
class Rolled:
    """What was measured."""

    runs: list[RolledRun]

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {run.lane: asdict(run) | {"events_per_second": run.events / run.seconds} for run in self.runs}


def measure_rolled(workspace: Path, *, packed: int, single: int, size: int, tell: Callable[[str], None]) -> Rolled:
    """Send events through ingest and drain, and compare every file with what was sent.

    Args:
        workspace: An empty directory; it needs room for the events five times.
        packed: Events of the packed run.
        single: Events of the run with one event a message.
        size: Bytes of a line.
        tell: Called with what is done at the moment.
    """
    runs = []
    for lane, events, packing in (("packed", packed, ["--pack"]), ("one event a message", single, [])):
        place = workspace / lane.replace(" ", "-")
        place.mkdir()
        runs.append(_run(place, lane, events, size, packing, tell))
        rmtree(place)
    return Rolled(runs)


def _run(
    place: Path,
    lane: str,
    events: int,
    size: int,
    packing: Sequence[str],
    tell: Callable[[str], None],
) -> RolledRun:
    tell(f"writing {events:,} lines")
    source, target = write_lines(place / "input.log", events, size), place / "files"
    samples: dict[str, list[int]] = {"ingest": [], "drain": [], "broker": []}
    deadline = time.monotonic() + 300 + events / _LEAST_RATE
    with BrokerProcess(place / "broker") as broker:
        broker.create_queue("rolled", "bench/rolled")
        host = ["--solace_host", broker.url]
        reading = ["--input", str(source), "--topic", "bench/rolled", "--tracker_dir", str(place / "positions")]
        writing = ["--queue", "rolled", "--max_events", str(events), "--target", str(target)]
        begin = time.monotonic()
        with (
            Program("flumebeam", ["run", "drain_to_hdfs", *writing, *host], place / "drain.log") as drain,
            Program("flumebeam", ["run", "ingest", *reading, *packing, *host], place / "ingest.log") as ingest,
        ):
            programs = {"ingest": ingest, "drain": drain}
            while any([program.running() for program in programs.values()]):
                for name, program in programs.items():
                    if program.running() and (now := program.usage().rss_bytes):
                        samples[name].append(now)
                samples["broker"].append(broker.usage().rss_bytes)
                waiting = broker.depth("rolled").messages
                tell(f"{lane}: {events:,} events, {time.monotonic() - begin:.0f} s, {waiting:,} messages wait")
                if time.monotonic() > deadline:
                    raise ProgramFailedError(f"{events} events did not pass at {_LEAST_RATE:.0f} a second.")
                time.sleep(_SAMPLE_SECONDS)
        seconds = time.monotonic() - begin
    tell(f"{lane}: comparing")
    files = visible_files(target)
    if digest(files) != digest([source]):
        raise ProgramFailedError(f"The files do not hold the {events} events once each: figures of it mean nothing.")
    sizes = sorted(file.stat().st_size for file in files)
    return RolledRun(lane, events, seconds, sizes, {name: _halves(seen) for name, seen in samples.items()})


def _halves(samples: list[int]) -> tuple[int, int]:
    warm = samples[int(len(samples) * _WARM_SHARE) :] or [0]
    half = len(warm) // 2
    return max(warm[:half] or warm), max(warm[half:])
