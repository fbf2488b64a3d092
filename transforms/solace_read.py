"""``ReadFromSolace``: event batches from a queue."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Final, Literal, TypeVar

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc

from flumebeam.batch import EventBatch
from flumebeam.deliveries import Receiver
from flumebeam.errors import ConfigurationError
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.flows import FlowOptions, GiveBack, ReplayStart
from flumebeam.solace.semp import BacklogWatch, SempOptions
from flumebeam.transforms import job_queues
from flumebeam.transforms.deadletter_topic import DeadLetterTopic
from flumebeam.transforms.owned_receiver import OwnedReceiver
from flumebeam.transforms.read_options import AcknowledgeBy, BundleLimits, ReadLimits
from flumebeam.transforms.receiver_read import ReadFromReceivers
from flumebeam.transforms.rejecting import Rejections
from flumebeam.transforms.repeats import RepeatWindow

__all__ = ["ReadFromSolace", "SolaceReceiverFactory", "sender_time_ms"]

_Kind = TypeVar("_Kind", bound=Enum)

_MAX_TIME_DIGITS: Final = 15
_SENDER_TIME_HEADER: Final = "solace.sender-timestamp"


class ReadFromSolace(beam.PTransform):
    """Reads event batches from a durable queue.

    Input: the pipeline; output: a PCollection of :class:`~flumebeam.batch.EventBatch`. For single events put
    :class:`~flumebeam.transforms.events.ToEvents` behind it.

    Unit of parallelism: a flow. Delivery: at least once to whatever follows; exactly once into files with
    ``WriteToHdfs``. What repeats: messages that were delivered and not acknowledged when a bundle failed, a worker died
    or the connection was lost. What is never lost: any message, unless ``acknowledge="at-once"``.

    Messages stay on the broker until something behind this source has made them durable:

    * ``"commit-step"``: the graph ends in :class:`~flumebeam.transforms.acknowledge.Acknowledge` (or
      ``AcknowledgeBatches``), in the same fused stage. Every runner can do it. A graph without that step reads until
      the broker's limit of unacknowledged messages is reached, and then no further.
    * ``"bundle-finalization"``: the runner says when the output of a bundle is safe. For any graph, on runners that
      finalize bundles.
    * ``"at-once"``: before anybody has seen them. Whatever is under way when a worker dies is lost.

    The read runs until a stop is requested, unless a limit is given. Time of a batch: the earliest sender timestamp in
    it, never behind the watermark and never ahead of the clock; so no event is late.

    Args:
        queue: Name of the queue. Without one, ``topics`` are read by a queue that is made for the job.
        connection: Where and as whom; by default from the environment (``SOLACE_HOST`` and so on) of the process that
            builds the pipeline.
        max_events: End after so many events.
        max_seconds: End after so many seconds.
        until_empty: End when nothing has come for ``idle_seconds``.
        idle_seconds: See ``until_empty``.
        bundle_events: Events, or of packed ones their messages, that one bundle reads before the commit step has
            acknowledged them; it goes on when all are. Keep it at half of the broker's limit of unacknowledged messages
            per flow, or below.
        bundle_bytes: Bytes that one bundle reads before they are acknowledged, and a quarter of what it reads in all;
            one batch may exceed it.
        bundle_seconds: Seconds that one bundle takes at most, and so the delay of its commit at low rates.
        flows: Consumers to bind. More than one shares the messages of a non-exclusive queue; on an exclusive one the
            second is refused when it is bound, for no program is told what a queue is before; with ``semp`` at once. 0
            is what the queue can use, which ``semp`` tells: one for each partition, else one.
        acknowledge: See above.
        event_time: ``"sender"``; ``"arrival"`` for the time at which a batch was received; or ``"header:NAME"`` for a
            header with milliseconds since 1970, such as ``header:timestamp``. What is no number counts as its arrival.
        topics: Create the queue, durable, if there is none, and have it subscribe to these; exclusive for one flow. A
            queue that was named stays when the job ends, so what comes meanwhile is not missed. One that was not named
            gets a name of its own and is removed when the job ends as done or is stopped, with what is in it. It is
            durable as well, so a worker that dies loses nothing. A job that fails keeps it and logs its name, and so
            does a driver that is killed: ``queue=`` with that name reads on.
        keep_queue: Keep the queue of the job when it ends, too.
        selector: The broker hands over only messages that it matches, in the language of JMS; the others stay.
        browse: Look and take nothing: messages stay on the queue, and whoever starts again sees them again.
        replay_from: Have the broker deliver messages of its replay log again: from ``"beginning"``, a time as ISO 8601,
            or behind a message id (``rmid1:...``). Once in each process that reads; exclusive queues and one flow only.
            A sink with a commit log skips what it has.
        failed_bundles: What the broker is told of messages that were read and whose bundle failed: ``"released"``
            nothing; ``"failed"`` that they failed, for brokers from 10.2.1 on; ``"rejected"`` that they are not wanted,
            which **deletes** those that are not eligible for a dead message queue.
        dead_letter_topic: With ``"rejected"``: publish the events of a bundle that failed to this topic, each with the
            cause, and acknowledge them when the broker has them, in place of telling it that they are not wanted. A
            bundle that failed because broker or target did is released. Keeps the events of a bundle in memory.
        acknowledge_within: Seconds after which messages that were read and not acknowledged are given back, and
            counted: their receiver is renewed. Several times ``bundle_seconds``; by default it waits for ever.
        transaction_messages: Take messages in transactions of up to so many, at most the broker's limit, which is 256
            unless it was raised (``maxMsgsPerTransaction`` of the client profile). A bundle is then one transaction,
            and its commit, once all of it is acknowledged, is what the broker is told: of thousands of messages that
            costs a fraction of acknowledging each. 0, the default, acknowledges each by id, which is faster as long as
            the limit is not raised. What is taken so cannot be browsed or replayed, and a bundle that failed is rolled
            back. A graph must acknowledge everything that a bundle has read, at its end; Spark cannot do that.
        deduplicate: For sinks without a commit log: drop, acknowledge and count messages whose application message id
            was among the last so many of this process; 0 for none. Messages without an id, and packed ones, pass.
        watermark_idle_seconds: How far the watermark stays behind the clock while nothing comes.
        semp: The broker's management, asked for the queue when this is built, and every ten seconds for its
            backlog, which is told to the runner and as metrics; without ``semp`` nobody knows it.

    Raises:
        ConfigurationError: An option that cannot work; on expansion: a runner that cannot run this read.
        ConnectionFailedError: ``semp`` does not answer.
        QueueError: ``semp`` refuses the login.
    """

    def __init__(
        self,
        queue: str = "",
        *,
        connection: SolaceOptions | None = None,
        max_events: int | None = None,
        max_seconds: float | None = None,
        until_empty: bool = False,
        idle_seconds: float = 2.0,
        bundle_events: int = 5_000,
        bundle_bytes: int = 16 << 20,
        bundle_seconds: float = 1.0,
        flows: int = 1,
        acknowledge: AcknowledgeBy | Literal["commit-step", "bundle-finalization", "at-once"] = "commit-step",
        event_time: str = "sender",
        topics: Sequence[str] = (),
        keep_queue: bool = False,
        selector: str = "",
        browse: bool = False,
        replay_from: str | None = None,
        failed_bundles: GiveBack | Literal["released", "failed", "rejected"] = "released",
        dead_letter_topic: str = "",
        acknowledge_within: float | None = None,
        transaction_messages: int = 0,
        deduplicate: int = 0,
        watermark_idle_seconds: float = 5.0,
        semp: SempOptions | None = None,
    ) -> None:
        super().__init__()
        if isinstance(topics, str):
            raise ConfigurationError(f"topics are a list, not the text {topics!r}: write [{topics!r}].")
        if not queue and not topics:
            raise ConfigurationError("The name of the queue to read from is empty: give one, for example --queue=logs.")
        if keep_queue and queue:
            raise ConfigurationError("A queue that is named stays in any case: leave out keep_queue, or the name.")
        self._removed = not queue and not keep_queue
        queue = queue or job_queues.new_name()
        by = _choice("acknowledge", AcknowledgeBy, acknowledge)
        give_back = _choice("failed_bundles", GiveBack, failed_bundles)
        if dead_letter_topic and (give_back is not GiveBack.REJECTED or browse or transaction_messages):
            raise ConfigurationError(
                "A dead_letter_topic gets what failed_bundles='rejected' rejects, of messages that are acknowledged by "
                "id: give that, and leave out browse and transaction_messages."
            )
        replay = None if replay_from is None else ReplayStart.parse(replay_from)
        options = self._connection = connection or SolaceOptions.from_environment()
        if semp is not None:
            facts = semp.look(options.vpn, queue)
            # One that this read makes is made for as many as are asked for.
            flows = (flows or 1) if facts is None else facts.flows(queue, flows)
            if facts is not None and facts.partitions and replay is not None:
                raise ConfigurationError(f"Queue {queue!r} has partitions, and such queues are not replayed.")
        if replay is not None and flows > 1:
            raise ConfigurationError("A replay is for one flow: leave out flows, or replay_from.")
        how = FlowOptions(
            selector=selector,
            browse=browse,
            replay=replay,
            # What is published elsewhere is acknowledged, and needs no broker that knows rejected messages.
            give_back=GiveBack.RELEASED if dead_letter_topic else give_back,
            shared=flows > 1,
            transaction_messages=transaction_messages,
        )
        self._queue = queue
        self._read = ReadFromReceivers(
            SolaceReceiverFactory(
                source=queue,
                connection=options,
                topics=tuple(topics),
                flow=how,
                deduplicate=deduplicate,
                semp=semp,
                rejected_to=DeadLetterTopic(topic=dead_letter_topic, connection=options) if dead_letter_topic else None,
            ),
            limits=ReadLimits(
                max_events=max_events,
                max_seconds=max_seconds,
                until_empty=until_empty,
                idle_seconds=idle_seconds,
                acknowledge_within=acknowledge_within,
                watermark_idle_seconds=watermark_idle_seconds,
            ),
            bundle=BundleLimits(
                events=min(bundle_events, transaction_messages or bundle_events),
                nbytes=bundle_bytes,
                seconds=bundle_seconds,
                transaction=bool(transaction_messages),
            ),
            flows=flows,
            acknowledge=by,
            event_time=_time_of(event_time),
        )
        self._shown = {"queue": queue, "host": options.host, "vpn": options.vpn, "username": options.username}

    def expand(self, pbegin: beam.pvalue.PBegin) -> beam.PCollection[EventBatch]:
        """Add the source to a pipeline."""
        if self._removed:
            job_queues.remove_at_end(pbegin.pipeline, self._connection, self._queue)
        return pbegin | "Queue" >> self._read

    def display_data(self) -> dict[str, Any]:
        """Return what a runner's interface shows about this source; no secrets."""
        return self._shown


