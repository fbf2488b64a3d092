"""WriteToHdfs: batches of events to whole files on HDFS or a local disk, exactly once."""

from __future__ import annotations

import logging
import posixpath
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import apache_beam as beam
import pyarrow as pa
from apache_beam.utils.windowed_value import WindowedValue

from flumebeam.batch import BatchProvenance, EventBatch
from flumebeam.clock import Clock, SystemClock
from flumebeam.commitlog.driver import ignore
from flumebeam.commitlog.life import Life
from flumebeam.commitlog.options import CommitLogOptions
from flumebeam.commitlog.partition_options import PartitionOptions
from flumebeam.commitlog.rolling import RollOptions
from flumebeam.commitlog.steps import CrashPoint
from flumebeam.deliveries import Durable
from flumebeam.errors import ConfigurationError, EpochClosedError, FormatError, PublishRefusedError
from flumebeam.formats import Format, chosen_format, wants_provenance
from flumebeam.hdfs.partition_time import PartitionTime
from flumebeam.hdfs.paths import PathOptions, PathTemplate
from flumebeam.hdfs.targets import HdfsOptions, parse_target
from flumebeam.solace.packing import messages_in
from flumebeam.transforms import metrics
from flumebeam.transforms.deadletter_topic import DeadLetterTopic, LetterPublisher
from flumebeam.transforms.element_types import taken
from flumebeam.transforms.file_metrics import FileMetrics
from flumebeam.transforms.hdfs_lives import Lives, LivesPlan
from flumebeam.transforms.hdfs_transaction import FileNaming, PendingTransaction
from flumebeam.transforms.receivers import RECEIVERS

__all__ = ["DEAD_LETTERS", "WriteToHdfs"]

DEAD_LETTERS: Final = "_dead-letters"
"""Where dead letters go unless something else is said: below the target, hidden from its readers."""

_log: Final = logging.getLogger(__name__)

_NOBODY: Final = ""
"""Stands for the receiver of events that have none."""
_BY_DEFAULT: Final = RollOptions()
_MESSAGES: Final = 5_000
_PACKED_BYTES: Final = 4 << 20
"""Of a transaction by default. More would be held for longer than a processor's cache holds it, and cost more."""


