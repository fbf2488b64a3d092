"""The same drain on a real HDFS: killed, fenced, without a NameNode for a while, out of quota."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from flumebeam.commitlog.steps import CrashPoint
from flumebeam.hdfs.cluster import LocalHdfs
from tests.failures import Counted
from tests.faults.pipelines import killing
from tests.faults.pipelines.scene import Scene, numbered
from tests.faults.pipelines.stores import HdfsStore
from tests.faults.pipelines.test_drain_kill import BY_PART, ROLLED, die
from tests.faults.pipelines.test_standby import standing_by, stop
from tests.programs import until

LINES = numbered(1_200)


@pytest.fixture
def store(hdfs_cluster: LocalHdfs, scene: Scene) -> Iterator[HdfsStore]:
    made = HdfsStore((hdfs_cluster.webhdfs_url,), scene)
    yield made
    made.close()


@pytest.mark.failure("lease held by a dead writer")
def test_drains_killed_one_after_the_other_have_every_event_once(
    scene: Scene, store: HdfsStore, counted: Counted
) -> None:
    scene.fill(LINES)
    for point in (CrashPoint.RECORD_WRITTEN, CrashPoint.COMMITTED, CrashPoint.PART_PUBLISHED, CrashPoint.EPOCH_CLOSED):
        die(scene, point.name)
    die(scene, killing.WRITTEN)

    scene.drain_all(BY_PART)

    store.copy()
    scene.holds_exactly(LINES)
    counted(LINES, scene.lines().elements(), kept=scene.left)


def test_drains_killed_while_hdfs_joins_their_segments_have_every_event_once(scene: Scene, store: HdfsStore) -> None:
    scene.fill(LINES)
    for moment in ("MERGE_WRITTEN", "MERGE_COMMITTED", "MERGE_PUBLISHED", "MERGE_MARKED"):
        die(scene, moment, 1, ROLLED)

    scene.drain_all(BY_PART, *ROLLED)

    store.copy()
    scene.holds_exactly(LINES)
    assert len(scene.files()) < 20, "several transactions a file"


def test_a_frozen_drain_that_wakes_up_after_the_standby_took_over_repeats_nothing(
    scene: Scene, store: HdfsStore
) -> None:
    options = scene.drain_options(BY_PART, until_empty=False)
    moment = CrashPoint.RECORD_WRITTEN.name
    frozen = scene.programs.fork_main(killing.drain_that_dies, options, moment, 2, signal.SIGSTOP)
    standing_by(scene, 1)
    standby = scene.drain(BY_PART, until_empty=False)
    standing_by(scene, 2)
    scene.fill(LINES)
    until(frozen.is_frozen, f"frozen at {moment}")

    [client] = [name for name in scene.broker.clients() if f"/{frozen.pid}/" in name]
    scene.broker.cut_connections(client)
    until(lambda: not scene.left, "the standby has emptied the queue")
    frozen.send(signal.SIGCONT)

    standing_by(scene, 2)
    stop(standby, frozen)
    store.copy()
    scene.holds_exactly(LINES)


def test_a_namenode_that_dies_and_comes_back_is_waited_for(
    scene: Scene, store: HdfsStore, hdfs_cluster: LocalHdfs
) -> None:
    drain = scene.drain(until_empty=False)
    scene.fill(LINES[:400])
    until(lambda: not scene.left, "the first events drained")
    hdfs_cluster.namenode.kill()
    try:
        scene.fill(LINES[400:])
        until(lambda: scene.broker.queue(scene.queue).unacknowledged == 800, "the rest received")
        assert drain.running
    finally:
        hdfs_cluster.namenode.start()
        hdfs_cluster.wait_until_ready()

    until(lambda: not scene.left, "everything drained")
    stop(drain)
    store.copy()
    scene.holds_exactly(LINES)


@pytest.mark.parametrize(
    ("given", "cleared"), [(("-setSpaceQuota", "1000000"), "-clrSpaceQuota"), (("-setQuota", "1"), "-clrQuota")]
)
def test_a_quota_that_is_used_up_is_one_line_and_nothing_is_lost(
    scene: Scene, store: HdfsStore, hdfs_cluster: LocalHdfs, given: tuple[str, str], cleared: str
) -> None:
    scene.fill(LINES)
    hdfs_cluster.admin(*given, store.root)

    drain = scene.drain("--patience_seconds=0.5", until_empty=False)

    assert drain.wait() == 1
    [line] = drain.err.splitlines()
    assert line.startswith("flumebeam drain_to_hdfs: ")
    assert "quota" in line
    assert store.root in line
    assert scene.left == len(LINES)
    hdfs_cluster.admin(cleared, store.root)
    scene.drain_all()
    store.copy()
    scene.holds_exactly(LINES)
