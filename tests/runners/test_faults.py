"""What is acknowledged when things die, on every runner: every event is in the files once, whoever was killed."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import grpc
import pytest
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

from tests.faults.pipelines.scene import Scene
from tests.programs import Program, until
from tests.runners.faults import BODIES, PATIENCE, children, drain_the_rest, draining, on, own_server
from tests.runners.kinds import Runner

FLINK = "Flink cluster"


def program_of(runner: Runner, driver: Program) -> int:
    """Return the process id of the runner's own program, which the driver has started."""
    mark = b"prism" if runner.name == "Prism" else b"job-server.jar"
    [(found, _)] = children(mark, driver.pid)
    return found


def cancel_at(program: int) -> None:
    """Cancel the one job of a job server, as any client of Beam's can."""
    command = Path(f"/proc/{program}/cmdline").read_bytes().decode()
    [port] = re.findall(r"--?job[-_]port[=\0](\d+)", command)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        service = beam_job_api_pb2_grpc.JobServiceStub(channel)
        [job] = service.GetJobs(beam_job_api_pb2.GetJobsRequest(), timeout=30).job_info
        service.Cancel(beam_job_api_pb2.CancelJobRequest(job_id=job.job_id), timeout=30)


@pytest.mark.row("driver killed (`kill -9`): exactly once", {FLINK: "the job goes on without it: see there"})
@on("FnApiRunner", "Prism", "Flink [local]", "Spark local", "Spark cluster", always=True)
def test_a_driver_is_killed(scene: Scene, runner: Runner) -> None:
    drain, rest = draining(scene, runner)

    drain.kill()
    scene.fill(rest)
    drain_the_rest(scene)

    scene.holds_exactly(BODIES)


@pytest.mark.row("Ctrl-C twice ends at once: exactly once")
def test_a_nervous_user_presses_ctrl_c_twice(scene: Scene, runner: Runner) -> None:
    drain, rest = draining(scene, runner)

    drain.send(signal.SIGINT)
    drain.send(signal.SIGINT)

    assert drain.wait(60) in (0, 130)
    if runner.name == FLINK:
        # The second one leaves the job running, if it comes in time.
        for job in runner.cluster.rest.jobs():
            if not job.ended:
                scene.programs.start("stop", job.name).ends_well(PATIENCE)
    scene.fill(rest)
    drain_the_rest(scene)
    scene.holds_exactly(BODIES)


@pytest.mark.row("`flumebeam jobs` lists it, `flumebeam stop` ends it: exactly once", {FLINK: "yes: see `--detach`"})
@on("FnApiRunner", "Prism", "Flink [local]", "Spark local", "Spark cluster")
def test_a_job_is_listed_and_stopped(scene: Scene, runner: Runner) -> None:
    drain, rest = draining(scene, runner)
    listed = scene.programs.start("jobs")
    listed.ends_well(PATIENCE)
    name, pipeline, where, *_ = listed.out.split()
    assert (pipeline, where) == ("drain_to_hdfs", next(iter(runner.options)).partition("=")[2])

    scene.programs.start("stop", name).ends_well(PATIENCE)

    # In the driver what was read is written and acknowledged; elsewhere it is given back.
    assert drain.wait(PATIENCE) == (0 if runner.stops_by_signal else 130)
    assert "Traceback" not in drain.err
    scene.fill(rest)
    drain_the_rest(scene)
    scene.holds_exactly(BODIES)


@pytest.mark.row("job cancelled: exactly once", {"FnApiRunner": "has no job but the driver"})
@on("Prism", "Flink [local]", "Spark local")
def test_a_job_is_cancelled_at_its_job_server(scene: Scene, runner: Runner) -> None:
    drain, rest = draining(scene, runner, own=True)

    cancel_at(program_of(runner, drain))

    assert drain.wait(PATIENCE) == 1
    assert "flumebeam drain_to_hdfs: The job ended as CANCELLED" in drain.err
    assert "Traceback" not in drain.err
    scene.fill(rest)
    drain_the_rest(scene)
    scene.holds_exactly(BODIES)


@pytest.mark.row(
    "runner killed (its program, or the job server): exactly once",
    {"FnApiRunner": "it is the driver: see there", FLINK: "see JobManager killed"},
)
@on("Prism", "Flink [local]", "Spark local", "Spark cluster")
def test_the_program_of_a_runner_is_killed(scene: Scene, runner: Runner) -> None:
    drain, rest = draining(scene, runner, own=True)

    os.kill(program_of(runner, drain), signal.SIGKILL)

    assert drain.wait(PATIENCE) == 1
    assert "flumebeam drain_to_hdfs: The runner's program no longer answers" in drain.err
    assert "Traceback" not in drain.err
    scene.fill(rest)
    drain_the_rest(scene)
    scene.holds_exactly(BODIES)


@pytest.mark.row(
    "two jobs on one queue by mistake, one stopped: exactly once",
    {"Spark cluster": "the second gets no executor while the first has all"},
)
@on("FnApiRunner", "Prism", "Flink [local]", "Spark local")
def test_two_jobs_drain_one_queue_by_mistake(scene: Scene, runner: Runner) -> None:
    first, rest = draining(scene, runner)
    end = () if runner.streams else ("--until_empty", "--idle_seconds=30")
    options = scene.drain_options(*end, until_empty=False)
    second = scene.programs.start("run", "drain_to_hdfs", *options, *own_server(runner))
    until(lambda: scene.broker.queue(scene.queue).consumers == 2 or not second.running, "both bound", PATIENCE)
    scene.fill(rest[: len(rest) // 2])
    if runner.streams:
        until(lambda: not scene.left or not second.running, "all acknowledged by both", PATIENCE)

    first.send(signal.SIGINT)
    first.ends_well(PATIENCE)
    scene.fill(rest[len(rest) // 2 :])
    if runner.streams:
        until(lambda: not scene.left or not second.running, "all acknowledged by the second", PATIENCE)
        second.send(signal.SIGINT)
    second.ends_well(PATIENCE)

    scene.holds_exactly(BODIES)