@dataclass(frozen=True, kw_only=True)
class SolaceReceiverFactory:
    """Opens consumer flows of one queue, each on a connection of its own; plain data.

    Attributes:
        source: Name of the queue.
        connection: Where and as whom.
        topics: What the queue subscribes to; made if there is no such queue. Empty leaves the queue alone.
        flow: How flows are bound.
        deduplicate: Application message ids to remember; 0 for none.
        semp: Who tells the backlog; ``None`` for nobody.
        rejected_to: Where events of failed bundles go; ``None`` gives them back as the flow does.
        token: Names this source, so that a process starts its replay once, and all its flows remember the same ids.

    Raises:
        ConfigurationError: ``deduplicate`` is negative.
    """

    source: str
    connection: SolaceOptions
    topics: tuple[str, ...] = ()
    flow: FlowOptions = field(default_factory=FlowOptions)
    deduplicate: int = 0
    semp: SempOptions | None = None
    rejected_to: DeadLetterTopic | None = None
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        if self.deduplicate < 0:
            raise ConfigurationError(f"deduplicate must not be negative, got {self.deduplicate}.")

    @property
    def lineage(self) -> tuple[str, ...]:
        """What is read: broker, message VPN and queue."""
        return "solace", self.connection.host, self.connection.vpn, self.source

    def open(self, before_bind: Callable[[str], None]) -> Receiver:
        """Connect and bind a flow.

        Raises:
            LoginRefusedError: The broker refused the login.
            ConnectionFailedError: The broker does not answer.
            QueueError: The queue is unknown, or permission is missing.
        """
        # Loads a native library, which a process that only builds graphs does not need.
        from flumebeam.solace.session import connect

        connection = connect(self.connection)
        try:
            if self.topics:
                access = "non-exclusive" if self.flow.shared else "exclusive"
                connection.ensure_queue(self.source, access=access, subscriptions=self.topics)
            flow = replace(self.flow, replay=None) if self.token in _replayed else self.flow
            receiver = connection.receiver(self.source, before_bind=before_bind, flow=flow)
            _replayed.add(self.token)
            window = _windows.setdefault(self.token, RepeatWindow(self.deduplicate)) if self.deduplicate else None
            rejections = None if self.rejected_to is None else Rejections(self.rejected_to, self.source)
            watch = None if self.semp is None else BacklogWatch(self.semp, self.connection.vpn, self.source)
            return OwnedReceiver(receiver, connection, window, rejections, watch)
        except BaseException:  # an interrupt, too, must leave no connection open
            connection.close()
            raise


