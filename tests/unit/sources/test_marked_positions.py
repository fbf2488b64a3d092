from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from flumebeam.clock import ManualClock
from flumebeam.errors import FormatError
from flumebeam.sources.marked_positions import MarkedPositions
from flumebeam.sources.positions import FORGET_MS, Position


class Keeper:
    """Keeps what it is told, as if every transaction were committed."""

    def __init__(self) -> None:
        self.kept: dict[int, tuple[int, Mapping[str, Any]]] = {}

    def marks(self) -> Mapping[int, tuple[int, Mapping[str, Any]]]:
        return dict(self.kept)

    def describe(self, origin: int, facts: Mapping[str, Any]) -> None:
        offset, _ = self.kept.get(origin, (0, {}))
        self.kept[origin] = (offset, facts)

    def forget(self, origin: int) -> None:
        self.kept.pop(origin, None)


def meet(positions: MarkedPositions, path: Path) -> Position:
    with path.open("rb") as file:
        return positions.meet(file.fileno(), str(path))


def test_a_file_is_recognised_by_what_the_marks_say_also_under_another_name(tmp_path: Path) -> None:
    keeper = Keeper()
    path = tmp_path / "a.log"
    path.write_bytes(b"one\ntwo\n")
    origin = meet(MarkedPositions(keeper), path).identity.origin
    keeper.kept[origin] = (4, keeper.kept[origin][1])
    moved = path.rename(tmp_path / "b.log")

    again = meet(MarkedPositions(keeper), moved)

    assert (again.identity.origin, again.offset, again.path) == (origin, 4, str(moved))


def test_another_file_with_the_inode_begins_anew_and_the_old_one_is_forgotten(tmp_path: Path) -> None:
    keeper = Keeper()
    path = tmp_path / "a.log"
    path.write_bytes(b"one\n")
    first = meet(MarkedPositions(keeper), path).identity.origin
    path.write_bytes(b"two, another one\n")

    second = meet(MarkedPositions(keeper), path)

    assert second.offset == 0
    assert list(keeper.kept) == [second.identity.origin] != [first]


def test_a_file_that_vanished_is_forgotten_after_a_month(tmp_path: Path) -> None:
    keeper, clock = Keeper(), ManualClock()
    path = tmp_path / "a.log"
    path.write_bytes(b"one\n")
    meet(MarkedPositions(keeper, clock=clock), path)
    path.unlink()

    MarkedPositions(keeper, clock=clock).forget_vanished()
    assert keeper.kept
    clock.advance(FORGET_MS / 1000 + 1)
    MarkedPositions(keeper, clock=clock).forget_vanished()
    assert not keeper.kept


def test_marks_of_another_kind_of_source_are_told() -> None:
    keeper = Keeper()
    keeper.kept[1] = (5, {"cursor": "x"})

    with pytest.raises(FormatError, match="another kind"):
        MarkedPositions(keeper)
