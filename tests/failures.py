"""The failure cases that have bitten some neighbour, each with the tests that prove what becomes of its events.

A test names its cases by ``@pytest.mark.failure("...")`` and has the fixture ``counted`` count what it sent and what it
found. ``make failures`` runs them all, prints the sums of each case, and writes them into docs/failures.md.
"""

from __future__ import annotations

import ast
import os
from collections import Counter
from collections.abc import Callable, Collection, Generator, Hashable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeAlias

import pytest

__all__ = [
    "BROKER_CASES",
    "CASES",
    "PAGE",
    "Counted",
    "Events",
    "FailureCases",
    "count_events",
    "marked_tests",
    "row_of",
]

TESTS: Final = Path(__file__).parent
PAGE: Final = TESTS.parent / "docs" / "failures.md"
_BEGIN, _END = "<!-- failures: written by make failures -->", "<!-- end of the failures -->"

BROKER_CASES: Final = (
    "broker down at put",
    "broker down at commit (known rollback)",
    "commit reply lost (unknown)",
    "acknowledgement lost",
    "session rebuilt with the same queue",
    "consumer killed between rename and acknowledgement",
    "consumer killed between close and rename",
    "consumer killed in the middle of a file",
    "queue over quota, which refuses",
    "queue over quota, which discards in silence",
    "poison message",
    "message larger than a transaction or a queue takes",
    "payload of a foreign producer that is not bytes",
    "no timestamp header",
    "clock set back",
    "checkpoint finalized late",
    "checkpoint finalized twice",
    "checkpoint never finalized",
    "checkpoint finalized on another worker",
    "reader moved when a job is rescaled",
    "more than 256 messages in a transaction",
    "two pipelines on one exclusive queue",
    "token expires while a pipeline runs",
)
"""What concerns the broker: each has a test that counts events."""
CASES: Final = (
    *BROKER_CASES,
    "rename returns false",
    "NameNode fails over in the middle of a write",
    "DataNode does not answer though the data has landed",
    "HDFS out of space",
    "lease held by a dead writer",
    "header with `/` or `..` in a path",
)


@dataclass(frozen=True, kw_only=True)
class Events:
    """What became of the events of a test.

    Attributes:
        sent: Events, each different from all others.
        acknowledged: Those whose source has been told, or that have left their queue.
        delivered: Those that were found where they were to go, each counted once.
        refused: Those that are dead letters, each counted once.
        lost: Those that have left their source, and are neither.
        repeated: How often any was found once more.
    """

    sent: int = 0
    acknowledged: int = 0
    delivered: int = 0
    refused: int = 0
    lost: int = 0
    repeated: int = 0

    def __add__(self, other: Events) -> Events:
        return Events(**{name: value + asdict(other)[name] for name, value in asdict(self).items()})


Counted: TypeAlias = Callable[..., Events]


def count_events(
    sent: Collection[Hashable],
    delivered: Iterable[Hashable],
    *,
    refused: Iterable[Hashable] = (),
    kept: int = 0,
    lost: int = 0,
) -> Events:
    """Count events; fails unless as many are lost as are said to be.

    Args:
        sent: All of them.
        delivered: What was found where they were to go.
        refused: What was found among dead letters.
        kept: How many their source still has.
        lost: How many are said to be lost.
    """
    there, letters, wanted = Counter(delivered), set(refused), set(sent)
    assert len(wanted) == len(sent), "events that are alike cannot be counted"
    assert not {*there, *letters} - wanted, "events that nobody has sent"
    missing = len(wanted - there.keys() - letters)
    assert missing - kept == lost, f"{missing} events are not there, of which {kept} are kept: {lost} may be lost"
    repeated = there.total() - len(there)
    return Events(
        sent=len(sent),
        acknowledged=len(sent) - kept,
        delivered=len(there),
        refused=len(letters),
        lost=lost,
        repeated=repeated,
    )


def marked_tests(root: Path = TESTS) -> dict[str, list[str]]:
    """Return the tests of each case that any test names, as ``folder/file.py::test``."""
    found: dict[str, list[str]] = {}
    for path in sorted(root.rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if "mark.failure(" not in text:
            continue
        for function in ast.walk(ast.parse(text)):
            for case in _cases_of(function):
                name = f"{path.relative_to(root).as_posix()}::{getattr(function, 'name', '')}"
                found.setdefault(case, []).append(name)
    return found


def _cases_of(node: ast.AST) -> Iterator[str]:
    for mark in getattr(node, "decorator_list", ()):
        if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Attribute) and mark.func.attr == "failure":
            yield ast.literal_eval(mark.args[0])


def row_of(case: str, tests: Iterable[str], events: Events | None) -> str:
    """Return a line of the table."""
    counts = ["-"] * len(fields(Events)) if events is None else [f"{count:,}" for count in asdict(events).values()]
    return f"| {case} | {' | '.join(counts)} | {', '.join(f'`{name}`' for name in tests)} |"


class FailureCases:
    """Sums up what the tests of one run counted; a plugin of pytest.

    Cases and events travel with reports, as plain data: tests may run in other processes than the one that sums up.

    Args:
        root: Where paths of tests begin.
    """

    def __init__(self, root: Path = TESTS) -> None:
        self._root = root
        self._events: dict[str, Events] = {}
        self._passed: dict[str, set[str]] = {}
        self._failed = False

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Note in the report which cases the test is for."""
        report = yield
        for mark in item.iter_markers("failure"):
            if _is_meant(mark, item):
                name = f"{item.path.relative_to(self._root).as_posix()}::{getattr(item, 'originalname', item.name)}"
                report.user_properties.append(("case", (mark.args[0], name)))
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how a test went, and its events."""
        cases = [value for key, value in report.user_properties if key == "case"]
        self._failed |= bool(cases) and report.failed
        if report.when != "call" or not report.passed:
            return
        counts = [Events(**value) for key, value in report.user_properties if key == "events"]
        for case, name in cases:
            self._passed.setdefault(case, set()).add(name)
            if counts:
                self._events[case] = sum(counts, self._events.get(case, Events()))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table if it was asked for; write it if all of it ran, and passed."""
        if os.environ.get("FLUMEBEAM_FAILURES") != "1" or not self._passed:
            return
        terminalreporter.section("what became of the events, case by case")
        terminalreporter.write_line(self.table())
        if not self._failed and self._passed == {case: set(tests) for case, tests in marked_tests(self._root).items()}:
            _write(self.table())
        else:
            terminalreporter.write_line("Not written into the documentation: that takes one run of all of it, green.")

    def table(self) -> str:
        """Return the table."""
        names = [field.name for field in fields(Events)]
        lines = [f"| case | {' | '.join(names)} | tests |", f"|---|{'---:|' * len(names)}---|"]
        passed = [case for case in CASES if case in self._passed]
        rows = [row_of(case, sorted(self._passed[case]), self._events.get(case)) for case in passed]
        return "\n".join([*lines, *rows])


def _is_meant(mark: pytest.Mark, item: pytest.Item) -> bool:
    """Whether a mark is for a test with these parameters."""
    parameters: Mapping[str, object] = item.callspec.params if hasattr(item, "callspec") else {}
    return all(parameters[name] in values for name, values in mark.kwargs.items())


def _write(table: str) -> None:
    before, begin, rest = PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    _, end, after = rest.partition(_END)
    when = f"{datetime.now(UTC):%-d %B %Y, %H:%M} UTC"
    PAGE.write_text(f"{before}{begin}\n\nOne run, {when}.\n\n{table}\n\n{end}{after}", encoding="utf-8")