_replayed: Final[set[str]] = set()
"""Sources whose first flow of this process is bound: a later bind goes on, and starts no replay again."""


_windows: Final[dict[str, RepeatWindow]] = {}
"""By source: what its receivers of this process have seen, also those that are renewed."""


def sender_time_ms(batch: EventBatch) -> int | None:
    """Return the earliest sender timestamp of a batch, milliseconds since 1970 UTC; ``None`` if no message has one."""
    if (shared := batch.shared.get(_SENDER_TIME_HEADER)) is not None:
        return int(shared)
    if (column := batch.columns.get(_SENDER_TIME_HEADER)) is None:
        return None
    earliest: int | None = pc.min(column.cast(pa.int64())).as_py()
    return earliest


@dataclass(frozen=True, slots=True)
class _HeaderTime:
    """Event time from a header; picklable."""

    header: str

    def __call__(self, batch: EventBatch) -> int | None:
        """Return the earliest time that a header tells, milliseconds since 1970 UTC; ``None`` if none does."""
        if (shared := batch.shared.get(self.header)) is not None:
            return int(shared) if _is_time(shared) else None
        if (column := batch.columns.get(self.header)) is None:
            return None
        times = [int(text) for text in pc.unique(column).to_pylist() if text is not None and _is_time(text)]
        return min(times, default=None)


def _choice(option: str, kinds: type[_Kind], value: _Kind | str) -> _Kind:
    try:
        return kinds(value)
    except ValueError as error:
        known = ", ".join(kind.value for kind in kinds)
        raise ConfigurationError(f"{option} is {value!r}; it must be one of {known}.") from error


def _is_time(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MAX_TIME_DIGITS


def _time_of(event_time: str) -> Callable[[EventBatch], int | None] | None:
    if event_time == "sender":
        return sender_time_ms
    if event_time == "arrival":
        return None
    header = event_time.removeprefix("header:")
    if not header or header == event_time:
        raise ConfigurationError(f"event_time is {event_time!r}; it must be 'sender', 'arrival' or 'header:NAME'.")
    return _HeaderTime(header)
