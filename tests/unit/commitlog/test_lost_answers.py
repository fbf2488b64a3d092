"""A target that is silent, slow, full or refuses: nothing is lost or repeated, and it is told."""

from __future__ import annotations

import pytest

from flumebeam.errors import StorageError, StorageFullError, StorageUnavailableError
from flumebeam.testing.faulty_filesystem import Failure, Fault
from tests.unit.commitlog.helpers import Rig, commit, ids


@pytest.mark.parametrize("failure", [Failure.ANSWER_LOST, Failure.SILENT, Failure.LATE])
@pytest.mark.parametrize(
    ("operation", "path"),
    [
        ("write", "/_parts/"),
        ("rename", "/_epochs/"),
        ("rename", "/target/2026"),
        ("rename", "/_p-"),
        ("rename", "/_new/"),
        ("make_directory", ""),
        ("stat", ""),
    ],
)
def test_a_lost_answer_neither_loses_nor_repeats_an_event(failure: Failure, operation: str, path: str) -> None:
    rig = Rig()
    life = None
    for skip in range(3):
        rig.fail(Fault(failure, operation, path, skip=skip))
        life = rig.log().begin_life(f"r{skip}")
        commit(life, 10 * skip, 10 * skip + 1, directory="2026")
        commit(life, 10 * skip + 2, directory="2026")
        rig.fs.release()
        rig.fs.faults.clear()
    last = rig.log().begin_life("last")
    assert commit(last, *range(3), *range(10, 13), *range(20, 23), directory="2026")

    assert rig.events == sorted(b"%d" % n for n in (0, 1, 2, 10, 11, 12, 20, 21, 22))


def test_a_commit_without_an_answer_ends_the_life_and_its_successor_tells() -> None:
    for failure in (Failure.ANSWER_LOST, Failure.SILENT, Failure.LATE):
        rig = Rig()
        old = rig.log().begin_life("r1")
        old.fence()
        rig.fail(Fault(failure, "rename", "/_epochs/", times=-1))
        with pytest.raises(StorageUnavailableError):
            commit(old, 1)
        assert old.over
        rig.fs.faults.clear()

        new = rig.log().begin_life("r2")
        new.fence()
        rig.fs.release()
        commit(new, 1)

        assert rig.events == [b"1"], failure


def test_a_transaction_that_could_not_be_published_is_published_by_the_successor() -> None:
    rig = Rig()
    old = rig.log().begin_life("r1")
    old.fence()
    rig.fail(Fault(Failure.SILENT, "rename", "/target/f.", times=-1))
    with pytest.raises(StorageUnavailableError):
        commit(old, 1)
    assert old.over
    rig.fs.faults.clear()
    assert rig.events == []

    new = rig.log().begin_life("r2")
    new.fence()

    assert new.committed(ids(1)).tolist() == [True]
    assert rig.events == [b"1"]


def test_opening_a_log_publishes_what_an_earlier_run_could_not() -> None:
    rig = Rig()
    old = rig.log().begin_life("r1")
    old.fence()
    new = rig.log().begin_life("r2")
    rig.fail(Fault(Failure.SILENT, "rename", "/target/f.", times=-1))
    with pytest.raises(StorageUnavailableError):
        commit(old, 1)
    with pytest.raises(StorageUnavailableError):
        new.fence()
    rig.fs.faults.clear()

    rig.log()

    assert rig.events == [b"1"]


def test_the_patience_bounds_how_long_a_silent_target_is_tried() -> None:
    rig = Rig(patience_seconds=30.0)
    life = rig.log().begin_life("r1")
    life.fence()
    rig.fail(Fault(Failure.SILENT, "write", "", times=-1))

    with pytest.raises(StorageUnavailableError, match="No answer to write"):
        commit(life, 1)

    assert sum(rig.slept) == pytest.approx(30.0)
    assert max(rig.slept) <= 5.0


def test_a_target_that_never_answered_is_given_up_within_ten_seconds() -> None:
    rig = Rig(patience_seconds=30.0)
    rig.fail(Fault(Failure.SILENT, "make_directory", "", times=-1))

    with pytest.raises(StorageUnavailableError, match="No answer to make_directory"):
        rig.log()

    assert sum(rig.slept) == pytest.approx(10.0)


def test_a_full_target_loses_nothing_and_goes_on_when_there_is_space() -> None:
    rig = Rig()
    life = rig.log().begin_life("r1")
    life.fence()
    rig.fail(Fault(Failure.FULL, "write", "", times=-1))
    with pytest.raises(StorageFullError, match="Free some space"):
        commit(life, 1)
    assert not life.over
    rig.fs.faults.clear()

    commit(life, 1)

    assert rig.events == [b"1"]


def test_a_refused_write_is_told_at_once_and_leaves_nothing_behind() -> None:
    rig = Rig()
    life = rig.log().begin_life("r1")
    life.fence()
    rig.fail(Fault(Failure.DENIED, "write", "", skip=1))

    with pytest.raises(StorageError, match="permission"):
        commit(life, 1)

    assert rig.slept == []
    assert not life.over
    assert rig.hidden("/_parts/") == []
