"""When files end, and what they are called: Flume's own HDFS sink and ours, given the same events at the same times."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final, TypeAlias

import pyarrow as pa
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from flumebeam.batch import BatchProvenance, EventBatch
from flumebeam.clock import ManualClock
from flumebeam.ids import DeliveryId, delivery_ids
from flumebeam.pipelines.options import TargetOptions
from flumebeam.transforms.hdfs_write import WriteToHdfs
from tests.java import JavaPrograms
from tests.unit.transforms.sinks import Worker
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_EPOCH_MS: Final = 1_704_067_200_000
_RECEIVER: Final = "r1"
_OPTIONS: Final = {
    "rollCount": "--roll_events",
    "rollSize": "--roll_bytes",
    "rollInterval": "--roll_seconds",
    "idleTimeout": "--roll_idle_seconds",
    "maxOpenFiles": "--max_open_files",
    "filePrefix": "--file_prefix",
    "fileSuffix": "--file_suffix",
    "path": "--path",
    "codeC": "--codec",
    "timeZone": "--path_time_zone",
}
_FORMATS: Final = {"DataStream": "text", "CompressedStream": "text", "SequenceFile": "sequence_file"}
_LIMITS_OFF: Final = {"rollCount": "0", "rollSize": "0", "rollInterval": "0"}
_COUNTER: Final = re.compile(r"\d{13}")
_UNIQUE: Final = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}-\d{6}(-\d{4})?")

_Event: TypeAlias = tuple[str, str]
"""The header ``host``, and the body."""
_Step: TypeAlias = list[_Event] | int
"""Events that come at once, or seconds that pass."""


def events(count: int, size: int = 4, host: str = "a") -> list[_Event]:
    """Return so many events of one size."""
    return [(host, f"{number:0{size}d}") for number in range(count)]


@dataclass(frozen=True)
class Case:
    """Settings of Flume's sink, without ``hdfs.``, and what happens then.

    Attributes:
        settings: In the words of Flume's guide; limits that are not given are off, but for ``defaults``.
        steps: What happens.
        defaults: Whether limits that are not given have Flume's defaults.
        full_earlier: Whether a file is full with the last event before time passes. Ours ends with that event, and
            Flume's with the next one, or when it is old.
        same: Whether the same events are in each file.
    """

    settings: dict[str, str]
    steps: Sequence[_Step]
    defaults: bool = False
    full_earlier: bool = False
    same: bool = True

    @property
    def flume(self) -> dict[str, str]:
        """All settings of Flume's sink."""
        return {"fileType": "DataStream", **({} if self.defaults else _LIMITS_OFF), **self.settings}

    @property
    def argv(self) -> list[str]:
        """The same as options of ours."""
        given = [f"{_OPTIONS[name]}={value}" for name, value in self.flume.items() if name in _OPTIONS]
        local = ["--path_local_time"] if "useLocalTimeStamp" in self.settings else []
        return [f"--format={_FORMATS[self.flume['fileType']]}", *given, *local]

    @property
    def transaction(self) -> int:
        """Events of a transaction."""
        return int(self.settings.get("batchSize", "100"))


_MIXED: Final = [("a", "1"), ("b", "2"), ("a", "3"), ("b", "4"), ("a", "5"), ("b", "6")]
_HOSTS: Final = [("a", "1"), ("b", "1"), ("c", "1"), ("a", "2")]
_GZIP: Final = {"fileType": "CompressedStream", "codeC": "gzip"}

SHOWN: Final = (
    Case({}, [events(25)], defaults=True),
    Case({}, [events(4), 29, events(4), 1, events(1)], defaults=True),
    Case({"rollCount": "3"}, [events(10)]),
    Case({"rollCount": "3", "batchSize": "2"}, [events(10)]),
    Case({"rollCount": "3"}, [events(3), 60, events(3)], full_earlier=True),
    Case({"rollSize": "10"}, [events(8)]),
    Case({"rollSize": "10", "rollCount": "2"}, [[*events(5, 2), *events(3, 12), *events(1, 2)]]),
    Case({"rollSize": "1000", **_GZIP}, [events(7, 300)]),
    Case({"rollInterval": "30"}, [events(2), 29, events(2), 1, events(2), 29, events(1)]),
    Case({"rollInterval": "30", "rollCount": "4"}, [events(6), 20, events(3), 10, events(1), 20, events(2)]),
    Case({"idleTimeout": "10"}, [events(2), 9, events(2), 9, events(1), 10, events(1), 9]),
    Case({"idleTimeout": "10", "rollInterval": "30"}, [*([events(1), 9] * 3), events(1), 3, events(1)]),
    Case({"rollCount": "2", "path": "%{host}"}, [_MIXED, _MIXED[:4]]),
    Case({"maxOpenFiles": "2", "path": "%{host}"}, [*([event] for event in _HOSTS)]),
    Case({"maxOpenFiles": "2", "path": "%{host}"}, [_HOSTS], same=False),
)
"""The table in docs/files.md."""

