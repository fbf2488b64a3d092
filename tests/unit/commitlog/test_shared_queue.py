"""Lives of one shared queue write side by side, and find what each other committed."""

from __future__ import annotations

import pytest

from flumebeam.commitlog.options import QueueAccess
from flumebeam.commitlog.steps import CrashPoint
from flumebeam.errors import EpochClosedError
from flumebeam.hdfs.filesystem import FileStat
from flumebeam.testing.faulty_filesystem import FaultyFileSystem
from flumebeam.testing.memory_filesystem import MemoryFileSystem
from tests.unit.commitlog.helpers import TARGET, DiedError, Rig, commit, die_at, knows


def test_lives_of_a_shared_queue_write_at_once() -> None:
    rig = Rig(access=QueueAccess.SHARED)
    one, two = rig.log().begin_life("r1"), rig.log().begin_life("r2")
    for number in range(4):
        commit(one, 10 + number)
        commit(two, 20 + number)

    assert len(rig.events) == 8


def test_a_redelivered_message_of_a_killed_life_of_a_shared_queue_is_found_in_its_epoch() -> None:
    rig = Rig(access=QueueAccess.SHARED)
    for point in (CrashPoint.COMMITTED, CrashPoint.PART_PUBLISHED, CrashPoint.PUBLISHED, CrashPoint.MARKED):
        died, other = rig.log(at=die_at(point)).begin_life("r1"), rig.log().begin_life("r2")
        number = len(rig.events)
        with pytest.raises(DiedError):
            commit(died, number)

        commit(other, number)

        assert len(rig.events) == number + 1


def test_idle_epochs_of_a_shared_queue_are_closed_and_settled() -> None:
    rig = Rig(access=QueueAccess.SHARED, idle_close_seconds=60.0)
    rig.memory.now_ms = rig.clock.epoch_ms()
    idle = rig.log().begin_life("r1")
    commit(idle, 1)
    rig.clock.advance(61)
    rig.memory.now_ms = rig.clock.epoch_ms()

    other = rig.log().begin_life("r2")
    commit(other, 1, 2)

    assert rig.hidden(f"/_epochs/{idle.epoch}") == []
    with pytest.raises(EpochClosedError):
        commit(idle, 3)
    assert rig.events == [b"1", b"2"]


class Blinking(MemoryFileSystem):
    """Does not show a name in one listing of its directory, as directories may while names move."""

    def __init__(self) -> None:
        super().__init__()
        self.blink = ""

    def list(self, path: str) -> list[FileStat]:
        entries = super().list(path)
        shown = [entry for entry in entries if not self.blink or self.blink not in f"{path}/{entry.name}"]
        if len(shown) < len(entries):
            self.blink = ""
        return shown


@pytest.mark.parametrize(("path", "access"), [("/_retired/", QueueAccess.EXCLUSIVE), ("/_p-", QueueAccess.SHARED)])
def test_a_name_that_moves_while_its_directory_is_listed_is_not_overlooked(path: str, access: QueueAccess) -> None:
    rig = Rig(access=access)
    fs = Blinking()
    fs.make_directory(TARGET)
    fs.now_ms = rig.clock.epoch_ms()
    rig.memory, rig.fs = fs, FaultyFileSystem(fs)
    commit(rig.log().begin_life("r1"), 1)
    rig.log().begin_life("r2").fence()
    fs.blink = path

    assert knows(rig, 1)
    assert fs.blink == ""
