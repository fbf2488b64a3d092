"""When a partition is complete: the decision, and what stands in the log."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flumebeam.commitlog.driver import Driver
from flumebeam.commitlog.layout import LogLayout
from flumebeam.commitlog.partitions import Mark, Wait, Watermark, judge, mark_open, mark_ready, move_watermark, survey
from flumebeam.commitlog.protocol import Scribe, close_epoch, open_epoch
from flumebeam.testing.faulty_filesystem import Failure, Fault
from tests.unit.commitlog.helpers import QUEUE, TARGET, Rig

END, DELAY = 1_000, 50


def mark(log: str = "a", epoch: str = "a1", *, ready: bool = True, late: bool = False, path: str = "p") -> Mark:
    return Mark(log, epoch, f"k.{log}{epoch}", path, END, late, ready)


def waits(*marks: Mark, watermarks: dict[tuple[str, str], int]) -> set[Wait]:
    times = [Watermark(log, epoch, at) for (log, epoch), at in watermarks.items()]
    (judgement,) = judge(marks, times, DELAY)
    return set(judgement.waits)


def test_a_partition_is_complete_when_all_is_published_and_its_receiver_is_beyond_the_delay() -> None:
    assert waits(mark(), watermarks={("a", "a1"): END + DELAY}) == set()


def test_it_waits_for_its_receiver_to_pass_the_delay() -> None:
    assert waits(mark(), watermarks={("a", "a1"): END + DELAY - 1}) == {Wait("a", "a1")}


def test_it_waits_for_what_is_not_published() -> None:
    assert waits(mark(ready=False), watermarks={("a", "a1"): 9_999}) == {Wait("a", "a1")}


def test_it_waits_for_an_earlier_epoch_whose_marks_are_open() -> None:
    assert waits(mark(epoch="a0", ready=False), mark(), watermarks={("a", "a1"): 9_999}) == {Wait("a", "a0")}


def test_it_waits_for_a_receiver_that_has_written_nothing_of_it() -> None:
    assert waits(mark(), watermarks={("a", "a1"): 9_999, ("b", "b1"): 0}) == {Wait("b", "b1")}


def test_what_an_earlier_run_wrote_waits_for_a_receiver_of_its_queue() -> None:
    assert waits(mark(log="b", epoch="b0"), watermarks={("a", "a1"): 9_999}) == {Wait("b", "")}


def test_nothing_is_complete_while_nobody_reads() -> None:
    assert waits(mark(), watermarks={}) == {Wait("a", "")}


@pytest.mark.parametrize(("late", "expected"), [((True, True), True), ((False, True), False), ((False,), False)])
def test_files_are_late_if_all_came_after_the_partition_was_complete(late: tuple[bool, ...], expected: bool) -> None:
    marks = [mark(epoch=f"a{number}", late=each) for number, each in enumerate(late)]

    (judgement,) = judge(marks, [], DELAY)

    assert judgement.late is expected


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("12"), st.booleans(), st.sampled_from("pq"))),
    st.dictionaries(st.tuples(st.sampled_from("abc"), st.sampled_from("123")), st.sampled_from([0, 1_049, 1_050])),
)
def test_complete_means_all_marks_ready_all_receivers_beyond_and_each_queue_heard(
    marks: list[tuple[str, str, bool, str]], watermarks: dict[tuple[str, str], int]
) -> None:
    all_marks = [mark(log, epoch, ready=ready, path=path) for log, epoch, ready, path in marks]
    times = [Watermark(log, epoch, at) for (log, epoch), at in watermarks.items()]

    for judgement in judge(all_marks, times, DELAY):
        own = [one for one in all_marks if one.path == judgement.path]
        heard = {log for log, _ in watermarks}
        complete = (
            all(one.ready for one in own)
            and all(at >= END + DELAY for at in watermarks.values())
            and all(one.log in heard for one in own)
        )
        assert (not judgement.waits) is complete


# -- in the log ------------------------------------------------------------------------------------------------------


class Log:
    """An epoch with what it says of partitions, on a file system in memory."""

    def __init__(self) -> None:
        self.rig = Rig()
        self.layout = LogLayout(TARGET, QUEUE)
        names = iter(f"n{number}" for number in range(100))
        self.scribe = Scribe(self.layout, lambda: next(names), self.rig.clock.epoch_ms)
        self.driver = Driver(self.rig.fs, clock=self.rig.clock, sleep=self.rig.sleep)
        self.epoch = self.driver.run(open_epoch(self.scribe, "r"))
        self.driver.run(move_watermark(self.layout, self.epoch, None, 0))

    def open(self, path: str) -> Mark:
        return self.driver.run(mark_open(self.scribe, self.epoch, path, END, "_SUCCESS"))


def test_what_an_epoch_says_is_found_by_all_others() -> None:
    log = Log()
    first, second = log.open("p"), log.open("q/r")
    log.driver.run(mark_ready(log.layout, first))
    log.driver.run(move_watermark(log.layout, log.epoch, 0, 7))

    found = log.driver.run(survey(LogLayout(TARGET, QUEUE), {}))

    assert {(one.path, one.ready, one.end_ms) for one in found.marks} == {("p", True, END), ("q/r", False, END)}
    assert [one.at_ms for one in found.watermarks] == [7]
    assert second in found.marks


def test_the_marks_of_an_epoch_are_ready_when_it_is_settled_and_not_before() -> None:
    log = Log()
    log.open("p")
    log.driver.run(close_epoch(log.scribe, log.epoch))
    (closed,) = log.rig.fs.list(log.layout.closed)
    before = log.driver.run(survey(LogLayout(TARGET, QUEUE), {}))
    log.rig.fs.delete(f"{log.layout.closed}/{closed.name}")

    after = log.driver.run(survey(LogLayout(TARGET, QUEUE), {}))

    assert ([one.ready for one in before.marks], before.watermarks) == ([False], ())
    assert ([one.ready for one in after.marks], after.watermarks) == ([True], ())


def test_half_a_mark_of_a_writer_that_died_is_none() -> None:
    log = Log()
    log.rig.fs.write(f"{log.layout.epoch_partitions(log.epoch)}/_o-0123456789abcdef.x", [b'{"path": "p", "en'])

    assert log.driver.run(survey(LogLayout(TARGET, QUEUE), {})).marks == ()


def test_a_mark_and_a_watermark_are_written_until_it_is_answered() -> None:
    log = Log()
    log.rig.fail(Fault(Failure.SILENT, "write", "/_partitions/", times=2))
    one = log.open("p")
    for failure in (Failure.SILENT, Failure.ANSWER_LOST):
        log.rig.fail(Fault(failure, "rename", "/_partitions/", times=1))
    log.driver.run(mark_ready(log.layout, one))
    log.rig.fail(Fault(Failure.ANSWER_LOST, "rename", "/_partitions/", times=1))
    log.driver.run(move_watermark(log.layout, log.epoch, 0, 5))

    found = log.driver.run(survey(LogLayout(TARGET, QUEUE), {}))

    assert [(mark.path, mark.ready) for mark in found.marks] == [("p", True)]
    assert [mark.at_ms for mark in found.watermarks] == [5]
