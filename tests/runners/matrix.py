"""What ran where, from the results of the tests: printed, and written into the documentation."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.runners.kinds import KINDS

__all__ = ["Matrix"]

PAGE = Path(__file__).parents[2] / "docs" / "runners.md"
_BEGIN, _END = "<!-- matrix: written by make test-runners -->", "<!-- end of the matrix -->"


class Matrix:
    """Cells by row and runner; the worst result of all tests of a cell counts. A plugin of pytest.

    What a test was for travels with its report, for tests may run in other processes than the one that sums up.
    """

    def __init__(self) -> None:
        self._cells: dict[str, dict[str, str]] = {}
        self._elsewhere: dict[str, dict[str, str]] = {}
        self._tests: dict[str, set[str]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Note in the report which cell the test is for."""
        report = yield
        row = item.get_closest_marker("row")
        runner = item.callspec.params.get("runner") if hasattr(item, "callspec") else None
        if row is not None and runner is not None:
            report.user_properties.append(("row", (runner, *row.args)))
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Fill the cell."""
        for key, place in report.user_properties:
            if key == "row":
                runner, row, *elsewhere = place
                self.note(row, runner, report, *elsewhere)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, exitstatus: pytest.ExitCode) -> None:
        """Print the table; write it where all of it ran, which ``make`` says, and passed."""
        if not self._cells:
            return
        terminalreporter.section("every pipeline on every runner")
        terminalreporter.write_line(self.text())
        if os.environ.get("FLUMEBEAM_WRITE_MATRIX") != "1":
            return
        # A page that mixes what ran at different times says nothing about any of them.
        if exitstatus == pytest.ExitCode.OK:
            self.write(PAGE)
        else:
            terminalreporter.write_line("Not written into the documentation: that takes one run of all of it, green.")

    def note(
        self, row: str, runner: str, report: pytest.TestReport, elsewhere: Mapping[str, str] | None = None
    ) -> None:
        """Note a result.

        Args:
            row: What was tried.
            runner: Where.
            report: How it went.
            elsewhere: What stands under the runners that have no such test: why not, or where to look.
        """
        cells = self._cells.setdefault(row, {})
        self._elsewhere.setdefault(row, {}).update(elsewhere or {})
        self._tests.setdefault(row, set()).add(report.nodeid.rpartition("/")[2].partition("[")[0])
        if report.failed:
            cells[runner] = "FAILED"
        elif report.skipped and report.longrepr is not None:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            cells.setdefault(runner, reason.removeprefix("Skipped: "))
        elif report.when == "call":
            cells.setdefault(runner, str(dict(report.user_properties).get("cell", "yes")))

    def text(self) -> str:
        """Return the table, and which tests fill each of its rows."""
        runners = [name for name in KINDS if any(name in cells for cells in self._cells.values())]
        lines = [f"| | {' | '.join(runners)} |", "|---" * (len(runners) + 1) + "|"]
        lines.append(f"| what ran | {' | '.join(KINDS[name][1] for name in runners)} |")
        for row in self._rows():
            cells = {**self._elsewhere[row], **self._cells[row]}
            lines.append(f"| {row} | {' | '.join(cells.get(name, 'not run') for name in runners)} |")
        lines += ["", "| row | tests in `tests/runners` |", "|---|---|"]
        for row in self._rows():
            lines.append(f"| {row} | {', '.join(f'`{name}`' for name in sorted(self._tests[row]))} |")
        return "\n".join(lines)

    def _rows(self) -> list[str]:
        """Return the rows in the order of their tests, pipelines before what befalls them, whichever ended first."""
        first = {row: min(tests) for row, tests in self._tests.items()}
        return sorted(first, key=lambda row: (not first[row].startswith("test_pipelines"), first[row], row))

    def write(self, page: Path) -> None:
        """Put the table into the page, in the place of that of an earlier run."""
        before, begin, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
        _, end, after = rest.partition(_END)
        when = f"{datetime.now(UTC):%-d %B %Y, %H:%M} UTC"
        page.write_text(f"{before}{begin}\n\nOne run, {when}.\n\n{self.text()}\n\n{end}{after}", encoding="utf-8")
