"""Tables of the suites about runners."""

from __future__ import annotations

from typing import Final

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tests.bench.endurance import Endurance
from tests.bench.runners import LANES, Runners
from tests.bench.scaling import Scaling

__all__ = ["endurance_report", "runners_report", "scaling_report"]

_MEGA: Final = 1024 * 1024


def runners_report(found: Runners) -> RenderableType:
    """Return the tables of the suite ``runners``."""
    drains = _table(f"A drain of lines of {found.size} bytes, one event a message, on each runner")
    for heading in (
        "events/s",
        "slowest-fastest",
        "CPU s per M: driver",
        "runner",
        "broker",
        "runner's cost, us/event",
    ):
        drains.add_column(heading, justify="right")
    drains.add_column("peak MB: driver, runner", justify="right")
    for lane, runs in found.drains.items():
        rate = found.drain_rate(lane)
        peaks = [max(run.peak_rss_bytes[name] for run in runs) / _MEGA for name in ("driver", "runner")]
        drains.add_row(
            LANES[lane],
            f"{rate.median:,.0f}",
            f"{rate.low:,.0f}-{rate.high:,.0f}",
            *(f"{found.drain_cpu(lane, name):.0f}" for name in ("driver", "runner", "broker")),
            f"{found.cost(lane):+.0f}" if lane != "fn_api" else "0",
            f"{peaks[0]:.0f}, {peaks[1]:.0f}",
        )
    latencies = _table(f"Latency at {found.rate:,} events/s")
    for heading in ("layer", "p50 ms", "p99 ms", "CPU % driver", "runner", "broker"):
        latencies.add_column(heading, justify="left" if heading == "layer" else "right")
    for layer, by in found.latencies.items():
        for lane, one in by.items():
            shares = (f"{100 * one.cpu_shares[name]:.0f}" for name in ("driver", "runner", "broker"))
            latencies.add_row(LANES[lane], layer, f"{one.p50_ms:.0f}", f"{one.p99_ms:.0f}", *shares)
    note = (
        "Driver: with the workers in it. Runner: Prism, or the job server with Flink or Spark in it. Its cost: CPU of "
        "both beside the in-process runner's. Latency: from the put to the user's function of the speed layer, or "
        "until the event's file has its name (--roll=transaction, bundles of a second). Spark runs what there is."
    )
    return Group(drains, latencies, _note(note))


def scaling_report(found: Scaling) -> RenderableType:
    """Return the table of the suite ``scaling``."""
    table = _table(f"Drains at once, lines of {found.size} bytes, each with a queue of its own")
    for heading in ("flows", "events/s", "x one flow", "CPU s per M: drains", "broker", "peak MB of drains"):
        table.add_column(heading, justify="right")
    for (packed, flows), run in found.runs.items():
        drains, broker = found.cpu(packed, flows)
        one = next(other for (kind, _), other in found.runs.items() if kind is packed)
        resident = sum(run.peak_rss_bytes.values()) - run.peak_rss_bytes["broker"]
        table.add_row(
            "packed" if packed else "one event a message",
            str(flows),
            f"{run.rate:,.0f}",
            f"{run.rate / one.rate:.2f}",
            f"{drains:.1f}",
            f"{broker:.1f}",
            f"{resident / _MEGA:.0f}",
        )
    return Group(table, _note("On one machine its cores are the limit; the broker's process is one of those at work."))


def endurance_report(found: Endurance) -> RenderableType:
    """Return the table of the suite ``endurance``."""
    table = _table(f"Memory over {found.seconds / 60:.0f} minutes of a drain, {found.rate:,} events/s")
    for heading in ("process", "bundles", "MB at first", "at the end", "MB an hour", "MB per million bundles"):
        table.add_column(heading, justify="left" if heading == "process" else "right")
    for lane, programs in found.programs.items():
        for name, growth in programs.items():
            table.add_row(
                LANES[lane],
                name,
                f"{found.bundles[lane]:,}",
                f"{growth.first / _MEGA:.1f}",
                f"{growth.last / _MEGA:.1f}",
                f"{growth.per_second * 3600 / _MEGA:+.1f}",
                f"{growth.per_second * found.seconds * 1e6 / found.bundles[lane] / _MEGA:+,.0f}",
            )
    note = "The slope of a straight line through all samples behind the first fifth of the time, when all is warm."
    return Group(table, _note(note))


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    return table


def _note(text: str) -> Text:
    return Text(text + "\n", style="dim")
