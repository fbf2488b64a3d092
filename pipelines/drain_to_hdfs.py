"""The batch layer: a queue to files on HDFS or a local disk.

Unit of parallelism: a flow of the queue, one. Delivery: exactly once from an exclusive queue, and from a shared one as
:class:`~flumebeam.transforms.hdfs_write.WriteToHdfs` says. What repeats: nothing in the files. What is never lost: an
event; it is acknowledged only when it is committed, in its file or in a segment of it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from flumebeam.commitlog.options import CommitLogOptions, QueueAccess
from flumebeam.errors import ConfigurationError
from flumebeam.pipelines import registry
from flumebeam.pipelines.hdfs_options import HdfsTargetOptions
from flumebeam.pipelines.options import ConnectionOptions, TargetOptions, required
from flumebeam.pipelines.program import as_program, parse, run_built
from flumebeam.pipelines.queue_options import QueueOptions
from flumebeam.pipelines.table_options import TableTargetOptions
from flumebeam.transforms.acknowledge import Acknowledge
from flumebeam.transforms.deadletter_topic import DeadLetterTopic
from flumebeam.transforms.hdfs_write import WriteToHdfs

__all__ = ["NAME", "OPTIONS", "build", "main"]

NAME: Final = "drain_to_hdfs"
OPTIONS: Final = (ConnectionOptions, QueueOptions, TargetOptions, TableTargetOptions, HdfsTargetOptions)


def build(pipeline: beam.Pipeline, options: PipelineOptions, *, queue: str | None = None) -> None:
    """Add the batch layer to a pipeline.

    Args:
        pipeline: To be added to.
        options: The groups in :data:`OPTIONS` are looked at.
        queue: Queue to read, instead of ``--queue``.

    Raises:
        ConfigurationError: An option is missing or cannot work.
    """
    reading, target = options.view_as(QueueOptions), options.view_as(TargetOptions)
    queue = queue or required(reading.queue, "queue", "the name of the queue to drain")
    connection = options.view_as(ConnectionOptions).connection()
    letters = target.target_dead_letter_topic
    if reading.flows > 1 and not target.shared_queue:
        raise ConfigurationError("Several --flows share a queue: say so with --shared_queue, or leave out --flows.")
    access = QueueAccess.SHARED if target.shared_queue else QueueAccess.EXCLUSIVE
    (
        pipeline
        | "ReadBatchQueue" >> reading.read(queue, connection)
        | "WriteFiles"
        >> WriteToHdfs(
            required(target.target, "target", "a directory: /dir, file:///dir or hdfs://namenode/dir"),
            path=target.path,
            path_options=target.path_options(),
            file_prefix=target.file_prefix,
            file_suffix=target.file_suffix,
            format=options.view_as(TableTargetOptions).file_format(target.format, target.codec),
            roll=target.rolling(),
            partitions=target.partitions(),
            hdfs_options=options.view_as(HdfsTargetOptions).hdfs(),
            dead_letters=target.target_dead_letters or None,
            dead_letter_topic=DeadLetterTopic(topic=letters, connection=connection) if letters else None,
            commit_log=CommitLogOptions(access=access, patience_seconds=target.patience_seconds),
            queue=queue,
            broker=connection.vpn,
        )
        | "TellBatchQueue" >> Acknowledge()
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the batch layer; see :func:`~flumebeam.pipelines.program.as_program` for what is returned."""
    arguments = sys.argv[1:] if argv is None else argv
    return as_program(NAME, lambda: run_built(NAME, build, parse(arguments, NAME, registry.summaries()[NAME], OPTIONS)))


if __name__ == "__main__":
    sys.exit(main())
