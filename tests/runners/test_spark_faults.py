"""What is acknowledged on a standalone Spark when things die: every event is in the files once, whoever was killed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from flumebeam.pipelines.launching import worker_command
from flumebeam.pipelines.worker_pool import WorkerPool
from flumebeam.runners.spark import LocalSpark
from tests.faults.pipelines.scene import Scene
from tests.programs import until
from tests.runners.faults import BODIES, PATIENCE, children, drain_the_rest, draining, on, own_server
from tests.runners.kinds import Runner

FLINK = {"Flink cluster": "restarts a job as a whole"}
_IDLE_SECONDS = 20
"""Long enough for another worker to come up and find the rest."""


def executors(cluster: LocalSpark) -> list[int]:
    """Return the process ids of executors."""
    return [pid for pid, _ in children(b"CoarseGrainedExecutorBackend", *(each.pid for each in cluster.workers))]


def at_work(cluster: LocalSpark) -> tuple[int, int]:
    """Return the process ids of the one worker, and of the executor that has started it."""
    [found] = children(b"flumebeam-worker", *executors(cluster))
    return found


@pytest.fixture
def spark(runner: Runner) -> Iterator[Runner]:
    """A standalone Spark that is whole, and without an application afterwards."""
    yield runner
    runner.cluster.start()
    until(lambda: not runner.cluster.applications(), "no application left", PATIENCE)


@on("Spark cluster")
@pytest.mark.row("worker killed (`kill -9`): goes on, exactly once")
def test_a_worker_is_killed(scene: Scene, spark: Runner) -> None:
    drain, rest = draining(scene, spark, idle_seconds=_IDLE_SECONDS)

    worker, _ = at_work(spark.cluster)
    os.kill(worker, signal.SIGKILL)
    scene.fill(rest)
    drain.ends_well(PATIENCE)

    scene.holds_exactly(BODIES)


@pytest.mark.representative
@on("Spark cluster")
@pytest.mark.row("TaskManager or executor killed: goes on in another, exactly once")
def test_an_executor_is_killed(scene: Scene, spark: Runner) -> None:
    drain, rest = draining(scene, spark, idle_seconds=_IDLE_SECONDS)

    _, executor = at_work(spark.cluster)
    os.kill(executor, signal.SIGKILL)
    scene.fill(rest)
    drain.ends_well(PATIENCE)

    scene.holds_exactly(BODIES)


@on("Spark cluster")
@pytest.mark.row("job cancelled: exactly once")
def test_an_application_is_killed_at_the_master(scene: Scene, spark: Runner) -> None:
    drain, rest = draining(scene, spark)

    [application] = spark.cluster.applications()
    with requests.Session() as session:
        session.trust_env = False
        asked = {"id": application, "terminate": "true"}
        session.post(f"http://{spark.cluster.web}/app/kill/", data=asked, timeout=10).raise_for_status()

    assert drain.wait(PATIENCE) == 1
    assert "The job ended as" in drain.err
    assert "Traceback" not in drain.err
    scene.fill(rest)
    drain_the_rest(scene)
    scene.holds_exactly(BODIES)


@on("Spark cluster")
@pytest.mark.row("Ctrl-C of the driver stops the job: exactly once")
def test_ctrl_c_stops_a_remote_job(scene: Scene, spark: Runner) -> None:
    drain, rest = draining(scene, spark)

    drain.send(signal.SIGINT)

    assert drain.wait(PATIENCE) == 130
    assert "Traceback" not in drain.err
    until(lambda: not spark.cluster.applications(), "the application gone", PATIENCE)
    until(lambda: not scene.broker.queue(scene.queue).consumers, "its flow gone", PATIENCE)
    scene.fill(rest)
    drain_the_rest(scene)
    scene.holds_exactly(BODIES)


@on("Spark cluster")
@pytest.mark.row("workers of a pool (EXTERNAL)")
def test_a_pool_starts_workers(scene: Scene, spark: Runner) -> None:
    scene.fill(BODIES)
    with WorkerPool(worker_command()) as pool:
        more = ["--environment_type=EXTERNAL", f"--environment_config={pool.endpoint}"]
        scene.programs.start("run", "drain_to_hdfs", *scene.drain_options(*more), *spark.options).ends_well(PATIENCE)

    scene.holds_exactly(BODIES)


@on("Spark cluster")
@pytest.mark.row("workers that cannot start: an error, no hang")
@pytest.mark.parametrize("workers_", ["a program that is not there", "a pool that is not there", "a pool without us"])
def test_workers_that_cannot_start_end_the_job(scene: Scene, spark: Runner, tmp_path: Path, workers_: str) -> None:
    broken = tmp_path / "worker"
    broken.write_text("#!/bin/sh\necho ModuleNotFoundError: no flumebeam here >&2\nexit 1\n")
    broken.chmod(0o755)
    with WorkerPool(broken) as pool:
        more = {
            "a program that is not there": ["PROCESS", json.dumps({"command": str(tmp_path / "none")})],
            "a pool that is not there": ["EXTERNAL", "127.0.0.1:1"],
            "a pool without us": ["EXTERNAL", pool.endpoint],
        }[workers_]
        options = scene.drain_options(f"--environment_type={more[0]}", f"--environment_config={more[1]}")
        drain = scene.programs.start("run", "drain_to_hdfs", *options, *own_server(spark))

        assert drain.wait(PATIENCE) == 1
    assert "The job ended as FAILED" in drain.err
    assert "Traceback" not in drain.err
    if workers_ == "a pool without us":
        assert "ModuleNotFoundError: no flumebeam here" in drain.err


@on("Spark cluster")
@pytest.mark.row(
    "no task is tried twice",
    {**dict.fromkeys(("FnApiRunner", "Prism", "Flink [local]", "Spark local"), "has no tasks elsewhere"), **FLINK},
)
def test_the_first_try_of_each_task_runs_on_executors(scene: Scene, spark: Runner) -> None:
    scene.fill(BODIES)
    directory = spark.cluster.workers[0].log.parents[1]
    before = set(directory.glob("work-*/app-*"))

    drain = scene.programs.start("run", "drain_to_hdfs", *scene.drain_options(), *spark.options)
    drain.ends_well(PATIENCE)

    scene.holds_exactly(BODIES)
    mine = set(directory.glob("work-*/app-*")) - before
    said = "".join(log.read_text(errors="replace") for each in mine for log in each.glob("*/stderr"))
    assert "Finished task 0.0 in stage" in said
    assert "Exception in task" not in said
