"""A life that begins refuses what lives before it did not commit, and takes over what they left."""

from __future__ import annotations

import pytest

from flumebeam.commitlog.steps import CrashPoint
from flumebeam.errors import EpochClosedError, StorageUnavailableError
from flumebeam.testing.faulty_filesystem import Failure, Fault
from tests.unit.commitlog.helpers import QUEUE, TARGET, Rig, commit, drafts, ids


def test_a_successor_refuses_what_its_predecessor_did_not_commit_before() -> None:
    rig = Rig()
    old = rig.log().begin_life("r1")
    commit(old, 1)
    new = rig.log().begin_life("r2")
    new.fence()

    with pytest.raises(EpochClosedError, match="nothing is lost"):
        commit(old, 2)

    assert old.over
    assert commit(new, 1, 2) == [1, 2]
    assert rig.events == [b"1", b"2"]


def test_a_refused_life_never_commits_again() -> None:
    rig = Rig()
    old = rig.log().begin_life("r1")
    old.fence()
    rig.log().begin_life("r2").fence()
    with pytest.raises(EpochClosedError):
        old.fence()

    with pytest.raises(EpochClosedError):
        old.commit(drafts(old, [1]), ids(1))

    assert rig.events == []


def test_a_fence_that_failed_must_be_repeated_before_the_next_commit() -> None:
    rig = Rig()
    life = rig.log().begin_life("r1")
    commit(life, 1)
    rig.fail(Fault(Failure.SILENT, "list", "", times=-1))
    with pytest.raises(StorageUnavailableError):
        life.fence()
    rig.fs.faults.clear()

    assert not life.fenced
    commit(life, 2)
    assert rig.events == [b"1", b"2"]


def test_a_life_begun_after_a_fence_is_not_touched_by_it() -> None:
    rig = Rig()
    first = rig.log().begin_life("r1")
    first.fence()
    second = rig.log().begin_life("r2")

    commit(first, 1)
    commit(second, 1, 2)

    assert rig.events == [b"1", b"2"]


def test_a_life_that_is_fenced_after_its_commit_does_not_fail_over_its_fold() -> None:
    rig = Rig(fold_after=1)

    def take_over(point: CrashPoint) -> None:
        if point is CrashPoint.MARKED:
            rig.log().begin_life("r2").fence()

    life = rig.log(at=take_over).begin_life("r1")
    life.fence()

    commit(life, 1)

    assert rig.events == [b"1"]


def test_parts_of_a_refused_life_are_swept() -> None:
    rig = Rig()
    old = rig.log().begin_life("r1")
    old.fence()
    rig.fail(Fault(Failure.SILENT, "rename", "/_epochs/", times=-1))
    with pytest.raises(StorageUnavailableError):
        commit(old, 1)
    rig.fs.faults.clear()
    assert len(rig.hidden("/_parts/")) == 2

    rig.log().begin_life("r2").fence()

    assert rig.hidden("/_parts/") == []


def test_a_part_that_appears_hours_later_is_swept_by_the_next_fence() -> None:
    rig = Rig()
    old = rig.log().begin_life("r1")
    old.fence()
    rig.fail(Fault(Failure.LATE, "write", "/_parts/"))
    commit(old, 1)
    new = rig.log().begin_life("r2")
    new.fence()
    rig.memory.make_directory(f"{new._log.layout.parts}/{old.epoch}")
    assert rig.fs.release() == 1
    assert len(rig.hidden("/_parts/")) == 1

    new.fence()

    assert rig.hidden("/_parts/") == []


def test_what_a_killed_life_had_on_its_way_is_given_up_after_a_day() -> None:
    rig = Rig()
    commit(rig.log().begin_life("killed"), 1)
    rig.memory.write(
        f"{TARGET}/.flumebeam.logs/_{QUEUE.log_name}/_new/_0123456789abcdef", [b"ids, written and not renamed"]
    )
    life = rig.log().begin_life("next")

    rig.clock.advance(86_000)
    life.fence()
    assert len(rig.hidden("/_new/")) == 1
    rig.clock.advance(500)
    life.fence()

    assert rig.hidden("/_new/") == []


def test_two_jobs_on_one_queue_by_mistake_take_turns() -> None:
    rig = Rig()
    logs = [rig.log(), rig.log()]
    left = set(range(5))
    lives = [log.begin_life("r") for log in logs]
    for turn in range(40):
        for job in (0, 1):
            if not left:
                break
            try:
                if not lives[job].fenced:
                    lives[job].fence()
                elif turn % 2 == job:
                    number = min(left)
                    commit(lives[job], number)
                    left.discard(number)
            except EpochClosedError:
                lives[job] = logs[job].begin_life("r")

    assert not left
    assert rig.events == sorted(b"%d" % n for n in range(5))


def test_a_life_that_follows_refused_ones_waits_longer_each_time_until_something_is_committed() -> None:
    rig = Rig()
    log = rig.log()
    for _ in range(6):
        life = log.begin_life("r")
        life.fence()
        rig.log().begin_life("o").fence()
        with pytest.raises(EpochClosedError):
            commit(life, 1)
    life = log.begin_life("r")
    assert len(rig.slept) == 5
    assert all(0 <= pause <= 2.0 ** (turn + 1) for turn, pause in enumerate(rig.slept))

    commit(life, 1)
    log.begin_life("r")

    assert len(rig.slept) == 5
