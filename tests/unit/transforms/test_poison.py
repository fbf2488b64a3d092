from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from flumebeam.batch import EventBatch
from flumebeam.errors import ConfigurationError, FormatError, MisfitError
from flumebeam.formats import TableOptions, TableSchema, open_format
from flumebeam.transforms.hdfs_write import WriteToHdfs
from flumebeam.transforms.poison import encoded, sift
from tests.unit.transforms.sinks import Worker, batch_of, finals, lines, numbers_of


@dataclass(frozen=True)
class Numbers:
    """A format with a schema: a body is a number below 100, in whatever way it may not be one."""

    name: str = "numbers"
    extension: str = ".txt"
    concatenable: bool = True
    error: type[Exception] | None = None

    def encode(self, batches: Iterable[EventBatch]) -> Iterator[bytes]:
        for batch in batches:
            for event in batch.events():
                number = int(event.body)
                if number > 99:
                    raise (self.error or FormatError)(f"{number} is no number below 100")
                yield b"%d\n" % number


def letters(target: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line) for path in target.glob("_dead-letters/_*.jsonl") for line in path.read_text().splitlines()
    ]


def test_an_event_that_cannot_be_written_is_a_dead_letter_of_the_same_commit(
    worker: Callable[..., Worker], tmp_path: Path
) -> None:
    headers = {"part": ["a", "b", "a", "b"]}
    durable = worker(format=Numbers(), path="%{part}").bundle(batch_of(1, 200, 3, 400, headers=headers))

    assert numbers_of(durable) == [1, 200, 3, 400]
    assert lines(tmp_path) == [1, 3]
    assert [path.parent.name for path in finals(tmp_path)] == ["a"]
    dead = letters(tmp_path)
    assert [b64decode(letter["body"]) for letter in dead] == [b"200", b"400"]
    assert dead[0]["target"] == "b"
    assert dead[0]["cause"] == "200 is no number below 100"
    assert dead[0]["headers"]["part"] == "b"
    hidden = [path for path in (tmp_path / ".flumebeam.logs").rglob("_*") if "/_parts/" in str(path) and path.is_file()]
    assert hidden == []


def test_what_came_again_after_its_commit_is_no_second_dead_letter(
    worker: Callable[..., Worker], tmp_path: Path
) -> None:
    worker(format=Numbers()).bundle(batch_of(1, 200))

    assert numbers_of(worker(format=Numbers()).bundle(batch_of(1, 200, 2, receiver="r2"))) == [1, 200, 2]

    assert lines(tmp_path) == [1, 2]
    assert len(letters(tmp_path)) == 1


def test_a_transaction_of_nothing_but_poison_is_committed(worker: Callable[..., Worker], tmp_path: Path) -> None:
    assert numbers_of(worker(format=Numbers()).bundle(batch_of(100, 200))) == [100, 200]

    assert finals(tmp_path) == []
    assert len(letters(tmp_path)) == 2


def test_without_dead_letters_the_first_one_stops_the_sink_and_nothing_is_reported(
    worker: Callable[..., Worker], tmp_path: Path
) -> None:
    one = worker(format=Numbers(), dead_letters=None)
    one.fn.start_bundle()
    one.process(batch_of(1, 200))

    with pytest.raises(FormatError, match="200 is no number"):
        one.finish()

    assert finals(tmp_path) == []


@pytest.mark.parametrize("directory", ["", "/abs", "../up", "a/../b", ".."])
def test_dead_letters_are_below_the_target(directory: str) -> None:
    with pytest.raises(ConfigurationError, match="below the target"):
        WriteToHdfs("/t", dead_letters=directory)


@pytest.mark.parametrize("error", [ValueError, TypeError, KeyError, OverflowError])
def test_an_error_about_a_value_is_the_events_fault(error: type[Exception]) -> None:
    with pytest.raises(FormatError, match=r"cannot be written as numbers: .*100"):
        list(encoded(Numbers(error=error), [EventBatch.from_bodies([b"100"])]))


