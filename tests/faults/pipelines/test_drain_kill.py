"""A drain is killed at every step of its commit protocol; started again, every event is in the files exactly once."""

from __future__ import annotations

import random
import signal
from functools import partial

import pytest

from flumebeam.commitlog.steps import CrashPoint
from tests.failures import Counted
from tests.faults.pipelines import killing
from tests.faults.pipelines.scene import Scene, numbered
from tests.programs import until

ROLLED = ("--roll=files", "--roll_bytes=10000", "--roll_seconds=0")
"""Two transactions a file, two files for each of two paths."""
MERGING = [point.name for point in CrashPoint if "merge" in point.value or "segment" in point.value]

LINES = numbered(1_200)
BY_PART = "--path=%{part}"

BY_A_SUCCESSOR = {CrashPoint.EPOCH_CLOSED.name, CrashPoint.RETIRED.name, CrashPoint.SWEPT.name}
"""What a drain does only where another one died before it."""
# Reached only when somebody else's file has a final name: tested without a process, in the log's unit tests.
MOMENTS = [point.name for point in CrashPoint if point is not CrashPoint.SUPERSEDED and point.name not in MERGING]
MOMENTS += [killing.RECEIVED, killing.WRITTEN, killing.TOLD]


IN_TRANSACTIONS = "--transaction_messages=256"


def die(scene: Scene, moment: str, nth: int = 1, more: tuple[str, ...] = ()) -> None:
    arguments = scene.drain_options(BY_PART, *more)
    drain = scene.programs.fork_main(killing.drain_that_dies, arguments, moment, nth)
    status = drain.wait()
    assert status == -signal.SIGKILL, f"{moment} was not reached, status {status}: {drain.err}"


@pytest.mark.failure(
    "consumer killed between rename and acknowledgement",
    moment=("PART_PUBLISHED", "PUBLISHED", "MARKED", killing.WRITTEN),
)
@pytest.mark.failure("consumer killed between close and rename", moment=("PART_WRITTEN", "RECORD_WRITTEN", "COMMITTED"))
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_drain_killed_there_and_started_again_has_every_event_once(
    scene: Scene, moment: str, counted: Counted
) -> None:
    scene.fill(LINES)
    if moment in BY_A_SUCCESSOR:
        die(scene, CrashPoint.RECORD_WRITTEN.name, 2)
    die(scene, moment)

    scene.drain_all(BY_PART)

    scene.holds_exactly(LINES)
    counted(LINES, scene.lines().elements(), kept=scene.left)


@pytest.mark.parametrize("moment", ["COMMITTED", "PART_PUBLISHED", killing.RECEIVED, killing.WRITTEN, killing.TOLD])
def test_a_drain_killed_in_a_transaction_and_started_again_has_every_event_once(scene: Scene, moment: str) -> None:
    scene.fill(LINES)
    die(scene, moment, 2, (IN_TRANSACTIONS,))

    scene.drain_all(BY_PART, IN_TRANSACTIONS)

    scene.holds_exactly(LINES)


def test_drains_killed_one_after_the_other_have_every_event_once(scene: Scene) -> None:
    scene.fill(LINES)
    for moment in ("COMMITTED", "PART_PUBLISHED", "RETIRED", "EPOCH_CLOSED", killing.WRITTEN, "SWEPT"):
        die(scene, moment)

    scene.drain_all(BY_PART)

    scene.holds_exactly(LINES)


@pytest.mark.failure("consumer killed in the middle of a file")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_drain_killed_at_any_moment_and_started_again_has_every_event_once(
    scene: Scene, seed: int, counted: Counted
) -> None:
    first, second = sorted(random.Random(seed).sample(range(len(LINES)), 2))
    scene.fill(LINES)
    for moment in (first, second):
        drain = scene.programs.fork_main(
            killing.drain_that_dies, scene.drain_options(BY_PART, until_empty=False), killing.RECEIVED, 0
        )
        until(partial(lambda lines: scene.count() > lines, moment), f"more than {moment} events in files")
        drain.kill()

    scene.drain_all(BY_PART)

    scene.holds_exactly(LINES)
    counted(LINES, scene.lines().elements(), kept=scene.left)


@pytest.mark.parametrize("nth", [1, 3])
@pytest.mark.parametrize("moment", MERGING)
def test_a_drain_killed_while_it_merges_and_started_again_has_every_event_once(
    scene: Scene, moment: str, nth: int
) -> None:
    scene.fill(LINES)
    die(scene, moment, nth, ROLLED)

    scene.drain_all(BY_PART, *ROLLED)

    scene.holds_exactly(LINES)


@pytest.mark.failure("consumer killed in the middle of a file")
@pytest.mark.parametrize("moment", ["COMMITTED", "FOLDED", killing.WRITTEN, killing.TOLD])
def test_a_drain_killed_between_segments_and_started_again_has_every_event_once(
    scene: Scene, moment: str, counted: Counted
) -> None:
    scene.fill(LINES)
    die(scene, moment, 2, ROLLED)

    scene.drain_all(BY_PART, *ROLLED)

    scene.holds_exactly(LINES)
    counted(LINES, scene.lines().elements(), kept=scene.left)


def test_drains_that_are_killed_while_they_merge_what_others_left_have_every_event_once(scene: Scene) -> None:
    scene.fill(LINES)
    for moment in ("MERGE_COMMITTED", "MERGE_WRITTEN", "SEGMENT_REMOVED", "MERGE_PUBLISHED"):
        die(scene, moment, 1, ROLLED)

    scene.drain_all(BY_PART, *ROLLED)

    scene.holds_exactly(LINES)


def test_what_is_acknowledged_and_not_merged_is_shown_by_the_next_drain_though_its_queue_is_empty(scene: Scene) -> None:
    scene.fill(LINES)
    drain = scene.drain(BY_PART, "--roll=files", until_empty=False)
    until(lambda: not scene.left, "everything acknowledged")
    drain.kill()
    assert scene.count() == 0

    scene.drain(BY_PART, "--roll=files").ends_well()

    scene.holds_exactly(LINES)


def test_what_is_acknowledged_and_not_merged_is_shown_by_the_next_drain_while_it_waits_for_more(scene: Scene) -> None:
    scene.fill(LINES)
    drain = scene.drain(BY_PART, "--roll=files", until_empty=False)
    until(lambda: not scene.left, "everything acknowledged")
    drain.kill()

    waiting = scene.drain(BY_PART, "--roll=files", "--watermark_idle_seconds=0", until_empty=False)
    until(lambda: scene.count() == len(LINES), "what the dead drain left in files")

    waiting.send(signal.SIGINT)
    waiting.ends_well()
    scene.holds_exactly(LINES)
