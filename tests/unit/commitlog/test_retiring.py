"""Ids are kept as long as they can come again, in few files, and no longer."""

from __future__ import annotations

import contextlib

import pytest

from flumebeam.commitlog.layout import EntryKind
from flumebeam.commitlog.options import QueueAccess
from flumebeam.commitlog.steps import CrashPoint
from flumebeam.testing.faulty_filesystem import Failure, Fault
from tests.unit.commitlog.helpers import DiedError, Rig, commit, die_at, ids, knows


def serve_a_day(rig: Rig, number: int) -> None:
    rig.clock.advance(86_400)
    commit(rig.log().begin_life("r"), number)


def test_records_of_a_long_life_are_folded_into_one_set() -> None:
    rig = Rig(fold_after=4)
    life = rig.log().begin_life("r1")
    for number in range(9):
        commit(life, number)

    assert [path.rpartition("/")[2] for path in rig.hidden("/_epochs/")] == ["_f-0000000008", "_p-0000000009"]
    successor = rig.log().begin_life("r2")
    successor.fence()
    assert successor.committed(ids(*range(10))).tolist() == [True] * 9 + [False]


def test_a_fold_that_cannot_be_written_does_not_stop_commits() -> None:
    rig = Rig(fold_after=1)
    life = rig.log().begin_life("r1")
    life.fence()
    rig.fail(Fault(Failure.SILENT, "rename", f"_{EntryKind.FOLD.value}-", times=-1))
    for number in range(3):
        commit(life, number)

    assert rig.events == [b"0", b"1", b"2"]


def test_a_settled_epoch_leaves_nothing_but_its_ids() -> None:
    rig = Rig()
    commit(rig.log().begin_life("r1"), 1)
    rig.log().begin_life("r2").fence()

    assert [path.rpartition("/")[2][:3] for path in rig.hidden("")] == ["_r-"]


def test_retired_ids_are_found_by_a_log_that_is_opened_later() -> None:
    rig = Rig()
    for number in range(40):
        commit(rig.log().begin_life(f"r{number}"), number)

    life = rig.log().begin_life("last")
    life.fence()

    assert life.committed(ids(*range(41))).tolist() == [True] * 40 + [False]


def test_files_of_retired_ids_stay_few() -> None:
    rig = Rig()
    for number in range(80):
        life = rig.log().begin_life(f"r{number}")
        commit(life, number)
        if number % 2:
            life.end()

    assert len(rig.hidden("/_retired/")) <= 34
    assert all(knows(rig, number) for number in range(80))


def test_ids_are_forgotten_when_their_acknowledgement_is_proven_and_enough_days_were_served() -> None:
    rig = Rig(keep_days=3)
    life = rig.log().begin_life("r1")
    commit(life, 1)
    life.end()
    for day in range(2):
        serve_a_day(rig, 100 + day)
    assert knows(rig, 1)

    serve_a_day(rig, 102)

    assert not knows(rig, 1)
    assert knows(rig, 100)


def test_ids_whose_acknowledgement_is_not_proven_are_kept() -> None:
    rig = Rig(keep_days=1)
    commit(rig.log().begin_life("r1"), 1)
    for day in range(3):
        serve_a_day(rig, 100 + day)

    assert knows(rig, 1)


def test_a_life_that_ends_in_order_proves_what_lives_before_it_left_on_an_exclusive_queue() -> None:
    rig = Rig(keep_days=2)
    commit(rig.log().begin_life("killed"), 1)
    life = rig.log().begin_life("orderly")
    commit(life, 2)
    life.end()
    serve_a_day(rig, 100)
    assert knows(rig, 1)

    serve_a_day(rig, 101)

    assert not knows(rig, 1)
    assert not knows(rig, 2)


def test_a_life_that_committed_nothing_proves_nothing_of_others() -> None:
    rig = Rig(keep_days=1)
    commit(rig.log().begin_life("killed"), 1)
    life = rig.log().begin_life("orderly")
    life.fence()
    life.end()
    for day in range(3):
        serve_a_day(rig, 100 + day)

    assert knows(rig, 1)