class WriteToHdfs(beam.PTransform):
    """Writes event batches to files below a target directory and reports what has become durable.

    Input: a PCollection of :class:`~flumebeam.batch.EventBatch`. Output: a PCollection of
    :class:`~flumebeam.deliveries.Durable`, for :class:`~flumebeam.transforms.acknowledge.Acknowledge` in the same
    stage. A transaction is committed whenever one of its limits is reached, and at the end of a bundle. Its events are
    then durable, in hidden segments of one file per path; a file ends as ``roll`` says, and at the end of the run. It
    appears under its final name whole and at once, and is never overwritten or appended to.

    Unit of parallelism: a receiver (one flow of a queue). Several may write to one target, also from several jobs.

    Delivery: exactly once for batches that carry their delivery ids, which those of ``ReadFromSolace`` and
    ``ReadFromFiles`` do. What repeats after a failure: nothing, from an exclusive queue, whoever is killed, cut off or
    frozen. From a queue that several receivers share (``commit_log`` with ``QueueAccess.SHARED``), a writer that froze
    for longer than the broker's patience may repeat its last transaction. What is never lost: anything; deliveries are
    reported when their transaction is committed, and its files will appear, whoever dies.

    An event that the format cannot hold does not stop the sink: it becomes a dead letter, with its cause, in a hidden
    file of the same transaction, so it is there exactly once as well; or in a topic, before its transaction is
    committed, so it is there at least once.

    Batches that a program made, without provenance, are written at least once: a bundle that a runner repeats is
    written again, in files of its own, which are final with each transaction; nothing is reported.

    Args:
        target: Directory, as ``/dir``, ``file:///dir``, ``hdfs://namenode/dir`` or ``webhdfs://namenode:9870/dir``.
        path: Directory of a file below it; may hold Flume's escapes: ``%Y/%m/%d``, ``%{host}``.
        file_prefix: Start of file names; may hold the same escapes, as ``%{host}.%H``.
        file_suffix: End of file names with its dots; by default the format's and the codec's own.
        format: ``text`` (each body and one newline), ``header_and_text``, ``avro_event``, ``parquet``,
            ``sequence_file``, ``sequence_file_text``, or any :class:`~flumebeam.formats.Format`.
        codec: Compression that a named format can carry: ``none``, ``gzip``, ``bzip2``, ``snappy``, ``zstd`` and more.
        max_events: Events of one transaction. Not more than half of the queue's limit of unacknowledged messages. By
            default 5,000; and of packed ones as many as came in so many messages, up to 4 MB.
        max_bytes: Bytes of bodies and headers of one transaction, which are held in memory.
        max_seconds: Age of a transaction, looked at when a batch comes; a bundle's end commits in any case.
        roll: When a file ends: by default at 128 MB, or after 10 minutes. ``None`` makes one file per path of each
            transaction, which readers see at once; so does a format whose files cannot be joined.
        dead_letters: Directory below the target for events that the format cannot hold, one line of JSON each with
            cause, headers and body (base64); ``None`` stops at the first one.
        dead_letter_topic: Publish them there instead. Those that its broker refuses go to ``dead_letters``.
        partitions: Write ``_SUCCESS`` into partitions that are complete, and tell somebody; ``path`` needs a year. Of
            events with provenance only, as only those have a watermark that is known.
        path_options: Time zone, rounding and source of the time in ``path``.
        hdfs_options: How to talk to HDFS.
        commit_log: How the commit log works: access of the queue, patience, threads, days kept.
        queue: Name of the queue, if only one is read: its epochs are then opened before the first bind already.
        broker: Any text that tells this broker apart from others whose queues have the same names and are written to
            the same target; must stay the same for ever.
        at: Called at each named place of the commit protocol, for tests that end the process there; pickled.
        clock: Time.

    Raises:
        ConfigurationError: An option that cannot work.
    """

    def __init__(
        self,
        target: str,
        *,
        path: str = "",
        file_prefix: str = "FlumeData",
        file_suffix: str | None = None,
        format: str | Format = "text",
        codec: str = "none",
        max_events: int | None = None,
        max_bytes: int = 64 * 1024 * 1024,
        max_seconds: float = 10.0,
        roll: RollOptions | None = _BY_DEFAULT,
        dead_letters: str | None = DEAD_LETTERS,
        dead_letter_topic: DeadLetterTopic | None = None,
        partitions: PartitionOptions | None = None,
        path_options: PathOptions | None = None,
        hdfs_options: HdfsOptions | None = None,
        commit_log: CommitLogOptions | None = None,
        queue: str | None = None,
        broker: str = "",
        at: Callable[[CrashPoint], None] = ignore,
        clock: Clock | None = None,
    ) -> None:
        super().__init__()
        limits = _Limits(events=max_events, nbytes=max_bytes, seconds=max_seconds)
        file_format = chosen_format(format, codec)
        suffix = file_format.extension if file_suffix is None else file_suffix
        if not file_prefix or file_prefix[0] in "._" or any(character in file_prefix + suffix for character in "/:#"):
            raise ConfigurationError(
                f"Files cannot be named {file_prefix}...{suffix}: a '.' or '_' in front hides them from readers, and "
                "'/', ':' and '#' are not possible."
            )
        template = PathTemplate(path, path_options, prefix=file_prefix)
        self._fn = _WriteFn(
            LivesPlan(
                identity=uuid.uuid4().hex,
                address=parse_target(target, options=hdfs_options),
                queue=queue,
                broker=broker,
                options=replace(commit_log or CommitLogOptions(), roll=roll),
                partitions=partitions,
                at=at,
            ),
            file_format,
            template,
            None if partitions is None else template.partition_time(),
            FileNaming(file_prefix, suffix),
            _dead_letters(dead_letters),
            dead_letter_topic,
            limits,
            clock or SystemClock(),
        )
        self._shown = {"target": target, "path": path, "format": file_format.name, "codec": codec}

    def expand(self, batches: beam.PCollection[EventBatch]) -> beam.PCollection[Durable]:
        """Add the sink to a graph."""
        return taken(batches, EventBatch, "WriteToHdfs") | "Write" >> beam.ParDo(self._fn).with_output_types(Durable)

    def display_data(self) -> dict[str, Any]:
        """Return what a runner's interface shows about this sink; no secrets."""
        return self._shown


