"""``ReadFromSolace``: event batches from a queue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc

from flumebeam.batch import EventBatch
from flumebeam.deliveries import Receiver
from flumebeam.errors import ConfigurationError
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.ports import Connection
from flumebeam.transforms.read_options import AcknowledgeBy, BundleLimits, ReadLimits
from flumebeam.transforms.receiver_read import ReadFromReceivers

__all__ = ["ReadFromSolace", "SolaceReceiverFactory", "sender_time_ms"]

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
        queue: Name of the queue.
        connection: Where and as whom; by default from the environment (``SOLACE_HOST`` and so on) of the process that
            builds the pipeline.
        max_events: End after so many events.
        max_seconds: End after so many seconds.
        until_empty: End when nothing has come for ``idle_seconds``.
        idle_seconds: See ``until_empty``.
        bundle_events: Events that one bundle reads at most. Keep it at half of the broker's limit of unacknowledged
            messages per flow, or below.
        bundle_bytes: Bytes that one bundle reads at most; one batch may exceed it.
        bundle_seconds: Seconds that one bundle takes at most, and so the delay of its commit at low rates.
        flows: Consumers to bind. More than one shares the messages of a non-exclusive queue. On an exclusive queue the
            broker serves one of them, and the others stand by.
        acknowledge: See above.
        event_time: ``"sender"``, or ``"arrival"`` for the time at which a batch was received.

    Raises:
        ConfigurationError: An option that cannot work; on expansion: a runner that cannot run this read.
    """

    def __init__(
        self,
        queue: str,
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
        event_time: Literal["sender", "arrival"] = "sender",
    ) -> None:
        super().__init__()
        if not queue:
            raise ConfigurationError("The name of the queue to read from is empty: give one, for example --queue=logs.")
        try:
            by = AcknowledgeBy(acknowledge)
        except ValueError as error:
            known = ", ".join(choice.value for choice in AcknowledgeBy)
            raise ConfigurationError(f"acknowledge is {acknowledge!r}; it must be one of {known}.") from error
        if event_time not in ("sender", "arrival"):
            raise ConfigurationError(f"event_time is {event_time!r}; it must be 'sender' or 'arrival'.")
        options = connection or SolaceOptions.from_environment()
        self._read = ReadFromReceivers(
            SolaceReceiverFactory(source=queue, connection=options),
            limits=ReadLimits(
                max_events=max_events, max_seconds=max_seconds, until_empty=until_empty, idle_seconds=idle_seconds
            ),
            bundle=BundleLimits(events=bundle_events, nbytes=bundle_bytes, seconds=bundle_seconds),
            flows=flows,
            acknowledge=by,
            event_time=sender_time_ms if event_time == "sender" else None,
        )
        self._shown = {"queue": queue, "host": options.host, "vpn": options.vpn, "username": options.username}

    def expand(self, pbegin: beam.pvalue.PBegin) -> beam.PCollection[EventBatch]:
        """Add the source to a pipeline."""
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
    """

    source: str
    connection: SolaceOptions

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
            return _OwnedReceiver(connection.receiver(self.source, before_bind=before_bind), connection)
        except BaseException:
            connection.close()
            raise


class _OwnedReceiver:
    """A receiver that closes the connection it was opened on, and so knows what the broker has got."""

    def __init__(self, receiver: Receiver, connection: Connection) -> None:
        self._receiver = receiver
        self._connection = connection
        self.receive = receiver.receive
        self.acknowledge = receiver.acknowledge

    @property
    def receiver_id(self) -> str:
        return self._receiver.receiver_id

    @property
    def unacknowledged(self) -> int:
        return self._receiver.unacknowledged

    @property
    def interrupted(self) -> bool:
        return self._connection.away

    def close(self) -> bool:
        try:
            self._receiver.close()
        finally:
            settled = self._connection.close()
        return settled


def sender_time_ms(batch: EventBatch) -> int | None:
    """Return the earliest sender timestamp of a batch, milliseconds since 1970 UTC; ``None`` if no message has one."""
    if (shared := batch.shared.get(_SENDER_TIME_HEADER)) is not None:
        return int(shared)
    if (column := batch.columns.get(_SENDER_TIME_HEADER)) is None:
        return None
    earliest: int | None = pc.min(column.cast(pa.int64())).as_py()
    return earliest
