"""Tables of the suites ``lanes``, ``stages``, ``latency`` and ``conditions``."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tests.bench.conditions import FORMS, Conditions
from tests.bench.lanes import KINDS, LANES, SIDES, LaneFigures
from tests.bench.latency import LAYERS, Latencies
from tests.bench.stages import SIZES, Stages

__all__ = ["conditions_report", "lanes_report", "latency_report", "stages_report"]


def lanes_report(found: LaneFigures) -> RenderableType:
    """Return the table of the suite ``lanes``."""
    table = _table("Put and take of the channel by lane, one event a message, in transactions")
    for heading in ("lane", "side", "bytes", "headers", "events/s", "low-high", "MB/s", "CPU us", "broker's", "MB"):
        table.add_column(heading, justify="left" if heading in ("lane", "side") else "right", no_wrap=heading == "lane")
    for lane, meaning in LANES.items():
        for side in SIDES:
            for kind in KINDS:
                rate = found.of(lane, side, kind, lambda passage: passage.rate)
                table.add_row(
                    meaning,
                    side,
                    f"{kind.size:,}",
                    "3" if kind.headers else "none",
                    f"{rate.median:,.0f}",
                    f"{rate.low:,.0f}-{rate.high:,.0f}",
                    f"{rate.median * kind.size / 1e6:.0f}",
                    f"{found.of(lane, side, kind, lambda passage: passage.program_cpu).median:.1f}",
                    f"{found.of(lane, side, kind, lambda passage: passage.broker_cpu).median:.1f}",
                    f"{found.of(lane, side, kind, lambda passage: passage.peak_rss_bytes).median / 1e6:.0f}",
                )
    return Group(
        table,
        _note(
            "Lanes in turn, on one broker with its data in memory, transactions of 5,000 at most. CPU: us for an event."
        ),
    )


def stages_report(found: Stages) -> RenderableType:
    """Return the table of the suite ``stages``."""
    table = _table(f"CPU of each stage, us an event, batches of {found.events:,}")
    table.add_column("of")
    table.add_column("stage", no_wrap=True)
    kinds = [(size, headers) for size in SIZES for headers in (False, True)]
    for size, headers in kinds:
        table.add_column(f"{size:,} B, {'with' if headers else 'no'} headers", justify="right")
    cells = {(one.of, one.stage, one.size, one.headers): one.microseconds for one in found.figures}
    for of, stage in dict.fromkeys((one.of, one.stage) for one in found.figures):
        figures = [cells.get((of, stage, size, headers)) for size, headers in kinds]
        table.add_row(of, stage, *("" if figure is None else f"{figure:.3f}" for figure in figures))
    return Group(table, _note("The fastest round of each stage by itself, in one process, with everything in memory."))


def latency_report(found: Latencies) -> RenderableType:
    """Return the table of the suite ``latency``."""
    table = _table(f"Latency, {found.size} bytes, one event a message, on FnApiRunner")
    for heading in ("from", "events/s asked", "reached", "p50 ms", "p99 ms", "worst ms"):
        table.add_column(heading, justify="left" if heading == "from" else "right", no_wrap=heading == "from")
    for one in found.figures:
        figures = (f"{one.p50_ms:.1f}", f"{one.p99_ms:.1f}", f"{one.worst_ms:.0f}")
        table.add_row(LAYERS[one.layer], f"{one.rate:,}", f"{one.reached:,.0f}", *figures)
    return Group(
        table,
        _note(
            "Published in transactions of 5 ms on the native lane; the broker keeps its data on disk. The speed layer, "
            "alone on two lanes and then with a drain beside it, reads bundles of 50 ms; the chain's files end with "
            "each transaction, at most a second apart."
        ),
    )


def conditions_report(found: Conditions) -> RenderableType:
    """Return the table of the suite ``conditions``."""
    table = _table(f"The chain on other lines, {found.size} bytes, one run each")
    table.add_column("round trip, line", no_wrap=True)
    for form in FORMS:
        table.add_column(f"{form}: events/s", justify="right")
        table.add_column("MB/s", justify="right")
        table.add_column("CPU s per M", justify="right")
    rows: dict[str, list[str]] = {}
    for condition, _, run in found.runs:
        figures = [f"{run.rate:,.0f}", f"{run.rate * found.size / 1e6:.1f}", f"{run.cpu:.1f}"]
        rows.setdefault(condition.meaning, []).extend(figures)
    for meaning, cells in rows.items():
        table.add_row(meaning, *cells)
    return Group(
        table, _note("Both programs reach the broker over that line. The free edition takes 10,000 messages a second.")
    )


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)


def _note(text: str) -> Text:
    return Text(text + "\n", style="dim")
