"""Files that are written once, whatever becomes of the answers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flumebeam.commitlog.driver import Driver
from flumebeam.commitlog.layout import LogLayout
from flumebeam.commitlog.protocol import Scribe
from flumebeam.commitlog.steps import Rename, Step, Steps, Write
from flumebeam.commitlog.whole_files import WINDOWS, sweep_old, write_once
from flumebeam.errors import StorageConflictError
from flumebeam.testing.faulty_filesystem import Failure, Fault
from tests.unit.commitlog.helpers import TARGET, Rig


class Writer:
    """A worker, on a file system in memory."""

    def __init__(self, rig: Rig, name: str = "n") -> None:
        names = iter(f"{name}{number}" for number in range(100))
        self.layout = LogLayout(TARGET, WINDOWS)
        self.scribe = Scribe(self.layout, lambda: next(names), rig.clock.epoch_ms)
        self.driver = Driver(rig.fs, clock=rig.clock, sleep=rig.sleep)

    def write(self, name: str = "d/f") -> bool:
        return self.driver.run(write_once(self.scribe, name, lambda: [b"x"]))


def test_a_file_is_written_once_by_whoever_comes_first() -> None:
    rig = Rig()

    assert [Writer(rig, "a").write(), Writer(rig, "b").write()] == [True, False]
    assert rig.finals == {"d/f": b"x"}


@pytest.mark.parametrize("failure", [Failure.SILENT, Failure.ANSWER_LOST, Failure.FULL])
@pytest.mark.parametrize("operation", ["write", "rename"])
def test_an_answer_that_is_lost_is_no_second_file(operation: str, failure: Failure) -> None:
    rig = Rig()
    rig.fail(Fault(failure, operation, times=2))

    assert Writer(rig).write()
    assert rig.finals == {"d/f": b"x"}


def interrupted(writer: Writer, meanwhile: Callable[[], object]) -> tuple[bool, int]:
    """Write a file while something happens before its first rename; return the outcome, and how often it wrote."""
    steps = write_once(writer.scribe, "d/f", lambda: [b"x"])
    answer: object = None
    writes = renames = 0
    while True:
        try:
            step = steps.send(answer)
        except StopIteration as end:
            return bool(end.value), writes
        writes += isinstance(step, Write)
        renames += isinstance(step, Rename)
        if isinstance(step, Rename) and renames == 1:
            meanwhile()
        answer = writer.driver.run(_alone(step))


def _alone(step: Step) -> Steps[object]:
    answer: object = yield step
    return answer


def test_a_writer_that_is_overtaken_leaves_nothing_behind() -> None:
    rig = Rig()

    assert interrupted(Writer(rig, "a"), Writer(rig, "b").write) == (False, 1)
    assert rig.finals == {"d/f": b"x"}
    assert rig.hidden("/_new/") == []


def test_what_was_swept_away_is_written_again() -> None:
    rig = Rig()
    writer = Writer(rig)

    assert interrupted(writer, lambda: rig.memory.delete(f"{writer.layout.new}/_n0")) == (True, 2)
    assert rig.finals == {"d/f": b"x"}


def test_a_directory_that_has_its_name_is_not_touched() -> None:
    rig = Rig()
    rig.memory.make_directory(f"{TARGET}/d/f")

    with pytest.raises(StorageConflictError, match="move it away"):
        Writer(rig).write()


def test_what_a_dead_writer_left_is_removed_a_day_later() -> None:
    rig = Rig()
    writer = Writer(rig)
    writer.write()
    rig.memory.write(f"{writer.layout.new}/_left", [b"half"])
    writer.driver.run(sweep_old(writer.scribe))
    assert len(rig.hidden("/_new/")) == 1

    rig.clock.advance(86_401)
    writer.driver.run(sweep_old(writer.scribe))

    assert rig.hidden("/_new/") == []
