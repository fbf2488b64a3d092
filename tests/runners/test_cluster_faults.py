"""What is acknowledged on each standalone cluster when things die: every event is in the files once."""

from __future__ import annotations

import os
import signal

import pytest

from tests.faults.pipelines.scene import Scene
from tests.programs import until
from tests.runners.clusters import Cluster
from tests.runners.faults import BODIES, LOCAL, PATIENCE, drain_the_rest, draining, on

_IDLE_SECONDS = 20
"""On Spark: long enough for another worker to come up and find the rest."""


@on("Flink cluster", "Spark cluster")
@pytest.mark.row(
    "worker killed (`kill -9`): goes on, exactly once",
    dict.fromkeys(LOCAL, "the driver is the worker: see there"),
)
def test_a_worker_is_killed(scene: Scene, cluster: Cluster) -> None:
    drain, rest = draining(scene, cluster.runner, idle_seconds=_IDLE_SECONDS)

    worker, _ = cluster.worker()
    os.kill(worker, signal.SIGKILL)
    scene.fill(rest)
    cluster.end(scene, drain)

    scene.holds_exactly(BODIES)


@on("Flink cluster", "Spark cluster")
@pytest.mark.row(
    "TaskManager or executor killed: goes on in another, exactly once",
    dict.fromkeys(LOCAL, "has none: see runner killed"),
)
def test_a_task_manager_or_an_executor_is_killed(scene: Scene, cluster: Cluster) -> None:
    drain, rest = draining(scene, cluster.runner, idle_seconds=_IDLE_SECONDS)

    _, parent = cluster.worker()
    os.kill(parent, signal.SIGKILL)
    scene.fill(rest)
    cluster.end(scene, drain)

    scene.holds_exactly(BODIES)


@on("Flink cluster", "Spark cluster")
@pytest.mark.row("job cancelled: exactly once")
def test_a_job_is_cancelled_at_its_cluster(scene: Scene, cluster: Cluster) -> None:
    drain, rest = draining(scene, cluster.runner)

    cluster.cancel()

    assert drain.wait(PATIENCE) == 1
    assert "The job ended as" in drain.err
    assert "Traceback" not in drain.err
    scene.fill(rest)
    drain_the_rest(scene)
    scene.holds_exactly(BODIES)


@on("Flink cluster", "Spark cluster")
@pytest.mark.row(
    "Ctrl-C of the driver stops the job: exactly once",
    dict.fromkeys(LOCAL, "see `flumebeam stop`"),
)
def test_ctrl_c_stops_a_remote_job(scene: Scene, cluster: Cluster) -> None:
    drain, rest = draining(scene, cluster.runner)

    drain.send(signal.SIGINT)

    # Flink ends a job with a savepoint; Spark can only cancel it.
    assert drain.wait(PATIENCE) == (0 if cluster.runner.streams else 130), drain.err
    assert "Traceback" not in drain.err
    until(lambda: not cluster.running(), "the job gone", PATIENCE)
    scene.fill(rest)
    drain_the_rest(scene)
    scene.holds_exactly(BODIES)
