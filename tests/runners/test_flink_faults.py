"""What only a standalone Flink can do with a job, and when that dies: every event is in the files once."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.faults.pipelines.scene import Scene
from tests.programs import until
from tests.runners.clusters import FlinkCluster
from tests.runners.faults import BODIES, HALF, LOCAL, PATIENCE, drain_the_rest, draining, on, own_server

SPARK = ("Spark local", "Spark cluster")


@on("Flink cluster")
@pytest.mark.row(
    "savepoint (`flumebeam stop`), and restart from it: exactly once",
    dict.fromkeys((*LOCAL, *SPARK), "takes none: started anew"),
)
def test_a_job_is_stopped_with_a_savepoint_and_goes_on_from_it(scene: Scene, cluster: FlinkCluster) -> None:
    drain, rest = draining(scene, cluster.runner)
    until(lambda: not scene.left or not drain.running, "the first half acknowledged", PATIENCE)
    stopped = scene.programs.start("stop", cluster.job().name)
    stopped.ends_well(PATIENCE)
    drain.ends_well(PATIENCE)
    savepoint = stopped.out.partition("savepoint ")[2].partition(";")[0]
    assert Path(savepoint.removeprefix("file:")).is_dir(), stopped.out

    scene.fill(rest)
    again = [*scene.drain_options(until_empty=False), *cluster.runner.options, f"--savepoint_path={savepoint}"]
    drain = scene.programs.start("run", "drain_to_hdfs", *again)
    until(lambda: not scene.left or not drain.running, "the second half acknowledged", PATIENCE)
    scene.programs.start("stop", cluster.job().name).ends_well(PATIENCE)
    drain.ends_well(PATIENCE)

    scene.holds_exactly(BODIES)


@on("Flink cluster")
@pytest.mark.row(
    "job cancelled, and restored from its last checkpoint: exactly once",
    dict.fromkeys((*LOCAL, *SPARK), "keeps none: started anew"),
)
def test_a_job_is_restored_from_a_checkpoint_that_was_kept(scene: Scene, cluster: FlinkCluster) -> None:
    kept = ["--externalized_checkpoints_enabled", "--retain_externalized_checkpoints_on_cancellation"]
    often = ["--checkpointing_interval=1000", *kept]
    drain, rest = draining(scene, cluster.runner, *often)
    job = cluster.job()
    checkpoints = cluster.flink.job_manager.log.parents[1] / "checkpoints" / job.id
    until(lambda: [*checkpoints.glob("chk-*/_metadata")] or not drain.running, "a checkpoint", PATIENCE)
    cluster.rest.cancel(job.id)
    assert drain.wait(PATIENCE) == 1
    cluster.rest.wait(job.id, PATIENCE)
    checkpoint = max(checkpoints.glob("chk-*/_metadata"), key=lambda found: found.stat().st_mtime).parent

    scene.fill(rest)
    again = [
        *scene.drain_options(*often, until_empty=False),
        *cluster.runner.options,
        f"--savepoint_path=file:{checkpoint}",
    ]
    drain = scene.programs.start("run", "drain_to_hdfs", *again)
    until(lambda: not scene.left or not drain.running, "all acknowledged", PATIENCE)
    scene.programs.start("stop", cluster.job().name).ends_well(PATIENCE)
    drain.ends_well(PATIENCE)

    scene.holds_exactly(BODIES)


@on("Flink cluster")
@pytest.mark.row(
    "JobManager killed, job started anew: exactly once",
    {**dict.fromkeys(LOCAL, "has none: see runner killed"), "Spark cluster": "its master was not tried"},
)
def test_a_job_manager_is_killed(scene: Scene, cluster: FlinkCluster) -> None:
    drain, rest = draining(scene, cluster.runner)

    cluster.flink.job_manager.kill()
    assert drain.wait(PATIENCE) == 1
    assert "Traceback" not in drain.err
    until(lambda: not scene.broker.queue(scene.queue).consumers, "the job's flow gone", PATIENCE)
    cluster.flink.start()
    scene.fill(rest)
    drain_the_rest(scene)

    scene.holds_exactly(BODIES)


@on("Flink cluster")
@pytest.mark.row(
    "rescaled up and down by starting anew, for a savepoint refuses it: exactly once",
    {**dict.fromkeys(LOCAL, "one worker"), "Spark cluster": "a run has the tasks that it began with"},
)
def test_a_job_is_rescaled_by_starting_it_anew(scene: Scene, cluster: FlinkCluster) -> None:
    drain, rest = draining(scene, cluster.runner, "--parallelism=1")

    for parallelism, more in ((2, rest[: len(rest) // 2]), (1, rest[len(rest) // 2 :])):
        stopped = scene.programs.start("stop", cluster.job().name)
        stopped.ends_well(PATIENCE)
        drain.ends_well(PATIENCE)
        savepoint = stopped.out.partition("savepoint ")[2].partition(";")[0]
        options = [*scene.drain_options(f"--parallelism={parallelism}", until_empty=False), *cluster.runner.options]

        refused = scene.programs.start("run", "drain_to_hdfs", *options, f"--savepoint_path={savepoint}")
        assert refused.wait(PATIENCE) == 2
        assert refused.err.splitlines()[-1].startswith(
            "flumebeam drain_to_hdfs: Flink cannot start this job from the savepoint, "
        )
        assert "start it anew, without --savepoint_path" in refused.err
        assert "Traceback" not in refused.err

        drain = scene.programs.start("run", "drain_to_hdfs", *options)
        scene.fill(more)
        until(lambda drain=drain: not scene.left or not drain.running, "all acknowledged", PATIENCE)  # type: ignore[misc]

    scene.programs.start("stop", cluster.job().name).ends_well(PATIENCE)
    drain.ends_well(PATIENCE)
    scene.holds_exactly(BODIES)


@on("Flink cluster")
@pytest.mark.row(
    "`--detach`: the driver leaves, the job is listed, outlives its worker, and is stopped: exactly once",
    dict.fromkeys((*LOCAL, *SPARK), "no: ends with its driver, and is refused"),
)
def test_a_job_is_detached_from_its_driver(scene: Scene, cluster: FlinkCluster) -> None:
    scene.fill(BODIES[:HALF])
    # By a job server of its own, which ends with the driver: nothing of either is needed any more.
    options = scene.drain_options("--job_name=nightly", "--detach", until_empty=False)
    driver = scene.programs.start("run", "drain_to_hdfs", *options, *own_server(cluster.runner))
    driver.ends_well(PATIENCE)
    job = cluster.job()
    assert driver.out == f"{job.id}\n"

    until(lambda: not scene.left, "the first half acknowledged", PATIENCE)
    victim, _ = cluster.worker()
    os.kill(victim, signal.SIGKILL)
    scene.fill(BODIES[HALF:])
    until(lambda: not scene.left, "the second half acknowledged by another worker", PATIENCE)

    listed = scene.programs.start("jobs")
    listed.ends_well(PATIENCE)
    assert listed.out.split()[:3] == ["nightly", "drain_to_hdfs", "Flink"]
    assert "RUNNING" in listed.out
    assert "no driver" in listed.out
    scene.programs.start("stop", job.id).ends_well(PATIENCE)
    assert cluster.rest.job(job.id).state == "FINISHED"
    scene.holds_exactly(BODIES)


@on("Flink cluster")
@pytest.mark.row("two jobs on one queue by mistake, one stopped: exactly once")
def test_two_jobs_drain_one_queue_by_mistake(scene: Scene, cluster: FlinkCluster) -> None:
    first, rest = draining(scene, cluster.runner)
    mine = cluster.job()
    second = scene.programs.start(
        "run",
        "drain_to_hdfs",
        *scene.drain_options(until_empty=False),
        *cluster.runner.options,
        "--job_name=by-mistake",
    )
    until(lambda: scene.broker.queue(scene.queue).consumers == 2 or not second.running, "both bound", PATIENCE)
    scene.fill(rest[: len(rest) // 2])
    until(lambda: not scene.left or not first.running, "all acknowledged beside the second", PATIENCE)

    scene.programs.start("stop", "by-mistake", f"--flink_master={cluster.flink.master}").ends_well(PATIENCE)
    second.ends_well(PATIENCE)
    scene.fill(rest[len(rest) // 2 :])
    until(lambda: not scene.left or not first.running, "all acknowledged after the second", PATIENCE)

    scene.programs.start("stop", mine.name).ends_well(PATIENCE)
    first.ends_well(PATIENCE)
    scene.holds_exactly(BODIES)


@on("Flink cluster")
@pytest.mark.row(
    "driver killed: the job goes on, is listed, and stopped: exactly once",
    dict.fromkeys((*LOCAL, *SPARK), "ends with its driver: see there"),
)
def test_a_job_goes_on_without_its_driver(scene: Scene, cluster: FlinkCluster) -> None:
    drain, rest = draining(scene, cluster.runner)

    drain.kill()
    scene.fill(rest)
    until(lambda: not scene.left, "all acknowledged", PATIENCE)
    listed = scene.programs.start("jobs")
    listed.ends_well(PATIENCE)

    assert cluster.job().name in listed.out
    assert "no driver" in listed.out
    scene.programs.start("stop", cluster.job().name).ends_well(PATIENCE)
    scene.holds_exactly(BODIES)
