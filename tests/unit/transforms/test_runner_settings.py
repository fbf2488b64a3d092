from __future__ import annotations

import logging

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import FlinkRunnerOptions, PipelineOptions, StandardOptions

from flumebeam.errors import ConfigurationError
from flumebeam.transforms.runner_settings import settle_flink

LOCAL = ["--runner=FlinkRunner", "--flink_master=[local]"]
REMOTE = ["--runner=FlinkRunner", "--flink_master=jobmanager:8081"]
NAMES = ("checkpointing_interval", "max_bundle_time_mills", "shutdown_sources_after_idle_ms", "parallelism")


def settled(*flags: str, bounded: bool = False, flows: int = 1) -> dict[str, int]:
    """Return what is set after all."""
    pipeline = beam.Pipeline(options=PipelineOptions(list(flags)))
    settle_flink(pipeline, bounded=bounded, flows=flows)
    options = pipeline.options.get_all_options()
    return {name: options[name] for name in NAMES if options[name] is not None}


def test_an_endless_job_on_a_cluster_restarts_and_is_not_slow() -> None:
    assert settled(*REMOTE) == {"checkpointing_interval": 10_000, "max_bundle_time_mills": 10, "parallelism": 1}


@pytest.mark.parametrize("flags", [REMOTE, LOCAL])
def test_an_endless_job_is_told_to_be_one_for_else_its_bundles_end_with_checkpoints_only(flags: list[str]) -> None:
    pipeline = beam.Pipeline(options=PipelineOptions(flags))
    settle_flink(pipeline, bounded=False, flows=1)

    assert pipeline.options.view_as(StandardOptions).streaming


def test_a_bundle_leaves_a_table_for_each_slot_that_a_job_could_have_so_it_has_no_more_than_it_uses() -> None:
    pipeline = beam.Pipeline(options=PipelineOptions([*REMOTE, "--parallelism=3"]))
    settle_flink(pipeline, bounded=False, flows=1)

    assert pipeline.options.view_as(FlinkRunnerOptions).max_parallelism == 3


def test_a_checkpoint_holds_no_half_of_a_bundle_from_which_a_restarted_job_would_find_no_source() -> None:
    pipeline = beam.Pipeline(options=PipelineOptions(REMOTE))
    settle_flink(pipeline, bounded=False, flows=1)

    assert pipeline.options.get_all_options()["finish_bundle_before_checkpointing"] is True


def test_a_job_whose_workers_die_with_the_driver_gets_no_checkpoints_so_that_it_ends_with_its_sources() -> None:
    assert settled(*LOCAL) == {"parallelism": 1}
    assert settled(*REMOTE, "--environment_type=LOOPBACK") == {"parallelism": 1}


def test_a_streaming_job_that_ends_gets_an_end() -> None:
    assert settled(*REMOTE, "--streaming", bounded=True)["shutdown_sources_after_idle_ms"] == 1_000


def test_a_batch_job_needs_none_of_it() -> None:
    assert settled(*REMOTE, bounded=True, flows=3) == {"parallelism": 3}


def test_what_the_user_gave_stays(caplog: pytest.LogCaptureFixture) -> None:
    given = ["--checkpointing_interval=500", "--max_bundle_time_mills=99", "--parallelism=2"]
    given += ["--streaming", "--finish_bundle_before_checkpointing", "--max_parallelism=8"]
    with caplog.at_level(logging.INFO):
        found = settled(*REMOTE, *given)

    assert found == {"checkpointing_interval": 500, "max_bundle_time_mills": 99, "parallelism": 2}
    assert caplog.text == ""


def test_what_is_set_is_logged_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        settled(*REMOTE, "--streaming", bounded=True)

    reasons = ["a slot for each flow", "100 KB", "does not restart", "about a second late", "find no source"]
    reasons += ["does not end with its sources"]
    assert [reason in record.message for reason, record in zip(reasons, caplog.records, strict=True)] == [True] * 6


def test_an_end_that_never_comes_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="leave out --shutdown_sources_after_idle_ms"):
        settled(*REMOTE, "--streaming", "--shutdown_sources_after_idle_ms=-1", bounded=True)


def test_windows_over_a_source_that_goes_on_need_checkpoints_anywhere() -> None:
    pipeline = beam.Pipeline(options=PipelineOptions(LOCAL))
    settle_flink(pipeline, bounded=False, flows=1, groups=True)

    assert pipeline.options.get_all_options()["checkpointing_interval"] == 10_000
