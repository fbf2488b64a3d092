"""Options of the pipelines, in groups that pipelines share: Beam options, so every runner carries them.

The password is no option: it comes from ``SOLACE_PASSWORD`` or from a file, never from a command line.
"""

from __future__ import annotations

import math
from argparse import ArgumentParser
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from apache_beam.options.pipeline_options import PipelineOptions

from flumebeam.commitlog.partition_options import PartitionOptions
from flumebeam.commitlog.rolling import RollOptions
from flumebeam.errors import ConfigurationError
from flumebeam.formats import FORMAT_NAMES
from flumebeam.hdfs.paths import PathOptions
from flumebeam.interceptors import (
    HostInterceptor,
    Interceptor,
    SeverityInterceptor,
    StaticInterceptor,
    TimestampInterceptor,
)
from flumebeam.solace.config import LANES, SolaceOptions
from flumebeam.solace.fields import MessageFields
from flumebeam.solace.packing import Packing
from flumebeam.solace.reconnect import PRESETS
from flumebeam.sources.options import FileSourceOptions, WhenDone
from flumebeam.transforms.deadletter import DeadLettersToFiles
from flumebeam.transforms.deadletter_topic import DeadLettersToSolace

__all__ = [
    "ConnectionOptions",
    "CountOptions",
    "FileOptions",
    "TargetOptions",
    "TopicOptions",
    "required",
]

_INTERCEPTORS: Final[Mapping[str, Interceptor]] = {
    "host": HostInterceptor(),
    "severity": SeverityInterceptor(),
    "timestamp": TimestampInterceptor(),
}

_CONNECTION: Final = (
    ("url", "URL", "tcps://user@host:55443/vpn, instead of the next three"),
    ("host", "URL", "tcp://host:55555, or tcps://host:55443 for TLS, several with commas between"),
    ("vpn", "NAME", "message VPN, default"),
    ("username", "NAME", "client username, default"),
    ("password_file", "FILE", "file with the password, instead of SOLACE_PASSWORD"),
    ("trust_store", "PATH", "authorities for TLS: a directory or a file; the system's by default"),
    ("verify_host_name", "BOOL", "whether the broker's certificate must be for its host, true"),
    ("client_certificate", "FILE", "certificate to log in with, in PEM form"),
    ("client_key", "FILE", "its private key, if it is not in the same file"),
    ("client_key_password_file", "FILE", "file with the key's passphrase"),
    ("token_file", "FILE", "OAuth access token to log in with; it is read again when it is rotated"),
    ("oauth_token_url", "URL", "OAuth token server that gives tokens for client credentials"),
    ("oauth_client_id", "ID", "identity at the token server"),
    ("oauth_client_secret_file", "FILE", "file with its secret, instead of SOLACE_OAUTH_CLIENT_SECRET"),
    ("oauth_scope", "TEXT", "scope to ask the token server for"),
    ("oauth_issuer", "ID", "identity of the token server, if the broker trusts several"),
    ("kerberos_service", "NAME", "log in by Kerberos; the broker's service name, mostly solace"),
    ("compression_level", "N", "0 for none, 1 (fastest) to 9 (smallest)"),
    ("client_name", "TEMPLATE", "name on the broker, with {host}, {pid} and {unique}"),
    ("reconnect", "NAME", f"reconnect policy, {', '.join(PRESETS)}"),
    ("lane", "NAME", f"way through the vendor's client, {', '.join(LANES)}"),
    ("config", "FILE", "settings by name, or of the vendor's client, as .toml, .json or .properties"),
)
"""Settings that are options, each with what to give and what it means. No secret is among them."""


def required(value: str | None, option: str, meaning: str) -> str:
    """Return an option's value.

    Args:
        value: What was given.
        option: Its name, for the message.
        meaning: What to give.

    Raises:
        ConfigurationError: Nothing was given.
    """
    if not value:
        raise ConfigurationError(f"--{option} is missing: give {meaning}.")
    return value


