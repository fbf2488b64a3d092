"""Suite ``conditions``: what each form of the chain reaches on a long line, compressed, and under an edition's limit.

Each case is one run of ``chain``, packed and one event a message: with a round trip of so many milliseconds, with the
client's compression and without, and with the free edition's 10,000 messages a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any, Final

from flumebeam.broker.config import EDITIONS
from tests.bench.chain import ChainRun, Line, our_chain
from tests.bench.programs import ProgramFailedError
from tests.bench.workload import digest, visible_files, write_lines

__all__ = ["FORMS", "Condition", "Conditions", "conditions", "measure_conditions"]

FORMS: Final = {"packed": (["--pack"], 10), "single": ([], 1)}
"""Options of the ingest, and its events as a multiple of what is asked for."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What one case is given.

    Attributes:
        meaning: What tables call it.
        line: How clients reach the broker.
    """

    meaning: str
    line: Line


@dataclass(frozen=True, slots=True)
class Conditions:
    """All cases with their runs.

    Attributes:
        size: Bytes of a line.
        runs: In order: condition, form, run.
    """

    size: int
    runs: list[tuple[Condition, str, ChainRun]]

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain data, by condition and form."""
        found: dict[str, Any] = {"line_bytes": self.size}
        for condition, form, run in self.runs:
            found.setdefault(condition.meaning, {})[form] = {
                "events": run.events,
                "events_per_second": run.rate,
                "megabytes_per_second": run.rate * self.size / 1e6,
                "cpu_seconds_per_million": run.cpu,
            }
        return found


def conditions(round_trips_ms: Sequence[int]) -> Iterator[Condition]:
    """Yield what is measured."""
    for milliseconds in round_trips_ms:
        for level in (0, 1):
            kind = "compressed" if level else "plain"
            yield Condition(f"{milliseconds} ms, {kind}", Line(round_trip_ms=milliseconds, compression_level=level))
    yield Condition("free edition's limit", Line(settings=EDITIONS["standard"]))


def measure_conditions(
    workspace: Path, wanted: Sequence[Condition], *, events: int, size: int, tell: Callable[[str], None]
) -> Conditions:
    """Run both forms under each condition, and compare what they wrote with what they were given.

    Args:
        workspace: An empty directory.
        wanted: The conditions.
        events: Events of a run with one event a message.
        size: Bytes of a line.
        tell: Called with what is done at the moment.
    """
    inputs = {form: write_lines(workspace / f"{form}.log", events * share, size) for form, (_, share) in FORMS.items()}
    runs = []
    for condition in wanted:
        for form, (options, share) in FORMS.items():
            tell(f"{condition.meaning}, {form}")
            place = workspace / "run"
            place.mkdir()
            run = our_chain(place, inputs[form], events * share, ingest=options, line=condition.line)
            if digest(visible_files(place / "files")) != digest([inputs[form]]):
                raise ProgramFailedError(f"The chain lost or changed events ({condition.meaning}, {form}).")
            rmtree(place)
            runs.append((condition, form, run))
    return Conditions(size, runs)
