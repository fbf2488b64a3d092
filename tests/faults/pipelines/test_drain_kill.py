"""A drain is killed at every step of its commit protocol; started again, every event is in the files exactly once."""

from __future__ import annotations

import random
import signal
from functools import partial

import pytest

from flumebeam.commitlog.steps import CrashPoint
from tests.faults.pipelines import killing
from tests.faults.pipelines.scene import Scene, numbered
from tests.programs import until

LINES = numbered(1_200)
BY_PART = "--path=%{part}"

BY_A_SUCCESSOR = {CrashPoint.EPOCH_CLOSED.name, CrashPoint.RETIRED.name, CrashPoint.SWEPT.name}
"""What a drain does only where another one died before it."""
# Reached only when somebody else's file has a final name: tested without a process, in the log's unit tests.
MOMENTS = [point.name for point in CrashPoint if point is not CrashPoint.SUPERSEDED]
MOMENTS += [killing.RECEIVED, killing.WRITTEN, killing.TOLD]


def die(scene: Scene, moment: str, nth: int = 1) -> None:
    arguments = scene.drain_options(BY_PART)
    drain = scene.programs.fork_main(killing.drain_that_dies, arguments, moment, nth)
    status = drain.wait()
    assert status == -signal.SIGKILL, f"{moment} was not reached, status {status}: {drain.err}"


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_drain_killed_there_and_started_again_has_every_event_once(scene: Scene, moment: str) -> None:
    scene.fill(LINES)
    if moment in BY_A_SUCCESSOR:
        die(scene, CrashPoint.RECORD_WRITTEN.name, 2)
    die(scene, moment)

    scene.drain_all(BY_PART)

    scene.holds_exactly(LINES)


def test_drains_killed_one_after_the_other_have_every_event_once(scene: Scene) -> None:
    scene.fill(LINES)
    for moment in ("COMMITTED", "PART_PUBLISHED", "RETIRED", "EPOCH_CLOSED", killing.WRITTEN, "SWEPT"):
        die(scene, moment)

    scene.drain_all(BY_PART)

    scene.holds_exactly(LINES)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_drain_killed_at_any_moment_and_started_again_has_every_event_once(scene: Scene, seed: int) -> None:
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
