"""Results as one HTML file with plots, drawn as SVG by hand: it needs nothing from anywhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from tests.bench.comparing import compared

__all__ = ["bars", "curve", "page"]

_WIDTH: Final = 760
_NAME_WIDTH: Final = 250
_ROW: Final = 26
_HEIGHT: Final = 220
_STYLE: Final = (
    "body{font:15px/1.45 sans-serif;max-width:900px;margin:2em auto;padding:0 1em;color:#222}"
    "svg{display:block;margin:.5em 0 1.5em}text{font-size:13px;fill:#222}rect{fill:#3a78b5}"
    "polyline{fill:none;stroke:#3a78b5;stroke-width:2}line{stroke:#999}circle{fill:#3a78b5}"
    "table{border-collapse:collapse}td,th{padding:.15em .8em;border-bottom:1px solid #ddd;text-align:right}"
    "td:first-child,th:first-child{text-align:left}"
)
_CURVES: Final[tuple[tuple[str, Callable[[Mapping[str, Any]], float]], ...]] = (
    ("events/s", lambda run: run["events_per_second"]),
    ("MB/s", lambda run: run["megabytes_per_second"]),
    ("peak MB of all processes", lambda run: sum(run["peak_rss_bytes"].values()) / 2**20),
)
_UNITS: Final = {"events_per_second": "events/s", "cpu_seconds_per_million": "CPU seconds per million events"}


def page(results: Mapping[str, Any], earlier: Mapping[str, Any] | None = None) -> str:
    """Return the page of a run.

    Args:
        results: What ``--json`` writes.
        earlier: The results of another run to compare with.
    """
    machine = results.get("machine", {})
    parts = [
        f"<p>{escape(str(results.get('measured_at', '')))}, {machine.get('cpus')} cores, load "
        f"{machine.get('load_at_start')} at the start, {escape(str(machine.get('platform', '')))}, "
        f"Python {escape(str(machine.get('python', '')))}.</p>"
    ]
    for suite, found in results.items():
        if isinstance(found, dict) and (plots := _plots(found)):
            parts.append(f"<h2>{escape(suite)}</h2>" + "".join(plots))
    if earlier is not None:
        rows = "".join(
            f"<tr><td>{escape(name)}</td><td>{before:,.4g}</td><td>{now:,.4g}</td>"
            f"<td>{f'{now / before:.2f}' if before else ''}</td></tr>"
            for name, before, now in compared(dict(results), dict(earlier))
        )
        head = "<tr><th>figure</th><th>then</th><th>now</th><th>now : then</th></tr>"
        parts.append(f"<h2>Beside {escape(str(earlier.get('measured_at')))}</h2><table>{head}{rows}</table>")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>flumebeam bench</title>'
        f"<style>{_STYLE}</style></head><body><h1>flumebeam bench</h1>{''.join(parts)}</body></html>\n"
    )


def bars(title: str, values: Sequence[tuple[str, float, str]]) -> str:
    """Return a bar for each value: its name, the value, and a note behind it."""
    top = max((value for _, value, _ in values), default=0.0) or 1.0
    rows = []
    for number, (name, value, note) in enumerate(values):
        y = number * _ROW
        length = value / top * (_WIDTH - _NAME_WIDTH - 230)
        rows.append(
            f'<text x="0" y="{y + 17}">{escape(name)}</text>'
            f'<rect x="{_NAME_WIDTH}" y="{y + 4}" width="{length:.1f}" height="{_ROW - 8}"/>'
            f'<text x="{_NAME_WIDTH + length + 6:.1f}" y="{y + 17}">{value:,.4g} {escape(note)}</text>'
        )
    return f'<h3>{escape(title)}</h3><svg width="{_WIDTH}" height="{len(values) * _ROW}">{"".join(rows)}</svg>'


def curve(title: str, values: Sequence[tuple[float, float]]) -> str:
    """Return a line through points: x logarithmic, from the first to the last; y beginning at 0."""
    low, high = math.log(values[0][0]), math.log(values[-1][0])
    top = max(y for _, y in values) or 1.0
    spots = [
        (60 + (math.log(x) - low) / ((high - low) or 1.0) * (_WIDTH - 160), 20 + (1 - y / top) * (_HEIGHT - 60), x, y)
        for x, y in values
    ]
    line = " ".join(f"{left:.1f},{down:.1f}" for left, down, _, _ in spots)
    marks = "".join(
        f'<circle cx="{left:.1f}" cy="{down:.1f}" r="3"/><text x="{left:.1f}" y="{down - 7:.1f}">{y:,.4g}</text>'
        f'<text x="{left:.1f}" y="{_HEIGHT - 15}" text-anchor="middle">{x:,.0f}</text>'
        for left, down, x, y in spots
    )
    floor = _HEIGHT - 40
    return (
        f'<h3>{escape(title)}</h3><svg width="{_WIDTH}" height="{_HEIGHT}">'
        f'<line x1="50" y1="{floor}" x2="{_WIDTH - 40}" y2="{floor}"/><polyline points="{line}"/>{marks}</svg>'
    )


def _plots(found: Mapping[str, Any]) -> list[str]:
    measured = list(_measured(found))
    plots = [
        bars(unit, [(name, *_bar(figures[key], figures)) for name, figures in measured])
        for key, unit in _UNITS.items()
        if measured
    ]
    for axis, runs in found.items():
        if isinstance(runs, dict) and runs and all(name.isdigit() for name in runs):
            across = sorted((float(value), run) for value, run in runs.items() if "megabytes_per_second" in run)
            plots += [
                curve(f"{name} over {axis}", [(x, of(run)) for x, run in across]) for name, of in _CURVES if across
            ]
    return plots


def _measured(found: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield what has a rate with a spread: lanes of a chain, and the sides of those of ``throughput`` and ``lanes``."""
    for name, lane in found.items():
        if not isinstance(lane, dict):
            continue
        if "runs_events_per_second" in lane:
            yield lane["meaning"], lane
        for side, figures in lane.items():
            if isinstance(figures, dict) and "runs_events_per_second" in figures:
                yield f"{name}, {side}", figures


def _bar(value: Any, lane: Mapping[str, Any]) -> tuple[float, str]:
    """Return the length of a bar and what stands behind it."""
    if not isinstance(value, dict):
        return float(value), ""
    if "median" in value:
        low, high = value["low"], value["high"]
        return float(value["median"]), f"({low:,.0f} to {high:,.0f})"
    return float(value["all"]), f"(most of a core: {lane['bottleneck']})"