def test_a_life_of_a_shared_queue_proves_nothing_of_others() -> None:
    rig = Rig(keep_days=1, access=QueueAccess.SHARED, idle_close_seconds=1e-3)
    commit(rig.log().begin_life("killed"), 1)
    rig.clock.advance(1)
    life = rig.log().begin_life("orderly")
    commit(life, 2)
    life.end()
    for day in range(3):
        serve_a_day(rig, 100 + day)

    assert knows(rig, 1)
    assert not knows(rig, 2)


def test_a_life_that_was_fenced_before_its_end_proves_nothing_of_others() -> None:
    rig = Rig(keep_days=1)
    commit(rig.log().begin_life("killed"), 1)
    fenced = rig.log().begin_life("fenced")
    commit(fenced, 2)
    commit(rig.log().begin_life("successor"), 3)
    fenced.end()
    for day in range(3):
        serve_a_day(rig, 100 + day)

    assert knows(rig, 1)
    assert knows(rig, 2)


def test_opening_a_log_and_fencing_forget_nothing_however_late() -> None:
    rig = Rig(keep_days=1)
    life = rig.log().begin_life("r1")
    commit(life, 1)
    life.end()
    for day in ("29990101", "29990102"):
        rig.memory.make_directory(f"{life._log.layout.days}/{day}")

    assert knows(rig, 1)

    serve_a_day(rig, 2)
    assert not knows(rig, 1)


def test_an_end_that_the_target_does_not_answer_is_no_error_and_proves_nothing() -> None:
    rig = Rig(keep_days=1)
    life = rig.log().begin_life("r1")
    commit(life, 1)
    rig.fail(Fault(Failure.SILENT, "rename", "/_closed/", times=-1))

    life.end()

    rig.fs.faults.clear()
    for day in range(3):
        serve_a_day(rig, 100 + day)
    assert knows(rig, 1)


@pytest.mark.parametrize("point", CrashPoint)
def test_a_life_that_dies_at_its_end_loses_no_id(point: CrashPoint) -> None:
    rig = Rig()
    commit(rig.log().begin_life("killed"), 1)
    life = rig.log(at=die_at(point)).begin_life("r") if point is not CrashPoint.EPOCH_OPEN else None
    with contextlib.suppress(DiedError):
        if life is not None:
            commit(life, 2)
            life.end()

    commit(rig.log().begin_life("last"), 1, 2)

    assert rig.events == [b"1", b"2"]


def test_a_log_stays_small_over_years_of_short_runs_and_a_kill_now_and_then() -> None:
    rig = Rig(keep_days=3)
    sizes = []
    for run in range(400):
        rig.clock.advance(86_400 / 4)
        rig.memory.now_ms = rig.clock.epoch_ms()
        life = rig.log().begin_life(f"r{run}")
        # Every other number belongs to another queue.
        commit(life, *range(200 * run, 200 * run + 100, 2))
        if run % 10:
            life.end()
        log = life._log.layout
        places = [log.new, log.epochs, log.closed, log.parts, log.retired, log.days]
        nbytes = sum(len(rig.memory.files[path]) for path in rig.hidden(""))
        sizes.append((sum(len(rig.memory.list(place)) for place in places), nbytes))

    (early, early_bytes), (late, late_bytes) = (
        map(max, zip(*part, strict=True)) for part in (sizes[100:200], sizes[300:])
    )
    assert late <= early < 60
    assert late_bytes <= 1.1 * early_bytes


def test_days_on_which_nothing_was_committed_do_not_count() -> None:
    rig = Rig(keep_days=2)
    life = rig.log().begin_life("r1")
    commit(life, 1)
    life.end()
    rig.clock.advance(100 * 86_400)

    serve_a_day(rig, 2)

    assert knows(rig, 1)
