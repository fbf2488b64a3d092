from __future__ import annotations

import logging

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from flumebeam.errors import ConfigurationError
from flumebeam.transforms.runner_checks import check_read

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
        ([*FLINK, "--streaming", "--checkpointing_interval=1000"], True, False, "--shutdown_sources_after_idle_ms"),
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
    ],
)
def test_what_works_is_let_through(flags: list[str], bounded: bool, finalizing: bool) -> None:
    check_read(pipeline(*flags), bounded=bounded, finalizing=finalizing)


def test_what_is_only_slow_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        check_read(pipeline(*FLINK, "--checkpointing_interval=1000"), bounded=False, finalizing=False)

    assert "--max_bundle_time_mills=10" in caplog.text


def test_only_runners_that_resume_a_finite_source_are_asked_to() -> None:
    resumes = {
        flags[0]: check_read(pipeline(*flags), bounded=True, finalizing=False).resumes_finite_reads
        for flags in (["--runner=FnApiRunner"], FLINK, SPARK, PORTABLE)
    }

    assert list(resumes.values()) == [True, True, False, False]
