"""Suite ``endurance``: does memory grow with time? A source with short bundles on each runner that streams, for long.

Beam keeps something for each bundle in some places, so bundles are many here: one each twentieth of a second. All
runners run side by side, on one broker; Flink as a cluster with checkpoints, whose size is taken, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import linear_regression
from typing import Any, Final

import requests

from flumebeam.daemons import free_ports
from flumebeam.runners.artifacts import prism
from flumebeam.runners.flink_rest import FlinkRest
from tests.bench.broker_host import BrokerProcess
from tests.bench.chain import until
from tests.bench.procfs import family, own_usage
from tests.bench.programs import Program, ProgramFailedError

__all__ = ["Endurance", "Growth", "growth_of", "measure_endurance"]

_BUNDLE_SECONDS: Final = 0.05
_SAMPLE_SECONDS: Final = 10.0
_START_SECONDS: Final = 180.0
_SETTLED_SHARE: Final = 0.2
"""Of the time: what comes before it is warming up."""
_CHECKPOINT: Final = "checkpoint"
_ROOT: Final = Path(__file__).parents[2]
_KINDS: Final = {
    b"flumebeam-worker": "worker",
    b"StandaloneSessionClusterEntrypoint": "JobManager",
    b"TaskManagerRunner": "TaskManager",
    b"job-server.jar": "job server",
    b"/prism": "Prism",
}


@dataclass(frozen=True, slots=True)
class Growth:
    """How one process's memory went.

    Attributes:
        first: Bytes, when all was warm.
        last: Bytes, at the end.
        per_second: Slope of the straight line through all samples between, bytes.
    """

    first: float
    last: float
    per_second: float


@dataclass(frozen=True, slots=True)
class Endurance:
    """What was measured.

    Attributes:
        seconds: How long.
        rate: Events per second.
        bundles: By runner, those that had something.
        programs: By runner and process; ``checkpoint`` is the size of Flink's last one.
    """

    seconds: float
    rate: int
    bundles: dict[str, int]
    programs: dict[str, dict[str, Growth]]

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return asdict(self)


def growth_of(samples: list[tuple[float, float]]) -> Growth | None:
    """Return the growth that samples show, seconds and bytes each; ``None`` if too few are behind the warming up."""
    settled = [(at, nbytes) for at, nbytes in samples if at >= samples[-1][0] * _SETTLED_SHARE]
    if len(settled) < 3:
        return None
    slope = linear_regression(*zip(*settled, strict=True)).slope
    return Growth(settled[0][1], settled[-1][1], slope)


def measure_endurance(workspace: Path, *, rate: int, seconds: float, tell: Callable[[str], None]) -> Endurance:
    """Run all runners that stream side by side, and watch their memory.

    Args:
        workspace: An empty directory.
        rate: Events per second.
        seconds: How long.
        tell: Called with what is done at the moment.
    """
    publishing = workspace / "publishing"
    publishing.touch()
    series: dict[str, dict[str, list[tuple[float, float]]]] = {}
    with ExitStack() as stack:

        def start(name: str, module: str, *arguments: str) -> Program:
            log, path = workspace / f"{name}.log", {"PYTHONPATH": str(_ROOT)}
            return stack.enter_context(Program(module, arguments, log, path))

        broker = stack.enter_context(BrokerProcess())
        (port,) = free_ports(1)
        flink = f"127.0.0.1:{port}"
        cluster = start("cluster", "flumebeam", "cluster", "flink", "--port", str(port), "--task_managers", "1")
        until("Flink was ready", lambda: bool(FlinkRest(flink).slots()), [cluster], _START_SECONDS)
        where = {
            "fn_api": ["--runner=FnApiRunner"],
            "prism": ["--runner=PrismRunner", f"--prism_location={prism()}"],
            "flink": ["--runner=FlinkRunner", f"--flink_master={flink}"],
        }
        drivers: dict[str, Program] = {}
        for lane, options in where.items():
            tell(f"{lane} starts")
            broker.create_queue(lane, "bench/endurance")
            counted = ["--bundles", str(workspace / lane), "--bundle-seconds", str(_BUNDLE_SECONDS)]
            drivers[lane] = start(
                lane, "tests.bench.layers", "count", "--host", broker.url, "--queue", lane, *counted, "--beam", *options
            )
            until(
                "a queue was bound",
                lambda lane=lane: broker.depth(lane).consumers > 0,
                drivers.values(),
                _START_SECONDS,
            )  # type: ignore[misc]
        steady = ["--rate", str(rate), "--size", "200", "--run", str(publishing)]
        publisher = start(
            "publisher", "tests.bench.layers", "publish", "--host", broker.url, "--topic", "bench/endurance", *steady
        )
        begin = time.monotonic()
        while (now := time.monotonic() - begin) < seconds:
            for lane, driver in drivers.items():
                if not driver.running():
                    raise ProgramFailedError(f"The driver on {lane} ended.")
                members = dict(_members(driver, cluster if lane == "flink" else None))
                if lane == "flink":
                    members[_CHECKPOINT] = _checkpoint_bytes(flink)
                for name, nbytes in members.items():
                    series.setdefault(lane, {}).setdefault(name, []).append((now, nbytes))
            tell(f"{now / 60:.0f} of {seconds / 60:.0f} minutes")
            time.sleep(min(_SAMPLE_SECONDS, seconds / 10))
        publishing.unlink()
        publisher.wait(_START_SECONDS)
        until("all was taken", lambda: not any(broker.depth(lane).messages for lane in where), drivers.values())
        bundles = {lane: (workspace / lane).stat().st_size for lane in where}
    growths = {lane: {name: growth_of(found) for name, found in by.items()} for lane, by in series.items()}
    programs = {lane: {name: growth for name, growth in by.items() if growth} for lane, by in growths.items()}
    return Endurance(seconds, rate, bundles, programs)


def _members(driver: Program, cluster: Program | None) -> Iterator[tuple[str, float]]:
    """Yield each process at work for a driver, with its resident memory."""
    for pid, command in [*family(driver.pid), *(family(cluster.pid) if cluster else ())]:
        kind = next((name for mark, name in _KINDS.items() if mark in command), None)
        kind = "driver" if pid == driver.pid else kind
        if kind is not None and (used := own_usage(pid)) is not None:
            yield kind, float(used.rss_bytes)


def _checkpoint_bytes(master: str) -> float:
    """Return the size of the last completed checkpoint of the one job of a Flink, 0 if there is none yet."""
    with requests.Session() as session:
        session.trust_env = False
        running = [job.id for job in FlinkRest(master).jobs() if not job.ended]
        if not running:
            raise ProgramFailedError("The job on Flink ended.")
        found = session.get(f"http://{master}/jobs/{running[0]}/checkpoints", timeout=10).json()
    completed = found["latest"]["completed"]
    return float(completed["checkpointed_size"] if completed else 0)
