"""What each runner can do for our sources, checked while the graph is built, so that a user learns it at once.

Everything here was measured with Beam 2.77 on the in-process runner, Prism, Flink and Spark: what is refused would
hang, end early or leave deliveries unacknowledged. What is only slow is set by
:mod:`~flumebeam.transforms.runner_settings`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import apache_beam as beam
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, PortableOptions, StandardOptions

from flumebeam.errors import ConfigurationError
from flumebeam.transforms import beam_compat
from flumebeam.transforms.runner_settings import FlinkSettings, runs_in_driver

__all__ = ["RunnerTraits", "check_read", "runner_traits"]


@dataclass(frozen=True, kw_only=True)
class RunnerTraits:
    """What a runner does with a source.

    Attributes:
        name: For messages.
        streams: Whether it runs a source that never ends.
        resumes_finite_reads: Whether a finite source may give its rest back and be called again.
        finalizes: Whether it calls bundle finalizers at all.
        needs_checkpoints: Whether finalizers are called only with ``--checkpointing_interval``.
        one_worker: Whether everything runs in one worker, so that several flows had better be read in turns.
    """

    name: str
    streams: bool = True
    resumes_finite_reads: bool = True
    finalizes: bool = True
    needs_checkpoints: bool = False
    one_worker: bool = False


_IN_PROCESS: Final = RunnerTraits(name="the in-process runner", one_worker=True)
_PRISM: Final = RunnerTraits(name="Prism", one_worker=True)
_FLINK: Final = RunnerTraits(name="Flink", needs_checkpoints=True)
_SPARK: Final = RunnerTraits(name="Spark", streams=False, resumes_finite_reads=False, finalizes=False)
# Whatever stands behind a job endpoint: a finite read takes the one form that runs on Spark, too.
_PORTABLE: Final = RunnerTraits(name="a portable runner", resumes_finite_reads=False, needs_checkpoints=True)
_OTHER: Final = RunnerTraits(name="this runner", resumes_finite_reads=False)
_TRAITS: Final = {
    "FnApiRunner": _IN_PROCESS,
    "PrismRunner": _PRISM,
    "BundleBasedDirectRunner": RunnerTraits(name="BundleBasedDirectRunner", streams=False, finalizes=False),
    "FlinkRunner": _FLINK,
    "SparkRunner": _SPARK,
}
_SWITCHING: Final = frozenset({"SwitchingDirectRunner", "DirectRunner", "TestDirectRunner"})


def runner_traits(pipeline: beam.Pipeline) -> RunnerTraits:
    """Return what the runner of a pipeline can do.

    ``DirectRunner`` is Prism where Beam has it, else the in-process runner. Behind ``PortableRunner`` is whatever its
    job server says.
    """
    for kind in type(pipeline.runner).__mro__:
        if kind.__name__ in _SWITCHING:
            return _PRISM if beam_compat.finds_prism(pipeline.options) else _IN_PROCESS
        if kind.__name__ in _TRAITS:
            return _TRAITS[kind.__name__]
        if kind.__name__ == "PortableRunner":
            return _behind(pipeline.options.view_as(PortableOptions).job_endpoint)
    return _OTHER


def _behind(endpoint: str | None) -> RunnerTraits:
    known = beam_compat.options_of_job_server(endpoint) if endpoint else frozenset()
    if "max_bundle_time_mills" in known:
        return _FLINK
    return _SPARK if "spark_master" in known else _PORTABLE


def check_read(pipeline: beam.Pipeline, *, bounded: bool, finalizing: bool) -> RunnerTraits:
    """Check that a pipeline's runner can run a read.

    Args:
        pipeline: Where the source is added.
        bounded: Whether the read ends by itself.
        finalizing: Whether it acknowledges by bundle finalization.

    Raises:
        ConfigurationError: The runner would hang, end early or never acknowledge.
    """
    traits = runner_traits(pipeline)
    options = pipeline.options
    streaming = options.view_as(StandardOptions).streaming
    if traits is _IN_PROCESS and options.view_as(DirectOptions).direct_num_workers != 1:
        raise ConfigurationError(
            "The in-process runner loses the rest of a source when it has several workers: "
            "leave out --direct_num_workers, or set it to 1."
        )
    if not traits.streams and not bounded:
        raise ConfigurationError(
            f"A read without end does not run on {traits.name}: give it max_events, max_seconds or until_empty."
        )
    if traits is _SPARK and streaming:
        raise ConfigurationError("A streaming job on Spark never ends: leave out --streaming and limit the read.")
    if finalizing:
        _check_finalization(traits, bounded and not streaming, options)
    return traits


def _check_finalization(traits: RunnerTraits, batch: bool, options: PipelineOptions) -> None:
    if not traits.finalizes or (traits.needs_checkpoints and batch):
        raise ConfigurationError(
            f"{traits.name} finalizes no bundles here, so nothing would ever be acknowledged: "
            "acknowledge by a commit step (acknowledge='commit-step' and Acknowledge behind the sink)."
        )
    interval = options.view_as(FlinkSettings).checkpointing_interval
    set_later = interval is None and traits is _FLINK and not runs_in_driver(options)
    if traits.needs_checkpoints and not set_later and (interval or -1) <= 0:
        raise ConfigurationError(
            f"On {traits.name} bundles are finalized by checkpoints only: set --checkpointing_interval (milliseconds), "
            "or acknowledge by a commit step."
        )
