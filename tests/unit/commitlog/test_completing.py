"""Partitions of lives, on a file system in memory: told when they are complete, and never before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from flumebeam.commitlog import completing
from flumebeam.commitlog.completing import PartitionKeeper, PartitionPoint
from flumebeam.commitlog.driver import Driver
from flumebeam.commitlog.hooks import PartitionEvent
from flumebeam.commitlog.layout import QueueIdentity
from flumebeam.commitlog.life import Life
from flumebeam.commitlog.log import CommitLog
from flumebeam.commitlog.options import QueueAccess
from flumebeam.commitlog.partition_options import PartitionOptions
from flumebeam.commitlog.protocol import PartDraft
from flumebeam.commitlog.rolling import RollOptions
from flumebeam.errors import ConfigurationError, EpochClosedError, StorageError
from flumebeam.testing.faulty_filesystem import Failure, Fault
from tests.unit.commitlog.helpers import QUEUE, TARGET, Rig, ids
from tests.unit.commitlog.test_life_rolls import eventually

NEVER = RollOptions(max_bytes=0, max_seconds=0)
HOUR = 3_600_000
SECOND = 1_000


@pytest.fixture(autouse=True)
def _ticks_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completing, "_LOOK_SECONDS", 3600.0)
    monkeypatch.setattr(completing, "_SURVEY_SECONDS", 0.0)


class Died(BaseException):
    """Stands for the death of the process."""


class Drain:
    """One process that drains a queue: a log, its life, and a keeper."""

    def __init__(self, rig: Rig, queue: QueueIdentity = QUEUE, *, dies: PartitionPoint | None = None) -> None:
        self.rig = rig
        self.told: list[tuple[str, str]] = []
        self.silent_ms: int | None = None
        self.refuses = False
        self.log = CommitLog.open(rig.fs, TARGET, queue, rig.options, clock=rig.clock, sleep=rig.sleep)
        self.dies = dies
        self.keeper = PartitionKeeper(
            Driver(rig.fs, clock=rig.clock, sleep=rig.sleep, patience=5.0),
            f"file://{TARGET}",
            PartitionOptions(delay_seconds=60.0, on_complete=self._hear),
            clock=rig.clock,
            silence=lambda _receiver: self.silent_ms,
            at=self._at,
        )
        self.lives = 0
        self.life = self.bind()

    def _hear(self, event: PartitionEvent) -> None:
        if self.refuses:
            raise ConnectionError("not now")
        self.told.append((event.kind.value, event.partition))

    def _at(self, point: PartitionPoint) -> None:
        if point is self.dies:
            raise Died

    def bind(self) -> Life:
        self.lives += 1
        self.life = self.log.begin_life(f"r{self.lives}")
        self.keeper.adopt(self.life)
        return self.life

    def commit(self, *numbers: int, into: str = "h00", end_ms: int = HOUR, at_ms: int = 0) -> None:
        life = self.life
        if not life.fenced:
            self.keeper.begin(life)
            life.fence()
        self.keeper.enter(life, {into: end_ms})
        done = None
        try:
            content = b"".join(b"%d\n" % number for number in numbers)
            name = f"f.{life.file_stem()}.txt"
            life.commit([PartDraft(into, name, lambda: [content], len(numbers), "bytes")], ids(*numbers))
            done = at_ms
        finally:
            self.keeper.leave(life, [into], done)

    def end(self) -> None:
        self.life.end()
        self.keeper.closed(self.life, settled=True)
        self.keeper.close()
        self.log.close()

    def kill(self) -> None:
        """Leave everything as a process leaves it that is killed."""
        self.log.close()

    def tick(self) -> list[tuple[str, str]]:
        self.keeper.tick()
        told, self.told = self.told, []
        return told


Make = Callable[..., Drain]


@pytest.fixture
def rig() -> Rig:
    return Rig(roll=None)


def success(rig: Rig, path: str = "h00") -> bool:
    return f"{TARGET}/{path}/_SUCCESS" in rig.memory.files


def leftovers(rig: Rig) -> list[str]:
    return [name for name in rig.memory.files if "/_partitions/" in name and "/_w-" not in name]


BEYOND = HOUR + 60 * SECOND


def test_a_partition_is_told_once_its_time_and_delay_are_over(rig: Rig) -> None:
    drain = Drain(rig)
    drain.commit(1)
    assert drain.tick() == []
    drain.commit(2, into="h01", end_ms=2 * HOUR, at_ms=BEYOND - 1)
    assert drain.tick() == []
    assert not success(rig)

    drain.commit(3, into="h01", end_ms=2 * HOUR, at_ms=BEYOND)

    assert drain.tick() == [("complete", "h00")]
    assert success(rig)
    assert not success(rig, "h01")
    assert drain.tick() == []
    drain.end()


def test_silence_of_the_queue_counts_as_time(rig: Rig) -> None:
    drain = Drain(rig)
    drain.commit(1)
    drain.silent_ms = BEYOND

    assert drain.tick() == [("complete", "h00")]
    drain.end()


def test_a_partition_is_told_after_its_segments_are_a_file_and_its_file_ends_for_that() -> None:
    rig = Rig(roll=NEVER)
    drain = Drain(rig)
    drain.commit(1)
    drain.commit(2, into="h01", end_ms=2 * HOUR, at_ms=BEYOND)
    rig.fail(Fault(Failure.SILENT, "rename", "/h00/", times=1))
    told: list[tuple[str, str]] = []
    seen: list[bool] = []

    def is_told() -> bool:
        told.extend(drain.tick())
        seen.append(success(rig) <= any(name.startswith("h00/") for name in rig.finals))
        return bool(told)

    eventually(is_told)

    assert told == [("complete", "h00")]
    assert all(seen)
    assert set(rig.finals.values()) == {b"1\n"}
    drain.end()


def test_files_that_come_later_are_told_as_late_when_they_are_there(rig: Rig) -> None:
    drain = Drain(rig)
    drain.commit(1)
    drain.commit(2, into="h01", end_ms=2 * HOUR, at_ms=BEYOND)
    drain.tick()

    drain.commit(3, at_ms=BEYOND)

    assert drain.tick() == [("late", "h00")]
    drain.silent_ms = BEYOND + HOUR
    assert drain.tick() == [("complete", "h01")]
    assert drain.tick() == []
    assert not leftovers(rig)
    drain.end()


def test_a_transaction_in_progress_holds_its_partition_back(rig: Rig) -> None:
    drain = Drain(rig)
    drain.commit(1)
    drain.silent_ms = BEYOND
    drain.keeper.enter(drain.life, {"h00": HOUR})
    assert drain.tick() == []
    drain.keeper.leave(drain.life, ["h00"], 0)

    assert drain.tick() == [("complete", "h00")]
    drain.end()


def test_a_restart_goes_on_where_the_last_run_ended(rig: Rig) -> None:
    first = Drain(rig)
    first.commit(1)
    first.end()
    assert not success(rig)
    second = Drain(rig)
    assert second.tick() == []

    second.silent_ms = BEYOND

    assert second.tick() == [("complete", "h00")]
    second.end()


def test_a_run_that_ends_tells_what_is_complete_by_then(rig: Rig) -> None:
    drain = Drain(rig)
    drain.commit(1, at_ms=5)
    drain.silent_ms = BEYOND

    drain.end()

    assert drain.told == [("complete", "h00")]


@pytest.mark.parametrize("point", PartitionPoint)
def test_a_drain_that_dies_anywhere_is_followed_by_one_that_tells(rig: Rig, point: PartitionPoint) -> None:
    first = Drain(rig, dies=point)

    def live() -> None:
        first.commit(1)
        first.silent_ms = BEYOND
        first.tick()

    with pytest.raises(Died):
        live()
    first.kill()
    assert success(rig) <= bool(rig.finals)
    second = Drain(rig)
    second.commit(*([1] if point is PartitionPoint.MARKED_OPEN else [2]), at_ms=5)
    assert second.tick() == []
    second.silent_ms = BEYOND
    told = second.tick() or second.tick()

    # At least once: a death between the hook and the end of its marks repeats it.
    assert told == [("complete", "h00")]
    assert success(rig)
    second.end()
    assert not leftovers(rig)


def test_what_a_killed_drain_left_is_told_though_nothing_comes_any_more() -> None:
    rig = Rig(roll=NEVER)
    first = Drain(rig)
    first.commit(1)
    first.kill()
    second = Drain(rig)
    second.silent_ms = BEYOND

    told = [*second.tick(), *second.tick()]

    assert told == [("complete", "h00")]
    assert list(rig.finals.values()) == [b"1\n"]
    second.end()


def test_a_drain_of_another_queue_that_is_behind_is_waited_for(rig: Rig) -> None:
    one, other = Drain(rig), Drain(rig, replace(QUEUE, queue="other"))
    one.commit(1)
    other.commit(1, into="h00", at_ms=5)
    one.silent_ms = BEYOND
    assert one.tick() == []

    other.silent_ms = BEYOND + 60_000

    assert [*other.tick(), *one.tick(), *other.tick()] == [("complete", "h00")]
    one.end()
    other.end()


def test_a_drain_of_another_queue_that_was_killed_is_waited_for_with_a_warning(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    other = Drain(rig, replace(QUEUE, queue="other"))
    other.commit(1, into="elsewhere")
    other.kill()
    one = Drain(rig)
    one.commit(1)
    one.silent_ms = BEYOND
    rig.clock.advance(1_000)

    assert one.tick() == []
    assert "wait for drains of other queues (other-" in caplog.text
    one.end()


def test_a_standby_that_got_nothing_neither_decides_nor_holds_back(rig: Rig) -> None:
    active, standby = Drain(rig), Drain(rig)
    active.commit(1)
    assert standby.tick() == []
    active.silent_ms = BEYOND

    assert active.tick() == [("complete", "h00")]
    assert standby.tick() == []
    active.end()
    standby.end()


def test_a_drain_that_was_fenced_leaves_its_successor_alone(rig: Rig) -> None:
    frozen = Drain(rig)
    frozen.commit(1)
    active = Drain(rig)
    active.commit(2, at_ms=5)
    frozen.silent_ms = BEYOND

    assert frozen.tick() == []
    active.commit(3, at_ms=5)
    with pytest.raises(EpochClosedError):
        frozen.commit(4)
    active.end()


def test_a_fenced_drain_whose_marks_are_gone_is_told_that_it_is_over(rig: Rig) -> None:
    frozen = Drain(rig)
    frozen.commit(1)
    active = Drain(rig)
    active.commit(2, at_ms=5)
    active.silent_ms = BEYOND
    active.tick()
    active.tick()

    with pytest.raises(EpochClosedError):
        frozen.commit(4, into="h05", end_ms=6 * HOUR)
    active.end()


def test_a_receiver_of_a_shared_queue_that_is_gone_for_long_is_closed() -> None:
    rig = Rig(roll=None, access=QueueAccess.SHARED, idle_close_seconds=600.0)
    gone, other = Drain(rig), Drain(rig)
    gone.commit(1, at_ms=5)
    gone.kill()
    other.commit(2, at_ms=5)
    other.silent_ms = BEYOND
    assert [*other.tick(), *other.tick()] == []

    rig.clock.advance(601)

    assert [*other.tick(), *other.tick()] == [("complete", "h00")]
    other.end()


def test_a_hook_that_fails_is_called_again_and_stops_nothing(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    drain = Drain(rig)
    drain.commit(1)
    drain.silent_ms = BEYOND
    drain.refuses = True
    assert drain.tick() == []
    assert "could not be told: not now" in caplog.text
    drain.refuses = False
    assert drain.tick() == []

    rig.clock.advance(1.0)

    assert drain.tick() == [("complete", "h00")]
    drain.end()


def test_a_hook_that_failed_to_the_end_is_called_by_the_next_run(rig: Rig) -> None:
    first = Drain(rig)
    first.commit(1)
    first.silent_ms = BEYOND
    first.refuses = True
    first.end()
    second = Drain(rig)
    second.silent_ms = BEYOND

    assert second.tick() == [("complete", "h00")]
    second.end()


def test_a_partition_that_somebody_took_away_is_told_to_nobody(rig: Rig) -> None:
    drain = Drain(rig)
    drain.commit(1)
    rig.memory.delete(f"{TARGET}/h00")
    drain.silent_ms = BEYOND

    assert drain.tick() == []
    assert not leftovers(rig)
    drain.end()


def test_a_mark_that_cannot_be_written_commits_nothing(rig: Rig) -> None:
    drain = Drain(rig)
    rig.fail(Fault(Failure.DENIED, "write", "/_partitions/", skip=1))

    with pytest.raises(StorageError, match="permission"):
        drain.commit(1)

    assert rig.finals == {}
    drain.commit(1)
    drain.silent_ms = BEYOND
    assert drain.tick() == [("complete", "h00")]
    drain.end()


def test_a_target_that_does_not_answer_for_a_while_delays_what_is_told(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    drain = Drain(rig)
    drain.commit(1)
    drain.silent_ms = BEYOND
    rig.fail(Fault(Failure.SILENT, "rename", "/_partitions/", times=-1))
    drain.keeper._try_tick()
    assert "cannot be looked at yet" in caplog.text
    rig.fs.faults.clear()

    assert drain.tick() == [("complete", "h00")]
    drain.end()


@pytest.mark.parametrize(
    "options",
    [
        {"delay_seconds": -1.0},
        {"hook_seconds": 0.0},
        {"success_file": "SUCCESS"},
        {"success_file": "_a/b"},
        {"success_file": ""},
        {"on_complete": "touch"},
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        PartitionOptions(**options)  # type: ignore[arg-type]
