"""Ingest: lines of files and spool directories, through interceptors, to a topic, in transactions of the broker.

Unit of parallelism: the source, one; one process reads a file or directory. Delivery: at least once, and exactly once
with ``--position_queue``, which keeps the position in the broker and moves it with the events. What
repeats without it: a transaction whose commit was not answered, or that was committed and not noted when the process
was killed; the header ``flumebeam.id`` (file identity and offset) shows it. What is never lost: a line;
positions move, and files of a spool directory are renamed, only behind the commit.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from flumebeam.pipelines import registry
from flumebeam.pipelines.options import ConnectionOptions, FileOptions, TopicOptions, required
from flumebeam.pipelines.program import as_program, parse, run_built
from flumebeam.transforms.acknowledge import Acknowledge
from flumebeam.transforms.broker_position import BrokerPosition
from flumebeam.transforms.file_read import ReadFromFiles
from flumebeam.transforms.intercept import Intercept
from flumebeam.transforms.read_options import BundleLimits
from flumebeam.transforms.solace_write import WriteToSolace

__all__ = ["NAME", "OPTIONS", "build", "main"]

NAME: Final = "ingest"
OPTIONS: Final = (ConnectionOptions, FileOptions, TopicOptions)
_BUNDLE: Final = BundleLimits(events=80_000, nbytes=16 << 20)
"""What a bundle reads: many transactions, so that one is gathered while another commits, and none waits for Beam."""


def build(pipeline: beam.Pipeline, options: PipelineOptions) -> None:
    """Add the ingest to a pipeline.

    Raises:
        ConfigurationError: An option is missing or cannot work.
    """
    files, topics = options.view_as(FileOptions), options.view_as(TopicOptions)
    connection = options.view_as(ConnectionOptions).connection()
    letters = topics.letters(connection)
    position = None
    if topics.position_queue:
        position = BrokerPosition(
            queue=topics.position_queue,
            connection=connection,
            max_transaction_messages=topics.max_transaction_messages,
        )
    written = (
        pipeline
        | "ReadFiles" >> ReadFromFiles(files.source(), position=position, bundle=_BUNDLE)
        | "Intercept" >> Intercept(*files.chain())
        | "Publish"
        >> WriteToSolace(
            required(topics.topic, "topic", "the topic to publish to, for example logs/%{host}"),
            connection=connection,
            dead_letters=letters,
            max_transaction_messages=topics.max_transaction_messages,
            packing=topics.packing(),
            fields=topics.fields(),
            on_unknown=topics.on_unknown,
            on_over_quota=topics.on_over_quota,
            position=position,
        )
    )
    written.written | "MovePositions" >> Acknowledge()
    if letters is not None:
        # Not flattened with the above: a Flatten would end the stage that the source must share with its commit step.
        written.dead_letters | "MovePositionsOfDeadLetters" >> Acknowledge()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the ingest; see :func:`~flumebeam.pipelines.program.as_program` for what is returned."""
    arguments = sys.argv[1:] if argv is None else argv
    return as_program(NAME, lambda: run_built(NAME, build, parse(arguments, NAME, registry.summaries()[NAME], OPTIONS)))


if __name__ == "__main__":
    sys.exit(main())
