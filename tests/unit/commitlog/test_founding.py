from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from flumebeam.commitlog.driver import Driver
from flumebeam.commitlog.founding import found, look_up
from flumebeam.commitlog.ids import IdSet
from flumebeam.commitlog.layout import LayoutVersion, LogLayout
from flumebeam.commitlog.options import QueueAccess
from flumebeam.commitlog.partitions import move_watermark
from flumebeam.commitlog.records import PartEntry, Record, RecordKind
from flumebeam.commitlog.rolling import RollOptions
from flumebeam.commitlog.steps import Delete, MakeDirectory, Pause, Read, Rename, Stat, Unanswered, Write
from flumebeam.errors import CommitLogError, EpochClosedError, StorageConflictError, StorageUnavailableError
from flumebeam.testing.memory_filesystem import MemoryFileSystem
from tests.unit.commitlog.helpers import QUEUE, TARGET, Rig, commit, ids

OLD = f"{TARGET}/.flumebeam"


def perform(memory: MemoryFileSystem, step: Any) -> Any:
    match step:
        case Stat(path):
            return memory.stat(path)
        case Read(path):
            return memory.read(path)
        case Delete(path):
            return memory.delete(path)
        case MakeDirectory(path):
            return memory.make_directory(path)
        case Write(path, chunks):
            return memory.write(path, chunks)
        case Rename(source, target):
            return memory.rename(source, target)
        case Pause():
            return None
    raise AssertionError(step)


# -- a new target ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("access", list(QueueAccess))
def test_every_name_below_a_new_target_that_is_no_data_is_hidden(access: QueueAccess) -> None:
    rig = Rig(access=access, fold_after=2, roll=RollOptions(max_events=3))
    for life in range(3):
        log = rig.log()
        made = log.begin_life(f"r{life}")
        partitions = Driver(rig.fs, clock=rig.clock)
        partitions.run(move_watermark(made.layout, made.epoch, None, 0))
        partitions.close()
        for number in range(5):
            commit(made, 10 * life + number, directory="dt=1")
        if life == 1:
            made.end()
        log.close()

    names = {part for path in rig.memory.directories for part in path.removeprefix(TARGET).split("/") if part}
    assert {name for name in names if name[0] not in "_."} == {"dt=1"}
    assert len(names) > 10


def test_a_writer_of_an_earlier_version_can_make_no_log_in_a_new_target() -> None:
    rig = Rig()
    rig.log().close()

    # The first thing that it did.
    with pytest.raises(StorageConflictError):
        rig.memory.make_directory(f"{OLD}/{QUEUE.log_name}")


def test_a_layout_of_a_newer_version_or_a_damaged_one_is_left_alone() -> None:
    newer = Record(RecordKind.LAYOUT, "", 3, 0).to_bytes()
    for content, sentence in ((newer, "upgrade"), (b"?", "no record"), (newer[:-9], "damaged")):
        rig = Rig()
        rig.memory.write(OLD, [content])

        with pytest.raises(CommitLogError, match=sentence):
            rig.log()


# -- a target of an earlier version -----------------------------------------------------------------------------------


def put_old_log(rig: Rig) -> None:
    """Put what a killed drain of an earlier version left: 1 and 2 published, 3 committed and not published."""
    base = f"{OLD}/{QUEUE.log_name}"
    for place in ("new", "epochs/r0.aa", "parts/r0.aa", "retired", "days/20230101"):
        rig.memory.make_directory(f"{base}/{place}")
    rig.memory.write(f"{TARGET}/a.txt", [b"1\n2\n"])
    written = rig.memory.write(f"{base}/parts/r0.aa/_0b", [b"3\n"])
    for name, number, part, committed in (
        ("_p-0000000001", 1, PartEntry("parts/r0.aa/_0a", "gone", 4, "a.txt", 2), (1, 2)),
        ("_c-0000000002", 2, PartEntry("parts/r0.aa/_0b", written.file_id, 2, "b.txt", 1), (3,)),
    ):
        record = Record(RecordKind.TRANSACTION, "r0.aa", number, 0, (part,), IdSet.of(ids(*committed)))
        rig.memory.write(f"{base}/epochs/r0.aa/{name}", [record.to_bytes()])


