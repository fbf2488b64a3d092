"""What is acknowledged when things die: every event is in the files once, whoever was killed, cancelled or stopped."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flumebeam.pipelines.launching import worker_command
from flumebeam.pipelines.worker_pool import WorkerPool
from flumebeam.runners.flink import LocalFlink
from flumebeam.runners.flink_rest import FlinkJob
from tests.faults.pipelines.scene import Scene, numbered
from tests.programs import Program, until
from tests.runners.kinds import Runner

COUNT = 6_000
BODIES = numbered(COUNT)
HALF = COUNT // 2
PATIENCE = 300.0
FLINK_ONLY = pytest.mark.parametrize(
    "runner", [pytest.param("Flink cluster", marks=pytest.mark.cluster)], indirect=True
)


def draining(scene: Scene, runner: Runner, *more: str) -> tuple[Program, list[bytes]]:
    """Start a drain that never ends, or on Spark one that ends late, and let it write something.

    Returns:
        The program, and the events that are not in the queue yet.
    """
    scene.fill(BODIES[:HALF])
    filled = HALF
    end = () if runner.streams else ("--until_empty", "--idle_seconds=600")
    options = scene.drain_options(*end, *more, until_empty=False)
    # A job of Spark is driven from its job server: that of the driver, which a user has.
    own = [option for option in runner.options if runner.streams or not option.startswith("--job_endpoint")]
    drain = scene.programs.start("run", "drain_to_hdfs", *options, *own)
    deadline = time.monotonic() + PATIENCE
    while scene.left == filled and drain.running:
        assert time.monotonic() < deadline, "nothing acknowledged"
        time.sleep(1)
        # On Spark the whole run is one bundle: what was written is committed when something more comes.
        if not runner.streams and filled < COUNT - 500:
            scene.fill(BODIES[filled : filled + 20])
            filled += 20
    assert drain.running, drain.err
    return drain, BODIES[filled:]


def drain_the_rest(scene: Scene) -> None:
    """Drain the queue in process, which runs anywhere: whoever reads next finds what is left."""
    scene.drain().ends_well(PATIENCE)


def job_of(runner: Runner) -> FlinkJob:
    """Return the one job that runs."""
    [job] = [job for job in runner.cluster.rest.jobs() if not job.ended]
    return job


def workers(cluster: LocalFlink) -> dict[int, int]:
    """Return the process ids of workers, and the number of the TaskManager of each."""
    parents = {each.pid: number for number, each in enumerate(cluster.task_managers)}
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent in parents and b"flumebeam-worker" in (entry / "cmdline").read_bytes():
                found[int(entry.name)] = parents[parent]
        except OSError:
            continue
    return found


@pytest.fixture
def flink(runner: Runner) -> Iterator[Runner]:
    """A standalone Flink that is whole, and without a job afterwards."""
    yield runner
    for job in runner.cluster.rest.jobs():
        if not job.ended:
            runner.cluster.rest.cancel(job.id)
            runner.cluster.rest.wait(job.id, PATIENCE)
    runner.cluster.start()


# -- wherever the workers are in the driver


@pytest.mark.row("driver killed (`kill -9`): exactly once")
def test_a_driver_is_killed(scene: Scene, runner: Runner, cell: Callable[[str], None]) -> None:
    if not runner.stops_by_signal and runner.streams:
        cell("the job goes on without it; see below")
        return
    drain, rest = draining(scene, runner)

    drain.kill()
    scene.fill(rest)
    drain_the_rest(scene)

    scene.holds_exactly(BODIES)


@pytest.mark.row("Ctrl-C twice ends at once: exactly once")
def test_a_nervous_user_presses_ctrl_c_twice(scene: Scene, runner: Runner, cell: Callable[[str], None]) -> None:
    if not runner.stops_by_signal:
        cell("workers are not in the driver" if not runner.streams else "the second leaves the job running")
        return
    drain, rest = draining(scene, runner)

    drain.send(signal.SIGINT)
    drain.send(signal.SIGINT)

    assert drain.wait(60) in (0, 130)
    scene.fill(rest)
    drain_the_rest(scene)
    scene.holds_exactly(BODIES)


# -- Flink with TaskManagers


@FLINK_ONLY
@pytest.mark.row("worker killed (`kill -9`): goes on, exactly once")
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


@FLINK_ONLY
@pytest.mark.row("TaskManager killed: goes on in another, exactly once")
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


@FLINK_ONLY
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


@FLINK_ONLY
@pytest.mark.row("savepoint (`flumebeam stop`), and restart from it: exactly once")
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


@FLINK_ONLY
@pytest.mark.row("rescaled up and down by starting anew, for a savepoint refuses it: exactly once")
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


@FLINK_ONLY
@pytest.mark.row("`--detach`: the driver leaves, the job is listed, outlives its worker, and is stopped: exactly once")
def test_a_job_is_detached_from_its_driver(scene: Scene, flink: Runner) -> None:
    scene.fill(BODIES[:HALF])
    # By a job server of its own, which ends with the driver: nothing of either is needed any more.
    own = [option for option in flink.options if not option.startswith("--job_endpoint")]
    options = scene.drain_options("--job_name=nightly", "--detach", until_empty=False)
    driver = scene.programs.start("run", "drain_to_hdfs", *options, *own)
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


@FLINK_ONLY
@pytest.mark.row("two jobs on one queue by mistake, the second stopped: exactly once")
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


@FLINK_ONLY
@pytest.mark.row("Ctrl-C of the driver stops the job: exactly once")
def test_ctrl_c_stops_a_remote_job(scene: Scene, flink: Runner) -> None:
    drain, rest = draining(scene, flink)

    drain.send(signal.SIGINT)

    drain.ends_well(PATIENCE)
    assert [job for job in flink.cluster.rest.jobs() if not job.ended] == []
    scene.fill(rest)
    drain_the_rest(scene)
    scene.holds_exactly(BODIES)


@FLINK_ONLY
@pytest.mark.row("driver killed: the job goes on, is listed, and stopped: exactly once")
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


@FLINK_ONLY
@pytest.mark.row("workers of a pool (EXTERNAL)")
def test_a_pool_starts_workers(scene: Scene, flink: Runner) -> None:
    scene.fill(BODIES)
    with WorkerPool(worker_command()) as pool:
        more = ["--environment_type=EXTERNAL", f"--environment_config={pool.endpoint}"]
        options = scene.drain_options("--until_empty", "--idle_seconds=5", *more, until_empty=False)
        scene.programs.start("run", "drain_to_hdfs", *options, *flink.options).ends_well(PATIENCE)

    scene.holds_exactly(BODIES)


@FLINK_ONLY
@pytest.mark.row("workers that cannot start: an error, no hang")
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


# -- Spark with executors


@pytest.mark.parametrize("runner", [pytest.param("Spark cluster", marks=pytest.mark.cluster)], indirect=True)
@pytest.mark.row("no task is tried twice")
def test_the_first_try_of_each_task_runs_on_executors(scene: Scene, runner: Runner) -> None:
    scene.fill(BODIES)

    drain = scene.programs.start("run", "drain_to_hdfs", *scene.drain_options(), *runner.options)
    drain.ends_well(PATIENCE)

    scene.holds_exactly(BODIES)
    directory = runner.cluster.workers[0].log.parents[1]
    said = "".join(log.read_text(errors="replace") for log in directory.glob("work-*/app-*/*/stderr"))
    assert "Finished task 0.0 in stage" in said
    assert "Exception in task" not in said