class ConnectionOptions(PipelineOptions):
    """Where the broker is, and as whom to log in."""

    @classmethod
    def _add_argparse_args(cls, parser: ArgumentParser) -> None:
        for name, metavar, meaning in _CONNECTION:
            parser.add_argument(f"--solace_{name}", metavar=metavar, help=f"{meaning} [SOLACE_{name.upper()}]")
        parser.add_argument(
            "--reconnect_seconds",
            type=int,
            metavar="S",
            help="how long a broker that went away is waited for, 0 to 1000 [40, or as --solace_reconnect has it]",
        )

    def connection(self) -> SolaceOptions:
        """Return what was given, and from the environment what was not.

        Raises:
            ConfigurationError: A value cannot work.
        """
        given: dict[str, Any] = {name: getattr(self, f"solace_{name}") for name, _, _ in _CONNECTION}
        file = given.pop("config")
        named = {name: value for name, value in given.items() if value}
        options = SolaceOptions.from_environment_and(named, config=file or None)
        if self.reconnect_seconds is None:
            return options
        policy = options.reconnect
        attempts = math.ceil(self.reconnect_seconds / policy.wait_seconds) if policy.wait_seconds else policy.attempts
        return replace(options, reconnect=replace(policy, attempts=attempts))


class FileOptions(PipelineOptions):
    """Which files are read, and what becomes of them."""

    @classmethod
    def _add_argparse_args(cls, parser: ArgumentParser) -> None:
        parser.add_argument("--input", metavar="PATH", help="a file, or several by a pattern; they stay as they are")
        parser.add_argument(
            "--spool_dir", metavar="DIR", help="a directory of finished files, which are renamed once they are through"
        )
        parser.add_argument("--follow", action="store_true", default=False, help="run on for new files of --spool_dir")
        parser.add_argument(
            "--keep_files", action="store_true", default=False, help="do not rename files of --spool_dir"
        )
        parser.add_argument(
            "--tracker_dir",
            metavar="DIR",
            help="where positions are kept [DIR/.flumebeam, or ~/.local/state/flumebeam]",
        )
        parser.add_argument("--max_line_bytes", type=int, metavar="N", help="longest line accepted [8388608]")
        parser.add_argument(
            "--interceptors",
            default="host,severity",
            metavar="NAMES",
            help=f"with commas between, of {', '.join(_INTERCEPTORS)} [host,severity]",
        )
        parser.add_argument(
            "--header", action="append", metavar="NAME=VALUE", help="a header for every event; may be repeated"
        )

    def source(self) -> FileSourceOptions:
        """Return the source that was asked for.

        Raises:
            ConfigurationError: Neither or both kinds of source were named, or a value cannot work.
        """
        if bool(self.input) == bool(self.spool_dir):
            raise ConfigurationError("Name what to read, by one of --input (a file or a pattern) and --spool_dir.")
        if self.keep_files and not self.spool_dir:
            raise ConfigurationError("--keep_files is for --spool_dir: files that --input names are always kept.")
        if self.follow and not self.spool_dir:
            raise ConfigurationError("--follow needs --spool_dir: a file that --input names is read to its end.")
        source = FileSourceOptions(
            path=self.spool_dir or self.input,
            spool=bool(self.spool_dir),
            follow=self.follow,
            when_done=WhenDone.KEEP if self.keep_files else None,
            tracker_dir=self.tracker_dir,
        )
        return source if self.max_line_bytes is None else replace(source, max_line_bytes=self.max_line_bytes)

    def chain(self) -> tuple[Interceptor, ...]:
        """Return the interceptors that were asked for, in order.

        Raises:
            ConfigurationError: There is no such interceptor, or a header cannot be set.
        """
        chain: list[Interceptor] = []
        for name in filter(None, (part.strip() for part in self.interceptors.split(","))):
            if name not in _INTERCEPTORS:
                known = ", ".join(_INTERCEPTORS)
                raise ConfigurationError(f"There is no interceptor {name!r} for --interceptors; there are: {known}.")
            chain.append(_INTERCEPTORS[name])
        for text in self.header or ():
            name, equals, value = text.partition("=")
            if not equals:
                raise ConfigurationError(f"--header must look like NAME=VALUE, not {text!r}.")
            chain.append(StaticInterceptor(header=name, value=value))
        return tuple(chain)


