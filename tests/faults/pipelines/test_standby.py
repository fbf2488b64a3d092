"""Two drains on one exclusive queue: the standby takes over, and a writer that wakes up too late is fenced."""

from __future__ import annotations

import signal

import pytest

from flumebeam.commitlog.steps import CrashPoint
from tests.failures import Counted
from tests.faults.pipelines import killing
from tests.faults.pipelines.scene import Scene, numbered
from tests.programs import Program, until

LINES = numbered(3_000)


def standing_by(scene: Scene, consumers: int) -> None:
    until(lambda: scene.broker.queue(scene.queue).consumers == consumers, f"{consumers} drains bound")


def stop(*drains: Program) -> None:
    """Stop drains cleanly."""
    for drain in drains:
        drain.send(signal.SIGINT)
    for drain in drains:
        drain.ends_well()


@pytest.mark.failure("two pipelines on one exclusive queue")
def test_the_standby_takes_over_from_a_killed_drain(scene: Scene, counted: Counted) -> None:
    active = scene.drain(until_empty=False)
    standing_by(scene, 1)
    standby = scene.drain(until_empty=False)
    standing_by(scene, 2)
    scene.fill(LINES[:1_000])
    until(lambda: scene.count() == 1_000, "the first thousand in files")

    scene.fill(LINES[1_000:])
    active.kill()

    until(lambda: not scene.left, "the standby has emptied the queue")
    stop(standby)
    scene.holds_exactly(LINES)
    counted(LINES, scene.lines().elements(), kept=scene.left)


FROZEN_AT = [
    killing.RECEIVED,
    CrashPoint.PART_WRITTEN.name,
    CrashPoint.RECORD_WRITTEN.name,
    CrashPoint.COMMITTED.name,
    CrashPoint.PART_PUBLISHED.name,
    killing.WRITTEN,
]


@pytest.mark.failure("two pipelines on one exclusive queue")
@pytest.mark.parametrize(
    ("moment", "how"),
    [(moment, []) for moment in FROZEN_AT]
    + [(moment, ["--transaction_messages=256"]) for moment in (killing.RECEIVED, "COMMITTED", killing.WRITTEN)],
)
def test_a_frozen_drain_that_wakes_up_after_the_standby_took_over_repeats_nothing(
    scene: Scene, moment: str, how: list[str]
) -> None:
    options = scene.drain_options("--path=%{part}", *how, until_empty=False)
    frozen = scene.programs.fork_main(killing.drain_that_dies, options, moment, 2, signal.SIGSTOP)
    standing_by(scene, 1)
    standby = scene.drain("--path=%{part}", until_empty=False)
    standing_by(scene, 2)
    scene.fill(LINES)
    until(frozen.is_frozen, f"frozen at {moment}")

    # What the broker does itself after half a minute of silence.
    [client] = [name for name in scene.broker.clients() if f"/{frozen.pid}/" in name]
    scene.broker.cut_connections(client)
    until(lambda: not scene.left, "the standby has emptied the queue")
    frozen.send(signal.SIGCONT)

    standing_by(scene, 2)
    stop(standby)
    scene.fill(numbered(100))
    until(lambda: not scene.left, "the one that was frozen works again")
    stop(frozen)
    scene.holds_exactly(LINES + numbered(100))