MORE: Final = (
    Case({}, [events(5, 300)], defaults=True),
    Case({}, [events(7), 3600, events(250)]),
    Case({"rollCount": "1"}, [events(3), events(2)], full_earlier=True),
    Case({"rollCount": "3"}, [events(2), events(2), events(1), events(3)]),
    Case({"rollSize": "10", "batchSize": "1"}, [events(8)]),
    Case({"rollSize": "10"}, [events(3, 5)]),
    Case({"rollSize": "10"}, [[*events(2, 25), *events(2)]]),
    Case({"idleTimeout": "10", "batchSize": "2"}, [events(2), 9, events(2), 10, events(1)]),
    Case({"idleTimeout": "10", "rollCount": "3"}, [events(5), 9, events(2), 10, events(1)]),
    Case({"rollInterval": "30", "rollCount": "3"}, [events(3), 29, events(1), 1, events(1)], full_earlier=True),
    Case({"rollCount": "2", "filePrefix": "%{host}"}, [_MIXED, _MIXED[:4]]),
    Case({"rollSize": "1000", "fileType": "CompressedStream", "codeC": "bzip2", "batchSize": "3"}, [events(7, 300)]),
    Case({"rollSize": "1000", "fileType": "SequenceFile"}, [events(7, 300)]),
    Case({"rollCount": "3", "fileType": "SequenceFile", "codeC": "deflate"}, [events(8)]),
    Case({"useLocalTimeStamp": "true", "timeZone": "UTC", "path": "%H%M"}, [events(2), 59, events(1), 1, events(1)]),
)

NAMES: Final = (
    Case({}, [events(1)]),
    Case({"filePrefix": "web", "fileSuffix": ".log"}, [events(1)]),
    Case({"filePrefix": "web.%{host}", "inUsePrefix": "_", "inUseSuffix": ".open"}, [events(1)]),
    Case(_GZIP, [events(1)]),
    Case({**_GZIP, "fileSuffix": ".log"}, [events(1)]),
    Case({"fileType": "SequenceFile"}, [events(1)]),
)
"""The table of names in docs/files.md."""


@dataclass(frozen=True)
class Outcome:
    """What came of a case.

    Attributes:
        seen: Names of the files that readers see, after each step and in the end.
        bodies: What is in each in the end.
    """

    seen: list[set[str]]
    bodies: dict[str, list[str]]

    @property
    def files(self) -> dict[str, list[list[str]]]:
        """Bodies of each file, in the order of names, by directory and prefix."""
        found: dict[str, list[list[str]]] = {}
        for name in sorted(self.bodies):
            found.setdefault(name.partition(".")[0], []).append(self.bodies[name])
        return found

    @property
    def ended(self) -> list[int]:
        """How many files have ended after each step, and in the end."""
        return [len(names & self.bodies.keys()) for names in self.seen]

    def cell(self) -> str:
        """Return how many events the files have; in brackets, where the end of the run ended them."""
        found: dict[str, list[str]] = {}
        for name in sorted(self.bodies):
            count = str(len(self.bodies[name]))
            found.setdefault(name.partition("/")[0], []).append(count if name in self.seen[-2] else f"({count})")
        if all("/" in name for name in self.bodies):
            return "; ".join(f"{group}: {', '.join(counts)}" for group, counts in found.items())
        return ", ".join(count for counts in found.values() for count in counts)


@pytest.fixture(scope="module")
def outcomes(flume: JavaPrograms, tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[Outcome]]:
    """By the identity of each case: what Flume makes of it, we by Flume's rules, and we by our own."""
    cases = (*SHOWN, *MORE, *NAMES)
    places = [tmp_path_factory.mktemp("case") for _ in cases]
    with pytest.MonkeyPatch.context() as patch:
        ours = [
            [_ours(case, way, place / way, patch) for way in ("flume", "files")]
            for case, place in zip(cases, places, strict=True)
        ]
    asked = "".join(_question(case, place) + "\n" for case, place in zip(cases, places, strict=True))
    done = flume.run("org.apache.flume.sink.hdfs.SinkRolls", asked=asked)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(cases), done.stderr
    return {
        id(case): [
            Outcome([set(names) for names in answer["seen"]], answer["files"]),
            *(Outcome(names, bodies) for names, bodies in zip(seen, answer["others"], strict=True)),
        ]
        for case, answer, seen in zip(cases, answers, ours, strict=True)
    }


def _ours(case: Case, way: str, directory: Path, patch: pytest.MonkeyPatch) -> list[set[str]]:
    """Run our sink through a case; return the names of the files that readers see, after each step and in the end."""
    clock = ManualClock(_EPOCH_MS)
    patch.setattr("flumebeam.commitlog.log.SystemClock", lambda: clock)
    options = PipelineOptions([f"--roll={way}", *case.argv]).view_as(TargetOptions)
    sink = WriteToHdfs(
        str(directory),
        path=options.path,
        path_options=options.path_options(),
        file_prefix=options.file_prefix,
        file_suffix=options.file_suffix,
        format=options.format,
        codec=options.codec,
        roll=options.rolling(),
        max_events=case.transaction,
        clock=clock,
    )
    worker = Worker(sink)
    life = worker.fn._lives.of(_RECEIVER, "q")
    seen = []
    number = 0
    for step in case.steps:
        if isinstance(step, int):
            for _ in range(step):
                clock.advance(1)
                life.rolls.close_old(clock.monotonic())
            life.start_merging()
        else:
            worker.bundle(_batch(step, number))
            number += len(step)
        eventually(lambda: not life.rolls.waiting_bytes)
        seen.append(_names(directory))
    life.end()
    seen.append(_names(directory))
    worker.fn.teardown()
    return seen


