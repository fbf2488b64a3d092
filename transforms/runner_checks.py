"""What each runner can do for our sources, checked while the graph is built, so that a user learns it at once.

Everything here was measured with Beam 2.77 on the in-process runner, Prism, Flink and Spark: what is refused would
hang, end early or leave deliveries unacknowledged; what is only slow is logged.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Final

import apache_beam as beam

from flumebeam.errors import ConfigurationError

__all__ = ["RunnerTraits", "check_read", "runner_traits"]

_LOGGER: Final = logging.getLogger(__name__)


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
_TRAITS: Final = {
    "FnApiRunner": _IN_PROCESS,
    "SwitchingDirectRunner": _IN_PROCESS,
    "DirectRunner": _IN_PROCESS,
    "TestDirectRunner": _IN_PROCESS,
    "PrismRunner": RunnerTraits(name="Prism", one_worker=True),
    "BundleBasedDirectRunner": RunnerTraits(name="BundleBasedDirectRunner", streams=False, finalizes=False),
    "FlinkRunner": RunnerTraits(name="Flink", needs_checkpoints=True),
    "SparkRunner": RunnerTraits(name="Spark", streams=False, resumes_finite_reads=False, finalizes=False),
    # Whatever stands behind the job endpoint: a finite read takes the one form that runs on Spark, too.
    "PortableRunner": RunnerTraits(name="a portable runner", resumes_finite_reads=False, needs_checkpoints=True),
}
_OTHER: Final = RunnerTraits(name="this runner", resumes_finite_reads=False)


def runner_traits(pipeline: beam.Pipeline) -> RunnerTraits:
    """Return what the runner of a pipeline can do."""
    for kind in type(pipeline.runner).__mro__:
        if kind.__name__ in _TRAITS:
            return _TRAITS[kind.__name__]
    return _OTHER


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
    options = _options(pipeline)
    checkpoints = int(options.get("checkpointing_interval") or -1) > 0
    if traits is _IN_PROCESS and options.get("direct_num_workers", 1) != 1:
        raise ConfigurationError(
            "The in-process runner loses the rest of a source when it has several workers: "
            "leave out --direct_num_workers, or set it to 1."
        )
    if not traits.streams and not bounded:
        raise ConfigurationError(
            f"A read without end does not run on {traits.name}: give it max_events, max_seconds or until_empty."
        )
    if traits.name == "Spark" and options.get("streaming"):
        raise ConfigurationError("A streaming job on Spark never ends: leave out --streaming and limit the read.")
    if finalizing:
        _check_finalization(traits, bounded and not options.get("streaming"), checkpoints)
    if traits.name == "Flink":
        _check_flink(options, bounded, checkpoints)
    return traits


def _check_finalization(traits: RunnerTraits, batch: bool, checkpoints: bool) -> None:
    if not traits.finalizes or (traits.needs_checkpoints and batch):
        raise ConfigurationError(
            f"{traits.name} finalizes no bundles here, so nothing would ever be acknowledged: "
            "acknowledge by a commit step (acknowledge='commit-step' and Acknowledge behind the sink)."
        )
    if traits.needs_checkpoints and not checkpoints:
        raise ConfigurationError(
            f"On {traits.name} bundles are finalized by checkpoints only: set --checkpointing_interval (milliseconds), "
            "or acknowledge by a commit step."
        )


def _check_flink(options: dict[str, Any], bounded: bool, checkpoints: bool) -> None:
    if bounded and options.get("streaming") and checkpoints and not options.get("shutdown_sources_after_idle_ms"):
        raise ConfigurationError(
            "With checkpoints, Flink does not end a job whose source has ended: set "
            "--shutdown_sources_after_idle_ms=1000, or leave out --streaming."
        )
    if not bounded and not checkpoints:
        _LOGGER.warning("Without --checkpointing_interval Flink does not restart a job that has failed.")
    if checkpoints and not options.get("max_bundle_time_mills"):
        _LOGGER.warning("Flink resumes a source about a second late unless --max_bundle_time_mills=10 is set.")


def _options(pipeline: beam.Pipeline) -> dict[str, Any]:
    """Return all options, also those that only a job server knows."""
    options: dict[str, Any] = pipeline.options.get_all_options(retain_unknown_options=True)
    return options
