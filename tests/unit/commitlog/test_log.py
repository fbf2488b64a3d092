from __future__ import annotations

import contextlib
from collections.abc import Iterable

import pytest

from flumebeam.commitlog.layout import EntryKind, LogLayout, QueueIdentity
from flumebeam.commitlog.log import CommitLog
from flumebeam.commitlog.options import CommitLogOptions, QueueAccess
from flumebeam.commitlog.protocol import PartDraft
from flumebeam.commitlog.steps import CrashPoint
from flumebeam.errors import (
    CommitLogError,
    ConfigurationError,
    EpochClosedError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
)
from flumebeam.hdfs.filesystem import FileStat
from flumebeam.testing.faulty_filesystem import Failure, Fault, FaultyFileSystem
from flumebeam.testing.memory_filesystem import MemoryFileSystem
from tests.unit.commitlog.helpers import QUEUE, TARGET, Rig, commit, drafts, ids

# -- one life ---------------------------------------------------------------------------------------------------------


def test_a_committed_transaction_is_a_final_file_and_nothing_hidden_but_its_ids() -> None:
    rig = Rig()
    life = rig.log().begin_life("r1")

    assert commit(life, 1, 2, directory="2026/11") == [1, 2]

    (name,) = rig.finals
    assert name.startswith("2026/11/f.")
    assert rig.finals[name] == b"1\n2\n"
    assert [path.rpartition("/")[2] for path in rig.hidden("")] == ["_p-0000000001"]


def test_a_transaction_passes_its_points_in_order() -> None:
    rig = Rig()
    life = rig.log().begin_life("r1")
    commit(life, 1)

    assert rig.reached == [
        CrashPoint.EPOCH_OPEN,
        CrashPoint.PART_WRITTEN,
        CrashPoint.RECORD_WRITTEN,
        CrashPoint.COMMITTED,
        CrashPoint.PART_PUBLISHED,
        CrashPoint.PUBLISHED,
        CrashPoint.MARKED,
    ]


def test_final_names_sort_by_time_within_a_life() -> None:
    rig = Rig()
    life = rig.log().begin_life("r1")
    for number in range(12):
        commit(life, number)

    assert [rig.finals[name] for name in sorted(rig.finals)] == [b"%d\n" % number for number in range(12)]


def test_what_a_life_committed_it_knows() -> None:
    rig = Rig()
    life = rig.log().begin_life("r1")
    commit(life, 1, 2)

    assert life.committed(ids(1, 2, 3)).tolist() == [True, True, False]


def test_a_life_commits_nothing_before_it_fenced() -> None:
    life = Rig().log().begin_life("r1")

    with pytest.raises(CommitLogError, match="call fence"):
        life.commit(drafts(life, [1]), ids(1))


def test_a_transaction_without_parts_commits_its_ids() -> None:
    rig = Rig()
    life = rig.log().begin_life("r1")
    life.fence()
    life.commit([], ids(1))

    successor = rig.log().begin_life("r2")
    successor.fence()
    assert successor.committed(ids(1)).tolist() == [True]


def test_many_parts_of_a_transaction_are_written_and_published_by_several_threads() -> None:
    rig = Rig(threads=4)
    life = rig.log().begin_life("r1")
    life.fence()

    parts = [PartDraft(f"d{n}", f"f{n}.txt", lambda n=n: [b"%d\n" % n], 1) for n in range(20)]  # type: ignore[misc]
    life.commit(parts, ids(*range(20)))

    assert rig.finals == {f"d{n}/f{n}.txt": b"%d\n" % n for n in range(20)}


# -- fencing ----------------------------------------------------------------------------------------------------------


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


# -- lost answers -----------------------------------------------------------------------------------------------------


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


def test_a_life_that_is_fenced_after_its_commit_does_not_fail_over_its_fold() -> None:
    rig = Rig(fold_after=1)

    def take_over(point: CrashPoint) -> None:
        if point is CrashPoint.MARKED:
            rig.log().begin_life("r2").fence()

    life = rig.log(at=take_over).begin_life("r1")
    life.fence()

    commit(life, 1)

    assert rig.events == [b"1"]


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