def test_a_target_of_an_earlier_version_is_continued_where_it_is_exactly_once() -> None:
    rig = Rig()
    put_old_log(rig)

    log = rig.log()
    life = log.begin_life("r1")
    commit(life, 1, 2, 3, 4)
    life.end()
    log.close()

    assert rig.events == [b"1", b"2", b"3", b"4"]
    assert not [path for path in rig.memory.directories if ".flumebeam.logs" in path]
    retired = [
        Record.from_bytes(content, path).ids
        for path, content in rig.memory.files.items()
        if path.startswith(f"{OLD}/{QUEUE.log_name}/retired/")
    ]
    assert IdSet().union(*retired) == IdSet.of(ids(1, 2, 3, 4))


def test_a_writer_of_an_earlier_version_that_still_runs_is_fenced() -> None:
    rig = Rig()
    put_old_log(rig)
    commit(rig.log().begin_life("r1"), 4)

    # What it does to commit: a record beside, then its rename into its epoch.
    base = f"{OLD}/{QUEUE.log_name}"
    if not rig.memory.list(f"{base}/parts/r0.aa"):
        rig.memory.make_directory(f"{base}/parts/r0.aa")
    rig.memory.write(f"{base}/parts/r0.aa/_0c", [b"a late record"])
    outcome = rig.memory.rename(f"{base}/parts/r0.aa/_0c", f"{base}/epochs/r0.aa/_c-0000000003")

    assert outcome.name == "PARENT_MISSING"
    assert rig.events == [b"1", b"2", b"3", b"4"]


def test_a_writer_of_this_version_in_a_target_of_an_earlier_one_is_fenced_by_that() -> None:
    rig = Rig()
    put_old_log(rig)
    life = rig.log().begin_life("r1")
    commit(life, 4)

    # What the earlier version does to fence: it renames the epochs of all others away.
    base = f"{OLD}/{QUEUE.log_name}"
    assert rig.memory.rename(f"{base}/epochs/{life.epoch}", f"{base}/closed/{life.epoch}.bb").name == "RENAMED"

    with pytest.raises(EpochClosedError):
        commit(life, 5)


# -- who decides ------------------------------------------------------------------------------------------------------


def interleavings(first: int, second: int) -> Iterator[tuple[int, ...]]:
    """Give every order of so many steps of two."""
    for places in itertools.combinations(range(first + second), first):
        yield tuple(0 if place in places else 1 for place in range(first + second))


@pytest.mark.parametrize("lost", [False, True])
def test_two_who_begin_a_target_at_once_agree_in_every_order(lost: bool) -> None:
    for order in interleavings(8, 8):
        memory = MemoryFileSystem()
        memory.make_directory(TARGET)
        names = map(str, itertools.count())
        founders = [found(TARGET, QUEUE, partial(next, names)) for _ in range(2)]
        results: dict[int, LogLayout] = {}
        answers: list[Any] = [None, None]
        for who in (*order, *[0] * 20, *[1] * 20):
            if who in results:
                continue
            try:
                step = founders[who].send(answers[who])
            except StopIteration as end:
                results[who] = end.value
                continue
            answers[who] = perform(memory, step)
            if lost and isinstance(step, Rename) and answers[who].name == "RENAMED":
                # It was done, and nobody was told.
                answers[who] = Unanswered(StorageUnavailableError("lost"))

        assert results == dict.fromkeys((0, 1), LogLayout(TARGET, QUEUE, LayoutVersion.HIDDEN))
        # Of what was written beside nothing is left.
        assert [path for path in memory.files if path != OLD] == []


def test_one_who_begins_a_target_and_one_of_an_earlier_version_never_have_a_log_each() -> None:
    seen = set()
    for moment in range(12):
        memory = MemoryFileSystem()
        memory.make_directory(TARGET)
        founder = found(TARGET, QUEUE, lambda: "n")
        old_has_a_log = False
        answer: Any = None
        result: LogLayout | None = None
        for number in range(40):
            if number == moment:
                try:
                    memory.make_directory(f"{OLD}/{QUEUE.log_name}")
                    old_has_a_log = True
                except StorageConflictError:
                    pass
            if result is None:
                try:
                    answer = perform(memory, founder.send(answer))
                except StopIteration as end:
                    result = end.value
        assert result is not None
        assert old_has_a_log == (result.version is LayoutVersion.PLAIN)
        seen.add(result.version)
    assert seen == set(LayoutVersion)


def test_looking_at_a_target_decides_nothing() -> None:
    memory = MemoryFileSystem()
    memory.make_directory(TARGET)
    looking = look_up(TARGET)

    with pytest.raises(StopIteration) as end:
        looking.send(perform(memory, next(looking)))

    assert end.value.value is None
    assert memory.directories == ("/", TARGET)
