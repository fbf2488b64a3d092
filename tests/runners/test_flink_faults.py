"""What is acknowledged on a standalone Flink when things die: every event is in the files once, whoever was killed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from flumebeam.pipelines.launching import worker_command
from flumebeam.pipelines.worker_pool import WorkerPool
from flumebeam.runners.flink import LocalFlink
from flumebeam.runners.flink_rest import FlinkJob
from tests.faults.pipelines.scene import Scene
from tests.programs import until
from tests.runners.faults import BODIES, HALF, PATIENCE, children, drain_the_rest, draining, on, own_server
from tests.runners.kinds import Runner

LOCAL = ("FnApiRunner", "Prism", "Flink [local]", "Spark local")
SPARK = ("Spark local", "Spark cluster")


def job_of(runner: Runner) -> FlinkJob:
    """Return the one job that runs."""
    [job] = [job for job in runner.cluster.rest.jobs() if not job.ended]
    return job


def workers(cluster: LocalFlink) -> dict[int, int]:
    """Return the process ids of workers, and the number of the TaskManager of each."""
    numbers = {each.pid: number for number, each in enumerate(cluster.task_managers)}
    return {pid: numbers[parent] for pid, parent in children(b"flumebeam-worker", *numbers)}


@pytest.fixture
def flink(runner: Runner) -> Iterator[Runner]:
    """A standalone Flink that is whole, and without a job afterwards."""
    yield runner
    runner.cluster.start()
    for job in runner.cluster.rest.jobs():
        if not job.ended:
            runner.cluster.rest.cancel(job.id)
            runner.cluster.rest.wait(job.id, PATIENCE)


@on("Flink cluster")
@pytest.mark.row(
    "worker killed (`kill -9`): goes on, exactly once",
    dict.fromkeys(LOCAL, "the driver is the worker: see there"),
)
def test_a_worker_is_killed(scene: Scene, flink: Runner) -> None:
    drain, rest = draining(scene, flink)

    [victim] = workers(flink.cluster)
    os.kill(victim, signal.SIGKILL)
    scene.fill(rest)
    until(lambda: not scene.left or not drain.running, "all acknowledged by another worker", PATIENCE)

    assert victim not in workers(flink.cluster)
    scene.programs.start("stop", job_of(flink).name).ends_well(PATIENCE)
    drain.ends_well(PATIENCE)
    scene.holds_exactly(BODIES)


@pytest.mark.representative
@on("Flink cluster")
@pytest.mark.row(
    "TaskManager or executor killed: goes on in another, exactly once",
    dict.fromkeys(LOCAL, "has none: see runner killed"),
)
def test_a_task_manager_is_killed(scene: Scene, flink: Runner) -> None:
    drain, rest = draining(scene, flink)

    [(worker, number)] = workers(flink.cluster).items()
    flink.cluster.task_managers[number].kill()
    scene.fill(rest)
    until(lambda: not scene.left or not drain.running, "all acknowledged by the other one", PATIENCE)

    assert workers(flink.cluster).keys() - {worker}
    scene.programs.start("stop", job_of(flink).name).ends_well(PATIENCE)
    drain.ends_well(PATIENCE)
    scene.holds_exactly(BODIES)


@on("Flink cluster")
@pytest.mark.row("job cancelled: exactly once")
def test_a_job_is_cancelled(scene: Scene, flink: Runner) -> None:
    drain, rest = draining(scene, flink)

    flink.cluster.rest.cancel(job_of(flink).id)

    assert drain.wait(PATIENCE) == 1
    assert "The job ended as" in drain.err
    assert "Traceback" not in drain.err
    scene.fill(rest)
    drain_the_rest(scene)
    scene.holds_exactly(BODIES)


@pytest.mark.representative
@on("Flink cluster")
@pytest.mark.row(
    "savepoint (`flumebeam stop`), and restart from it: exactly once",
    dict.fromkeys((*LOCAL, *SPARK), "takes none: started anew"),
)
def test_a_job_is_stopped_with_a_savepoint_and_goes_on_from_it(scene: Scene, flink: Runner) -> None:
    drain, rest = draining(scene, flink)
    until(lambda: not scene.left or not drain.running, "the first half acknowledged", PATIENCE)
    stopped = scene.programs.start("stop", job_of(flink).name)
    stopped.ends_well(PATIENCE)
    drain.ends_well(PATIENCE)
    savepoint = stopped.out.partition("savepoint ")[2].partition(";")[0]
    assert Path(savepoint.removeprefix("file:")).is_dir(), stopped.out

    scene.fill(rest)
    again = [*scene.drain_options(until_empty=False), *flink.options, f"--savepoint_path={savepoint}"]
    drain = scene.programs.start("run", "drain_to_hdfs", *again)
    until(lambda: not scene.left or not drain.running, "the second half acknowledged", PATIENCE)
    scene.programs.start("stop", job_of(flink).name).ends_well(PATIENCE)
    drain.ends_well(PATIENCE)

    scene.holds_exactly(BODIES)


@on("Flink cluster")
@pytest.mark.row(
    "job cancelled, and restored from its last checkpoint: exactly once",
    dict.fromkeys((*LOCAL, *SPARK), "keeps none: started anew"),
)
def test_a_job_is_restored_from_a_checkpoint_that_was_kept(scene: Scene, flink: Runner) -> None:
    kept = ["--externalized_checkpoints_enabled", "--retain_externalized_checkpoints_on_cancellation"]
    often = ["--checkpointing_interval=1000", *kept]
    drain, rest = draining(scene, flink, *often)
    job = job_of(flink)
    checkpoints = flink.cluster.job_manager.log.parents[1] / "checkpoints" / job.id
    until(lambda: [*checkpoints.glob("chk-*/_metadata")] or not drain.running, "a checkpoint", PATIENCE)
    flink.cluster.rest.cancel(job.id)
    assert drain.wait(PATIENCE) == 1
    flink.cluster.rest.wait(job.id, PATIENCE)
    checkpoint = max(checkpoints.glob("chk-*/_metadata"), key=lambda found: found.stat().st_mtime).parent

    scene.fill(rest)
    again = [*scene.drain_options(*often, until_empty=False), *flink.options, f"--savepoint_path=file:{checkpoint}"]
    drain = scene.programs.start("run", "drain_to_hdfs", *again)
    until(lambda: not scene.left or not drain.running, "all acknowledged", PATIENCE)
    scene.programs.start("stop", job_of(flink).name).ends_well(PATIENCE)
    drain.ends_well(PATIENCE)

    scene.holds_exactly(BODIES)


@on("Flink cluster")
@pytest.mark.row(
    "JobManager killed, job started anew: exactly once",
    {**dict.fromkeys(LOCAL, "has none: see runner killed"), "Spark cluster": "its master was not tried"},
)
def test_a_job_manager_is_killed(scene: Scene, flink: Runner) -> None:
    drain, rest = draining(scene, flink)

    flink.cluster.job_manager.kill()
    assert drain.wait(PATIENCE) == 1
    assert "Traceback" not in drain.err
    until(lambda: not scene.broker.queue(scene.queue).consumers, "the job's flow gone", PATIENCE)
    flink.cluster.start()
    scene.fill(rest)
    drain_the_rest(scene)

    scene.holds_exactly(BODIES)


@on("Flink cluster")
@pytest.mark.row(
    "rescaled up and down by starting anew, for a savepoint refuses it: exactly once",
    {**dict.fromkeys(LOCAL, "one worker"), "Spark cluster": "a run has the tasks that it began with"},
)
def test_a_job_is_rescaled_by_starting_it_anew(scene: Scene, flink: Runner) -> None:
    drain, rest = draining(scene, flink, "--parallelism=1")

    for parallelism, more in ((2, rest[: len(rest) // 2]), (1, rest[len(rest) // 2 :])):
        stopped = scene.programs.start("stop", job_of(flink).name)
        stopped.ends_well(PATIENCE)
        drain.ends_well(PATIENCE)
        savepoint = stopped.out.partition("savepoint ")[2].partition(";")[0]
        options = [*scene.drain_options(f"--parallelism={parallelism}", until_empty=False), *flink.options]

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

    scene.programs.start("stop", job_of(flink).name).ends_well(PATIENCE)
    drain.ends_well(PATIENCE)
    scene.holds_exactly(BODIES)


@on("Flink cluster")
@pytest.mark.row(
    "`--detach`: the driver leaves, the job is listed, outlives its worker, and is stopped: exactly once",
    dict.fromkeys((*LOCAL, *SPARK), "no: ends with its driver, and is refused"),
)
def test_a_job_is_detached_from_its_driver(scene: Scene, flink: Runner) -> None:
    scene.fill(BODIES[:HALF])
    # By a job server of its own, which ends with the driver: nothing of either is needed any more.
    options = scene.drain_options("--job_name=nightly", "--detach", until_empty=False)
    driver = scene.programs.start("run", "drain_to_hdfs", *options, *own_server(flink))
    driver.ends_well(PATIENCE)
    job = job_of(flink)
    assert driver.out == f"{job.id}\n"

    until(lambda: not scene.left, "the first half acknowledged", PATIENCE)
    [victim] = workers(flink.cluster)
    os.kill(victim, signal.SIGKILL)
    scene.fill(BODIES[HALF:])
    until(lambda: not scene.left, "the second half acknowledged by another worker", PATIENCE)

    listed = scene.programs.start("jobs")
    listed.ends_well(PATIENCE)
    assert listed.out.split()[:3] == ["nightly", "drain_to_hdfs", "Flink"]
    assert "RUNNING" in listed.out
    assert "no driver" in listed.out
    scene.programs.start("stop", job.id).ends_well(PATIENCE)
    assert flink.cluster.rest.job(job.id).state == "FINISHED"
    scene.holds_exactly(BODIES)


@on("Flink cluster")
@pytest.mark.row("two jobs on one queue by mistake, one stopped: exactly once")
def test_two_jobs_drain_one_queue_by_mistake(scene: Scene, flink: Runner) -> None:
    first, rest = draining(scene, flink)
    mine = job_of(flink)
    second = scene.programs.start(
        "run", "drain_to_hdfs", *scene.drain_options(until_empty=False), *flink.options, "--job_name=by-mistake"
    )
    until(lambda: scene.broker.queue(scene.queue).consumers == 2 or not second.running, "both bound", PATIENCE)
    scene.fill(rest[: len(rest) // 2])
    until(lambda: not scene.left or not first.running, "all acknowledged beside the second", PATIENCE)

    scene.programs.start("stop", "by-mistake", f"--flink_master={flink.cluster.master}").ends_well(PATIENCE)
    second.ends_well(PATIENCE)
    scene.fill(rest[len(rest) // 2 :])
    until(lambda: not scene.left or not first.running, "all acknowledged after the second", PATIENCE)

    scene.programs.start("stop", mine.name).ends_well(PATIENCE)
    first.ends_well(PATIENCE)
    scene.holds_exactly(BODIES)


@on("Flink cluster")
@pytest.mark.row(
    "Ctrl-C of the driver stops the job: exactly once",
    {name: "see `flumebeam stop`" for name in LOCAL},
)
def test_ctrl_c_stops_a_remote_job(scene: Scene, flink: Runner) -> None:
    drain, rest = draining(scene, flink)

    drain.send(signal.SIGINT)

    drain.ends_well(PATIENCE)
    assert [job for job in flink.cluster.rest.jobs() if not job.ended] == []
    scene.fill(rest)
    drain_the_rest(scene)
    scene.holds_exactly(BODIES)


@on("Flink cluster")
@pytest.mark.row(
    "driver killed: the job goes on, is listed, and stopped: exactly once",
    dict.fromkeys((*LOCAL, *SPARK), "ends with its driver: see there"),
)
def test_a_job_goes_on_without_its_driver(scene: Scene, flink: Runner) -> None:
    drain, rest = draining(scene, flink)

    drain.kill()
    scene.fill(rest)
    until(lambda: not scene.left, "all acknowledged", PATIENCE)
    listed = scene.programs.start("jobs")
    listed.ends_well(PATIENCE)

    assert job_of(flink).name in listed.out
    assert "no driver" in listed.out
    scene.programs.start("stop", job_of(flink).name).ends_well(PATIENCE)
    scene.holds_exactly(BODIES)


@on("Flink cluster")
@pytest.mark.row(
    "workers of a pool (EXTERNAL)",
    dict.fromkeys(LOCAL, "the driver is the worker"),
)
def test_a_pool_starts_workers(scene: Scene, flink: Runner) -> None:
    scene.fill(BODIES)
    with WorkerPool(worker_command()) as pool:
        more = ["--environment_type=EXTERNAL", f"--environment_config={pool.endpoint}"]
        options = scene.drain_options("--until_empty", "--idle_seconds=5", *more, until_empty=False)
        scene.programs.start("run", "drain_to_hdfs", *options, *flink.options).ends_well(PATIENCE)

    scene.holds_exactly(BODIES)


@on("Flink cluster")
@pytest.mark.row(
    "workers that cannot start: an error, no hang",
    dict.fromkeys(LOCAL, "the driver is the worker"),
)
@pytest.mark.parametrize("workers_", ["a program that is not there", "a pool that is not there", "a pool without us"])
def test_workers_that_cannot_start_end_the_job(scene: Scene, flink: Runner, tmp_path: Path, workers_: str) -> None:
    broken = tmp_path / "worker"
    broken.write_text("#!/bin/sh\necho ModuleNotFoundError: no flumebeam here >&2\nexit 1\n")
    broken.chmod(0o755)
    with WorkerPool(broken) as pool:
        more = {
            "a program that is not there": ["PROCESS", json.dumps({"command": str(tmp_path / "none")})],
            "a pool that is not there": ["EXTERNAL", "127.0.0.1:1"],
            "a pool without us": ["EXTERNAL", pool.endpoint],
        }[workers_]
        options = [f"--environment_type={more[0]}", f"--environment_config={more[1]}", "--until_empty"]
        drain = scene.programs.start(
            "run", "drain_to_hdfs", *scene.drain_options(*options, until_empty=False), *flink.options
        )

        assert drain.wait(PATIENCE) == 1
    assert "The job ended as FAILED" in drain.err
    if workers_ == "a pool without us":
        assert "ModuleNotFoundError: no flumebeam here" in drain.err
