"""What the receivers of a queue have in common, however they acknowledge: what is open, and how the flow fares."""

from __future__ import annotations

import threading
import uuid
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from solace.messaging.config._sol_constants import _SolClientFlowEvent

from flumebeam.batch import EventBatch
from flumebeam.clock import Clock, SystemClock
from flumebeam.errors import ConfigurationError, FlumebeamError, FormatError, QueueError
from flumebeam.solace._packs import OpenPacks
from flumebeam.solace._placed_frames import TakenMessages
from flumebeam.solace._taken_events import events_of_taken
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.flows import FlowOptions

__all__ = ["CLOSE_SECONDS", "LINGER_SECONDS", "MAX_UNPACKED_BYTES", "QueueReceiver"]

CLOSE_SECONDS: Final = 5.0
"""Longest wait for the client when a receiver is closed."""
LINGER_SECONDS: Final = 0.002
"""Making a batch costs as much as some twenty events in it: let a few more come."""
MAX_UNPACKED_BYTES: Final = 1 << 20
"""Of one batch of packed messages, compressed: what stays in a processor's cache is fastest."""
_REMEMBERED: Final = 20_000  # twice the unacknowledged limit of a flow: whatever a lost connection can bring back
_ACTIVE_SECONDS: Final = 5.0  # the client tells it right behind the bind, if no thread of it stands still

_PASSIVE_EVENTS: Final = (
    _SolClientFlowEvent.SOLCLIENT_FLOW_EVENT_INACTIVE.value,
    _SolClientFlowEvent.SOLCLIENT_FLOW_EVENT_RECONNECTING.value,
)


class QueueReceiver(ABC):
    """A :class:`~flumebeam.deliveries.Receiver` over one flow; subclasses bind it, take from it and acknowledge.

    Args:
        options: Where it leads, for errors.
        queue: Name of a durable queue.
        flow: How it is bound.
        on_close: Called once when the receiver is closed.
        clock: The time, for the age of what is not acknowledged.
    """

    def __init__(
        self,
        options: SolaceOptions,
        queue: str,
        flow: FlowOptions,
        on_close: Callable[[QueueReceiver], None],
        clock: Clock | None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._options = options
        self._queue = queue
        self._how = flow
        self._on_close = on_close
        self._receiver_id = uuid.uuid4().hex
        self._active = threading.Event()
        self._wake = threading.Event()  # something happened that receive() waits for
        # Guards the tables. Never held while the client is called, whose thread may wait for it.
        self._lock = threading.Lock()
        self._handed_out: dict[bytes, float] = {}  # delivery id to when, oldest first; monotonic seconds
        self._acknowledged: OrderedDict[bytes, None] = OrderedDict()  # what may come again all the same
        self._acknowledged_after: float | None = None
        self._packs = OpenPacks()
        self._surplus = EventBatch.empty()  # of a pack that did not fit into what was asked for
        self._failure: FlumebeamError | None = None
        self._closed = False

    # -- called by the client's thread ---------------------------------------------------------------------------------

    def _on_event(self, event: int) -> None:
        if event == _SolClientFlowEvent.SOLCLIENT_FLOW_EVENT_DOWN_ERROR.value:
            self.fail(
                QueueError(
                    f"Queue {self._queue!r} at {self._options.host} ended the flow: it was deleted, shut down or "
                    "changed on the broker; bind again when it is back."
                )
            )
            return
        if event == _SolClientFlowEvent.SOLCLIENT_FLOW_EVENT_ACTIVE.value:
            self._active.set()
        elif event in _PASSIVE_EVENTS:
            self._active.clear()
        self._note_event(event)
        self.fence()

    @abstractmethod
    def _note_event(self, event: int) -> None:
        """Note what an event of a flow that lives means for what is acknowledged."""

    @abstractmethod
    def fence(self) -> None:
        """Mark what comes from now on: something happened after which another receiver may have had it."""

    def fail(self, error: FlumebeamError) -> None:
        """Let the next call end with an error; the first one counts."""
        if self._failure is None:
            self._failure = error
        self._wake.set()

    # -- the contract --------------------------------------------------------------------------------------------------

    @property
    def receiver_id(self) -> str:
        """Identity of this receiver: fresh for each receiver, usable as a file name."""
        return self._receiver_id

    @property
    def unacknowledged(self) -> int:
        """Deliveries handed out by ``receive`` and not acknowledged."""
        return len(self._handed_out) + self._packs.surplus

    @property
    def active(self) -> bool:
        """Whether the broker has said that this flow is the one of an exclusive queue that is served."""
        return self._active.is_set()

    @property
    def oldest_age(self) -> float:
        """Seconds since the oldest delivery that is not acknowledged was handed out; 0 if there is none."""
        with self._lock:
            since = next(iter(self._handed_out.values()), None)
        return 0.0 if since is None else self._clock.monotonic() - since

    @property
    def acknowledged_after(self) -> float | None:
        """Seconds for which the oldest delivery of the last acknowledgement had waited; ``None`` if there was none."""
        return self._acknowledged_after

    @property
    @abstractmethod
    def settled(self) -> bool:
        """Whether it is closed, and the broker is known to have got all that it needs to forget what was handed out."""

    @abstractmethod
    def close(self) -> bool:
        """Give back what is not acknowledged, and release everything. Idempotent, bounded in time."""

    # -- for subclasses ------------------------------------------------------------------------------------------------

    def _must_be_served(self) -> None:
        """Close a flow that is to share its queue, and that the broker lets stand by."""
        if self._how.shared and not self._active.wait(_ACTIVE_SECONDS):
            self.close()
            raise ConfigurationError(
                f"Queue {self._queue!r} at {self._options.host} lets only one consumer be active, so several flows "
                "cannot share it: read it with flows=1, or make the queue non-exclusive."
            )

    def _events(self, messages: TakenMessages, fence: bool, max_events: int) -> EventBatch:
        """Return the events of messages, as many as were asked for; the others come with the next call."""
        try:
            batch = events_of_taken(messages, receiver=self._receiver_id, queue=self._queue, fence=fence)
        except FormatError as error:
            raise QueueError(f"Queue {self._queue!r} delivers what cannot be told apart: {error}") from error
        self._packs.add(batch)
        return self._hand_out(batch, max_events)

    def _hand_out(self, batch: EventBatch, max_events: int) -> EventBatch:
        self._surplus = batch.slice(max_events)
        return batch.slice(0, max_events)

    def _remember(self, ids: Iterable[bytes]) -> None:
        """Keep what was acknowledged, the last ones only; the lock is held."""
        self._acknowledged.update(dict.fromkeys(ids))
        while len(self._acknowledged) > max(_REMEMBERED, self._how.transaction_messages):
            self._acknowledged.popitem(last=False)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
