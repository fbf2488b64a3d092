"""What was measured, as tables that say what they mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tests.bench.broker import BrokerFigures
from tests.bench.chain import Chain, ChainRun
from tests.bench.figures import thinned
from tests.bench.formats import Formats
from tests.bench.growth import AXES, Growth
from tests.bench.hdfs import HDFS_LANES, HdfsFigures, HdfsRun
from tests.bench.memory import Memory
from tests.bench.passage import Passage
from tests.bench.rolled import Rolled
from tests.bench.sides import SIDES as BEAM_SIDES
from tests.bench.sides import WAYS
from tests.bench.stall import Stall
from tests.bench.through_beam import BODY_BYTES, ThroughBeam
from tests.bench.throughput import LANES, LOOPS, PEER, SAME, SIDES, Throughput

__all__ = [
    "beam_report",
    "broker_report",
    "chain_report",
    "formats_report",
    "growth_report",
    "hdfs_report",
    "memory_report",
    "rolled_report",
    "sparkline",
    "stall_report",
    "throughput_report",
]

_BARS: Final = "▁▂▃▄▅▆▇█"
_MEGA: Final = 1024 * 1024
_BARS_IN_A_LINE: Final = 40
_WAYS: Final = {"ingest": "In: lines of a file to the queue", "drain": "Out: the queue to where the events go"}


def sparkline(values: Sequence[float]) -> str:
    """Return values as a line of bars between 0 and the largest, so that growth shows and noise does not."""
    top = max(values, default=0.0)
    return "".join(_BARS[min(int(value / top * len(_BARS)), len(_BARS) - 1)] if top else _BARS[0] for value in values)


def throughput_report(found: Throughput) -> RenderableType:
    """Return the tables of the suite ``throughput``."""
    runs = len(found.passages["beam", "ingest"])
    parts: list[RenderableType] = []
    for side in SIDES:
        table = _table(f"{_WAYS[side]}, {found.events:,} events of {found.size} bytes")
        table.add_column("lane", no_wrap=True)
        for heading in (
            "events/s",
            "low-high",
            f"x {PEER}",
            "x loop",
            "x same",
            "CPU s per M",
            "broker's",
            "MB",
        ):
            table.add_column(heading, justify="right", no_wrap=True)
        peer = found.of(PEER, side, _rate)
        for lane, meaning in LANES.items():
            rate = found.of(lane, side, _rate)
            table.add_row(
                meaning,
                f"{rate.median:,.0f}",
                f"{rate.low:,.0f}-{rate.high:,.0f}",
                f"{rate.ratio_to(peer):.2f}",
                f"{rate.ratio_to(found.of(LOOPS[lane], side, _rate)):.2f}",
                f"{rate.ratio_to(found.of(SAME[lane], side, _rate)):.2f}",
                f"{found.of(lane, side, lambda passage: passage.program_cpu).median:.1f}",
                f"{found.of(lane, side, lambda passage: passage.broker_cpu).median:.1f}",
                f"{found.of(lane, side, lambda passage: passage.peak_rss_bytes).median / _MEGA:.0f}",
            )
        parts.append(table)
    parts.append(
        _note(
            f"Medians of {runs} run{'s' if runs > 1 else ''}, lanes in turn; one event a message but where packed. "
            "Measured at the broker from the first message to the last, so start-up is left out. CPU s per M: CPU "
            "seconds per million events, of the program and of the broker. The pipelines write files, exactly once. "
            "Transactions have 5,000 messages. x loop: beside the loop that drops what it takes. x same: beside the "
            "loop that does the same without Beam."
        )
    )
    return Group(*parts)


def beam_report(found: ThroughBeam) -> RenderableType:
    """Return the table of the suite ``beam``."""
    table = _table(f"What Beam costs: {found.events:,} events, one a message, each side alone")
    table.add_column("side")
    for heading in ("bytes", "Beam events/s", "loop events/s", "Beam : loop", "CPU s per M, Beam", "loop"):
        table.add_column(heading, justify="right", no_wrap=True)
    for side in BEAM_SIDES:
        for size in BODY_BYTES:
            rates = [found.of(size, side, way, _rate).median for way in WAYS]
            cpus = [found.of(size, side, way, lambda passage: passage.program_cpu).median for way in WAYS]
            row = [f"{rate:,.0f}" for rate in rates] + [f"{found.ratio(size, side):.2f}"]
            table.add_row(side, f"{size:,}", *row, *(f"{cpu:.0f}" for cpu in cpus))
    runs = len(next(iter(found.passages.values())))
    return Group(table, _note(f"Medians of {runs} run{'s' if runs > 1 else ''}, in turn; start-up is left out."))


def _rate(passage: Passage) -> float:
    return passage.rate


def chain_report(found: Chain) -> RenderableType:
    """Return the tables of the suites ``chain`` and ``flume``."""
    runs = len(next(iter(found.runs.values())))
    rates = _table(f"Whole chain: lines of {found.size} bytes of a file to closed files, all processes at once")
    rates.add_column("chain", no_wrap=True)
    for heading in ("events", "events/s", "slowest-fastest", "MB/s", "CPU s per M", "of these"):
        rates.add_column(heading, justify="left" if heading == "of these" else "right", no_wrap=heading != "of these")
    for lane, meaning in found.meanings.items():
        rate = found.of(lane, _chain_rate)
        rates.add_row(
            meaning,
            f"{found.runs[lane][0].events:,}",
            f"{rate.median:,.0f}",
            f"{rate.low:,.0f}-{rate.high:,.0f}",
            f"{rate.median * found.size / 1e6:.1f}",
            f"{found.of(lane, _chain_cpu).median:.1f}",
            ", ".join(f"{name} {seconds:.1f}" for name, seconds in found.cpu(lane).items()),
        )
    ratios = _table("Ratios of medians: rate, and CPU per event")
    ratios.add_column("chain", no_wrap=True)
    for meaning in found.meanings.values():
        ratios.add_column(f"to {meaning}", justify="right")
    ratios.add_column("bottleneck")
    ratios.add_column("peak MB", justify="right")
    for lane, meaning in found.meanings.items():
        rate, cpu = found.of(lane, _chain_rate), found.of(lane, _chain_cpu)
        worst = found.bottleneck(lane)
        resident = found.of(lane, lambda run: sum(run.peak_rss_bytes.values())).median
        ratios.add_row(
            meaning,
            *(
                f"{rate.ratio_to(found.of(peer, _chain_rate)):.2f}, {cpu.ratio_to(found.of(peer, _chain_cpu)):.3f}"
                for peer in found.meanings
            ),
            f"{worst}, {_percent(found.shares(lane)[worst])} % of a core",
            f"{resident / _MEGA:.0f}",
        )
    note = (
        f"Medians of {runs} run{'s' if runs > 1 else ''}, chains in turn. From the first event in the channel to the "
        "last one written, so start-up is left out. Every file was compared with what was sent."
    )
    return Group(rates, ratios, _note(note))


def _chain_rate(run: ChainRun) -> float:
    return run.rate


def _chain_cpu(run: ChainRun) -> float:
    return run.cpu


def growth_report(found: Growth) -> RenderableType:
    """Return the table of the suite ``growth``."""
    table = _table("The packed chain as work grows, one run each")
    table.add_column("what grows", no_wrap=True)
    for heading in ("to", "events", "events/s", "MB/s", "CPU s per M", "peak MB: ingest", "drain", "broker"):
        table.add_column(heading, justify="right")
    for point, run in found.runs:
        table.add_row(
            AXES[point.axis],
            f"{point.value:,}",
            f"{point.events:,}",
            f"{run.rate:,.0f}",
            f"{run.rate * point.size / 1e6:.1f}",
            f"{run.cpu:.1f}",
            *(f"{run.peak_rss_bytes[name] / _MEGA:.0f}" for name in ("ingest", "drain", "broker")),
        )
    return Group(table, _note("Measured as the suite chain; short runs are bounded by how chains begin and end."))


def formats_report(found: Formats) -> RenderableType:
    """Return the table of the suite ``formats``."""
    table = _table(f"Encoding {found.events:,} events in memory, by one core")
    table.add_column("format", no_wrap=True)
    table.add_column("codec", no_wrap=True)
    for heading in ("events/s", "slowest-fastest", "MB/s", "bytes", "of body"):
        table.add_column(heading, justify="right", no_wrap=True)
    for case in found.rates:
        rate, stored = found.rate(case), found.file_bytes[case] / found.events
        table.add_row(
            f"{case.format}, {case.misfits:.1%} misfits" if case.misfits else case.format,
            case.codec,
            f"{rate.median:,.0f}",
            f"{rate.low:,.0f}-{rate.high:,.0f}",
            f"{found.megabytes(case):.1f}",
            f"{stored:.0f}",
            f"{_percent(stored * found.events / found.body_bytes[case])} %",
        )
    note = (
        "By CPU time of this process, from batches of 5,000 events. MB/s: of bodies; bytes: of an event in the file. "
        "Typed: from bodies of JSON, five columns; avro bodies: of the same rows. With misfits: what does not fit is "
        "found and set aside, the rest is encoded."
    )
    return Group(table, _note(note))


def hdfs_report(found: HdfsFigures) -> RenderableType:
    """Return the table of the suite ``hdfs``."""
    runs = len(next(iter(found.runs.values())))
    table = _table(f"Lines of {found.size} bytes to files on HDFS, a file each transaction")
    table.add_column("what", no_wrap=True)
    for heading in ("events/s", "slowest-fastest", "CPU s per M", "files", "kB each", "MB/s", "Java's MB/s", "x Java"):
        table.add_column(heading, justify="right", no_wrap=True)
    for lane, meaning in HDFS_LANES.items():
        rate, sizes = found.of(lane, _hdfs_rate), found.runs[lane][-1].sizes
        table.add_row(
            meaning,
            f"{rate.median:,.0f}",
            f"{rate.low:,.0f}-{rate.high:,.0f}",
            f"{found.of(lane, lambda run: run.passage.program_cpu).median:.0f}",
            f"{len(sizes):,}",
            f"{sum(sizes) / len(sizes) / 1e3:,.0f}",
            f"{found.of(lane, lambda run: run.megabytes).median:.1f}",
            f"{found.of(lane, lambda run: run.java_megabytes).median:.1f}",
            f"{found.of(lane, lambda run: run.megabytes / run.java_megabytes).median:.2f}",
        )
    note = (
        f"Medians of {runs} run{'s' if runs > 1 else ''}, in turn. The drain takes events from the broker, commits "
        "each transaction and acknowledges it; the Java client writes files of these sizes by RPC, one after the "
        "other, and renames them. It has no broker to ask and nothing to remember."
    )
    return Group(table, _note(note))


def _hdfs_rate(run: HdfsRun) -> float:
    return run.rate


def stall_report(found: Stall) -> RenderableType:
    """Return the table of the suite ``stall``."""
    table = _table(f"Speed layer at {found.rate:,} events/s of {found.size} bytes: put to user's function")
    table.add_column("batch layer is", no_wrap=True)
    figures: dict[str, Callable[[int], str]] = {
        "p50 ms": lambda index: f"{found.phases[index].p50_ms:.1f}",
        "p99 ms": lambda index: f"{found.phases[index].p99_ms:.1f}",
        "worst ms": lambda index: f"{found.phases[index].worst_ms:.0f}",
        "events": lambda index: f"{found.phases[index].events:,}",
        "seconds": lambda index: f"{found.phases[index].seconds:.0f}",
        "CPU % of speed layer": lambda index: _percent(found.phases[index].cpu_shares["speed"]),
        "CPU % of batch layer": lambda index: _percent(found.phases[index].cpu_shares["batch"]),
        "CPU % of broker": lambda index: _percent(found.phases[index].cpu_shares["broker"]),
        "CPU % of publisher": lambda index: _percent(found.phases[index].cpu_shares["publish"]),
        "waiting in its queue": lambda index: f"{found.phases[index].batch_queue:,}",
    }
    for phase in found.phases:
        table.add_column(phase.name, justify="right")
    for name, figure in figures.items():
        table.add_row(name, *map(figure, range(len(found.phases))))
    note = (
        "Each layer has a queue of its own. Stalled: the batch layer's disk takes no byte. What differs between "
        "the two normal phases is the machine's doing. CPU: of one core."
    )
    return Group(table, _note(note))


def _percent(share: float) -> str:
    return f"{100 * share:.0f}"


def memory_report(found: Memory) -> RenderableType:
    """Return the table of the suite ``memory``."""
    table = _table(f"Memory of ingest and drain, lines of {found.size} bytes, both at once")
    for heading in ("program", "events", "peak MB", "final MB", "from start to end"):
        table.add_column(heading, justify="left" if heading in ("program", "from start to end") else "right")
    table.add_column("verdict")
    for name in found.small.programs:
        for run in (found.small, found.large):
            seen = run.programs[name]
            verdict = ("flat" if found.flat(name) else "GROWS") if run is found.large else ""
            table.add_row(
                name,
                f"{run.events:,}",
                f"{seen.peak / _MEGA:.0f}",
                f"{seen.final / _MEGA:.0f}",
                sparkline(seen.samples),
                verdict,
            )
    rates = " and ".join(f"{run.events / run.seconds:,.0f}" for run in (found.small, found.large))
    return Group(
        table,
        _note(
            "Flat: less than 10 % or 20 MB above the small run, at the peak and at the end. "
            f"The bars begin at 0. Both together passed {rates} events/s, start-up included."
        ),
    )


def rolled_report(found: Rolled) -> RenderableType:
    """Return the table of the suite ``rolled``."""
    table = _table("Ingest and drain at once into rolled files, each compared with what was sent")
    for heading in ("run", "events", "seconds", "events/s", "files", "MB of a file", "process"):
        table.add_column(heading, justify="left" if heading in ("run", "process") else "right")
    table.add_column("MB, 1st half", justify="right")
    table.add_column("2nd half", justify="right")
    for run in found.runs:
        sizes = [run.file_bytes[0], run.file_bytes[len(run.file_bytes) // 2], run.file_bytes[-1]]
        about = (
            run.lane,
            f"{run.events:,}",
            f"{run.seconds:.0f}",
            f"{run.events / run.seconds:,.0f}",
            f"{len(run.file_bytes)}",
            ", ".join(f"{size / _MEGA:.1f}" for size in sizes),
        )
        for program, halves in run.memory.items():
            verdict = "" if run.flat(program) else " GROWS"
            first, second = (f"{most / _MEGA:.0f}" for most in halves)
            table.add_row(*about, program, first, second + verdict)
            about = ("",) * len(about)
    note = (
        "Files end at 128 MB or after 10 minutes, the last one at the end: smallest, median, largest, in 2^20 bytes. "
        "Memory: the most of each half of the time, its first fifth left out."
    )
    return Group(table, _note(note))


def broker_report(found: BrokerFigures) -> RenderableType:
    """Return the tables of the suite ``broker``."""
    runs = len(next(iter(found.runs.values())))
    parts: list[RenderableType] = []
    for durable, where in ((False, "in memory"), (True, "kept on disk")):
        table = _table(f"The development broker, {where}")
        table.add_column("what", no_wrap=True)
        for heading in ("bytes", "messages/s", "low-high", "MB/s", "CPU us", "% core", "a core does"):
            table.add_column(heading, justify="right", no_wrap=True)
        for case in found.runs:
            if case.durable is durable:
                rate, cpu = found.of(case, lambda run: run.rate), found.of(case, lambda run: run.cpu).median
                table.add_row(
                    case.what,
                    f"{case.size:,}",
                    f"{rate.median:,.0f}",
                    f"{rate.low:,.0f}-{rate.high:,.0f}",
                    f"{rate.median * case.size / 1e6:,.0f}",
                    f"{cpu:.1f}",
                    _percent(found.of(case, lambda run: run.share).median),
                    f"{1e6 / cpu:,.0f}" if cpu else "",
                )
        parts.append(table)
    verdict = "flat" if found.flat else "GROWS"
    parts.append(
        _note(
            f"Medians of {runs} run{'s' if runs > 1 else ''}. CPU: of the broker's process; the clients cost next to "
            f"nothing. With {found.passed:,} messages of 200 bytes passing, memory was {verdict}, "
            f"{found.resident[-1] / _MEGA:.0f} MB at the end: {sparkline(thinned(found.resident, _BARS_IN_A_LINE))}"
        )
    )
    return Group(*parts)


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)


def _note(text: str) -> Text:
    return Text(text + "\n", style="dim")
