"""A drain into an HDFS that cannot be written for a while: it waits, says so once if it must, and goes on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flumebeam.hdfs.cluster import LocalHdfs
from tests.failures import Counted
from tests.faults.pipelines.scene import Scene, numbered
from tests.faults.pipelines.stores import HdfsStore
from tests.faults.pipelines.test_standby import stop
from tests.programs import Programs, until

LINES = numbered(800)


@pytest.fixture
def store(hdfs_cluster: LocalHdfs, scene: Scene) -> Iterator[HdfsStore]:
    made = HdfsStore((hdfs_cluster.webhdfs_url,), scene)
    yield made
    made.close()
    for daemon in (hdfs_cluster.namenode, hdfs_cluster.datanode):
        daemon.thaw()


def one_line(scene: Scene, words: str, *more: str) -> None:
    """An impatient drain ends with one line that holds these words, and leaves everything on the broker."""
    drain = scene.drain("--patience_seconds=1", *more, until_empty=False)
    assert drain.wait() == 1
    [line] = drain.err.splitlines()
    assert line.startswith("flumebeam drain_to_hdfs: ")
    assert words in line
    assert scene.left == 400


def repair(scene: Scene) -> None:
    """Remove what a DataNode makes when it wakes up, for a drain that is gone; it would be given up after a day."""
    scene.programs.start("commits", "repair", str(scene.target), "--close").ends_well()


def test_safe_mode_is_waited_for_and_told(scene: Scene, store: HdfsStore, hdfs_cluster: LocalHdfs) -> None:
    patient = scene.drain(until_empty=False)
    scene.fill(LINES[:400])
    until(lambda: not scene.left, "the first events drained")
    hdfs_cluster.admin("-safemode", "enter")
    try:
        scene.fill(LINES[400:])
        until(lambda: scene.broker.queue(scene.queue).unacknowledged == 400, "the rest received")
        assert patient.running
    finally:
        hdfs_cluster.admin("-safemode", "leave")

    until(lambda: not scene.left, "everything drained")
    stop(patient)
    store.copy()
    scene.holds_exactly(LINES)


def test_safe_mode_at_the_start_is_one_line(scene: Scene, store: HdfsStore, hdfs_cluster: LocalHdfs) -> None:
    scene.fill(LINES[:400])
    hdfs_cluster.admin("-safemode", "enter")
    try:
        one_line(scene, "safe mode")
    finally:
        hdfs_cluster.admin("-safemode", "leave")
    scene.drain_all()

    store.copy()
    scene.holds_exactly(LINES[:400])


@pytest.mark.failure("DataNode does not answer though the data has landed", what=("datanode",))
@pytest.mark.parametrize("what", ["namenode", "datanode"])
def test_a_daemon_that_hangs_is_waited_for_and_wakes_later(
    scene: Scene,
    store: HdfsStore,
    hdfs_cluster: LocalHdfs,
    what: str,
    counted: Counted,
) -> None:
    daemon = getattr(hdfs_cluster, what)
    patient = scene.drain("--target_read_timeout_seconds=2", until_empty=False)
    scene.fill(LINES[:400])
    until(lambda: not scene.left, "the first events drained")
    daemon.freeze()
    scene.fill(LINES[400:])
    until(lambda: scene.broker.queue(scene.queue).unacknowledged == 400, "the rest received")
    with pytest.raises(AssertionError, match="although it hangs"):
        until(lambda: not scene.left, "drained although it hangs", 5)
    assert patient.running
    daemon.thaw()

    until(lambda: not scene.left, "everything drained")
    stop(patient)
    repair(scene)
    store.copy()
    scene.holds_exactly(LINES)
    counted(LINES, scene.lines().elements(), kept=scene.left)


@pytest.mark.parametrize("what", ["namenode", "datanode"])
def test_a_daemon_that_never_answers_is_one_line(
    scene: Scene, store: HdfsStore, hdfs_cluster: LocalHdfs, what: str
) -> None:
    daemon = getattr(hdfs_cluster, what)
    scene.fill(LINES[:400])
    daemon.freeze()
    try:
        words = "does not answer in time; check that it is up and that the address is right"
        one_line(scene, words, "--target_read_timeout_seconds=1")
    finally:
        daemon.thaw()
    scene.drain_all()

    repair(scene)
    store.copy()
    scene.holds_exactly(LINES[:400])


@pytest.mark.failure("HDFS out of space")
def test_a_quota_that_is_used_up_is_waited_for(
    scene: Scene, store: HdfsStore, hdfs_cluster: LocalHdfs, counted: Counted
) -> None:
    patient = scene.drain(until_empty=False)
    scene.fill(LINES[:400])
    until(lambda: not scene.left, "the first events drained")
    for given, cleared, lines in (
        (("-setSpaceQuota", "1000000"), "-clrSpaceQuota", LINES[400:600]),
        (("-setQuota", "1"), "-clrQuota", LINES[600:]),
    ):
        hdfs_cluster.admin(*given, store.root)
        scene.fill(lines)
        with pytest.raises(AssertionError, match="drained without room"):
            until(lambda: not scene.left, "drained without room", 2)
        assert patient.running
        hdfs_cluster.admin(cleared, store.root)
        until(lambda: not scene.left, f"drained after {cleared}")

    stop(patient)
    store.copy()
    scene.holds_exactly(LINES)
    counted(LINES, scene.lines().elements(), kept=scene.left)


def test_a_directory_that_may_not_be_written_is_one_line(
    scene: Scene, store: HdfsStore, hdfs_cluster: LocalHdfs
) -> None:
    scene.fill(LINES[:400])
    hdfs_cluster.shell("-chmod", "555", store.root)
    (scene.directory / "bob").mkdir()
    environment = {"SOLACE_HOST": scene.broker.url, "HADOOP_USER_NAME": "bob"}
    scene.programs = Programs(scene.directory / "bob", environment)
    try:
        one_line(scene, "does not let user 'bob'")
        hdfs_cluster.shell("-chmod", "777", store.root)
        scene.drain_all()
    finally:
        scene.programs.close()

    store.copy()
    scene.holds_exactly(LINES[:400])
