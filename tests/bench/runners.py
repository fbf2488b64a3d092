"""Suite ``runners``: the same drain and speed layer on every runner of this machine, and what each runner costs.

A drain empties a queue, for its rate and its CPU; then drain and speed layer, one after the other, get a steady stream,
for their latencies. The runner's program (Prism, or the job server with Flink or Spark in it) is counted apart from the
driver, which has the workers in it. Starting is outside, and each runner has run a small job before.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flumebeam.runners.artifacts import prism
from flumebeam.runners.job_servers import FlinkJobServer, SparkJobServer
from tests.bench.broker_host import BrokerProcess
from tests.bench.chain import ChainRun, until, watch
from tests.bench.figures import Spread, per_million, percentile, spread
from tests.bench.latencies import read_latencies, read_lines
from tests.bench.procfs import Usage, own_usage, usage
from tests.bench.programs import Program, ProgramFailedError
from tests.bench.workload import digest, visible_files, write_lines

__all__ = ["LANES", "STREAMING", "Latency", "Placed", "Runners", "measure_runners", "placed"]

LANES: Final = {
    "fn_api": "FnApiRunner",
    "prism": "Prism",
    "flink": "Flink [local]",
    "spark": "Spark local",
}
"""The runners, and what tables call them."""
STREAMING: Final = ("fn_api", "prism", "flink")
"""Those that run what does not end. Spark runs a queue as one batch: the latency of its events is how long it takes."""

_NOTHING: Final = Usage(0.0, 0)
_WARM_UP_EVENTS: Final = 3_000
_WARM_UP_SECONDS: Final = 5.0
_START_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Placed:
    """A runner that takes pipelines.

    Attributes:
        options: What a pipeline is given to run there.
        server: Process id of its job server; ``None`` where its program, if any, is a child of the driver.
    """

    options: list[str]
    server: int | None = None

    def usages(self, driver: Program) -> dict[str, Callable[[], Usage]]:
        """Return what tells the use of the driver with the workers in it, and of the runner's own program."""

        def runner() -> Usage:
            if self.server is not None:
                return usage(self.server) or _NOTHING
            every, own = driver.usage(), own_usage(driver.pid) or _NOTHING
            return Usage(every.cpu_seconds - own.cpu_seconds, every.rss_bytes - own.rss_bytes)

        return {"driver": lambda: own_usage(driver.pid) or _NOTHING, "runner": runner}


@contextlib.contextmanager
def placed(lane: str, directory: Path) -> Iterator[Placed]:
    """Start a runner, if it has a program that outlives a job.

    Args:
        lane: One of :data:`LANES`.
        directory: Gets its log.

    Raises:
        ConfigurationError: Java or Go is missing, or it cannot be fetched.
    """
    directory.mkdir(exist_ok=True)
    if lane == "fn_api":
        yield Placed(["--runner=FnApiRunner"])
    elif lane == "prism":
        yield Placed(["--runner=PrismRunner", f"--prism_location={prism()}"])
    else:
        server = FlinkJobServer(directory) if lane == "flink" else SparkJobServer(directory, "local[2]")
        runner = (
            ["--runner=FlinkRunner"] if lane == "flink" else ["--runner=SparkRunner", "--spark_master_url=local[2]"]
        )
        with server:
            yield Placed([*runner, f"--job_endpoint={server.endpoint}"], server.daemon.pid)


@dataclass(frozen=True, slots=True)
class Latency:
    """From the put of an event until it was there.

    Attributes:
        events: How many were measured.
        p50_ms: Half of them were there within so many milliseconds.
        p99_ms: 99 of 100 were.
        cpu_shares: CPU time per second of driver, runner and broker meanwhile.
    """

    events: int
    p50_ms: float
    p99_ms: float
    cpu_shares: dict[str, float]


