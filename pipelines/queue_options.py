"""Which queue a pipeline reads, what of it, and until when."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.semp import SempOptions
from flumebeam.transforms.solace_read import ReadFromSolace

__all__ = ["QueueOptions"]


class QueueOptions(PipelineOptions):
    """Which queue is read, what of it, and until when."""

    @classmethod
    def _add_argparse_args(cls, parser: ArgumentParser) -> None:
        parser.add_argument("--queue", metavar="NAME", help="the queue to read")
        parser.add_argument(
            "--topics",
            default="",
            metavar="LIST",
            help="with commas between: make the queue if there is none, and have it subscribe to these [no]",
        )
        parser.add_argument(
            "--selector",
            default="",
            metavar="TEXT",
            help="read only what it matches, such as: severity = 'error' [all]",
        )
        parser.add_argument(
            "--replay_from", metavar="WHEN", help="have the broker deliver again: beginning, a time, or rmid1:... [no]"
        )
        parser.add_argument(
            "--flows", type=int, default=1, metavar="N", help="consumers; several share a queue; 0 asks --semp_url [1]"
        )
        parser.add_argument(
            "--semp_url",
            default="",
            metavar="URL",
            help="the broker's management, which knows the queue's kind and backlog; password in $SOLACE_SEMP_PASSWORD "
            "[nobody is asked]",
        )
        parser.add_argument("--semp_username", default="admin", metavar="NAME", help="who may read there [admin]")
        parser.add_argument(
            "--event_time",
            default="sender",
            metavar="WHAT",
            help="when an event happened: sender, arrival, or header:NAME in milliseconds [sender]",
        )
        parser.add_argument(
            "--watermark_idle_seconds",
            type=float,
            default=5.0,
            metavar="S",
            help="how far the watermark stays behind the clock where nothing comes [5]",
        )
        parser.add_argument(
            "--deduplicate",
            type=int,
            default=0,
            metavar="N",
            help="drop messages whose application message id was among the last N [0, none]",
        )
        parser.add_argument(
            "--acknowledge_within",
            type=float,
            metavar="S",
            help="give back what was not acknowledged in that time [wait for ever]",
        )
        parser.add_argument(
            "--transaction_messages",
            type=int,
            default=0,
            metavar="N",
            help="take in transactions of up to N, at most the broker's limit [0, acknowledge each message]",
        )
        parser.add_argument(
            "--failed_bundles",
            default="released",
            metavar="WHAT",
            help="what the broker is told of a bundle that failed: released, failed, rejected [released]",
        )
        parser.add_argument(
            "--rejected_topic",
            default="",
            metavar="TOPIC",
            help="with --failed_bundles=rejected: publish its events there with the cause, and acknowledge them [no]",
        )
        parser.add_argument(
            "--until_empty", action="store_true", default=False, help="end when nothing has come for --idle_seconds"
        )
        parser.add_argument("--idle_seconds", type=float, default=2.0, metavar="S", help="see --until_empty [2]")
        parser.add_argument("--max_events", type=int, metavar="N", help="end after so many events")
        parser.add_argument("--max_seconds", type=float, metavar="S", help="end after so many seconds")

    def read(self, queue: str, connection: SolaceOptions, **options: Any) -> ReadFromSolace:
        """Return the source that was asked for.

        Args:
            queue: Name of the queue; empty for one of the job, which reads ``--topics``.
            connection: The broker.
            options: Further options of the source.

        Raises:
            ConfigurationError: A value cannot work.
        """
        return ReadFromSolace(
            queue,
            connection=connection,
            topics=self.topic_list(),
            selector=self.selector,
            replay_from=self.replay_from,
            flows=self.flows,
            event_time=self.event_time,
            watermark_idle_seconds=self.watermark_idle_seconds,
            deduplicate=self.deduplicate,
            acknowledge_within=self.acknowledge_within,
            failed_bundles=self.failed_bundles,
            dead_letter_topic=self.rejected_topic,
            transaction_messages=self.transaction_messages,
            semp=self.semp(),
            until_empty=self.until_empty,
            idle_seconds=self.idle_seconds,
            max_events=self.max_events,
            max_seconds=self.max_seconds,
            **options,
        )

    def semp(self) -> SempOptions | None:
        """Return the broker's management, if it was named."""
        return SempOptions(url=self.semp_url, username=self.semp_username) if self.semp_url else None

    def topic_list(self) -> list[str]:
        """Return the topics that were named."""
        return [topic for topic in (part.strip() for part in self.topics.split(",")) if topic]
