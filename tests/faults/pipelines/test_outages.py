"""The broker goes away in mid-run and comes back: the programs wait for it, and nothing is lost."""

from __future__ import annotations

import signal
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from tests.failures import Counted
from tests.faults.pipelines.scene import TRANSACTION, Scene, numbered
from tests.programs import until

BOTH_WAYS = pytest.mark.parametrize(
    "how", [[], ["--transaction_messages=256"]], ids=["acknowledged by id", "in transactions"]
)


@BOTH_WAYS
def test_a_drain_survives_a_broker_that_is_away_and_repeats_nothing(scene: Scene, how: list[str]) -> None:
    lines = numbered(4_000)
    drain = scene.drain(*how, until_empty=False)
    scene.fill(lines[:2_000])
    until(lambda: scene.count() >= 100, "the first events in files")

    scene.broker.restart(keep_state=True, down_seconds=3)
    scene.fill(lines[2_000:])

    until(lambda: not scene.left, "everything drained")
    drain.send(signal.SIGINT)
    drain.ends_well()
    scene.holds_exactly(lines)


@pytest.mark.failure("broker down at put")
def test_an_ingest_survives_a_broker_that_is_away_and_repeats_one_transaction_at_most(
    scene: Scene,
    tmp_path: Path,
    counted: Counted,
) -> None:
    lines = numbered(8_000)
    log = tmp_path / "app.log"
    log.write_bytes(b"\n".join(lines))
    # Slow enough not to be through before the broker goes away, whatever else this machine does.
    scene.broker.slow(200_000)
    try:
        ingest = scene.ingest(log)
        until(lambda: scene.left >= TRANSACTION, "the first transactions")
        assert scene.left < len(lines)
        scene.broker.restart(keep_state=True, down_seconds=3)
    finally:
        scene.broker.thaw()

    ingest.ends_well()
    found = Counter(event.body for event in scene.take_all())
    assert not Counter(lines) - found, "lost"
    assert (found - Counter(lines)).total() <= TRANSACTION
    counted(lines, found.elements())


def _more_than(scene: Scene, lines: int) -> bool:
    return scene.count() > lines


@pytest.mark.failure("session rebuilt with the same queue")
@BOTH_WAYS
def test_a_drain_whose_connection_is_cut_again_and_again_repeats_nothing(
    scene: Scene, how: list[str], counted: Counted
) -> None:
    lines = numbered(5_000)
    drain = scene.drain(*how, until_empty=False)
    until(lambda: scene.broker.queue(scene.queue).consumers, "the drain bound")
    for start in range(0, len(lines), 1_000):
        scene.fill(lines[start : start + 1_000])
        until(partial(_more_than, scene, start), "some of it in files")
        scene.broker.cut_connections()

    until(lambda: not scene.left, "everything drained")
    drain.send(signal.SIGINT)
    drain.ends_well()
    scene.holds_exactly(lines)
    counted(lines, scene.lines().elements(), kept=scene.left)


@pytest.mark.slow
def test_both_survive_twenty_seconds_without_a_broker(scene: Scene, tmp_path: Path) -> None:
    lines = numbered(8_000)
    log = tmp_path / "app.log"
    log.write_bytes(b"\n".join(lines))
    drain = scene.drain(until_empty=False)
    ingest = scene.ingest(log)
    until(scene.count, "the first events in files")

    scene.broker.restart(keep_state=True, down_seconds=20)

    ingest.ends_well()
    until(lambda: not scene.left, "everything drained")
    drain.send(signal.SIGINT)
    drain.ends_well()
    found, received = scene.lines(), scene.broker.queue(scene.queue).received
    assert set(found) == set(lines)
    assert found.total() == received <= len(lines) + TRANSACTION, "what the ingest repeated, and nothing else"


@pytest.mark.failure("session rebuilt with the same queue")
def test_a_broker_that_stays_away_is_one_line_and_nothing_is_repeated_afterwards(
    scene: Scene, counted: Counted
) -> None:
    lines = numbered(600)
    drain = scene.drain("--reconnect_seconds=1", until_empty=False)
    scene.fill(lines[:500])
    until(lambda: not scene.left, "everything drained")
    scene.broker.refuse_connections()
    try:
        scene.broker.cut_connections()

        assert drain.wait() == 1
    finally:
        scene.broker.accept_connections()
    [line] = drain.err.splitlines()
    assert line.startswith("flumebeam drain_to_hdfs: ")
    assert scene.broker.url in line
    scene.fill(lines[500:])
    scene.drain_all()
    scene.holds_exactly(lines)
    counted(lines, scene.lines().elements(), kept=scene.left)