@dataclass(frozen=True, slots=True)
class Runners:
    """What was measured.

    Attributes:
        size: Bytes of a line.
        rate: Events per second of the steady stream.
        drains: Runs of the drain by runner; the process ``runner`` is its own program.
        latencies: By layer, ``drain`` and ``speed``, and by runner.
    """

    size: int
    rate: int
    drains: dict[str, list[ChainRun]]
    latencies: dict[str, dict[str, Latency]]

    def drain_rate(self, lane: str) -> Spread:
        """Return events per second."""
        return spread([run.rate for run in self.drains[lane]])

    def drain_cpu(self, lane: str, process: str) -> float:
        """Return CPU seconds of a process per million events, the median."""
        return spread([per_million(run.cpu_seconds[process], run.events) for run in self.drains[lane]]).median

    def cost(self, lane: str) -> float:
        """Return what a runner costs beside the in-process one, microseconds of CPU per event."""

        def both(one: str) -> float:
            return self.drain_cpu(one, "driver") + self.drain_cpu(one, "runner")

        return both(lane) - both("fn_api")

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain data."""
        found: dict[str, Any] = {"line_bytes": self.size, "rate": self.rate}
        for lane, runs in self.drains.items():
            rate = self.drain_rate(lane)
            found[lane] = {
                "meaning": LANES[lane],
                "events_per_second": {"median": rate.median, "low": rate.low, "high": rate.high},
                "cpu_seconds_per_million": {name: self.drain_cpu(lane, name) for name in runs[0].cpu_seconds},
                "cost_us_per_event": self.cost(lane),
                "peak_rss_bytes": {name: max(run.peak_rss_bytes[name] for run in runs) for name in runs[0].cpu_seconds},
                "runs_events_per_second": [run.rate for run in runs],
                "layers": {
                    layer: {"p50_ms": by[lane].p50_ms, "p99_ms": by[lane].p99_ms, "cpu_shares": by[lane].cpu_shares}
                    for layer, by in self.latencies.items()
                    if lane in by
                },
            }
        return found


def measure_runners(
    workspace: Path, *, events: int, size: int, rate: int, seconds: float, runs: int, tell: Callable[[str], None]
) -> Runners:
    """Measure all runners, in turn.

    Args:
        workspace: An empty directory.
        events: Events of one run of a drain.
        size: Bytes of a line.
        rate: Events per second of the steady stream.
        seconds: How long that is measured.
        runs: Rounds of drains.
        tell: Called with what is done at the moment.
    """
    sources = [write_lines(workspace / f"{count}.log", count, size) for count in (_WARM_UP_EVENTS, events)]
    drains: dict[str, list[ChainRun]] = {lane: [] for lane in LANES}
    latencies: dict[str, dict[str, Latency]] = {"drain": {}, "speed": {}}
    for run in range(runs):
        for lane, meaning in LANES.items():
            place = workspace / f"{lane}-{run}"
            with placed(lane, place) as runner:
                for source, count in zip(sources, (_WARM_UP_EVENTS, events), strict=True):
                    tell(f"run {run + 1} of {runs}, {meaning}: {count:,} events")
                    found = _drain(place / str(count), runner, source, count)
                drains[lane].append(found)
                if run == runs - 1 and lane in STREAMING:
                    for layer, by in latencies.items():
                        tell(f"{meaning}: latency of the {layer}")
                        by[lane] = _latency(place / layer, layer, runner, rate=rate, size=size, seconds=seconds)
    return Runners(size, rate, drains, latencies)


def _drain(place: Path, runner: Placed, source: Path, events: int) -> ChainRun:
    """Fill a queue, and watch a drain empty it."""
    place.mkdir()
    with ExitStack() as stack:
        broker = stack.enter_context(BrokerProcess())
        broker.create_queue("drain", "bench/drain")
        options = ["--input", str(source), "--topic", "bench/drain", "--tracker_dir", str(place / "positions")]
        host = ["--solace_host", broker.url]
        with Program("flumebeam", ["run", "ingest", *options, *host], place / "ingest.log") as ingest:
            ingest.wait(_START_SECONDS + events / 1000)
        filled = broker.depth("drain").messages
        options = ["--queue", "drain", "--target", str(place / "files"), "--max_events", str(events), *runner.options]
        driver = stack.enter_context(
            Program("flumebeam", ["run", "drain_to_hdfs", *options, *host], place / "drain.log")
        )

        def begun() -> bool:
            depth = broker.depth("drain")
            return depth.unacknowledged > 0 or depth.messages < filled

        found = watch(
            events,
            {**runner.usages(driver), "broker": broker.usage},
            begun=begun,
            over=lambda: broker.depth("drain").messages == 0,
            programs=[driver],
        )
        driver.wait(_START_SECONDS)
    if digest(visible_files(place / "files")) != digest([source]):
        raise ProgramFailedError(f"{' '.join(runner.options)} did not write the lines that were sent.")
    return found


def _latency(place: Path, layer: str, runner: Placed, *, rate: int, size: int, seconds: float) -> Latency:
    """Send a steady stream to a layer, and return when its events were there: in a file, or in the user's function."""
    place.mkdir()
    publishing, files, notes = place / "publishing", place / "files", place / "latencies"
    publishing.touch()
    with ExitStack() as stack:
        broker = stack.enter_context(BrokerProcess())
        broker.create_queue(layer, "bench/stream")
        if layer == "drain":
            options = ["--queue", layer, "--target", str(files), "--roll=transaction", "--solace_host", broker.url]
            driver = Program("flumebeam", ["run", "drain_to_hdfs", *options, *runner.options], place / "layer.log")
        else:
            options = ["--host", broker.url, "--queue", layer, "--notes", str(notes), "--beam", *runner.options]
            driver = Program("tests.bench.layers", ["speed", *options], place / "layer.log")
        stack.enter_context(driver)
        until("the layer had bound its queue", lambda: broker.depth(layer).consumers > 0, [driver], _START_SECONDS)
        options = ["--host", broker.url, "--topic", "bench/stream", "--run", str(publishing)]
        options += ["--rate", str(rate), "--size", str(size)]
        publisher = stack.enter_context(Program("tests.bench.layers", ["publish", *options], place / "publish.log"))
        usages = {**runner.usages(driver), "broker": broker.usage}
        until("events came", lambda: _has_some(files, notes), [driver, publisher], _START_SECONDS)
        _pass(_WARM_UP_SECONDS, driver, publisher)
        begin, before = time.time_ns(), {name: each().cpu_seconds for name, each in usages.items()}
        _pass(seconds, driver, publisher)
        end, after = time.time_ns(), {name: each().cpu_seconds for name, each in usages.items()}
        publishing.unlink()
        publisher.wait(_START_SECONDS)
        until("everything was taken", lambda: broker.depth(layer).messages == 0, [driver], _START_SECONDS)
    times = read_lines(visible_files(files)) if layer == "drain" else read_latencies(notes)
    taken = sorted(latency for put, latency in times if begin <= put < end)
    if not taken:
        raise ProgramFailedError(f"No event reached the {layer} on {' '.join(runner.options)}.")
    shares = {name: (spent - before[name]) * 1e9 / (end - begin) for name, spent in after.items()}
    return Latency(len(taken), percentile(taken, 0.5), percentile(taken, 0.99), shares)


def _has_some(files: Path, notes: Path) -> bool:
    return bool(visible_files(files)) or (notes.exists() and notes.stat().st_size > 0)


def _pass(seconds: float, *programs: Program) -> None:
    """Let time go by while programs run."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        for program in programs:
            if not program.running():
                raise ProgramFailedError("A program ended in the middle of its stream.")
        time.sleep(min(left, 0.2))
