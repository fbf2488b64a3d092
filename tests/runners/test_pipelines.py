"""Every pipeline of ours on every runner, with the options of its command; a "no" is refused before anything starts."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from flumebeam.pipelines.launching import worker_command
from tests.faults.pipelines.scene import Scene, numbered
from tests.programs import Program, until
from tests.runners import window_files
from tests.runners.kinds import Runner

COUNT = 3_000
BODIES = numbered(COUNT)
PATIENCE = 300.0
IDLE = ["--until_empty", "--idle_seconds=3"]


def run(scene: Scene, runner: Runner, name: str, *arguments: str) -> Program:
    if runner.has_a_program:
        return scene.programs.start("run", name, *arguments, *runner.options)
    return scene.programs.fork(name, *arguments, *runner.options)


def a_log(directory: Path) -> Path:
    log = directory / "app.log"
    log.write_bytes(b"\n".join(BODIES) + b"\n")
    return log


def counted(path: Path) -> int:
    return sum(json.loads(line)["events"] for line in path.read_text().splitlines()) if path.exists() else 0


def stop(scene: Scene, runner: Runner, program: Program) -> None:
    """Stop a pipeline as a user does, and expect a good end."""
    if runner.stops_by_signal:
        program.send(signal.SIGINT)
    else:
        listed = scene.programs.start("jobs")
        listed.ends_well(PATIENCE)
        scene.programs.start("stop", listed.out.split()[0]).ends_well(PATIENCE)
    program.ends_well(PATIENCE)


@pytest.mark.row("`ingest` to the end of a file")
def test_an_ingest_publishes_every_line_once(scene: Scene, runner: Runner, tmp_path: Path) -> None:
    run(scene, runner, "ingest", *scene.ingest_options(a_log(tmp_path))).ends_well(PATIENCE)

    assert [event.body for event in scene.take_all()] == BODIES


@pytest.mark.row("`drain_to_hdfs --until_empty`, exactly once")
def test_a_drain_writes_every_event_once(scene: Scene, runner: Runner) -> None:
    scene.fill(BODIES)

    run(scene, runner, "drain_to_hdfs", *scene.drain_options(*IDLE, until_empty=False)).ends_well(PATIENCE)

    scene.holds_exactly(BODIES)


@pytest.mark.row("`drain_to_hdfs` until it is stopped, exactly once")
def test_a_drain_that_never_ends_is_stopped_cleanly(scene: Scene, runner: Runner, cell: Callable[[str], None]) -> None:
    scene.fill(BODIES[: COUNT // 2])
    drain = run(scene, runner, "drain_to_hdfs", *scene.drain_options(until_empty=False))
    if not runner.streams:
        assert drain.wait(PATIENCE) == 2
        assert "A read without end does not run on Spark: give it max_events, max_seconds or until_empty." in drain.err
        cell("no: needs an end, which is refused else")
        return
    until(lambda: not scene.left or not drain.running, "the first half acknowledged", PATIENCE)
    scene.fill(BODIES[COUNT // 2 :])
    until(lambda: not scene.left or not drain.running, "the second half acknowledged", PATIENCE)

    stop(scene, runner, drain)

    assert "Traceback" not in drain.err
    scene.holds_exactly(BODIES)


@pytest.mark.parametrize(
    "runner",
    ["Flink [local]", pytest.param("Flink cluster", marks=pytest.mark.cluster)],
    indirect=True,
    ids=["Flink-[local]", "Flink-cluster"],
)
@pytest.mark.row("bundles end by themselves, not with a checkpoint")
def test_flink_ends_bundles_between_checkpoints(scene: Scene, runner: Runner) -> None:
    scene.fill(BODIES)
    # None comes in the time of this test.
    rare = scene.drain_options("--checkpointing_interval=3600000", until_empty=False)
    drain = run(scene, runner, "drain_to_hdfs", *rare)
    until(lambda: not scene.left or not drain.running, "all acknowledged without a checkpoint", PATIENCE)

    stop(scene, runner, drain)

    scene.holds_exactly(BODIES)


@pytest.mark.parametrize("runner", ["Prism"], indirect=True)
@pytest.mark.row("runs for longer than its program has to answer")
def test_a_job_goes_on_beyond_the_time_for_an_answer(scene: Scene, runner: Runner) -> None:
    few = BODIES[:300]  # which any machine drains in that time
    scene.fill(few)
    options = scene.drain_options("--max_seconds=13", "--job_server_timeout=10", until_empty=False)

    run(scene, runner, "drain_to_hdfs", *options).ends_well(PATIENCE)

    scene.holds_exactly(few)


@pytest.mark.row("`speed_layer --until_empty`")
def test_the_speed_layer_counts_every_event(scene: Scene, runner: Runner, tmp_path: Path) -> None:
    scene.fill(BODIES)
    counts = tmp_path / "counts"
    arguments = [f"--queue={scene.queue}", f"--counts_to={counts}", "--quiet", *IDLE]

    run(scene, runner, "speed_layer", *arguments).ends_well(PATIENCE)

    assert counted(counts) == COUNT
    assert scene.left == 0


@pytest.mark.row("`speed_layer --window_seconds=1`, live")
def test_windows_close_while_the_source_goes_on(
    scene: Scene, runner: Runner, tmp_path: Path, cell: Callable[[str], None]
) -> None:
    scene.fill(BODIES)
    counts = tmp_path / "counts"
    arguments = [f"--queue={scene.queue}", f"--counts_to={counts}", "--quiet", "--window_seconds=1"]
    speed = run(scene, runner, "speed_layer", *arguments)
    if runner.name == "FnApiRunner":
        assert speed.wait(PATIENCE) == 2
        assert "use --runner=PrismRunner (which 'flumebeam prism install' gets)" in speed.err
        cell("no: a group would wait for the end, and is refused")
        return
    if not runner.streams:
        assert speed.wait(PATIENCE) == 2
        assert "without end does not run on Spark" in speed.err
        cell("no: needs an end, which is refused else")
        return

    # Windows close as time goes on, so what comes later must not be needed to close them; a line a window.
    until(lambda: counted(counts) == COUNT or not speed.running, "all windows closed", PATIENCE)

    assert speed.running
    until(lambda: not scene.left or not speed.running, "all acknowledged", PATIENCE)
    stop(scene, runner, speed)


@pytest.mark.row("`speed_layer --window_seconds=1 --until_empty`")
def test_windows_of_a_queue_that_ends_count_every_event(scene: Scene, runner: Runner, tmp_path: Path) -> None:
    scene.fill(BODIES)
    counts = tmp_path / "counts"
    arguments = [f"--queue={scene.queue}", f"--counts_to={counts}", "--quiet", "--window_seconds=1", *IDLE]

    run(scene, runner, "speed_layer", *arguments).ends_well(PATIENCE)

    assert counted(counts) == COUNT
    assert scene.left == 0


@pytest.mark.row("`WriteWindowsToFiles`, an end")
def test_files_of_windows_hold_every_event_once_and_are_recognised_by_a_second_run(
    scene: Scene, runner: Runner
) -> None:
    # A program that is not one of ours says itself how workers start on a cluster.
    worker = json.dumps({"command": str(worker_command())})
    on_a_cluster = ["--environment_type=PROCESS", f"--environment_config={worker}"]
    options = [*runner.options, *(on_a_cluster if runner.cluster is not None else ())]

    def written() -> dict[str, list[bytes]]:
        arguments = [str(scene.target), "a run", *options]
        # A forked process ends without what it has registered for its end, such as that of Prism.
        if runner.has_a_program:
            program = scene.programs.start_module(window_files.__name__, *arguments)
        else:
            program = scene.programs.fork_main(window_files.main, *arguments)
        program.ends_well(PATIENCE)
        return {str(path.relative_to(scene.view)): path.read_bytes().splitlines() for path in scene.files()}

    first = written()

    numbers = sorted(int(line) for lines in first.values() for line in lines)
    assert numbers == list(range(window_files.EVENTS))
    assert {name.rpartition("/")[0] for name in first} == {f"dt=2024-01-01/hour={hour}" for hour in (12, 13, 14)}
    assert all("-pane-0-" in name for name in first)
    # The same events in the same windows: the same files.
    assert written() == first


@pytest.mark.row("`lambda_architecture --once`")
def test_both_layers_get_every_line(scene: Scene, runner: Runner, tmp_path: Path) -> None:
    counts = tmp_path / "counts"
    scene.broker.create_queue(f"speed-{scene.queue}", subscriptions=[scene.topic])
    arguments = [*scene.ingest_options(a_log(tmp_path)), f"--target={scene.target}", f"--counts_to={counts}"]
    arguments += [f"--batch_queue={scene.queue}", f"--speed_queue=speed-{scene.queue}", "--once", "--quiet"]
    # By a job server of its own, where there is one: as a user types it.
    own = [option for option in runner.options if not option.startswith("--job_endpoint")]

    scene.programs.start("run", "lambda_architecture", *arguments, *own).ends_well(PATIENCE)

    scene.holds_exactly(BODIES)
    assert counted(counts) == COUNT
    assert scene.broker.queue(f"speed-{scene.queue}").messages == 0
