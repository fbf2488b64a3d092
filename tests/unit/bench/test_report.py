from __future__ import annotations

import io

from rich.console import Console, RenderableType

from tests.bench.__main__ import make_parser, sizes_of
from tests.bench.memory import Memory, MemoryRun, Residence
from tests.bench.report import memory_report, sparkline, stall_report, throughput_report
from tests.bench.stall import Phase, Stall
from tests.unit.bench.helpers import MEGA, throughput


def printed(report: RenderableType) -> list[list[str]]:
    """Return the lines of a report, each as its words."""
    out = io.StringIO()
    Console(file=out, width=120).print(report)
    return [text.split() for text in out.getvalue().splitlines()]


def test_each_lane_has_a_line_with_its_median_spread_and_ratio() -> None:
    rates = {"beam": [9_000.0, 8_000.0, 1_000.0], "channel": [20_000.0], "files": [10_000.0], "vendor": [4_000.0]}
    lines = printed(throughput_report(throughput(rates)))

    beam = ["pipeline", "on", "Beam", "8,000", "1,000-9,000", "2.00", "0.40", "0.80", "50.0", "10.0", "100"]
    assert lines.count(beam) == 2
    loop = [
        "plain",
        "loop,",
        "our",
        "channel",
        "20,000",
        "20,000-20,000",
        "5.00",
        "1.00",
        "1.00",
        "50.0",
        "10.0",
        "100",
    ]
    assert lines.count(loop) == 2


def test_phases_stand_side_by_side() -> None:
    shares = {"speed": 0.251, "batch": 0.1, "broker": 0.05, "publish": 0.02}
    phases = [
        Phase("normal", 30.0, 30_000, 1.0, 9.5, 20.2, 12, shares),
        Phase("stalled", 30.0, 29_999, 1.2, 9.9, 21.0, 30_012, {**shares, "batch": 0.0}),
    ]

    lines = printed(stall_report(Stall(1_000, 200, phases)))

    assert ["p50", "ms", "1.0", "1.2"] in lines
    assert ["p99", "ms", "9.5", "9.9"] in lines
    assert ["CPU", "%", "of", "batch", "layer", "10", "0"] in lines
    assert ["waiting", "in", "its", "queue", "12", "30,012"] in lines


def test_growing_memory_is_called_so() -> None:
    def run(events: int, drain: int) -> MemoryRun:
        seen = {"ingest": 100, "drain": drain}
        return MemoryRun(
            events, 10.0, {name: Residence(mega * MEGA, mega * MEGA, [mega * MEGA]) for name, mega in seen.items()}
        )

    lines = printed(memory_report(Memory(200, run(1_000, 100), run(10_000, 300))))

    assert ["ingest", "10,000", "100", "100", "█", "flat"] in lines
    assert ["drain", "10,000", "300", "300", "█", "GROWS"] in lines


def test_a_sparkline_begins_at_zero() -> None:
    assert sparkline([0, 50, 100]) == "▁▅█"
    assert sparkline([100, 100]) == "██"
    assert sparkline([0, 0]) == "▁▁"
    assert sparkline([]) == ""


def test_what_is_named_replaces_the_default_and_the_quick_size() -> None:
    quick = sizes_of(make_parser().parse_args(["--quick", "--events", "7", "--memory-events", "1", "2"]))
    full = sizes_of(make_parser().parse_args(["--stall-seconds", "2.5"]))

    assert (quick.events, quick.memory_events, quick.runs) == (7, (1, 2), 1)
    assert (full.events, full.stall_seconds, full.memory_events) == (40_000, 2.5, (100_000, 1_000_000))
