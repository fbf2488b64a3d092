from __future__ import annotations

from collections.abc import Callable

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from flumebeam.errors import ConfigurationError, ConnectionFailedError, FlumebeamError
from flumebeam.pipelines.launching import LaunchOptions
from flumebeam.pipelines.options import ConnectionOptions, FileOptions
from flumebeam.pipelines.program import arguments_of, as_program, in_process, parse, run_built
from flumebeam.pipelines.queue_options import QueueOptions

GROUPS = (ConnectionOptions, QueueOptions)


def parsed(*argv: str) -> PipelineOptions:
    return parse(argv, "drain", "does it", GROUPS)


def raising(error: BaseException) -> Callable[[], int]:
    def main() -> int:
        raise error

    return main


def test_options_of_ours_and_of_beam_are_understood() -> None:
    options = parsed("--queue=q", "--solace_host", "h:1", "--until_empty", "--job_name=j", "--direct_num_workers", "1")

    assert options.view_as(QueueOptions).queue == "q"
    assert options.view_as(QueueOptions).until_empty
    assert options.view_as(ConnectionOptions).solace_host == "h:1"
    assert options.get_all_options()["job_name"] == "j"


def test_the_in_process_runner_is_the_default() -> None:
    assert parsed().view_as(StandardOptions).runner == "FnApiRunner"
    assert parsed("--runner=DirectRunner").view_as(StandardOptions).runner == "DirectRunner"
    assert in_process(parsed())
    assert not in_process(parsed("--runner=FlinkRunner"))


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--quee=q"], "There is no option --quee"),
        (["--queue"], "--queue: expected one argument"),
        (["--max_events=many"], "--max_events: invalid int value: 'many'"),
        (["q"], "'q' stands behind no option"),
        (["--queue=q", "other", "--job_name=x"], "'other' stands behind no option"),
        (["--que=q"], "There is no option --que;"),
        (["--spool_dir=d"], "There is no option --spool_dir"),
    ],
)
def test_a_mistaken_option_is_one_sentence(argv: list[str], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        parsed(*argv)


_REMOTE = ("--runner=FlinkRunner", "--flink_master=jobmanager:8081")


@pytest.mark.parametrize(
    "elsewhere",
    [
        (),
        ("--runner=PrismRunner",),
        ("--runner=FlinkRunner",),
        ("--runner=SparkRunner", "--spark_master_url=spark://master:7077"),
        (*_REMOTE, "--environment_type=LOOPBACK"),
    ],
)
def test_what_would_end_with_its_driver_is_not_detached(elsewhere: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match="Only a job on a remote Flink goes on without its driver"):
        parsed("--detach", *elsewhere)

    assert parsed("--detach", *_REMOTE).view_as(LaunchOptions).detach


def test_options_of_a_job_server_pass_on_other_runners() -> None:
    options = parsed("--runner=FlinkRunner", "--checkpointing_interval=10000")

    assert options.get_all_options(retain_unknown_options=True)["checkpointing_interval"] == 10_000


def test_help_lists_the_options_of_this_pipeline(capsys: pytest.CaptureFixture[str]) -> None:
    assert as_program("drain", lambda: run_built("drain", lambda _, __: None, parsed("--help"))) == 0

    shown = capsys.readouterr().out
    assert "--queue NAME" in shown
    assert "--spool_dir" not in shown


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (ConfigurationError("Give\n a name."), 2, "flumebeam drain: Give a name.\n"),
        (ConnectionFailedError("No broker."), 1, "flumebeam drain: No broker.\n"),
        (FlumebeamError("Other."), 1, "flumebeam drain: Other.\n"),
        (KeyboardInterrupt(), 130, ""),
        (SystemExit(2), 2, ""),
        (SystemExit(None), 0, ""),
    ],
)
def test_what_goes_wrong_is_one_line_and_an_exit_status(
    error: BaseException, status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert as_program("drain", raising(error)) == status

    assert capsys.readouterr() == ("", line)


def test_a_defect_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        as_program("drain", lambda: 1 // 0)


def test_a_built_pipeline_is_run() -> None:
    seen: list[str] = []

    def build(pipeline: beam.Pipeline, options: PipelineOptions) -> None:
        seen.append(str(options.view_as(QueueOptions).queue))
        pipeline | beam.Create([1])

    assert run_built("test", build, parsed("--queue=q")) == 0
    assert seen == ["q"]


def test_arguments_for_a_part_are_its_own_and_beams() -> None:
    argv = ["--queue", "q", "--until_empty", "--idle_seconds=2.0", "--header=a=b", "--header", "c=d", "--job_name", "j"]
    every = (*GROUPS, FileOptions)

    assert arguments_of(argv, every, [QueueOptions]) == ["--queue=q", "--until_empty", "--job_name", "j"]
    assert arguments_of(argv, every, [FileOptions]) == ["--header=a=b", "--header=c=d", "--job_name", "j"]
    assert arguments_of(argv, every, [ConnectionOptions]) == ["--job_name", "j"]