class TopicOptions(PipelineOptions):
    """Where events are published, and what becomes of those that the broker refuses."""

    @classmethod
    def _add_argparse_args(cls, parser: ArgumentParser) -> None:
        parser.add_argument("--topic", metavar="TEMPLATE", help="topic, with headers if wanted: logs/%%{host}")
        parser.add_argument(
            "--max_transaction_messages",
            type=int,
            default=256,
            metavar="N",
            help="messages of one transaction, at most the broker's limit [256]",
        )
        parser.add_argument(
            "--pack",
            action="store_true",
            default=False,
            help="many events in one message, for readers that unpack: much faster [one event a message]",
        )
        parser.add_argument("--pack_events", type=int, default=500, metavar="N", help="events of one message [500]")
        parser.add_argument(
            "--pack_bytes", type=int, default=65_536, metavar="N", help="bodies and headers of one message [65536]"
        )
        parser.add_argument("--pack_codec", default="none", metavar="NAME", help="none or zstd [none]")
        parser.add_argument(
            "--partition_key", default="", metavar="HEADER", help="header with the key of partitioned queues [none]"
        )
        parser.add_argument(
            "--time_to_live_seconds",
            type=float,
            default=0.0,
            metavar="S",
            help="how long a message may wait [for ever]",
        )
        parser.add_argument(
            "--on_unknown",
            default="retry",
            metavar="POLICY",
            help="unanswered commits: retry, dead-letter, stop [retry]",
        )
        parser.add_argument(
            "--on_over_quota", default="wait", metavar="POLICY", help="full queues: wait, dead-letter, stop [wait]"
        )
        parser.add_argument(
            "--position_queue",
            metavar="NAME",
            help="keep the position in this queue, moved with the events: exactly once [at least once]",
        )
        parser.add_argument(
            "--dead_letters", metavar="DIR", help="keep refused events there and go on [stop at the first one]"
        )

        parser.add_argument(
            "--dead_letter_topic",
            metavar="TOPIC",
            help="publish refused events there, with the cause, and go on [stop]",
        )

    def letters(self, connection: SolaceOptions) -> DeadLettersToFiles | DeadLettersToSolace | None:
        """Return what becomes of refused events; ``None`` stops at the first one.

        Raises:
            ConfigurationError: Two places are named.
        """
        if self.dead_letters and self.dead_letter_topic:
            raise ConfigurationError("Dead letters go to one place: give --dead_letters or --dead_letter_topic.")
        if self.dead_letter_topic:
            return DeadLettersToSolace(self.dead_letter_topic, connection=connection)
        return DeadLettersToFiles(self.dead_letters) if self.dead_letters else None

    def fields(self) -> MessageFields:
        """Return the fields of the messages.

        Raises:
            ConfigurationError: A value cannot work.
        """
        return MessageFields(partition_key=self.partition_key, time_to_live_seconds=self.time_to_live_seconds)

    def packing(self) -> Packing | None:
        """Return how events are packed, or ``None``.

        Raises:
            ConfigurationError: A value cannot work.
        """
        packing = Packing(max_events=self.pack_events, max_bytes=self.pack_bytes, codec=self.pack_codec)
        return packing if self.pack else None


