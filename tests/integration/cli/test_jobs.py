"""``flumebeam jobs`` and ``flumebeam stop`` for what runs on this machine."""

from __future__ import annotations

from pathlib import Path

from flumebeam.broker import DevelopmentBroker
from tests.programs import Programs, until


def test_a_pipeline_is_listed_while_it_runs_and_stopped_by_its_name(
    programs: Programs, broker: DevelopmentBroker, tmp_path: Path
) -> None:
    drain = programs.start("run", "drain_to_hdfs", "--queue=logs", f"--target={tmp_path / 'out'}", "--job_name=mine")
    until(lambda: broker.queue("logs").consumers or not drain.running, "the drain bound")

    listed = programs.start("jobs")
    listed.ends_well()
    assert listed.out.split()[:3] == ["mine", "drain_to_hdfs", "FnApiRunner"]

    programs.start("stop", "mine").ends_well()
    drain.ends_well()
    listed = programs.start("jobs")
    listed.ends_well()
    assert listed.out == "No job that was started here runs.\n"


def test_what_was_not_started_here_and_what_does_not_answer_are_one_line(programs: Programs) -> None:
    stop = programs.start("stop", "nobody")
    assert stop.wait() == 2
    assert stop.err.startswith("flumebeam: No job 'nobody' was started here")

    elsewhere = programs.start("jobs", "--flink_master=127.0.0.1:1")
    assert elsewhere.wait() == 1
    assert elsewhere.err == (
        "flumebeam: No Flink JobManager answers at http://127.0.0.1:1: is it running, and is that its REST port?\n"
    )


def test_layers_that_follow_the_ingest_by_their_driver_are_not_detached(programs: Programs, tmp_path: Path) -> None:
    remote = ["--runner=FlinkRunner", "--flink_master=127.0.0.1:1"]
    files = [f"--input={tmp_path}/app.log", "--topic=app/logs", f"--target={tmp_path}/out"]
    run = programs.start("run", "lambda_architecture", *files, *remote, "--once", "--detach")

    assert run.wait() == 2
    assert run.err.splitlines()[-1] == (
        "flumebeam lambda_architecture: With --once the layers follow the ingest, by their driver: leave out --detach."
    )
