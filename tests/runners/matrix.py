"""What ran where, from the results of the tests: printed, and written into the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runners.kinds import KINDS

__all__ = ["Matrix"]

_BEGIN, _END = "<!-- matrix: written by make test-runners -->", "<!-- end of the matrix -->"


class Matrix:
    """Cells by row and runner; the worst result of all tests of a cell counts."""

    def __init__(self) -> None:
        self._cells: dict[str, dict[str, str]] = {}

    @property
    def empty(self) -> bool:
        return not self._cells

    def note(self, row: str, runner: str, report: pytest.TestReport) -> None:
        cells = self._cells.setdefault(row, {})
        if report.failed:
            cells[runner] = "FAILED"
        elif report.skipped and report.longrepr is not None:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            cells.setdefault(runner, reason.removeprefix("Skipped: "))
        elif report.when == "call":
            cells.setdefault(runner, str(dict(report.user_properties).get("cell", "yes")))

    def text(self) -> str:
        runners = [name for name in KINDS if any(name in cells for cells in self._cells.values())]
        lines = [f"| | {' | '.join(runners)} |", "|---" * (len(runners) + 1) + "|"]
        lines.append(f"| what ran | {' | '.join(KINDS[name][1] for name in runners)} |")
        for row, cells in self._cells.items():
            lines.append(f"| {row} | {' | '.join(cells.get(name, 'not run') for name in runners)} |")
        return "\n".join(lines)

    def write(self, page: Path) -> None:
        """Put the table into the page; what this run did not run keeps what an earlier run has written."""
        before, begin, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
        written, end, after = rest.partition(_END)
        self._keep(written)
        page.write_text(f"{before}{begin}\n\n{self.text()}\n\n{end}{after}", encoding="utf-8")

    def _keep(self, written: str) -> None:
        rows = [line.strip("|").split("|") for line in written.split("\n") if line.startswith("|")]
        (_, *runners), _, _, *kept = [[cell.strip() for cell in row] for row in rows]
        cells = {name: {**dict(zip(runners, old, strict=True)), **self._cells.pop(name, {})} for name, *old in kept}
        self._cells = {**cells, **self._cells}