class TargetOptions(PipelineOptions):
    """Where files are written, and in which form."""

    @classmethod
    def _add_argparse_args(cls, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--target", metavar="URL", help="directory of the files: /dir, file:///dir or hdfs://namenode/dir"
        )
        parser.add_argument(
            "--path", default="", metavar="TEMPLATE", help="directory below the target: %%Y/%%m/%%d/%%{host} [none]"
        )
        parser.add_argument(
            "--path_time_zone",
            default="UTC",
            metavar="NAME",
            help="zone of times in --path, Europe/Berlin or local [UTC]",
        )
        parser.add_argument(
            "--path_round_unit", choices=("second", "minute", "hour"), help="round times in --path down to this [none]"
        )
        parser.add_argument(
            "--path_round_value", type=int, default=1, metavar="N", help="how many of --path_round_unit [1]"
        )
        parser.add_argument(
            "--path_local_time",
            action="store_true",
            default=False,
            help="use the time of arrival in --path, whatever time an event carries",
        )
        parser.add_argument(
            "--format", default="text", metavar="NAME", help=f"{', '.join(FORMAT_NAMES)}; avro with --schema [text]"
        )
        parser.add_argument(
            "--codec", default="none", metavar="NAME", help="none, gzip, bzip2, snappy, zstd and others [none]"
        )
        parser.add_argument(
            "--file_prefix",
            default="FlumeData",
            metavar="TEMPLATE",
            help="start of file names, with escapes as in --path [FlumeData]",
        )
        parser.add_argument(
            "--file_suffix", metavar="TEXT", help="end of file names, with its dot [the format's and the codec's own]"
        )
        parser.add_argument(
            "--target_dead_letters",
            default="_dead-letters",
            metavar="DIR",
            help="below the target, for events that the format cannot hold; '' stops at the first [_dead-letters]",
        )
        parser.add_argument(
            "--target_dead_letter_topic",
            metavar="TOPIC",
            help="publish them there instead, at least once; what the broker refuses goes to --target_dead_letters",
        )
        parser.add_argument(
            "--roll",
            choices=("files", "transaction", "flume"),
            default="files",
            help="when files end: at the limits below; with each transaction, so that they are seen at once; or by "
            "Flume's rules, with its defaults of 30 s, 1024 bytes and 10 events [files]",
        )
        parser.add_argument("--roll_bytes", type=int, metavar="N", help="size of a file, 0 for any [134217728]")
        parser.add_argument("--roll_seconds", type=float, metavar="S", help="age of its first event, 0 for any [600]")
        parser.add_argument("--roll_events", type=int, metavar="N", help="events in it, 0 for any number [0]")
        parser.add_argument(
            "--roll_idle_seconds", type=float, metavar="S", help="time since its last event, 0 for any [0]"
        )
        parser.add_argument(
            "--max_open_files",
            type=int,
            metavar="N",
            help="files that are open at once; above that the one without events for longest ends [5000]",
        )
        parser.add_argument(
            "--success_file",
            metavar="NAME",
            help="write this file into each directory whose time is over and complete, such as _SUCCESS [no]",
        )
        parser.add_argument(
            "--partition_delay_seconds",
            type=float,
            metavar="S",
            help="how much later than their time its events may come [60]",
        )
        parser.add_argument(
            "--on_partition_complete",
            metavar="HOOK",
            help="whom to tell of complete directories and of late files: command:PROGRAM ARGUMENTS or http://... [no]",
        )
        parser.add_argument(
            "--patience_seconds",
            type=float,
            default=60.0,
            metavar="S",
            help="how long a target that is full or does not answer is tried again [60]",
        )
        parser.add_argument(
            "--shared_queue",
            action="store_true",
            default=False,
            help="the queue is non-exclusive or partitioned, and others read it, too",
        )

    def path_options(self) -> PathOptions:
        """Return how times in ``--path`` are read.

        Raises:
            ConfigurationError: There is no such zone, or a value that does not fit its unit.
        """
        options = PathOptions(
            time_zone=self.path_time_zone, round_value=self.path_round_value, round_unit=self.path_round_unit
        )
        return replace(options, time_headers=()) if self.path_local_time else options

    def partitions(self) -> PartitionOptions | None:
        """Return when partitions are complete, and who is told; ``None`` if nobody asks.

        Raises:
            ConfigurationError: A value cannot work.
        """
        given = {
            "success_file": self.success_file,
            "delay_seconds": self.partition_delay_seconds,
            "on_complete": self.on_partition_complete,
        }
        known: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if known.keys() == {"delay_seconds"}:
            raise ConfigurationError(
                "--partition_delay_seconds is for --success_file and --on_partition_complete: give one of them."
            )
        return PartitionOptions(**known) if known else None

    def rolling(self) -> RollOptions | None:
        """Return when files end; ``None`` for files of one transaction each.

        Raises:
            ConfigurationError: A limit cannot work, or is given where it means nothing.
        """
        given = {
            "max_bytes": self.roll_bytes,
            "max_seconds": self.roll_seconds,
            "max_events": self.roll_events,
            "idle_seconds": self.roll_idle_seconds,
            "max_open": self.max_open_files,
        }
        limits: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if self.roll == "transaction":
            if limits:
                raise ConfigurationError(
                    "--roll=transaction ends files with transactions: leave --roll_... and --max_open_files out."
                )
            return None
        return replace(RollOptions.flume() if self.roll == "flume" else RollOptions(), **limits)


class CountOptions(PipelineOptions):
    """What the speed layer shows."""

    @classmethod
    def _add_argparse_args(cls, parser: ArgumentParser) -> None:
        parser.add_argument("--counts_to", metavar="FILE", help="append a line of JSON for every second")
        parser.add_argument("--seen_to", metavar="FILE", help="append the id of every event, for a proof")
        parser.add_argument(
            "--source_header", default="basename", metavar="NAME", help="header that names an event's source [basename]"
        )
        parser.add_argument(
            "--time_header",
            default="solace.sender-timestamp",
            metavar="NAME",
            help="header that latency is measured from, in ms since 1970 [when the broker's client sent it]",
        )
        parser.add_argument("--quiet", action="store_true", default=False, help="print no counts")
        parser.add_argument(
            "--window_seconds", type=int, metavar="S", help="count in windows of event time (Prism, Flink)"
        )
