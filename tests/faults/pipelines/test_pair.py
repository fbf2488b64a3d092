"""A drain into a cluster of two NameNodes, of which one after the other goes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flumebeam.testing.hdfs_ha import HaHdfs
from tests.failures import Counted
from tests.faults.pipelines.scene import Scene, numbered
from tests.faults.pipelines.stores import HdfsStore
from tests.faults.pipelines.test_standby import stop
from tests.programs import until

LINES = numbered(1_200)

pytestmark = pytest.mark.slow


@pytest.fixture
def store(hdfs_pair: HaHdfs, scene: Scene) -> Iterator[HdfsStore]:
    made = HdfsStore(hdfs_pair.webhdfs_urls, scene)
    yield made
    made.close()
    hdfs_pair.heal()


@pytest.mark.failure("NameNode fails over in the middle of a write")
def test_a_drain_goes_on_through_a_fail_over_and_has_every_event_once(
    scene: Scene,
    store: HdfsStore,
    hdfs_pair: HaHdfs,
    counted: Counted,
) -> None:
    drain = scene.drain(until_empty=False)
    scene.fill(LINES[:400])
    until(lambda: not scene.left, "the first events drained")
    hdfs_pair.fail_over()
    scene.fill(LINES[400:800])
    until(lambda: not scene.left, "more events drained by the other NameNode")
    active = hdfs_pair.active
    assert active is not None
    hdfs_pair.namenodes[active].kill()
    scene.fill(LINES[800:])
    hdfs_pair.take_charge(1 - active)

    until(lambda: not scene.left, "everything drained", 90)
    stop(drain)
    store.copy()
    scene.holds_exactly(LINES)
    counted(LINES, scene.lines().elements(), kept=scene.left)