def _dead_letters(directory: str | None) -> str | None:
    if directory is not None and (
        not directory or posixpath.normpath(directory) != directory or directory[0] == "/" or directory[:2] == ".."
    ):
        raise ConfigurationError(
            f"dead_letters must be a directory below the target, so that one commit covers both; got {directory!r}."
        )
    return directory


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limits:
    """When a transaction is committed within a bundle."""

    events: int | None
    nbytes: int
    seconds: float

    def __post_init__(self) -> None:
        for name in ("events", "nbytes", "seconds"):
            if (limit := getattr(self, name)) is not None and limit <= 0:
                raise ConfigurationError(f"max_{name.replace('nbytes', 'bytes')} must be positive, got {limit}.")

    def room(self, pending: PendingTransaction, batch: EventBatch) -> int:
        """Return how many events of a batch may be added."""
        if self.events is not None:
            return self.events - pending.events
        return len(batch) if messages_in(batch) < len(batch) else _MESSAGES - pending.messages

    def reached(self, pending: PendingTransaction, now: float) -> bool:
        if self.events is None:
            packed = pending.events > pending.messages
            full = pending.messages >= _MESSAGES or (packed and pending.nbytes >= _PACKED_BYTES)
        else:
            full = pending.events >= self.events
        return full or pending.nbytes >= self.nbytes or now - pending.started >= self.seconds