# -- living with others -----------------------------------------------------------------------------------------------


def test_a_foreign_file_under_a_final_name_is_never_overwritten() -> None:
    rig = Rig()
    life = rig.log().begin_life("r1")
    life.fence()
    name = f"f.{life.file_stem()}.txt"
    for foreign in (name, name.replace(".txt", "~1.txt")):
        rig.memory.write(f"{TARGET}/{foreign}", [b"foreign\n"])

    commit(life, 1)

    assert rig.events == [b"1", b"foreign", b"foreign"]
    assert rig.finals[name.replace(".txt", "~2.txt")] == b"1\n"


def test_a_foreign_directory_under_a_final_name_is_left_alone() -> None:
    rig = Rig()
    life = rig.log().begin_life("r1")
    life.fence()
    name = f"f.{life.file_stem()}.txt"
    rig.memory.make_directory(f"{TARGET}/{name}")

    commit(life, 1)

    assert list(rig.finals) == [name.replace(".txt", "~1.txt")]


def test_a_foreign_file_where_a_directory_should_be_stops_nothing() -> None:
    rig = Rig()
    rig.memory.write(f"{TARGET}/2026", [b"foreign\n"])
    life = rig.log().begin_life("r1")

    commit(life, 1, directory="2026/11/22")

    assert rig.events == [b"1", b"foreign"]
    assert any(name.startswith("2026~1/11/22/f.") for name in rig.finals)


def test_all_who_publish_a_transaction_agree_on_its_other_name() -> None:
    rig = Rig()
    old = rig.log().begin_life("r1")
    old.fence()
    name = f"f.{old.file_stem()}.txt"
    rig.memory.write(f"{TARGET}/{name}", [b"foreign\n"])
    rig.fail(Fault(Failure.SILENT, "rename", "~1.txt", times=-1))
    with pytest.raises(StorageUnavailableError):
        commit(old, 1)
    rig.fs.faults.clear()
    rig.memory.delete(f"{TARGET}/{name}")

    rig.log().begin_life("r2").fence()

    assert list(rig.finals) == [name.replace(".txt", "~1.txt")]


def test_another_name_that_somebody_took_away_before_it_counted_is_found_by_the_successor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = Rig()
    life = rig.log().begin_life("r1")
    life.fence()
    taken = f"f.{life.file_stem()}.txt"
    rig.memory.write(f"{TARGET}/{taken}", [b"theirs\n"])
    write = rig.memory.write

    def write_and_lose(path: str, chunks: Iterable[bytes]) -> FileStat:
        status = write(path, chunks)
        if "/_new/_" in path:
            rig.memory.delete(path)
        return status

    with monkeypatch.context() as patched:
        patched.setattr(rig.memory, "write", write_and_lose)
        with pytest.raises(EpochClosedError):
            commit(life, 1)

    commit(rig.log().begin_life("r2"), 1, 2)

    assert rig.events == [b"1", b"2", b"theirs"]


def test_a_published_file_that_somebody_took_away_is_not_written_again() -> None:
    rig = Rig()
    died = rig.log(at=_die_at(CrashPoint.PART_PUBLISHED)).begin_life("r1")
    with pytest.raises(_DiedError):
        commit(died, 1)
    (name,) = rig.finals
    rig.memory.delete(f"{TARGET}/{name}")

    new = rig.log().begin_life("r2")
    commit(new, 1)

    assert rig.finals == {}


def test_queues_of_one_target_have_logs_of_their_own() -> None:
    rig = Rig()
    one = rig.log().begin_life("r1")
    one.fence()
    other = CommitLog.open(rig.fs, TARGET, QueueIdentity("broker", "default", "other"), rig.options).begin_life("r2")
    other.fence()

    commit(one, 1)
    commit(other, 1)

    assert rig.events == [b"1", b"1"]


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


# -- a shared queue ---------------------------------------------------------------------------------------------------


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
        died, other = rig.log(at=_die_at(point)).begin_life("r1"), rig.log().begin_life("r2")
        number = len(rig.events)
        with pytest.raises(_DiedError):
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


