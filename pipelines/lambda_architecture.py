"""The lambda architecture: ingest once, a batch layer and a speed layer, each on a queue of its own.

The fan-out is the broker's: both queues subscribe to the topic, so a layer that stands still fills its own queue and
does not slow down the other one. On a runner in this process each part runs in a process of its own, because that
runner lets the parts of one graph take turns in one thread (measured with Beam 2.77: a batch layer that stalls for a
second delays the speed layer by more than a second). On other runners it is one graph with three branches; with
``--once`` first the ingest, then both layers.

Unit of parallelism, delivery, and what repeats: as in ``ingest``, ``drain_to_hdfs`` and ``speed_layer``.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Final

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from flumebeam.errors import ConfigurationError
from flumebeam.pipelines import drain_to_hdfs, ingest, registry, speed_layer
from flumebeam.pipelines.hdfs_options import HdfsTargetOptions
from flumebeam.pipelines.launching import LaunchOptions
from flumebeam.pipelines.options import (
    ConnectionOptions,
    CountOptions,
    FileOptions,
    TargetOptions,
    TopicOptions,
    required,
)
from flumebeam.pipelines.processes import Part, run_side_by_side
from flumebeam.pipelines.program import arguments_of, as_program, in_process, parse, run_built
from flumebeam.pipelines.queue_options import QueueOptions
from flumebeam.pipelines.table_options import TableTargetOptions

__all__ = ["NAME", "OPTIONS", "LayerOptions", "build", "main"]

NAME: Final = "lambda_architecture"


class LayerOptions(PipelineOptions):
    """The queues of the two layers, and when it all ends."""

    @classmethod
    def _add_argparse_args(cls, parser: ArgumentParser) -> None:
        parser.add_argument("--batch_queue", default="batch", metavar="NAME", help="queue of the batch layer [batch]")
        parser.add_argument("--speed_queue", default="speed", metavar="NAME", help="queue of the speed layer [speed]")
        parser.add_argument(
            "--provision",
            action="store_true",
            default=False,
            help="create the queues, subscribed to --topic, if the broker lacks them",
        )
        parser.add_argument(
            "--once",
            action="store_true",
            default=False,
            help="end when everything that was read is through both layers [run on]",
        )


_OF_TARGET: Final = (TargetOptions, TableTargetOptions, HdfsTargetOptions)
OPTIONS: Final = (ConnectionOptions, FileOptions, TopicOptions, LayerOptions, *_OF_TARGET, CountOptions)


def build(pipeline: beam.Pipeline, options: PipelineOptions) -> None:
    """Add all three parts to one graph, for runners that run its branches side by side.

    Raises:
        ConfigurationError: An option is missing or cannot work.
    """
    ingest.build(pipeline, options)
    _build_layers(pipeline, options)


def _build_layers(pipeline: beam.Pipeline, options: PipelineOptions) -> None:
    layers = options.view_as(LayerOptions)
    drain_to_hdfs.build(pipeline, options, queue=layers.batch_queue)
    speed_layer.build(pipeline, options, queue=layers.speed_queue)


def main(argv: Sequence[str] | None = None) -> int:
    """Run all three parts; see :func:`~flumebeam.pipelines.program.as_program` for what is returned.

    Side by side in processes: a part that fails stops the others cleanly, and its exit status is returned.
    """
    return as_program(NAME, lambda: _main(sys.argv[1:] if argv is None else argv))


def _main(argv: Sequence[str]) -> int:
    options = parse(argv, NAME, registry.summaries()[NAME], OPTIONS)
    layers = options.view_as(LayerOptions)
    if options.view_as(StandardOptions).runner == "SparkRunner" and not layers.once:
        raise ConfigurationError("On Spark every read must end: add --once, and run it as often as you like.")
    options.view_as(QueueOptions).until_empty = layers.once
    # A mistake in any part's options is found before any part runs.
    build(beam.Pipeline(options=options), options)
    if layers.once and options.view_as(FileOptions).follow:
        raise ConfigurationError("--follow never ends, so --once has nothing to wait for: leave out one of them.")
    if layers.once and options.view_as(LaunchOptions).detach:
        raise ConfigurationError("With --once the layers follow the ingest, by their driver: leave out --detach.")
    if layers.provision:
        _provision(options)
    if not in_process(options):
        if not layers.once:
            return run_built(NAME, build, options)
        # What ends is run in turns: the layers must not find their queues empty before the ingest has begun.
        run_built(NAME, ingest.build, options)
        return run_built(NAME, _build_layers, options)
    return run_side_by_side(
        _part(ingest.NAME, arguments_of(argv, OPTIONS, ingest.OPTIONS)),
        (
            _part(drain_to_hdfs.NAME, arguments_of(argv, OPTIONS, drain_to_hdfs.OPTIONS), layers.batch_queue),
            _part(speed_layer.NAME, arguments_of(argv, OPTIONS, speed_layer.OPTIONS), layers.speed_queue),
        ),
        once=layers.once,
    )


def _part(name: str, arguments: list[str], queue: str | None = None) -> Part:
    return Part("flumebeam.pipelines", [name, *arguments, *([] if queue is None else [f"--queue={queue}"])])


def _provision(options: PipelineOptions) -> None:
    # Loads a native library, which a process that only builds graphs does not need.
    from flumebeam.solace.session import connect

    layers = options.view_as(LayerOptions)
    topic = required(options.view_as(TopicOptions).topic, "topic", "the topic to publish to")
    if "%" in topic:
        raise ConfigurationError(
            f"--provision cannot subscribe queues to {topic!r}, which has headers in it: create the queues yourself."
        )
    connection = connect(options.view_as(ConnectionOptions).connection())
    try:
        for queue in (layers.batch_queue, layers.speed_queue):
            connection.ensure_queue(queue, subscriptions=[topic])
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