class _WriteFn(beam.DoFn):
    """Holds only the transactions in progress: one per receiver."""

    def __init__(
        self,
        plan: LivesPlan,
        file_format: Format,
        template: PathTemplate,
        partition_time: PartitionTime | None,
        naming: FileNaming,
        dead_letters: str | None,
        dead_letter_topic: DeadLetterTopic | None,
        limits: _Limits,
        clock: Clock,
    ) -> None:
        self._plan = plan
        self._format = file_format
        self._template = template
        self._partition_time = partition_time
        self._naming = naming
        self._dead_letters = dead_letters
        self._letter_topic = dead_letter_topic
        self._letter_publisher: LetterPublisher | None = None
        self._limits = limits
        self._clock = clock
        self._lives: Lives | None = None
        self._metrics = FileMetrics(plan.address)
        self._small = metrics.counter("files_small")
        self._transactions = metrics.counter("transactions_committed")

    def setup(self) -> None:
        self._lives = Lives.join(self._plan)
        self._nobody = f"program-{uuid.uuid4().hex}"

    def teardown(self) -> None:
        if self._lives is not None:
            self._lives.leave()
            self._lives = None
        if self._letter_publisher is not None:
            self._letter_publisher.close()
            self._letter_publisher = None

    def start_bundle(self) -> None:
        # What a failed bundle left behind was given back to its source when that closed the receiver.
        self._pending: dict[str, PendingTransaction] = {}
        self._place: tuple[Any, Any] | None = None

    def process(
        self, batch: EventBatch, stamp: Any = beam.DoFn.TimestampParam, window: Any = beam.DoFn.WindowParam
    ) -> Iterator[Durable]:
        self._place = stamp, window
        if not len(batch):
            return
        if batch.provenance is None:
            receiver, life = _NOBODY, self._life_of_nobody()
        else:
            receiver = batch.provenance.receiver
            found = self._fenced_life(batch.provenance)
            if found is None:
                return
            life = found
            known = life.committed(batch.provenance.ids)
            if known.any():
                self._metrics.known.inc(int(known.sum()))
                yield Durable(receiver, batch.provenance.ids.filter(pa.array(known)))
                batch = batch.filter(pa.array(~known))
        while len(batch):
            now = self._clock.monotonic()
            keeps = wants_provenance(self._format) or self._letter_topic is not None
            pending = self._pending.setdefault(receiver, PendingTransaction(life, now, keeps_provenance=keeps))
            room = self._limits.room(pending, batch)
            pending.add(batch.slice(0, room), self._template, self._clock.epoch_ms(), self._format)
            if self._partition_time is not None:
                pending.watermark_ms = stamp.micros // 1000
            batch = batch.slice(room)
            if self._limits.reached(pending, now):
                yield from self._commit(receiver)
                if life.over and receiver != _NOBODY:
                    return

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for receiver in list(self._pending):
            for durable in self._commit(receiver):
                if self._place is not None:
                    stamp, window = self._place
                    yield WindowedValue(durable, stamp, [window])

    def _fenced_life(self, origin: BatchProvenance) -> Life | None:
        """Return the life that may commit a batch; ``None`` if another receiver took over, which gets these events."""
        if self._lives is None:
            raise EpochClosedError("This sink has been torn down.")
        life = self._lives.of(origin.receiver, origin.queue)
        try:
            if origin.fence or life.over or not life.fenced:
                if self._lives.keeper is not None:
                    self._lives.keeper.begin(life)
                life.fence()
        except EpochClosedError:
            self._give_up(origin.receiver)
            return None
        return life

    def _life_of_nobody(self) -> Life:
        if self._lives is None:
            raise EpochClosedError("This sink has been torn down.")
        life = self._lives.of_nobody(self._nobody)
        if life.over:
            self._nobody = f"program-{uuid.uuid4().hex}"
            life = self._lives.of_nobody(self._nobody)
        if not life.fenced:
            life.fence()
        return life

    def _commit(self, receiver: str) -> Iterator[Durable]:
        pending = self._pending.pop(receiver)
        if not pending.events:
            return
        begun = self._clock.monotonic()
        try:
            ids = self._commit_watched(pending) if receiver != _NOBODY else self._commit_with_dead_letters(pending)
        except EpochClosedError:
            if receiver != _NOBODY:
                self._give_up(receiver)
                return
            # Closed because nothing was committed for long; nobody else has these events.
            pending.life = self._life_of_nobody()
            ids = self._commit_with_dead_letters(pending)
        self._metrics.committed(pending.events, self._clock.monotonic() - begun)
        self._metrics.tell_target()
        made = pending.life.take_made()
        self._metrics.written.inc(pending.events - pending.dead)
        self._metrics.dead.inc(pending.dead)
        self._metrics.files.inc(made.count)
        self._small.inc(made.small)
        self._transactions.inc()
        if receiver != _NOBODY:
            yield Durable(receiver, ids)

    def _commit_watched(self, pending: PendingTransaction) -> pa.FixedSizeBinaryArray:
        """Commit a transaction and, if partitions are watched, note which ones it writes to: durably, and before."""
        keeper = self._lives.keeper if self._lives is not None else None
        if keeper is None or self._partition_time is None:
            return self._commit_with_dead_letters(pending)
        time = self._partition_time
        ends = {posixpath.dirname(path): time.end_ms(instant) for path, instant in pending.instants.items()}
        keeper.enter(pending.life, ends)
        committed_ms = None
        try:
            ids = self._commit_with_dead_letters(pending)
            committed_ms = pending.watermark_ms
        finally:
            keeper.leave(pending.life, ends, committed_ms)
        return ids

    def _commit_with_dead_letters(self, pending: PendingTransaction) -> pa.FixedSizeBinaryArray:
        """Commit a transaction; if the format refuses events of it, again with those as dead letters."""
        kept = self._dead_letters or ""
        try:
            return pending.life.commit(pending.drafts(self._format, self._naming, kept), pending.ids)
        except FormatError as error:
            # Nothing has happened yet: parts are written before anything is committed.
            nobody = self._dead_letters is None and self._letter_topic is None
            if nobody or not pending.set_aside(self._format):
                raise
            where = kept if self._letter_topic is None else self._letter_topic.topic
            _log.warning("%d events go to %s: %s", pending.dead, where, error)
        if self._letter_topic is not None:
            self._publish_letters(pending, self._letter_topic)
        return pending.life.commit(pending.drafts(self._format, self._naming, kept), pending.ids)

    def _publish_letters(self, pending: PendingTransaction, topic: DeadLetterTopic) -> None:
        """Publish the dead letters of a transaction, before it is committed: whoever dies now, they come again."""
        if self._letter_publisher is None:
            self._letter_publisher = topic.open()
        pending.letters = self._letter_publisher.publish(pending.letters)
        if pending.letters and self._dead_letters is None:
            raise PublishRefusedError(
                f"An event has nowhere to go: {pending.letters[0].cause}. Have a queue subscribe to {topic.topic}, or "
                "give a directory for dead letters as well."
            )

    def _give_up(self, receiver: str) -> None:
        """Drop what a refused life holds, and have its receiver closed: its source then delivers that to a new one."""
        self._pending.pop(receiver, None)
        RECEIVERS.abandon(receiver)