def test_an_error_of_the_machine_is_not(worker: Callable[..., Worker]) -> None:
    one = worker(format=Numbers(error=MemoryError))
    one.fn.start_bundle()
    one.process(batch_of(1, 200))

    with pytest.raises(MemoryError):
        one.finish()


def test_each_event_that_is_refused_is_found_with_its_own_cause() -> None:
    bodies = [b"%d" % (1000 if number in (0, 7, 8, 99) else 1) for number in range(100)]

    good, dead = sift(Numbers(), EventBatch.from_bodies(bodies), "t")

    assert len(good) == 96
    assert [letter.cause for letter in dead] == ["1000 is no number below 100"] * 4


@dataclass(frozen=True)
class Suspicious(Numbers):
    """Checks without writing, counts how often, and suspects whoever it is told to."""

    checks: list[int] = field(default_factory=list)
    suspect: Callable[[list[bytes]], list[int]] = lambda bodies: []

    def check(self, batch: EventBatch) -> None:
        bodies = batch.bodies.to_pylist()
        self.checks.append(len(bodies))
        if max(map(int, bodies)) > 99:
            raise MisfitError("too large", self.suspect(bodies))

    def encode(self, batches: Iterable[EventBatch]) -> Iterator[bytes]:
        raise AssertionError("nothing is written to be looked at")


@pytest.mark.parametrize(
    "suspect",
    [
        lambda bodies: [bodies.index(b"100")],
        lambda bodies: [bodies.index(b"1")] if b"1" in bodies else [],
        lambda bodies: [-1, len(bodies), 10_000],
        lambda bodies: [],
    ],
    ids=["the first", "an innocent", "nobody there", "nobody"],
)
@pytest.mark.parametrize("poison", [{0}, {999}, {17, 18, 255, 256, 257}, set(range(1_000))])
def test_suspects_are_tried_before_they_are_dead_letters(
    suspect: Callable[[list[bytes]], list[int]], poison: set[int]
) -> None:
    bodies = [b"100" if number in poison else b"1" for number in range(1_000)]

    good, dead = sift(Suspicious(suspect=suspect), EventBatch.from_bodies(bodies), "t")

    assert (len(good), len(dead)) == (1_000 - len(poison), len(poison))
    assert b"100" not in good.bodies.to_pylist()


def test_where_suspects_are_named_an_event_in_a_hundred_is_found_by_a_few_looks() -> None:
    format = Suspicious(suspect=lambda bodies: [bodies.index(b"100")])
    batch = EventBatch.from_bodies([b"100" if number % 100 == 7 else b"1" for number in range(5_000)])

    _, dead = sift(format, batch, "t")

    assert len(dead) == 50
    assert len(format.checks) < 4 * len(dead)
    assert sum(format.checks) < 10 * len(batch)


def test_misfits_of_a_table_are_found_by_what_arrow_says_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = TableSchema('{"type": "record", "name": "R", "fields": [{"name": "n", "type": "int"}]}')
    table = open_format("parquet", table=TableOptions(schema=schema))
    misfits = [b'{"n": "x"}', b'{"n": 1', b'{"n": 99999999999}', b"{}", b"text", b'{"n": 1}{"n": 2}', b'{"n": 1.5}']
    bodies = [misfits[at // 100 % 7] if at % 100 == 99 else b'{"n": %d}' % at for at in range(5_000)]
    looks = []
    rows = TableOptions.rows
    monkeypatch.setattr(TableOptions, "rows", lambda self, batch: looks.append(len(batch)) or rows(self, batch))

    good, dead = sift(table, EventBatch.from_bodies(bodies), "t")

    assert [letter.event.body for letter in dead] == bodies[99::100]
    assert len(good) == 4_950
    assert len(looks) < 4 * len(dead)


def test_a_batch_without_poison_is_not_copied() -> None:
    batch = EventBatch.from_bodies([b"1"])

    assert sift(Numbers(), batch, "t") == (batch, [])