class _Blinking(MemoryFileSystem):
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
    fs = _Blinking()
    fs.make_directory(TARGET)
    fs.now_ms = rig.clock.epoch_ms()
    rig.memory, rig.fs = fs, FaultyFileSystem(fs)
    commit(rig.log().begin_life("r1"), 1)
    rig.log().begin_life("r2").fence()
    fs.blink = path

    assert _knows(rig, 1)
    assert fs.blink == ""


# -- the size of the log ----------------------------------------------------------------------------------------------


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
    assert all(_knows(rig, number) for number in range(80))


def _knows(rig: Rig, number: int) -> bool:
    life = rig.log().begin_life("asking")
    life.fence()
    return bool(life.committed(ids(number))[0])


def _serve_a_day(rig: Rig, number: int) -> None:
    rig.clock.advance(86_400)
    commit(rig.log().begin_life("r"), number)


def test_ids_are_forgotten_when_their_acknowledgement_is_proven_and_enough_days_were_served() -> None:
    rig = Rig(keep_days=3)
    life = rig.log().begin_life("r1")
    commit(life, 1)
    life.end()
    for day in range(2):
        _serve_a_day(rig, 100 + day)
    assert _knows(rig, 1)

    _serve_a_day(rig, 102)

    assert not _knows(rig, 1)
    assert _knows(rig, 100)


def test_ids_whose_acknowledgement_is_not_proven_are_kept() -> None:
    rig = Rig(keep_days=1)
    commit(rig.log().begin_life("r1"), 1)
    for day in range(3):
        _serve_a_day(rig, 100 + day)

    assert _knows(rig, 1)


def test_a_life_that_ends_in_order_proves_what_lives_before_it_left_on_an_exclusive_queue() -> None:
    rig = Rig(keep_days=2)
    commit(rig.log().begin_life("killed"), 1)
    life = rig.log().begin_life("orderly")
    commit(life, 2)
    life.end()
    _serve_a_day(rig, 100)
    assert _knows(rig, 1)

    _serve_a_day(rig, 101)

    assert not _knows(rig, 1)
    assert not _knows(rig, 2)


def test_a_life_that_committed_nothing_proves_nothing_of_others() -> None:
    rig = Rig(keep_days=1)
    commit(rig.log().begin_life("killed"), 1)
    life = rig.log().begin_life("orderly")
    life.fence()
    life.end()
    for day in range(3):
        _serve_a_day(rig, 100 + day)

    assert _knows(rig, 1)


def test_a_life_of_a_shared_queue_proves_nothing_of_others() -> None:
    rig = Rig(keep_days=1, access=QueueAccess.SHARED, idle_close_seconds=1e-3)
    commit(rig.log().begin_life("killed"), 1)
    rig.clock.advance(1)
    life = rig.log().begin_life("orderly")
    commit(life, 2)
    life.end()
    for day in range(3):
        _serve_a_day(rig, 100 + day)

    assert _knows(rig, 1)
    assert not _knows(rig, 2)


def test_a_life_that_was_fenced_before_its_end_proves_nothing_of_others() -> None:
    rig = Rig(keep_days=1)
    commit(rig.log().begin_life("killed"), 1)
    fenced = rig.log().begin_life("fenced")
    commit(fenced, 2)
    commit(rig.log().begin_life("successor"), 3)
    fenced.end()
    for day in range(3):
        _serve_a_day(rig, 100 + day)

    assert _knows(rig, 1)
    assert _knows(rig, 2)


def test_opening_a_log_and_fencing_forget_nothing_however_late() -> None:
    rig = Rig(keep_days=1)
    life = rig.log().begin_life("r1")
    commit(life, 1)
    life.end()
    for day in ("29990101", "29990102"):
        rig.memory.make_directory(f"{life._log.layout.days}/{day}")

    assert _knows(rig, 1)

    _serve_a_day(rig, 2)
    assert not _knows(rig, 1)


def test_an_end_that_the_target_does_not_answer_is_no_error_and_proves_nothing() -> None:
    rig = Rig(keep_days=1)
    life = rig.log().begin_life("r1")
    commit(life, 1)
    rig.fail(Fault(Failure.SILENT, "rename", "/_closed/", times=-1))

    life.end()

    rig.fs.faults.clear()
    for day in range(3):
        _serve_a_day(rig, 100 + day)
    assert _knows(rig, 1)


