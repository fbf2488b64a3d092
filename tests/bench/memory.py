"""Suite ``memory``: does the memory of ingest and drain grow with the number of events?

Both run side by side, as users run them, once with few events and once with many.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.bench.broker_host import BrokerProcess
from tests.bench.figures import is_flat, thinned
from tests.bench.programs import Program, ProgramFailedError
from tests.bench.workload import lines_in, write_lines

__all__ = ["Memory", "MemoryRun", "Residence", "measure_memory"]

_SAMPLE_SECONDS: Final = 0.25
_KEPT_SAMPLES: Final = 40
_PATIENCE_SECONDS: Final = 900.0


@dataclass(frozen=True, slots=True)
class Residence:
    """Resident memory of one program over one run, its children included; bytes.

    Attributes:
        peak: The most that was seen.
        final: What was seen last before it ended.
        samples: Some of what was seen, evenly over the run.
    """

    peak: int
    final: int
    samples: list[int]

    @classmethod
    def of(cls, seen: list[int]) -> Residence:
        """Return the figures of all samples of a run, in order of time."""
        if not seen:
            raise ProgramFailedError("A program ended before its memory was looked at.")
        return cls(max(seen), seen[-1], [round(value) for value in thinned(seen, _KEPT_SAMPLES)])


@dataclass(frozen=True, slots=True)
class MemoryRun:
    """One run.

    Attributes:
        events: Events that went through.
        seconds: How long both programs ran, their start included.
        programs: ``ingest`` and ``drain``.
    """

    events: int
    seconds: float
    programs: dict[str, Residence]


@dataclass(frozen=True, slots=True)
class Memory:
    """A small run and a large one.

    Attributes:
        size: Bytes of a line.
        small: Few events.
        large: Many events.
    """

    size: int
    small: MemoryRun
    large: MemoryRun

    def flat(self, program: str) -> bool:
        """Tell whether the larger run needed no more memory, at its peak and at its end."""
        small, large = self.small.programs[program], self.large.programs[program]
        return is_flat(small.peak, large.peak) and is_flat(small.final, large.final)

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain data."""
        found: dict[str, Any] = {
            "line_bytes": self.size,
            "flat": {name: self.flat(name) for name in self.small.programs},
        }
        for run in (self.small, self.large):
            found[str(run.events)] = {
                name: {"peak_rss_bytes": seen.peak, "final_rss_bytes": seen.final, "samples": seen.samples}
                for name, seen in run.programs.items()
            }
        return found


def measure_memory(workspace: Path, *, small: int, large: int, size: int, tell: Callable[[str], None]) -> Memory:
    """Send few and then many events through ingest and drain and return what they needed.

    Args:
        workspace: An empty directory.
        small: Events of the first run.
        large: Events of the second run, more than ``small``.
        size: Bytes of a line.
        tell: Called with what is done at the moment.
    """

    def run(events: int) -> MemoryRun:
        tell(f"{events:,} events through ingest and drain")
        place = workspace / str(events)
        place.mkdir()
        return _run(place, events, size)

    return Memory(size, run(small), run(large))


def _run(place: Path, events: int, size: int) -> MemoryRun:
    source, target = write_lines(place / "input.log", events, size), place / "files"
    seen: dict[str, list[int]] = {"ingest": [], "drain": []}
    begin = time.monotonic()
    with BrokerProcess() as broker:
        broker.create_queue("memory", "bench/memory")
        host = ["--solace_host", broker.url]
        reading = ["--input", str(source), "--topic", "bench/memory", "--tracker_dir", str(place / "positions"), *host]
        writing = ["--queue", "memory", "--max_events", str(events), "--target", str(target), *host]
        with (
            Program("flumebeam", ["run", "drain_to_hdfs", *writing], place / "drain.log") as drain,
            Program("flumebeam", ["run", "ingest", *reading], place / "ingest.log") as ingest,
        ):
            programs = {"ingest": ingest, "drain": drain}
            while any([program.running() for program in programs.values()]):
                for name, program in programs.items():
                    if program.running() and (now := program.usage().rss_bytes):
                        seen[name].append(now)
                if time.monotonic() - begin > _PATIENCE_SECONDS:
                    raise ProgramFailedError(f"{events} events did not pass within {_PATIENCE_SECONDS:.0f} s.")
                time.sleep(_SAMPLE_SECONDS)
    if (found := lines_in(target)) != events:
        raise ProgramFailedError(f"The drain wrote {found} lines of {events}: figures of it mean nothing.")
    return MemoryRun(events, time.monotonic() - begin, {name: Residence.of(values) for name, values in seen.items()})