def _batch(step: list[_Event], first: int) -> EventBatch:
    ids = delivery_ids(DeliveryId(1, number) for number in range(first, first + len(step)))
    origin = BatchProvenance(_RECEIVER, "q", ids, pa.array([False] * len(step)), False)
    bodies = [body.encode() for _, body in step]
    return EventBatch.from_bodies(bodies, None, {"host": [host for host, _ in step]}, origin)


def _names(directory: Path) -> set[str]:
    found = (path.relative_to(directory) for path in directory.rglob("*") if path.is_file())
    return {str(path) for path in found if not any(word.startswith(".") for word in path.parts)}


def _question(case: Case, place: Path) -> str:
    """Return what Flume is asked to do in a directory, and which others to read."""
    steps = [step if isinstance(step, int) else [[{"host": host}, body] for host, body in step] for step in case.steps]
    return json.dumps(
        {
            "directory": str(place / "theirs"),
            "others": [str(place / "flume"), str(place / "files")],
            "settings": {f"hdfs.{name}": value for name, value in case.flume.items()},
            "steps": steps,
            "epoch_ms": _EPOCH_MS,
        }
    )


def test_files_have_the_events_that_flumes_have_and_end_when_they_do(outcomes: dict[int, list[Outcome]]) -> None:
    for case in (*SHOWN, *MORE):
        theirs, ours, _ = outcomes[id(case)]
        assert (ours.files == theirs.files) is case.same, case
        assert (ours.ended == theirs.ended) is (case.same and not case.full_earlier), case


def test_a_full_file_is_seen_at_once_and_no_later_than_flumes(outcomes: dict[int, list[Outcome]]) -> None:
    for case in (*SHOWN, *MORE):
        theirs, ours, _ = outcomes[id(case)]
        if case.full_earlier:
            assert all(own >= their for own, their in zip(ours.ended, theirs.ended, strict=True)), case


def test_nothing_is_missing_or_twice_whoever_rolls(outcomes: dict[int, list[Outcome]]) -> None:
    for case in (*SHOWN, *MORE):
        came = sorted(body for step in case.steps if not isinstance(step, int) for _, body in step)
        for outcome in outcomes[id(case)]:
            assert sorted(body for bodies in outcome.bodies.values() for body in bodies) == came, case


def test_what_is_being_written_is_seen_by_nobody(outcomes: dict[int, list[Outcome]]) -> None:
    for case in NAMES:
        theirs, *ours = outcomes[id(case)]
        assert [len(names) for names in theirs.seen] == [1, 1]
        assert all(outcome.seen[0] == set() for outcome in ours)


def _settings(case: Case) -> str:
    return ", ".join(f"`{name} = {value}`" for name, value in case.settings.items()) or "none"


def _came(step: _Step, sized: bool) -> str:
    if isinstance(step, int):
        return f"{step} s"
    if not sized:
        return str(len(step))
    sizes = ((size, len(list(same))) for size, same in groupby(len(body) for _, body in step))
    return ", ".join(f"{count} of {size} B" for size, count in sizes)


def rolls_table(outcomes: dict[int, list[Outcome]]) -> str:
    """Return the table of rolls as it stands in docs/files.md."""
    rows = ["| settings | events, and seconds between them | Flume | `--roll=flume` | `--roll=files` |"]
    rows += ["|---|---|---|---|---|"]
    for case in SHOWN:
        came = ", ".join(_came(step, "rollSize" in case.settings) for step in case.steps)
        cells = [outcome.cell() for outcome in outcomes[id(case)]]
        rows.append(f"| {_settings(case)} | {came} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def names_table(outcomes: dict[int, list[Outcome]]) -> str:
    """Return the table of names as it stands in docs/files.md."""
    rows = ["| settings | Flume, while it writes | Flume | here |", "|---|---|---|---|"]
    for case in NAMES:
        theirs, ours, _ = outcomes[id(case)]
        ([writing], [done], [own]) = theirs.seen[0], theirs.seen[1], ours.seen[1]
        flumes = [_COUNTER.sub("COUNTER", name) for name in (writing, done)]
        rows.append(f"| {_settings(case)} | `{flumes[0]}` | `{flumes[1]}` | `{_UNIQUE.sub('UNIQUE', own)}` |")
    return "\n".join(rows) + "\n"


@pytest.mark.parametrize("table", [rolls_table, names_table])
def test_the_tables_in_the_documentation_are_these(outcomes: dict[int, list[Outcome]], table: Any) -> None:
    text = (Path(__file__).parents[2] / "docs" / "files.md").read_text()

    made = table(outcomes)
    assert made in text, f"put this into docs/files.md:\n{made}"
