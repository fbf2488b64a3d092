"""A receiver whose acknowledgement is the commit of a transaction.

The client acknowledges message by message only as long as few are open: of several hundred, each costs a frame, which
is more than all the rest (measured with solace-pubsubplus 1.11). A commit acknowledges all that was received in its
transaction by one range.

So a transaction is what is handed out until everything of it has been acknowledged by id; then it is committed. What
was acknowledged in a transaction that was not committed comes again, is taken again, and is not handed out again.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Final

import pyarrow as pa
from solace.messaging.config._sol_constants import _SolClientFlowEvent

from flumebeam.batch import EventBatch
from flumebeam.clock import Clock, SystemClock
from flumebeam.errors import ConfigurationError, ConnectionFailedError, FlumebeamError, FormatError, QueueError
from flumebeam.solace._client import bounded, operation_deadline
from flumebeam.solace._packs import OpenPacks
from flumebeam.solace._transacted import VendorSession
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.flows import FlowOptions
from flumebeam.solace.mapping import ReceivedMessage
from flumebeam.solace.packing import claimed_events, events_of, is_pack

__all__ = ["TransactionReceiver"]

_logger: Final = logging.getLogger(__name__)
_PATIENCE_SECONDS: Final = 60.0  # of a transaction that is full, before somebody is told
_TURN_SECONDS: Final = 0.05  # longest wait within the client: an acknowledgement may have to wait for it
_LINGER_SECONDS: Final = 0.002  # making a batch costs as much as some twenty events in it: let a few more come
_MAX_UNPACKED_BYTES: Final = 1 << 20  # of one batch, compressed: what stays in a processor's cache is fastest
_REMEMBERED: Final = 20_000  # acknowledged messages that may come again, of transactions that were not committed
_CLOSE_SECONDS: Final = 5.0
_ACTIVE_SECONDS: Final = 2.0  # the client tells it right behind the bind, from the same answer of the broker

_HARMLESS_EVENTS: Final = (
    _SolClientFlowEvent.SOLCLIENT_FLOW_EVENT_UP_NOTICE.value,
    _SolClientFlowEvent.SOLCLIENT_FLOW_EVENT_ACTIVE.value,
)
_PASSIVE_EVENTS: Final = (
    _SolClientFlowEvent.SOLCLIENT_FLOW_EVENT_INACTIVE.value,
    _SolClientFlowEvent.SOLCLIENT_FLOW_EVENT_RECONNECTING.value,
)


class TransactionReceiver:
    """A :class:`~flumebeam.deliveries.Receiver` over the flow of a transacted session.

    Unit of parallelism: one flow. After a failure everything that was not committed comes again, to this receiver or
    another one; nothing is lost. A message that the broker hands over twice within the receiver's life is delivered
    once. When a transaction is full, nothing more is handed out until all of it has been acknowledged.

    Args:
        open_session: Opens a transacted session that takes from the queue, given who is told of the flow's events.
        options: Where it leads, for errors.
        queue: Name of a durable queue.
        before_bind: Called with the receiver's id before the flow is bound.
        flow: How it is bound, and the most messages of a transaction.
        away: Returns whether the connection is lost and being restored.
        on_close: Called once when the receiver is closed.
        clock: The time, for the age of what is not acknowledged.

    Raises:
        ConfigurationError: The flow is to share the queue, and the broker lets it stand by.
        QueueError: The queue is unknown, or permission is missing.
        ConnectionFailedError: The broker does not answer.
    """

    def __init__(
        self,
        open_session: Callable[[Callable[[int], None]], VendorSession],
        options: SolaceOptions,
        queue: str,
        before_bind: Callable[[str], None] | None,
        flow: FlowOptions,
        away: Callable[[], bool],
        on_close: Callable[[TransactionReceiver], None],
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._options = options
        self._queue = queue
        self._limit = flow.transaction_messages
        self._away = away
        self._on_close = on_close
        self._receiver_id = uuid.uuid4().hex
        self._active = threading.Event()
        # Guards the tables. Never held while the client is called.
        self._lock = threading.Lock()
        self._taken: set[bytes] = set()  # delivery ids of the open transaction
        self._handed_out: dict[bytes, float] = {}  # delivery id to when, oldest first; monotonic seconds
        self._acknowledged: OrderedDict[bytes, None] = OrderedDict()  # and not committed: they come again
        self._told = threading.Event()  # something was acknowledged
        self._packs = OpenPacks()
        self._surplus = EventBatch.empty()  # of a pack that did not fit into what was asked for
        self._pack_bytes = self._pack_events = 0  # of a packed message, as the last ones were
        self._broken = False  # some transaction was not committed
        self._disturbed = False  # what was taken in the open transaction may come again without it
        self._fence = True
        self._acknowledged_after: float | None = None
        self._failure: FlumebeamError | None = None
        self._closed = self._settled = self._warned = False
        self._turn = threading.Lock()  # held by whoever calls the session
        self._restore_by = 0.0  # a time, while there is no session
        if before_bind is not None:
            before_bind(self._receiver_id)
        self._open_session = open_session
        self._session = open_session(self._on_flow_event)
        if flow.shared and not self._active.wait(_ACTIVE_SECONDS):
            self.close()
            raise ConfigurationError(
                f"Queue {queue!r} at {options.host} lets only one consumer be active, so several flows cannot share "
                "it: read it with flows=1, or make the queue non-exclusive."
            )

    # -- called by the client's thread ---------------------------------------------------------------------------------

    def _on_flow_event(self, event: int) -> None:
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
        # The client binds the flow anew where the broker asks for it, and goes on in the same transaction.
        self._disturbed = self._disturbed or event not in _HARMLESS_EVENTS
        self.fence()

    def fence(self) -> None:
        """Mark what comes from now on: something happened after which another receiver may have had it."""
        with self._lock:
            self._fence = True

    def fail(self, error: FlumebeamError) -> None:
        """Let the next call end with an error; the first one counts."""
        if self._failure is None:
            self._failure = error
        self._told.set()

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

    def receive(self, max_events: int, timeout: float) -> EventBatch:
        """Return up to ``max_events`` events; wait at most ``timeout`` seconds for the first one.

        Raises:
            ConnectionFailedError: The broker is away for longer than the reconnect policy allows.
            QueueError: The broker ended the flow, or allows fewer messages in a transaction.
        """
        if len(self._surplus):
            self._check()
            return self._hand_out(self._surplus, max_events)
        deadline = monotonic() + timeout
        while True:
            self._check()
            self._told.clear()
            wait = min(max(0.0, deadline - monotonic()), _TURN_SECONDS)
            room = min(max_events, self._limit - len(self._taken))
            if room < 1 or (self._away() and not self._session.dead):
                self._tell_if_stuck(room)
                self._told.wait(wait)
                messages = []
            else:
                with self._turn:
                    messages = self._take(room, wait)
            self._commit_if_due()
            if messages:
                return self._hand_out(self._events(messages), max_events)
            if monotonic() >= deadline:
                self._check()
                return EventBatch.empty()

    def _tell_if_stuck(self, room: int) -> None:
        """Say once that nothing more is read because something is held back, or dropped without a word."""
        if room < 1 and not self._warned and self.oldest_age > _PATIENCE_SECONDS:
            self._warned = True
            _logger.warning(
                "Nothing more is read from queue %r before the transaction of %d messages is acknowledged: %d events "
                "of it are not, the oldest for %.0f s. What a bundle reads must be acknowledged at its end.",
                self._queue,
                self._limit,
                self.unacknowledged,
                self.oldest_age,
            )

    def _hand_out(self, batch: EventBatch, max_events: int) -> EventBatch:
        self._surplus = batch.slice(max_events)
        return batch.slice(0, max_events)

    def _events(self, messages: list[ReceivedMessage]) -> EventBatch:
        with self._lock:
            fence, self._fence = self._fence, False
        try:
            batch = events_of(messages, receiver=self._receiver_id, queue=self._queue, fence=fence)
        except FormatError as error:
            raise QueueError(f"Queue {self._queue!r} delivers what cannot be told apart: {error}") from error
        self._packs.add(batch)
        return batch

    def acknowledge(self, ids: pa.FixedSizeBinaryArray) -> None:
        """Note that these deliveries are durable, and commit when all of them are. Idempotent.

        Raises:
            ConnectionFailedError: The broker can no longer be told; it will deliver them again.
            QueueError: The broker ended the flow, or allows fewer messages in a transaction; it will deliver them
                again.
        """
        self._check()
        whole = self._packs.completed_by(ids)
        oldest = None
        with self._lock:
            handed_out, taken = self._handed_out, self._taken
            for id_ in whole:
                since = handed_out.pop(id_, None)
                if since is None:
                    continue
                if oldest is None or since < oldest:
                    oldest = since
                if id_ not in taken:
                    self._remember((id_,))
        self._acknowledged_after = None if oldest is None else self._clock.monotonic() - oldest
        self._commit_if_due()
        self._told.set()
        self._check()

    def give_back(self) -> int:
        """Leave it to :meth:`close`, which rolls back: a flow that goes on would get it again, and that would count.

        Returns:
            0: the broker was told of no message.
        """
        return 0

    @property
    def settled(self) -> bool:
        """Whether it is closed, and everything that it had handed out was committed."""
        return self._settled

    def close(self) -> bool:
        """Commit what is acknowledged, if all of it is; what is not, is rolled back. Idempotent, bounded in time.

        Returns:
            Whether everything that was handed out was acknowledged, and committed.
        """
        if self._closed:
            return self._settled
        self._closed = True
        self.fail(ConnectionFailedError(f"The receiver of queue {self._queue!r} is closed."))
        bounded(self._commit_at_end, _CLOSE_SECONDS)
        self._session.close()
        with self._lock:
            self._settled = not (self._handed_out or self._taken or self._acknowledged)
        self._on_close(self)
        return self._settled

    def _commit_at_end(self) -> None:
        with self._turn:
            self._commit_now()

    # -- within; the turn is held --------------------------------------------------------------------------------------

    def _take(self, room: int, wait: float) -> list[ReceivedMessage]:
        """Take messages into the transaction, and return those that were not handed out before."""
        if self._session.dead:
            self._restore()
            return []
        if self._disturbed:
            self._roll_back()
        if self._pack_events:
            room = max(1, min(room, room // self._pack_events, _MAX_UNPACKED_BYTES // self._pack_bytes))
        try:
            messages = self._session.take(room, wait, _LINGER_SECONDS)
        except ConnectionFailedError:
            self._roll_back()
            return []
        except QueueError as error:
            self.fail(error)
            return []
        if not messages:
            return []
        self._measure(messages[-1])
        now = self._clock.monotonic()
        with self._lock:
            if self._broken:
                fresh = [
                    message
                    for message in messages
                    if message.delivery not in self._acknowledged and message.delivery not in self._handed_out
                ]
            else:
                fresh = messages
            self._taken.update(message.delivery for message in messages)
            self._handed_out.update(dict.fromkeys((message.delivery for message in fresh), now))
        return fresh

    def _roll_back(self) -> None:
        """Give up the transaction. What was taken comes again, under the same ids."""
        self._disturbed = False
        self._session.rollback()
        self._ended(committed=False)

    def _measure(self, message: ReceivedMessage) -> None:
        """Look at what a packed message holds, so that as many are taken at once as fit."""
        packed = is_pack(message)
        self._pack_events = claimed_events(message) if packed else 0
        self._pack_bytes = max(1, len(message.body))

    def _commit_if_due(self) -> None:
        """Commit unless somebody has the turn, who then looks again once it is over."""
        while self._is_due() and self._turn.acquire(blocking=False):
            try:
                self._commit_now()
            finally:
                self._turn.release()

    def _is_due(self) -> bool:
        with self._lock:
            return bool(self._taken) and self._taken.isdisjoint(self._handed_out)

    def _commit_now(self) -> None:
        if not self._is_due():
            return
        if self._disturbed:
            self._roll_back()
            return
        outcome = self._session.commit()
        self._ended(committed=outcome.committed)
        if outcome.refused:
            self.fail(
                QueueError(
                    f"What was taken from queue {self._queue!r} comes again, because {outcome.cause}: set "
                    f"maxMsgsPerTransaction of the client profile at {self._options.host} to {self._limit} or more, or "
                    "take fewer by transaction_messages."
                )
            )

    def _ended(self, *, committed: bool) -> None:
        """Note how the transaction ended. One whose fate is unknown is taken for one that comes again."""
        with self._lock:
            taken, self._taken = self._taken, set()
            if committed:
                if self._acknowledged:
                    for id_ in taken:
                        self._acknowledged.pop(id_, None)
                return
            self._fence = self._broken = True
            self._remember(id_ for id_ in taken if id_ not in self._handed_out)

    def _remember(self, ids: Iterable[bytes]) -> None:
        self._acknowledged.update(dict.fromkeys(ids))
        while len(self._acknowledged) > max(_REMEMBERED, self._limit):
            self._acknowledged.popitem(last=False)

    def _restore(self) -> None:
        """Open another session in place of one that is dead, as long as the connection may come back."""
        self._session.close()
        self._ended(committed=False)
        now = monotonic()
        self._restore_by = self._restore_by or now + operation_deadline(self._options.reconnect)
        try:
            self._session = self._open_session(self._on_flow_event)
            self._restore_by = 0.0
        except ConnectionFailedError as error:
            if now > self._restore_by:
                self.fail(error)
        except FlumebeamError as error:
            self.fail(error)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
