"""Results beside those of an earlier run: every figure that both have, by its place in the JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from rich import box
from rich.table import Table

__all__ = ["compared", "comparison_report", "figures_of"]

_COMPARED: Final = ("events_per_second", "cpu_seconds_per_million", "peak_rss_bytes", "p50_ms", "p99_ms")
"""What is compared: values of these names, or their medians, or the values by process below them."""
_IGNORED: Final = ("low", "high")


def figures_of(results: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, float]]:
    """Yield every figure of a run's results with its place, such as ``chain/packed/events_per_second``."""
    if isinstance(results, list) and all(isinstance(value, dict) for value in results):
        results = {str(value.get("name", index)): value for index, value in enumerate(results)}
    if isinstance(results, dict):
        for name, value in results.items():
            if name not in _IGNORED:
                yield from figures_of(value, path if name == "median" else (*path, name))
    elif isinstance(results, int | float) and any(name in path for name in _COMPARED):
        yield "/".join(path), float(results)


def compared(now: dict[str, Any], earlier: dict[str, Any]) -> list[tuple[str, float, float]]:
    """Return what both runs have: its name, what it was, and what it is."""
    before = dict(figures_of(earlier))
    return [(name, before[name], value) for name, value in figures_of(now) if name in before]


def comparison_report(now: dict[str, Any], earlier: dict[str, Any]) -> Table:
    """Return a table of what both runs have."""
    table = Table(
        title=f"Beside {earlier.get('measured_at', 'an earlier run')}: load {_load(earlier)} then, {_load(now)} now",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("figure", overflow="fold")
    for heading in ("then", "now", "now : then"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, before, value in compared(now, earlier):
        table.add_row(name, f"{before:,.4g}", f"{value:,.4g}", f"{value / before:.2f}" if before else "")
    return table


def _load(results: dict[str, Any]) -> str:
    load = results.get("machine", {}).get("load_at_start")
    return "unknown" if load is None else f"{load:.1f}"
