"""Suite ``growth``: the packed chain as work grows, over events, open paths and bytes of a body.

Each point is one run of ``chain``. Where only one thing grows, a flat line is what we want: rate per event, and memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any, Final

from tests.bench.chain import ChainRun, our_chain
from tests.bench.programs import ProgramFailedError
from tests.bench.workload import digest, line, visible_files, write_lines

__all__ = ["AXES", "Growth", "Point", "measure_growth", "points"]

AXES: Final = {
    "events": "events",
    "paths": "open paths",
    "queues": "queues that get each event",
    "size": "bytes of a body",
}
"""What grows, and what tables call it. Of queues, each gets every event, and one is drained."""
_QUEUES: Final = (1, 10, 100)
_LEAST_OF_QUEUES: Final = 100
_BODY_BYTES: Final = (200, 2_000, 20_000)
_LINE_BYTES: Final = 200
_MOST_EVENTS_OF_PATHS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Point:
    """What one run is given.

    Attributes:
        axis: What grows, of :data:`AXES`.
        events: Events in all.
        paths: Directories that they go to, all open at once at the end.
        queues: Queues that get each of them; one is drained.
        size: Bytes of a body.
    """

    axis: str
    events: int
    paths: int = 1
    queues: int = 1
    size: int = _LINE_BYTES

    @property
    def value(self) -> int:
        """Where it stands on its axis."""
        return int(getattr(self, self.axis))


@dataclass(frozen=True, slots=True)
class Growth:
    """All points with their runs.

    Attributes:
        runs: In order.
    """

    runs: list[tuple[Point, ChainRun]]

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain data: by axis, and by the value on it."""
        found: dict[str, Any] = {}
        for point, run in self.runs:
            found.setdefault(point.axis, {})[str(point.value)] = {
                "events": point.events,
                "events_per_second": run.rate,
                "megabytes_per_second": run.rate * point.size / 1e6,
                "cpu_seconds_per_million": run.cpu,
                "peak_rss_bytes": run.peak_rss_bytes,
            }
        return found


def points(events: Sequence[int], paths: Sequence[int]) -> list[Point]:
    """Return what is measured.

    Args:
        events: Numbers of events, in ascending order.
        paths: Numbers of paths.
    """
    most = events[-1]
    of_paths = min(most, _MOST_EVENTS_OF_PATHS)
    return [
        *(Point("events", count) for count in events),
        *(Point("paths", of_paths, paths=count) for count in paths if count <= of_paths),
        # With fewer events for each queue, making the queues would be what is measured.
        *(Point("queues", events[0], queues=count) for count in _QUEUES if count <= events[0] // _LEAST_OF_QUEUES),
        # Equal bytes rather than equal events: a run of large bodies would be as long as it is wide.
        *(Point("size", max(events[0] * _LINE_BYTES // size, 1), size=size) for size in _BODY_BYTES),
    ]


def measure_growth(workspace: Path, wanted: Sequence[Point], *, tell: Callable[[str], None]) -> Growth:
    """Run the packed chain at each point, and compare what it wrote with what it was given.

    Args:
        workspace: An empty directory.
        wanted: The points.
        tell: Called with what is done at the moment.
    """
    return Growth([(point, _run(workspace, point, tell)) for point in wanted])


def _run(workspace: Path, point: Point, tell: Callable[[str], None]) -> ChainRun:
    tell(f"{point.events:,} events of {point.size:,} bytes, {point.paths:,} paths")
    place = workspace / f"{point.axis}-{point.value}"
    (place / "input").mkdir(parents=True)
    sources = _write(place / "input", point)
    drain = ["--path", "%{basename}"] if point.paths > 1 else []
    run = our_chain(place, sources, point.events, ingest=["--pack"], drain=drain, queues=point.queues)
    if digest(visible_files(place / "files")) != digest(sources):
        raise ProgramFailedError(f"The chain lost or changed events at {point}: figures of it mean nothing.")
    rmtree(place)
    return run


def _write(directory: Path, point: Point) -> list[Path]:
    """Write the input: a file for each path, whose name becomes the path."""
    if point.paths == 1:
        return [write_lines(directory / "input.log", point.events, point.size)]
    each = -(-point.events // point.paths)
    sources = []
    for number in range(point.paths):
        first, stop = number * each, min((number + 1) * each, point.events)
        if first < stop:
            sources.append(directory / f"{number:05}.log")
            sources[-1].write_bytes(b"".join(line(each, point.size) + b"\n" for each in range(first, stop)))
    return sources
