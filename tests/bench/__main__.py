"""``python -m tests.bench [SUITE...]``: what ``make bench`` runs. Figures, not tests: nothing here can fail by time."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from flumebeam.errors import ConfigurationError
from flumebeam.hdfs.cluster import LocalHdfs
from tests.bench.broker import measure_broker
from tests.bench.chain import chain_lanes, measure_chains
from tests.bench.comparing import comparison_report
from tests.bench.conditions import conditions, measure_conditions
from tests.bench.endurance import measure_endurance
from tests.bench.flume import flume_hdfs_lanes, flume_lanes
from tests.bench.formats import measure_formats
from tests.bench.growth import measure_growth, points
from tests.bench.hdfs import measure_hdfs
from tests.bench.lane_report import conditions_report, lanes_report, latency_report, stages_report
from tests.bench.lanes import measure_lanes
from tests.bench.latency import measure_latencies
from tests.bench.memory import measure_memory
from tests.bench.page import page
from tests.bench.programs import ProgramFailedError
from tests.bench.report import (
    beam_report,
    broker_report,
    chain_report,
    formats_report,
    growth_report,
    hdfs_report,
    memory_report,
    rolled_report,
    stall_report,
    throughput_report,
)
from tests.bench.rolled import measure_rolled
from tests.bench.runner_report import endurance_report, runners_report, scaling_report
from tests.bench.runners import measure_runners
from tests.bench.scaling import measure_scaling
from tests.bench.stages import measure_stages
from tests.bench.stall import measure_stall
from tests.bench.targets import HdfsTarget
from tests.bench.through_beam import measure_through_beam
from tests.bench.throughput import measure_throughput
from tests.bench.workload import MIN_LINE_BYTES

__all__ = ["SUITES", "Sizes", "main", "make_parser", "sizes_of"]

SUITES: Final = {
    "throughput": "events per second and CPU of ingest and drain, beside plain loops",
    "beam": "what Beam costs: read, transacted and persistent write, through Beam and by a plain loop",
    "lanes": "put and take of the channel on each lane through the client, two sizes, with headers and without",
    "chain": "file to files through ingest, broker and drain at once, packed and not",
    "flume": "the same beside Apache Flume 1.11 from Maven Central (needs Java; only if named)",
    "flume-hdfs": "the same with all files in a real HDFS (needs Java; only if named)",
    "formats": "events and megabytes per second of a core by format and codec, and with misfits",
    "hdfs": "the drain into a real HDFS, beside a Java client that writes such files (needs Java; only if named)",
    "growth": "the packed chain over events, open paths and bytes of a body",
    "rolled": "very many events into files of 128 MB, packed and one a message (an hour; only if named)",
    "broker": "messages per second and CPU of the development broker, and its memory",
    "stall": "latency of the speed layer while the batch layer hangs",
    "stages": "CPU of each step of a batch by itself: codec, mapping, packs, lines",
    "latency": "from the put to the user's function, and to a file, at several rates",
    "conditions": "the chain with a round trip, compressed, and under the free edition's limit",
    "memory": "resident memory of ingest and drain as the number of events grows",
    "runners": "drain and speed layer on FnApiRunner, Prism, Flink and Spark (needs Java and Go; only if named)",
    "scaling": "1, 2 and 4 drains at once (only if named)",
    "endurance": "memory over an hour on FnApiRunner, Prism and a Flink cluster (needs Java and Go; only if named)",
}


_NOT_BY_DEFAULT: Final = ("flume", "flume-hdfs", "hdfs", "rolled", "runners", "scaling", "endurance")


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """How much is measured.

    Attributes:
        events: Events of each lane in one run of ``throughput``, ``beam``, ``lanes`` and ``hdfs``.
        runs: Runs of ``throughput``, ``beam``, ``lanes``, ``chain``, ``flume``, ``flume-hdfs``, ``formats``, ``hdfs``,
            ``broker`` and ``runners``.
        chain_events: Events of one run of ``chain``, ``flume`` and ``flume-hdfs``; packed five times as many.
        format_events: Events of one run of ``formats``.
        growth_events: Numbers of events of ``growth``, in ascending order.
        growth_paths: Numbers of paths of ``growth``.
        rolled_events: Events of the packed and of the other run of ``rolled``.
        stall_seconds: How long the batch layer runs normally, and then hangs.
        broker_messages: Messages of one case and run of ``broker``.
        broker_memory_messages: Messages that pass the broker for its memory.
        rate: Events per second of ``stall`` and ``runners``.
        memory_events: Events of the small and of the large run of ``memory``.
        runner_events: Events of one run of a drain of ``runners``, and of all drains together of ``scaling``.
        runner_seconds: How long latencies of ``runners`` are taken.
        flows: Drains at once of ``scaling``, in ascending order.
        endurance_seconds: How long ``endurance`` takes.
        stage_events: Events of a batch of ``stages``.
        stage_rounds: How often each stage gets it.
        rates: Events per second of ``latency``.
        latency_seconds: How long ``latency`` holds each rate.
        condition_events: Events of a run of ``conditions``; packed ten times as many.
        rtt_ms: Round trips of ``conditions``, milliseconds.
        size: Bytes of a line.
    """

    events: int = 40_000
    runs: int = 3
    chain_events: int = 400_000
    format_events: int = 50_000
    growth_events: tuple[int, ...] = (100_000, 1_000_000)
    growth_paths: tuple[int, ...] = (1, 100, 10_000)
    rolled_events: tuple[int, int] = (10_000_000, 10_000_000)
    stall_seconds: float = 30.0
    broker_messages: int = 200_000
    broker_memory_messages: int = 10_000_000
    rate: int = 1_000
    memory_events: tuple[int, int] = (100_000, 1_000_000)
    runner_events: int = 100_000
    runner_seconds: float = 20.0
    flows: tuple[int, ...] = (1, 2, 4)
    endurance_seconds: float = 3600.0
    stage_events: int = 5_000
    stage_rounds: int = 20
    rates: tuple[int, ...] = (1_000, 5_000)
    latency_seconds: float = 20.0
    condition_events: int = 20_000
    rtt_ms: tuple[int, ...] = (0, 50, 200)
    size: int = 200


_QUICK: Final = Sizes(
    events=5_000,
    runs=1,
    chain_events=40_000,
    format_events=10_000,
    growth_events=(20_000, 100_000),
    growth_paths=(1, 100, 1_000),
    rolled_events=(100_000, 20_000),
    stall_seconds=4.0,
    memory_events=(3_000, 12_000),
    broker_messages=10_000,
    broker_memory_messages=200_000,
    runner_events=20_000,
    runner_seconds=5.0,
    endurance_seconds=120.0,
    stage_events=1_000,
    stage_rounds=3,
    latency_seconds=3.0,
    condition_events=2_000,
    rtt_ms=(0, 50),
)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Measures the main job on this machine: "
        + "; ".join(f"{name}: {meaning}" for name, meaning in SUITES.items())
        + ".",
    )
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(SUITES)} [all]")
    parser.add_argument("--quick", action="store_true", help="small sizes: about a minute in all, rough figures")
    parser.add_argument("--events", type=_positive, metavar="N", help="events of a lane and run of throughput [40000]")
    parser.add_argument("--runs", type=_positive, metavar="R", help="runs of most suites [3]")
    parser.add_argument(
        "--chain-events", type=_positive, metavar="N", help="events of a run of chain and flume; packed x 5 [400000]"
    )
    parser.add_argument("--format-events", type=_positive, metavar="N", help="events of a run of formats [50000]")
    parser.add_argument(
        "--growth-events",
        type=_positive,
        nargs="+",
        metavar="N",
        help="events of growth, in ascending order [100000 1000000]",
    )
    parser.add_argument(
        "--growth-paths", type=_positive, nargs="+", metavar="N", help="open paths of growth [1 100 10000]"
    )
    parser.add_argument(
        "--rolled-events",
        type=_positive,
        nargs=2,
        metavar=("PACKED", "SINGLE"),
        help="events of the two runs of rolled [10000000 10000000]",
    )
    parser.add_argument("--size", type=_positive, metavar="BYTES", help="bytes of a line [200]")
    parser.add_argument("--stall-seconds", type=float, metavar="S", help="how long the batch layer hangs [30]")
    parser.add_argument("--rate", type=_positive, metavar="N", help="events per second of stall [1000]")
    parser.add_argument(
        "--memory-events",
        type=_positive,
        nargs=2,
        metavar=("SMALL", "LARGE"),
        help="events of the two runs of memory [100000 1000000]",
    )
    parser.add_argument("--broker-messages", type=_positive, metavar="N", help="messages of a case of broker [200000]")
    parser.add_argument(
        "--broker-memory-messages", type=_positive, metavar="N", help="messages that pass the broker [10000000]"
    )
    parser.add_argument(
        "--runner-events", type=_positive, metavar="N", help="events of a drain of runners and scaling [100000]"
    )
    parser.add_argument("--runner-seconds", type=float, metavar="S", help="how long runners takes latencies [20]")
    parser.add_argument("--flows", type=_positive, nargs="+", metavar="N", help="drains at once of scaling [1 2 4]")
    parser.add_argument("--endurance-seconds", type=float, metavar="S", help="how long endurance takes [3600]")
    parser.add_argument("--stage-events", type=_positive, metavar="N", help="events of a batch of stages [5000]")
    parser.add_argument("--stage-rounds", type=_positive, metavar="R", help="how often a stage gets it [20]")
    parser.add_argument(
        "--rates", type=_positive, nargs="+", metavar="N", help="events per second of latency [1000 5000]"
    )
    parser.add_argument("--latency-seconds", type=float, metavar="S", help="how long latency holds a rate [20]")
    parser.add_argument(
        "--condition-events", type=_positive, metavar="N", help="events of a run of conditions; packed x 10 [20000]"
    )
    parser.add_argument("--rtt-ms", type=int, nargs="+", metavar="MS", help="round trips of conditions [0 50 200]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with plots there")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="JSON of an earlier run, to be compared with")
    return parser


def _positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value


def sizes_of(options: argparse.Namespace) -> Sizes:
    """Return how much to measure: the defaults, or the quick ones, and what was named on the command line."""
    base = _QUICK if options.quick else Sizes()
    named = {name: getattr(options, name) for name in Sizes.__dataclass_fields__}
    chosen = {name: getattr(base, name) if value is None else value for name, value in named.items()}
    return Sizes(**{name: tuple(value) if isinstance(value, list) else value for name, value in chosen.items()})


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and write the figures; return an exit status."""
    parser = make_parser()
    options = parser.parse_args(argv)
    suites = options.suites or [suite for suite in SUITES if suite not in _NOT_BY_DEFAULT]
    if unknown := [suite for suite in suites if suite not in SUITES]:
        parser.error(f"there is no suite {unknown[0]!r}; there are: {', '.join(SUITES)}")
    sizes = sizes_of(options)
    if sizes.size < MIN_LINE_BYTES:
        parser.error(f"--size must be at least {MIN_LINE_BYTES}, not {sizes.size}")
    if sizes.memory_events[0] >= sizes.memory_events[1]:
        parser.error("--memory-events takes the small number first")
    if list(sizes.growth_events) != sorted(set(sizes.growth_events)):
        parser.error("--growth-events takes numbers in ascending order")
    earlier = None
    if options.compare is not None:
        try:
            earlier = json.loads(options.compare.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            parser.error(f"--compare needs what --json has written: {error}")
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    results = _about_this_run()
    try:
        for suite in suites:
            results[suite] = _measure(suite, sizes, console)
    except (ProgramFailedError, ConfigurationError) as error:
        Console(stderr=True, highlight=False).print(f"bench: {error}", style="red", markup=False, soft_wrap=True)
        return 1
    if earlier is not None:
        console.print(comparison_report(results, earlier))
    if options.html is not None:
        options.html.write_text(page(results, earlier), encoding="utf-8")
        console.print(f"Page written to {options.html}")
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
        console.print(f"Figures written to {options.json}")
    return 0


def _measure(suite: str, sizes: Sizes, console: Console) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="flumebeam-bench-") as directory, console.status(suite) as status:
        place = Path(directory)

        def tell(what: str) -> None:
            status.update(f"{suite}: {what}")

        if suite == "throughput":
            through = measure_throughput(place, events=sizes.events, size=sizes.size, runs=sizes.runs, tell=tell)
            found, report = through.to_json(), throughput_report(through)
        elif suite == "beam":
            beam = measure_through_beam(place, events=sizes.events, runs=sizes.runs, tell=tell)
            found, report = beam.to_json(), beam_report(beam)
        elif suite == "lanes":
            lanes = measure_lanes(place, events=sizes.events, runs=sizes.runs, tell=tell)
            found, report = lanes.to_json(), lanes_report(lanes)
        elif suite in ("chain", "flume", "flume-hdfs"):
            with ExitStack() as stack:
                if suite == "flume-hdfs":
                    tell("starting HDFS")
                    cluster = stack.enter_context(LocalHdfs(place / "hdfs"))
                    chains = flume_hdfs_lanes(partial(HdfsTarget, cluster))
                else:
                    chains = flume_lanes() if suite == "flume" else chain_lanes()
                chain = measure_chains(
                    place, chains, events=sizes.chain_events, size=sizes.size, runs=sizes.runs, tell=tell
                )
            found, report = chain.to_json(), chain_report(chain)
        elif suite == "formats":
            formats = measure_formats(events=sizes.format_events, size=sizes.size, runs=sizes.runs, tell=tell)
            found, report = formats.to_json(), formats_report(formats)
        elif suite == "hdfs":
            hdfs = measure_hdfs(place, events=sizes.events, size=sizes.size, runs=sizes.runs, tell=tell)
            found, report = hdfs.to_json(), hdfs_report(hdfs)
        elif suite == "growth":
            wanted = points(sizes.growth_events, sizes.growth_paths)
            growth = measure_growth(place, wanted, tell=tell)
            found, report = growth.to_json(), growth_report(growth)
        elif suite == "rolled":
            packed, single = sizes.rolled_events
            rolled = measure_rolled(place, packed=packed, single=single, size=sizes.size, tell=tell)
            found, report = rolled.to_json(), rolled_report(rolled)
        elif suite == "stages":
            stages = measure_stages(events=sizes.stage_events, rounds=sizes.stage_rounds, tell=tell)
            found, report = stages.to_json(), stages_report(stages)
        elif suite == "latency":
            late = measure_latencies(place, sizes.rates, size=sizes.size, seconds=sizes.latency_seconds, tell=tell)
            found, report = late.to_json(), latency_report(late)
        elif suite == "conditions":
            cases = list(conditions(sizes.rtt_ms))
            lines = measure_conditions(place, cases, events=sizes.condition_events, size=sizes.size, tell=tell)
            found, report = lines.to_json(), conditions_report(lines)
        elif suite == "stall":
            stall = measure_stall(place, rate=sizes.rate, size=sizes.size, seconds=sizes.stall_seconds, tell=tell)
            found, report = stall.to_json(), stall_report(stall)
        elif suite == "broker":
            broker = measure_broker(
                place,
                messages=sizes.broker_messages,
                memory_messages=sizes.broker_memory_messages,
                runs=sizes.runs,
                tell=tell,
            )
            found, report = broker.to_json(), broker_report(broker)
        elif suite == "runners":
            runners = measure_runners(
                place,
                events=sizes.runner_events,
                size=sizes.size,
                rate=sizes.rate,
                seconds=sizes.runner_seconds,
                runs=sizes.runs,
                tell=tell,
            )
            found, report = runners.to_json(), runners_report(runners)
        elif suite == "scaling":
            scaling = measure_scaling(place, sizes.flows, events=sizes.runner_events, size=sizes.size, tell=tell)
            found, report = scaling.to_json(), scaling_report(scaling)
        elif suite == "endurance":
            endurance = measure_endurance(place, rate=100, seconds=sizes.endurance_seconds, tell=tell)
            found, report = endurance.to_json(), endurance_report(endurance)
        else:
            small, large = sizes.memory_events
            memory = measure_memory(place, small=small, large=large, size=sizes.size, tell=tell)
            found, report = memory.to_json(), memory_report(memory)
    console.print(report)
    return found


def _about_this_run() -> dict[str, Any]:
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "cpus": os.cpu_count(),
            "load_at_start": os.getloadavg()[0],
            "platform": platform.platform(),
            "python": platform.python_version(),
        },
        "versions": {name: metadata.version(name) for name in ("flumebeam", "apache-beam", "solace-pubsubplus")},
    }


if __name__ == "__main__":
    sys.exit(main())
