"""A life on a log: what it commits, what is there afterwards wherever processes die, and what is refused."""

from __future__ import annotations

import pytest

from flumebeam.commitlog.layout import LogLayout, QueueIdentity
from flumebeam.commitlog.log import CommitLog
from flumebeam.commitlog.options import CommitLogOptions, QueueAccess
from flumebeam.commitlog.protocol import PartDraft
from flumebeam.commitlog.steps import CrashPoint
from flumebeam.errors import CommitLogError, ConfigurationError, EpochClosedError
from flumebeam.testing.memory_filesystem import MemoryFileSystem
from tests.unit.commitlog.helpers import QUEUE, TARGET, DiedError, Rig, commit, die_at, drafts, ids


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


def test_a_life_that_ended_in_order_commits_nothing_more() -> None:
    rig = Rig()
    life = rig.log().begin_life("r1")
    commit(life, 1)
    life.end()
    life.end()

    with pytest.raises(EpochClosedError):
        commit(life, 2)


def test_queues_of_one_target_have_logs_of_their_own() -> None:
    rig = Rig()
    one = rig.log().begin_life("r1")
    one.fence()
    other = CommitLog.open(rig.fs, TARGET, QueueIdentity("broker", "default", "other"), rig.options).begin_life("r2")
    other.fence()

    commit(one, 1)
    commit(other, 1)

    assert rig.events == [b"1", b"1"]


@pytest.mark.parametrize("point", CrashPoint)
@pytest.mark.parametrize("successor_point", [None, *CrashPoint])
def test_whoever_dies_wherever_each_event_is_there_once(point: CrashPoint, successor_point: CrashPoint | None) -> None:
    rig = Rig(fold_after=2)

    def run(at: CrashPoint | None) -> None:
        try:
            life = rig.log(at=die_at(at) if at else None).begin_life("r")
            for start in range(0, 12, 3):
                commit(life, *range(start, start + 3), directory="d")
        except DiedError:
            pass

    rig.memory.make_directory(f"{TARGET}/d")
    run(None)
    run(point)
    run(successor_point)
    run(None)

    assert rig.events == sorted(b"%d" % n for n in range(12))


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
