"""Workers and tasks on standalone clusters: who starts them, and what is told when they cannot start."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flumebeam.pipelines.launching import worker_command
from flumebeam.pipelines.worker_pool import WorkerPool
from tests.faults.pipelines.scene import Scene
from tests.runners.clusters import Cluster, SparkCluster
from tests.runners.faults import BODIES, LOCAL, PATIENCE, on, own_server

_IN_THE_DRIVER = dict.fromkeys(LOCAL, "the driver is the worker")


@on("Flink cluster", "Spark cluster")
@pytest.mark.row("workers of a pool (EXTERNAL)", _IN_THE_DRIVER)
def test_a_pool_starts_workers(scene: Scene, cluster: Cluster) -> None:
    scene.fill(BODIES)
    with WorkerPool(worker_command()) as pool:
        more = ["--environment_type=EXTERNAL", f"--environment_config={pool.endpoint}"]
        options = scene.drain_options("--until_empty", "--idle_seconds=5", *more, until_empty=False)
        scene.programs.start("run", "drain_to_hdfs", *options, *cluster.runner.options).ends_well(PATIENCE)

    scene.holds_exactly(BODIES)


@on("Flink cluster", "Spark cluster")
@pytest.mark.row("workers that cannot start: an error, no hang", _IN_THE_DRIVER)
@pytest.mark.parametrize("workers_", ["a program that is not there", "a pool that is not there", "a pool without us"])
def test_workers_that_cannot_start_end_the_job(scene: Scene, cluster: Cluster, tmp_path: Path, workers_: str) -> None:
    broken = tmp_path / "worker"
    broken.write_text("#!/bin/sh\necho ModuleNotFoundError: no flumebeam here >&2\nexit 1\n")
    broken.chmod(0o755)
    with WorkerPool(broken) as pool:
        kind, config = {
            "a program that is not there": ("PROCESS", json.dumps({"command": str(tmp_path / "none")})),
            "a pool that is not there": ("EXTERNAL", "127.0.0.1:1"),
            "a pool without us": ("EXTERNAL", pool.endpoint),
        }[workers_]
        options = scene.drain_options(f"--environment_type={kind}", f"--environment_config={config}")
        drain = scene.programs.start("run", "drain_to_hdfs", *options, *own_server(cluster.runner))

        assert drain.wait(PATIENCE) == 1
    assert "The job ended as FAILED" in drain.err
    assert "Traceback" not in drain.err
    if workers_ == "a pool without us":
        assert "ModuleNotFoundError: no flumebeam here" in drain.err


@on("Spark cluster")
@pytest.mark.row(
    "no task is tried twice",
    {**dict.fromkeys(LOCAL, "has no tasks elsewhere"), "Flink cluster": "restarts a job as a whole"},
)
def test_the_first_try_of_each_task_runs_on_executors(scene: Scene, cluster: SparkCluster) -> None:
    scene.fill(BODIES)
    directory = cluster.spark.workers[0].log.parents[1]
    before = set(directory.glob("work-*/app-*"))

    drain = scene.programs.start("run", "drain_to_hdfs", *scene.drain_options(), *cluster.runner.options)
    drain.ends_well(PATIENCE)

    scene.holds_exactly(BODIES)
    mine = set(directory.glob("work-*/app-*")) - before
    said = "".join(log.read_text(errors="replace") for each in mine for log in each.glob("*/stderr"))
    assert "Finished task 0.0 in stage" in said
    assert "Exception in task" not in said
