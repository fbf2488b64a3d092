"""The receiver of one flow with what belongs to it: its connection, and what a read does beside receiving."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from flumebeam.batch import EventBatch
from flumebeam.ids import id_list
from flumebeam.solace.ports import Connection, FlowOfQueue
from flumebeam.solace.semp import Backlog, BacklogWatch
from flumebeam.transforms import metrics
from flumebeam.transforms.rejecting import Rejections, failure
from flumebeam.transforms.repeats import RepeatWindow

__all__ = ["OwnedReceiver"]


class OwnedReceiver:
    """A receiver that closes the connection it was opened on, and so knows what the broker has got.

    Args:
        receiver: Of one flow.
        connection: Its own.
        window: Drops repeats; ``None`` drops nothing.
        rejections: Publishes what failed; ``None`` gives it back as the flow does.
        watch: Knows the backlog; ``None`` if nobody does.
    """

    def __init__(
        self,
        receiver: FlowOfQueue,
        connection: Connection,
        window: RepeatWindow | None,
        rejections: Rejections | None = None,
        watch: BacklogWatch | None = None,
    ) -> None:
        self._receiver = receiver
        self._connection = connection
        self._window = window
        self._repeated = metrics.counter("events_repeated")
        self._fence = False  # of batches that were dropped whole
        self._only_repeats = False
        self._waiting: dict[bytes, str] = {}
        self._rejections = rejections
        self._watch = watch

    def receive(self, max_events: int, timeout: float) -> EventBatch:
        """Return what has come, as the flow does; without repeats, and noted for the case that it fails."""
        batch = self._receive(max_events, timeout)
        if self._rejections is not None and len(batch):
            self._rejections.hold(batch)
        return batch

    def _receive(self, max_events: int, timeout: float) -> EventBatch:
        batch = self._receiver.receive(max_events, timeout)
        self._only_repeats = False
        if self._window is None or batch.provenance is None or not len(batch):
            return batch
        kept, repeats = self._window.split(batch, self._waiting)
        if repeats is not None:
            self._receiver.acknowledge(repeats)
            self._repeated.inc(len(repeats))
        fence = self._fence or batch.provenance.fence
        self._only_repeats = not len(kept)
        self._fence = fence and self._only_repeats
        if kept.provenance is None or kept.provenance.fence is fence:
            return kept
        return replace(kept, provenance=replace(kept.provenance, fence=fence))

    def acknowledge(self, ids: pa.FixedSizeBinaryArray) -> None:
        """Tell the broker, and whoever keeps account."""
        self._receiver.acknowledge(ids)
        if self._window is not None:
            for delivery in id_list(ids):
                self._waiting.pop(delivery, None)
        if self._rejections is not None:
            self._rejections.forget(ids)

    def give_back(self) -> int:
        """Give back what failed, as the flow was bound; or publish it, and acknowledge what the broker then has.

        Returns:
            How many messages the broker was told of.
        """
        if self._rejections is None:
            return self._receiver.give_back()
        cause = failure()
        if cause is None or not self._receiver.unacknowledged:
            return 0
        published = self._rejections.publish(cause)
        self.acknowledge(published)
        return len(published)

    @property
    def receiver_id(self) -> str:
        """Identity of the flow."""
        return self._receiver.receiver_id

    @property
    def unacknowledged(self) -> int:
        """Deliveries handed out and not acknowledged."""
        return self._receiver.unacknowledged

    @property
    def oldest_age(self) -> float:
        """Seconds since the oldest of them was handed out; 0 if there is none."""
        return self._receiver.oldest_age

    @property
    def acknowledged_after(self) -> float | None:
        """Seconds for which the oldest delivery of the last acknowledgement had waited, or ``None``."""
        return self._receiver.acknowledged_after

    @property
    def active(self) -> bool:
        """Whether the broker serves this flow."""
        return self._receiver.active

    @property
    def backlog(self) -> Backlog | None:
        """What the queue holds, as far as it is known."""
        return None if self._watch is None else self._watch.last()

    @property
    def interrupted(self) -> bool:
        """Whether silence says nothing: the connection is away, or all that came were repeats."""
        return self._connection.away or self._only_repeats

    def close(self) -> bool:
        """Give back what is not acknowledged, and disconnect; tells as a receiver does what is settled for good."""
        if self._window is not None:
            self._window.forget(self._waiting)
        proven = False
        try:
            proven = self._receiver.close()
        finally:
            settled = self._connection.close()
        return proven or settled
