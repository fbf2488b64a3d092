"""Lives that roll, on a file system in memory whose faults a test controls."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from flumebeam.commitlog import recovery
from flumebeam.commitlog.life import Life
from flumebeam.commitlog.log import CommitLog
from flumebeam.commitlog.options import QueueAccess
from flumebeam.commitlog.protocol import PartDraft
from flumebeam.commitlog.rolling import RollOptions
from flumebeam.commitlog.steps import list_directory
from flumebeam.errors import EpochClosedError, StorageError, StorageUnavailableError
from flumebeam.testing.faulty_filesystem import Failure, Fault
from tests.unit.commitlog.helpers import Rig, ids
from tests.waiting import eventually

NEVER = RollOptions(max_bytes=0, max_seconds=0)


def commit(life: Life, *numbers: int, directory: str = "d") -> None:
    if not life.fenced:
        life.fence()
    content = b"".join(b"%d\n" % number for number in numbers)
    name = f"f.{life.file_stem()}.txt"
    life.commit([PartDraft(directory, name, lambda: [content], len(numbers), "bytes")], ids(*numbers))


def commit_each(life: Life, numbers: Iterator[int]) -> None:
    for number in numbers:
        commit(life, number)


def begin(rig: Rig, receiver: str, **options: object) -> tuple[CommitLog, Life]:
    log = rig.log(**options)
    return log, log.begin_life(receiver)


@pytest.mark.parametrize("can_concat", [True, False])
def test_segments_are_hidden_until_they_are_one_file(can_concat: bool) -> None:
    rig = Rig(roll=NEVER)
    rig.memory.can_concat = can_concat
    log, life = begin(rig, "r1")
    for number in range(5):
        commit(life, number)
    assert rig.finals == {}
    assert len(rig.hidden("/_parts/")) == 5

    life.end()

    (content,) = rig.finals.values()
    assert content == b"0\n1\n2\n3\n4\n"
    assert rig.hidden("/_parts/") == []
    log.close()


def test_a_file_of_one_segment_is_not_copied() -> None:
    rig = Rig(roll=NEVER)
    log, life = begin(rig, "r1")
    commit(life, 1)

    life.end()

    assert rig.events == [b"1"]
    assert not any(operation in ("concat", "read_chunks") for operation, _ in rig.fs.calls)
    log.close()


def test_a_successor_merges_what_a_dead_life_left_and_repeats_nothing() -> None:
    rig = Rig(roll=NEVER)
    first, dead = begin(rig, "r1")
    commit(dead, 1, 2)
    commit(dead, 3)
    first.close()

    log, life = begin(rig, "r2")
    life.fence()
    assert life.committed(ids(1, 2, 3, 4)).tolist() == [True, True, True, False]

    eventually(lambda: rig.events == [b"1", b"2", b"3"])
    log.close()


def test_a_successor_knows_what_a_dead_life_acknowledged_before_it_is_merged() -> None:
    rig = Rig(roll=NEVER)
    first, dead = begin(rig, "r1")
    commit(dead, 1)
    first.close()
    rig.fail(Fault(Failure.SILENT, "rename", "/d/", times=-1))

    log, life = begin(rig, "r2")
    life.fence()

    assert life.committed(ids(1)).tolist() == [True]
    log.close()


def test_a_fenced_life_merges_nothing_more() -> None:
    rig = Rig(roll=NEVER)
    first, frozen = begin(rig, "r1")
    commit(frozen, 1)
    commit(frozen, 2)
    log, life = begin(rig, "r2")
    life.fence()
    eventually(lambda: rig.events == [b"1", b"2"])

    with pytest.raises(EpochClosedError):
        frozen.roll_all()

    assert frozen.over
    assert rig.events == [b"1", b"2"]
    first.close()
    log.close()


def test_a_merge_that_the_target_refuses_ends_the_life_and_is_done_by_the_next() -> None:
    rig = Rig(roll=RollOptions(max_bytes=4, max_seconds=0))
    log, life = begin(rig, "r1")
    rig.fail(Fault(Failure.DENIED, "rename", "/target/d/", times=-1))
    commit(life, 1)

    numbers = itertools.count(2)
    with pytest.raises(StorageError, match="permission"):
        commit_each(life, numbers)

    assert life.over
    last = next(numbers) - 1
    rig.fs.faults.clear()
    log.close()
    log, life = begin(rig, "r2")
    life.fence()
    known = life.committed(ids(*range(1, last + 1)))
    life.end()
    assert known[: last - 1].all()
    assert rig.events == [b"%d" % (at + 1) for at in known.nonzero()[0]]
    log.close()


def test_a_merge_that_gets_no_answer_for_too_long_ends_the_life() -> None:
    rig = Rig(roll=NEVER, patience_seconds=1.0)
    log, life = begin(rig, "r1")
    commit(life, 1)
    commit(life, 2)
    rig.fail(Fault(Failure.SILENT, "concat", times=-1))
    rig.fail(Fault(Failure.SILENT, "write", times=-1))

    with pytest.raises(StorageUnavailableError):
        life.roll_all()
    log.close()


def test_a_foreign_file_under_a_rolled_name_is_left_alone() -> None:
    rig = Rig(roll=NEVER)
    log, life = begin(rig, "r1")
    commit(life, 1)
    commit(life, 2)
    (final,) = {segment.part.final for segment in life.rolls.unmerged()}  # type: ignore[union-attr]
    rig.memory.make_directory("/target/d")
    rig.memory.write(f"/target/{final}", [b"foreign\n"])

    life.end()

    assert rig.finals[final] == b"foreign\n"
    assert rig.events == [b"1", b"2", b"foreign"]
    log.close()


def test_records_are_folded_while_files_are_open_and_nothing_is_forgotten() -> None:
    rig = Rig(roll=RollOptions(max_bytes=10, max_seconds=0), fold_after=3)
    first, life = begin(rig, "r1")
    for number in range(20):
        commit(life, number, directory=f"d{number % 2}")
    first.close()

    log, successor = begin(rig, "r2")
    successor.fence()
    assert successor.committed(ids(*range(20))).all()
    successor.end()
    assert rig.events == sorted(b"%d" % number for number in range(20))
    log.close()


def test_what_nobody_merged_is_merged_when_its_epoch_is_old() -> None:
    rig = Rig(roll=NEVER)
    first, dead = begin(rig, "r1")
    commit(dead, 1)
    first.close()
    log, life = begin(rig, "r2")

    log._household.driver.run(recovery.rescue(log._household.scribe, [life.epoch], 60_000))
    assert rig.events == []
    rig.clock.advance(61)
    log._household.driver.run(recovery.rescue(log._household.scribe, [life.epoch], 60_000))

    assert rig.events == [b"1"]
    log.close()


def test_what_a_dead_life_left_is_shown_when_it_is_old_though_nothing_comes() -> None:
    rig = Rig(roll=RollOptions(max_bytes=0, max_seconds=1))
    first, dead = begin(rig, "r1")
    commit(dead, 1)
    first.close()
    log, _ = begin(rig, "r2")
    rig.clock.advance(60)
    assert rig.events == []

    rig.clock.advance(2)

    eventually(lambda: rig.events == [b"1"])
    log.close()


def test_a_life_that_is_served_shows_what_a_dead_one_left_at_once_though_nothing_comes() -> None:
    rig = Rig(roll=NEVER)
    first, dead = begin(rig, "r1")
    commit(dead, 1)
    commit(dead, 2)
    first.close()
    log, life = begin(rig, "r2")

    life.succeed()

    eventually(lambda: rig.events == [b"1", b"2"])
    commit(life, 3)
    life.end()
    assert rig.events == [b"1", b"2", b"3"]
    log.close()


def test_what_a_dead_life_left_and_a_silent_one_showed_is_known_when_it_comes_again() -> None:
    rig = Rig(roll=NEVER)
    first, dead = begin(rig, "r1")
    commit(dead, 1)
    first.close()
    log, life = begin(rig, "r2")
    life.succeed()
    eventually(lambda: rig.events == [b"1"])

    life.fence()

    assert life.committed(ids(1)).tolist() == [True]
    log.close()


def test_a_life_that_is_served_leaves_those_alone_that_stand_by() -> None:
    rig = Rig(roll=NEVER)
    first, dead = begin(rig, "r1")
    commit(dead, 1)
    first.close()
    other, standby = begin(rig, "r2")
    log, life = begin(rig, "r3")

    life.succeed()
    eventually(lambda: rig.events == [b"1"])

    assert len(log._household.driver.run(list_directory(log._household.layout.epochs))) == 2
    commit(standby, 2)
    standby.end()
    assert rig.events == [b"1", b"2"]
    other.close()
    log.close()


def test_a_life_that_another_one_fenced_closes_nobody() -> None:
    rig = Rig(roll=NEVER)
    first, late = begin(rig, "r1")
    log, life = begin(rig, "r2")
    commit(life, 1)

    late._log.driver.run(recovery.succeed(late._log.scribe, late.epoch, [late.epoch]))

    commit(life, 2)
    life.end()
    assert rig.events == [b"1", b"2"]
    first.close()
    log.close()


@pytest.mark.parametrize(
    "options",
    [{"roll": NEVER, "access": QueueAccess.SHARED}, {"roll": None}],
    ids=["shared queue", "no rolling"],
)
def test_where_silence_tells_nothing_nobody_is_succeeded(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    log, life = begin(Rig(**options), "r1")
    asked: list[str] = []
    monkeypatch.setattr(log._household, "succeed", asked.append)

    life.succeed()

    assert asked == []
    log.close()


def test_a_life_that_has_fenced_or_is_over_succeeds_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    log, life = begin(Rig(roll=NEVER), "r1")
    asked: list[str] = []
    monkeypatch.setattr(log._household, "succeed", asked.append)

    life.succeed()
    assert asked == [life.epoch]
    life.fence()
    life.succeed()
    life.end()
    life.succeed()

    assert asked == [life.epoch]
    log.close()


def test_lives_on_a_shared_queue_roll_side_by_side() -> None:
    rig = Rig(roll=NEVER, access=QueueAccess.SHARED)
    log, one = begin(rig, "r1")
    other = log.begin_life("r2")
    commit(one, 1)
    commit(other, 2)
    commit(one, 3)

    one.end()
    assert rig.events == [b"1", b"3"]
    commit(other, 4)
    other.end()

    assert rig.events == [b"1", b"2", b"3", b"4"]
    log.close()


def test_lives_with_and_without_rolling_settle_each_other() -> None:
    rig = Rig(roll=NEVER)
    first, rolling = begin(rig, "r1")
    commit(rolling, 1)
    commit(rolling, 2)
    first.close()

    second, plain = begin(rig, "r2", roll=None)
    commit(plain, 3)
    assert rig.events == [b"1", b"2", b"3"]
    second.close()

    third, again = begin(rig, "r3")
    commit(again, 4)
    again.end()
    assert rig.events == [b"1", b"2", b"3", b"4"]
    third.close()


def test_of_very_many_paths_few_are_open_and_each_ends_in_its_file() -> None:
    rig = Rig(roll=RollOptions(max_seconds=0, max_open=50), fold_after=4)
    log, life = begin(rig, "r1")
    life.fence()
    for start in range(0, 400, 100):
        numbers = range(start, start + 100)
        drafts = [PartDraft(f"d{n}", "f.txt", lambda n=n: [b"%d\n" % n], 1, "bytes") for n in numbers]  # type: ignore[misc]
        life.commit(drafts, ids(*numbers))
    eventually(lambda: len(life.rolls.unmerged()) <= 50)  # type: ignore[union-attr]

    life.end()

    assert len(rig.finals) == 400
    log.close()
