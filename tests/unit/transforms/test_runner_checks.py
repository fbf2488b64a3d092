from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apache_beam as beam
import grpc
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

from flumebeam.errors import ConfigurationError
from flumebeam.transforms.runner_checks import check_read, runner_traits

FLINK = ["--runner=FlinkRunner", "--flink_master=[local]"]
SPARK = ["--runner=SparkRunner"]
PORTABLE = ["--runner=PortableRunner", "--job_endpoint=127.0.0.1:1"]


def pipeline(*flags: str) -> beam.Pipeline:
    return beam.Pipeline(options=PipelineOptions(list(flags)))


@pytest.mark.parametrize(
    ("flags", "bounded", "finalizing", "says"),
    [
        (["--runner=FnApiRunner", "--direct_num_workers=2"], False, False, "direct_num_workers"),
        (["--runner=DirectRunner", "--direct_num_workers=0"], True, False, "direct_num_workers"),
        (["--runner=BundleBasedDirectRunner"], False, False, "without end"),
        (["--runner=BundleBasedDirectRunner"], True, True, "commit step"),
        (SPARK, False, False, "without end"),
        ([*SPARK, "--streaming"], True, False, "--streaming"),
        (SPARK, True, True, "commit step"),
        (FLINK, True, True, "commit step"),
        (FLINK, False, True, "--checkpointing_interval"),
        ([*PORTABLE], False, True, "--checkpointing_interval"),
    ],
)
def test_what_would_hang_or_stay_unacknowledged_is_refused_at_construction(
    flags: list[str], bounded: bool, finalizing: bool, says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        check_read(pipeline(*flags), bounded=bounded, finalizing=finalizing)


@pytest.mark.parametrize(
    ("flags", "bounded", "finalizing"),
    [
        (["--runner=FnApiRunner"], False, True),
        (["--runner=DirectRunner", "--direct_num_workers=1"], False, False),
        (SPARK, True, False),
        ([*FLINK, "--checkpointing_interval=1000", "--max_bundle_time_mills=10"], False, True),
        (
            [*FLINK, "--streaming", "--checkpointing_interval=1000", "--shutdown_sources_after_idle_ms=1000"],
            True,
            True,
        ),
        (PORTABLE, True, False),
        # Gets checkpoints, which a job in its own job server does not.
        (["--runner=FlinkRunner", "--flink_master=cluster:8081"], False, True),
    ],
)
def test_what_works_is_let_through(flags: list[str], bounded: bool, finalizing: bool) -> None:
    check_read(pipeline(*flags), bounded=bounded, finalizing=finalizing)


def test_only_runners_that_resume_a_finite_source_are_asked_to() -> None:
    resumes = {
        flags[0]: check_read(pipeline(*flags), bounded=True, finalizing=False).resumes_finite_reads
        for flags in (["--runner=FnApiRunner"], FLINK, SPARK, PORTABLE)
    }

    assert list(resumes.values()) == [True, True, False, False]


def test_the_direct_runner_is_prism_where_prism_is_at_hand(tmp_path: Path) -> None:
    program = tmp_path / "prism"
    flags = ["--runner=DirectRunner", f"--prism_location={program}"]
    assert runner_traits(pipeline(*flags)).name == "the in-process runner"

    program.touch()
    assert runner_traits(pipeline(*flags)).name == "Prism"


@pytest.mark.parametrize(
    ("knows", "name"),
    [({"max_bundle_time_mills"}, "Flink"), ({"spark_master"}, "Spark"), (set(), "a portable runner")],
)
def test_what_stands_behind_a_job_endpoint_is_told_by_its_options(knows: set[str], name: str) -> None:
    class JobService(beam_job_api_pb2_grpc.JobServiceServicer):
        def DescribePipelineOptions(self, request: Any, context: Any) -> Any:
            descriptors = [beam_job_api_pb2.PipelineOptionDescriptor(name=option) for option in knows]
            return beam_job_api_pb2.DescribePipelineOptionsResponse(options=descriptors)

    server = grpc.server(ThreadPoolExecutor(1))
    beam_job_api_pb2_grpc.add_JobServiceServicer_to_server(JobService(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        found = runner_traits(pipeline("--runner=PortableRunner", f"--job_endpoint=127.0.0.1:{port}"))
    finally:
        server.stop(None)

    assert found.name == name
