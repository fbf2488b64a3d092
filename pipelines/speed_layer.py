"""The speed layer: live counts of a queue, per second, severity and source, with the latency from the sender to here.

Unit of parallelism: a flow of the queue, one. Delivery: at least once; events are acknowledged when they have been
counted and, with ``--seen_to``, noted. What repeats: what a killed run had counted and not acknowledged. It reads a
queue of its own, so the batch layer does not slow it down.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from flumebeam.pipelines import registry
from flumebeam.pipelines.options import ConnectionOptions, CountOptions, required
from flumebeam.pipelines.program import as_program, parse, run_built
from flumebeam.pipelines.queue_options import QueueOptions
from flumebeam.transforms.acknowledge import AcknowledgeBatches
from flumebeam.transforms.audit import AuditIds
from flumebeam.transforms.live_counts import BATCHES, COUNTS, CountInWindows, CountPerSecond, WriteCounts

__all__ = ["NAME", "OPTIONS", "build", "main"]

NAME: Final = "speed_layer"
OPTIONS: Final = (ConnectionOptions, QueueOptions, CountOptions)
_BUNDLE_SECONDS: Final = 0.25
"""Bundles end often, so that a count is written and an event acknowledged soon."""


def build(pipeline: beam.Pipeline, options: PipelineOptions, *, queue: str | None = None) -> None:
    """Add the speed layer to a pipeline.

    Args:
        pipeline: To be added to.
        options: The groups in :data:`OPTIONS` are looked at.
        queue: Queue to read, instead of ``--queue``.

    Raises:
        ConfigurationError: An option is missing or cannot work.
    """
    reading, counts = options.view_as(QueueOptions), options.view_as(CountOptions)
    queue = queue or reading.queue or ""
    if not reading.topic_list():
        required(queue, "queue", "the name of the queue to count, or --topics")
    connection = options.view_as(ConnectionOptions).connection()
    batches = pipeline | "ReadSpeedQueue" >> reading.read(queue, connection, bundle_seconds=_BUNDLE_SECONDS)
    if counts.seen_to:
        batches = batches | "Note" >> AuditIds(counts.seen_to)
    headers = {"source_header": counts.source_header, "time_header": counts.time_header}
    if counts.window_seconds is None:
        counted = batches | "Count" >> CountPerSecond(**headers)
        batches, tallies = counted[BATCHES], counted[COUNTS]
    else:
        tallies = batches | "Count" >> CountInWindows(counts.window_seconds, **headers)
    tallies | "Show" >> WriteCounts(counts.counts_to, screen=not counts.quiet)
    batches | "TellSpeedQueue" >> AcknowledgeBatches()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the speed layer; see :func:`~flumebeam.pipelines.program.as_program` for what is returned."""
    arguments = sys.argv[1:] if argv is None else argv
    return as_program(NAME, lambda: run_built(NAME, build, parse(arguments, NAME, registry.summaries()[NAME], OPTIONS)))


if __name__ == "__main__":
    sys.exit(main())