@pytest.mark.parametrize("point", CrashPoint)
def test_a_life_that_dies_at_its_end_loses_no_id(point: CrashPoint) -> None:
    rig = Rig()
    commit(rig.log().begin_life("killed"), 1)
    life = rig.log(at=_die_at(point)).begin_life("r") if point is not CrashPoint.EPOCH_OPEN else None
    with contextlib.suppress(_DiedError):
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

    _serve_a_day(rig, 2)

    assert _knows(rig, 1)


def test_a_life_that_ended_in_order_commits_nothing_more() -> None:
    rig = Rig()
    life = rig.log().begin_life("r1")
    commit(life, 1)
    life.end()
    life.end()

    with pytest.raises(EpochClosedError):
        commit(life, 2)


def test_gaps_are_bridged_only_if_asked_and_only_within_one_unbroken_bind() -> None:
    for bridge, expected in ((False, [False, False, False]), (True, [True, False, True])):
        rig = Rig(bridge_gaps=bridge)
        life = rig.log().begin_life("r1")
        commit(life, 1)
        commit(life, 5)
        life.fence()
        commit(life, 10)
        commit(life, 15)

        assert life.committed(ids(3, 7, 12)).tolist() == expected


# -- what cannot be ---------------------------------------------------------------------------------------------------


def test_exactly_once_is_refused_on_a_store_without_atomic_renames() -> None:
    class ObjectStore(MemoryFileSystem):
        exactly_once = False

    with pytest.raises(ConfigurationError, match="no atomic rename"):
        CommitLog.open(ObjectStore(), TARGET, QUEUE)


def test_a_log_of_a_newer_version_is_left_alone() -> None:
    rig = Rig()
    old = rig.log().begin_life("r1")
    commit(old, 1)
    new = rig.log().begin_life("r2")
    (record,) = rig.hidden("/_epochs/")
    content = rig.memory.read(record)
    assert content is not None
    rig.memory.delete(record)
    rig.memory.write(record, [content.replace(b"-log 2 ", b"-log 3 ", 1)])

    with pytest.raises(CommitLogError, match="upgrade"):
        new.fence()


def test_options_that_cannot_work_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="exclusive"):
        CommitLogOptions(access=QueueAccess.SHARED, bridge_gaps=True)
    with pytest.raises(ConfigurationError, match="threads must be positive"):
        CommitLogOptions(threads=0)


def test_names_of_logs_are_safe_and_different() -> None:
    names = {
        LogLayout("/t", QueueIdentity(*identity)).base
        for identity in [("", "", "a/b:c"), ("", "", "a_b_c"), ("", "a", "b"), ("a", "", "b"), ("", "", "." * 300)]
    }

    assert len(names) == 5
    assert all(len(name) < 130 and ":" not in name and name.count("/") == 3 for name in names)


# -- dying ------------------------------------------------------------------------------------------------------------


class _DiedError(BaseException):
    """Stands for the end of a process: nothing behind it runs."""


def _die_at(wanted: CrashPoint):  # noqa: ANN202
    def at(point: CrashPoint) -> None:
        if point is wanted:
            raise _DiedError

    return at


@pytest.mark.parametrize("point", CrashPoint)
@pytest.mark.parametrize("successor_point", [None, *CrashPoint])
def test_whoever_dies_wherever_each_event_is_there_once(point: CrashPoint, successor_point: CrashPoint | None) -> None:
    rig = Rig(fold_after=2)

    def run(at: CrashPoint | None) -> None:
        try:
            life = rig.log(at=_die_at(at) if at else None).begin_life("r")
            for start in range(0, 12, 3):
                commit(life, *range(start, start + 3), directory="d")
        except _DiedError:
            pass

    rig.memory.make_directory(f"{TARGET}/d")
    run(None)
    run(point)
    run(successor_point)
    run(None)

    assert rig.events == sorted(b"%d" % n for n in range(12))
