from __future__ import annotations

import pytest

from flumebeam.commitlog.protocol import PartDraft
from flumebeam.commitlog.records import PartEntry, Record, RecordKind
from flumebeam.commitlog.rolling import Files, OpenRolls, RollOptions
from flumebeam.errors import ConfigurationError


class Scene:
    """The rolls of a life, given transactions of one segment each."""

    def __init__(self, **limits: float) -> None:
        self.rolls = OpenRolls(RollOptions(**{"max_bytes": 0, "max_seconds": 0, **limits}))  # type: ignore[arg-type]
        self.number = 0

    def commit(self, now: float = 0, directory: str = "d", length: int = 1, events: int = 1, kind: str = "") -> str:
        self.number += 1
        draft = PartDraft(directory, f"f{self.number}", tuple, events, "bytes", kind, body_bytes=length)
        final = self.rolls.final(draft)
        part = PartEntry(f"p{self.number}", "id", length, final, events, "bytes")
        self.rolls.add(Record(RecordKind.TRANSACTION, "e", self.number, 0, (part,)), [draft], now)
        return final

    def due(self, now: float = 0) -> list[list[int]]:
        self.rolls.close_old(now)
        return [[segment.number for segment in roll.segments] for roll in self.rolls.due()]


def test_segments_of_one_path_share_a_file_until_it_ends() -> None:
    scene = Scene(max_events=3)

    finals = [scene.commit() for _ in range(5)]

    assert finals == ["d/f1", "d/f1", "d/f1", "d/f4", "d/f4"]
    assert scene.due() == [[1, 2, 3]]
    assert scene.due() == []


def test_paths_and_kinds_have_files_of_their_own() -> None:
    scene = Scene()

    assert [scene.commit(directory="a"), scene.commit(directory="b"), scene.commit(directory="a", kind="v2")] == [
        "a/f1",
        "b/f2",
        "a/f3",
    ]


def test_a_file_ends_at_its_size() -> None:
    scene = Scene(max_bytes=10)
    for _ in range(3):
        scene.commit(length=5)

    assert scene.due() == [[1, 2]]


def test_a_file_ends_when_its_first_event_is_old() -> None:
    scene = Scene(max_seconds=10)
    scene.commit(now=0)
    scene.commit(now=9)

    assert scene.due(now=9.9) == []
    assert scene.due(now=10) == [[1, 2]]


def test_a_file_ends_when_nothing_comes() -> None:
    scene = Scene(idle_seconds=5)
    scene.commit(now=0)
    scene.commit(now=4)

    assert scene.due(now=8.9) == []
    assert scene.due(now=9) == [[1, 2]]


def test_the_file_that_got_nothing_for_longest_ends_when_too_many_are_open() -> None:
    scene = Scene(max_open=2)
    for directory in ("a", "b", "a", "c"):
        scene.commit(directory=directory)

    assert scene.due() == [[2]]


def test_a_file_of_very_many_segments_ends() -> None:
    scene = Scene()
    for _ in range(2_001):
        scene.commit()

    assert [len(numbers) for numbers in scene.due()] == [2_000]


def test_segments_are_unmerged_until_their_merge_is_done() -> None:
    scene = Scene(max_events=2)
    for _ in range(3):
        scene.commit(length=7)
    (roll,) = scene.rolls.due()
    assert [segment.number for segment in scene.rolls.unmerged()] == [1, 2, 3]
    assert scene.rolls.waiting_bytes == 14

    scene.rolls.done(roll, PartEntry("m", "id", 14, "d/f1", 2, "bytes"))

    assert [segment.number for segment in scene.rolls.unmerged()] == [3]
    assert scene.rolls.waiting_bytes == 0
    assert scene.rolls.take_made() == Files(1, 1)
    assert scene.rolls.take_made() == Files()


def test_ten_thousand_paths_hold_no_more_than_the_open_ones() -> None:
    scene = Scene(max_open=100)
    for number in range(10_000):
        scene.commit(directory=f"d{number}")
        for roll in scene.rolls.due():
            scene.rolls.done(roll, roll.first.part)

    assert len(scene.rolls.unmerged()) == 100


@pytest.mark.parametrize("limit", [{"max_bytes": -1}, {"max_seconds": -1}, {"max_open": 0}])
def test_limits_that_cannot_work_are_told(limit: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(limit))):
        RollOptions(**limit)  # type: ignore[arg-type]


def test_small_files_are_counted() -> None:
    assert Files.of(1, 1 << 30, 2) == Files(3, 2)
