"""Options of Flink that decide whether a read is fast, restarts and ends: declared here, set where the user gave none.

Beam's Python side does not declare them; its job server does. What is set, and why, is logged.
"""

from __future__ import annotations

import logging
from argparse import ArgumentParser
from typing import Final

import apache_beam as beam
from apache_beam.options.pipeline_options import FlinkRunnerOptions, PipelineOptions, PortableOptions, StandardOptions

from flumebeam.errors import ConfigurationError

__all__ = ["FlinkSettings", "is_local", "runs_in_driver", "settle_flink"]

_LOGGER: Final = logging.getLogger(__name__)
_CHECKPOINTS_MS: Final = 10_000
_BUNDLE_MS: Final = 10
_IDLE_MS: Final = 1_000
_LOCAL: Final = ("[local]", "[auto]")


class FlinkSettings(PipelineOptions):
    """What Flink's job server knows and Beam's Python side does not declare."""

    @classmethod
    def _add_argparse_args(cls, parser: ArgumentParser) -> None:
        parser.add_argument("--checkpointing_interval", type=int, metavar="MS", help="between two checkpoints of Flink")
        parser.add_argument("--max_bundle_time_mills", type=int, metavar="MS", help="after which Flink ends a bundle")
        parser.add_argument(
            "--shutdown_sources_after_idle_ms", type=int, metavar="MS", help="after which Flink ends a finished source"
        )
        parser.add_argument(
            "--finish_bundle_before_checkpointing",
            action="store_true",
            default=None,
            help="Flink ends a bundle before a checkpoint, not within it",
        )
        parser.add_argument("--savepoint_path", metavar="URL", help="savepoint of Flink that a job starts from")


def runs_in_driver(options: PipelineOptions) -> bool:
    """Tell whether the workers of a Flink or Spark job are in the process that submits it, and so die with it."""
    environment = options.view_as(PortableOptions).environment_type
    if environment is not None:
        return bool(environment.upper() == "LOOPBACK")
    return options.view_as(StandardOptions).runner == "FlinkRunner" and is_local(options)


def is_local(options: PipelineOptions) -> bool:
    """Tell whether Flink runs within its job server."""
    return options.view_as(FlinkRunnerOptions).flink_master in _LOCAL


def settle_flink(pipeline: beam.Pipeline, *, bounded: bool, flows: int, groups: bool = False) -> None:
    """Set what the user gave nothing for, and refuse what would hang.

    Args:
        pipeline: All of its sources are known.
        bounded: Whether all of its reads end by themselves.
        flows: Receivers of the read that has most of them.
        groups: Whether something behind an endless read groups.

    Raises:
        ConfigurationError: The job would not end.
    """
    options = pipeline.options
    settings, flink = options.view_as(FlinkSettings), options.view_as(FlinkRunnerOptions)
    if flink.parallelism < 1:
        flink.parallelism = flows
        _LOGGER.info("Flink: --parallelism=%d, a slot for each flow of a source.", flows)
    if bounded and not options.view_as(StandardOptions).streaming:
        return
    if not options.view_as(StandardOptions).streaming:
        options.view_as(StandardOptions).streaming = True
        _LOGGER.info("Flink: --streaming, else it ends bundles with checkpoints only.")
    if flink.max_parallelism < 1:
        flink.max_parallelism = flink.parallelism
        _LOGGER.info("Flink: --max_parallelism=%d, else every bundle leaves 100 KB in its heap.", flink.max_parallelism)
    if settings.checkpointing_interval is None and (groups or not runs_in_driver(options)):
        settings.checkpointing_interval = _CHECKPOINTS_MS
        why = "closes no window while a source goes on" if groups else "does not restart a job that has failed"
        _LOGGER.info(
            "Flink: --checkpointing_interval=%d, else it %s; acknowledgements do not wait for it.", _CHECKPOINTS_MS, why
        )
    if (settings.checkpointing_interval or -1) <= 0:
        return
    if settings.max_bundle_time_mills is None:
        settings.max_bundle_time_mills = _BUNDLE_MS
        _LOGGER.info("Flink: --max_bundle_time_mills=%d, else it resumes a source about a second late.", _BUNDLE_MS)
    if settings.finish_bundle_before_checkpointing is None:
        settings.finish_bundle_before_checkpointing = True
        _LOGGER.info("Flink: --finish_bundle_before_checkpointing, else a restart may find no source to go on with.")
    if not bounded:
        return
    if settings.shutdown_sources_after_idle_ms is None:
        settings.shutdown_sources_after_idle_ms = _IDLE_MS
        _LOGGER.info(
            "Flink: --shutdown_sources_after_idle_ms=%d, else with checkpoints the job does not end with its sources.",
            _IDLE_MS,
        )
    elif settings.shutdown_sources_after_idle_ms < 0:
        raise ConfigurationError(
            "With checkpoints, Flink does not end a job whose sources have ended: leave out "
            "--shutdown_sources_after_idle_ms, or --streaming."
        )
