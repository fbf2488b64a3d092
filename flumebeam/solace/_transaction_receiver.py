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
from collections.abc import Callable
from itertools import repeat
from time import monotonic
from typing import Final

import pyarrow as pa
from solace.messaging.config._sol_constants import _SolClientFlowEvent

from flumebeam.batch import EventBatch
from flumebeam.clock import Clock
from flumebeam.errors import ConnectionFailedError, FlumebeamError, QueueError
from flumebeam.solace._client import bounded, operation_deadline
from flumebeam.solace._placed_frames import TakenMessages
from flumebeam.solace._queue_receiver import CLOSE_SECONDS, LINGER_SECONDS, MAX_UNPACKED_BYTES, QueueReceiver
from flumebeam.solace._transacted import VendorSession
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.flows import FlowOptions
from flumebeam.solace.packing import claimed_events, is_pack

__all__ = ["TransactionReceiver"]

_logger: Final = logging.getLogger(__name__)
_PATIENCE_SECONDS: Final = 60.0  # of a transaction that is full, before somebody is told
_TURN_SECONDS: Final = 0.05  # longest wait within the client: an acknowledgement may have to wait for it

_HARMLESS_EVENTS: Final = (
    _SolClientFlowEvent.SOLCLIENT_FLOW_EVENT_UP_NOTICE.value,
    _SolClientFlowEvent.SOLCLIENT_FLOW_EVENT_ACTIVE.value,
)


class TransactionReceiver(QueueReceiver):
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
        on_close: Callable[[QueueReceiver], None],
        clock: Clock | None = None,
    ) -> None:
        super().__init__(options, queue, flow, on_close, clock)
        self._limit = flow.transaction_messages
        self._away = away
        self._taken: set[bytes] = set()  # delivery ids of the open transaction
        self._pack_bytes = self._pack_events = 0  # of a packed message, as the last ones were
        self._broken = False  # some transaction was not committed
        self._disturbed = False  # what was taken in the open transaction may come again without it
        self._fence = True
        self._settled = self._warned = False
        self._turn = threading.Lock()  # held by whoever calls the session
        self._restore_by = 0.0  # a time, while there is no session
        if before_bind is not None:
            before_bind(self._receiver_id)
        self._open_session = open_session
        self._session = open_session(self._on_event)
        self._must_be_served()

    # -- called by the client's thread ---------------------------------------------------------------------------------

    def _note_event(self, event: int) -> None:
        # The client binds the flow anew where the broker asks for it, and goes on in the same transaction.
        self._disturbed = self._disturbed or event not in _HARMLESS_EVENTS

    def fence(self) -> None:
        """Mark what comes from now on: something happened after which another receiver may have had it."""
        with self._lock:
            self._fence = True

    # -- the contract --------------------------------------------------------------------------------------------------

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
            self._wake.clear()
            wait = min(max(0.0, deadline - monotonic()), _TURN_SECONDS)
            room = min(max_events, self._limit - len(self._taken))
            if room < 1 or (self._away() and not self._session.dead):
                self._tell_if_stuck(room)
                self._wake.wait(wait)
                messages = TakenMessages()
            else:
                with self._turn:
                    messages = self._take(room, wait)
            self._commit_if_due()
            if messages:
                return self._events(messages, self._take_fence(), max_events)
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

    def _take_fence(self) -> bool:
        with self._lock:
            fence, self._fence = self._fence, False
        return fence

    def acknowledge(self, ids: pa.FixedSizeBinaryArray) -> None:
        """Note that these deliveries are durable, and commit when all of them are. Idempotent.

        Raises:
            ConnectionFailedError: The broker can no longer be told; it will deliver them again.
            QueueError: The broker ended the flow, or allows fewer messages in a transaction; it will deliver them
                again.
        """
        self._check()
        whole = self._packs.completed_by(ids)
        with self._lock:
            handed_out = self._handed_out
            if not self._broken and whole == list(handed_out):
                # All at once and in their order, as sinks do: to look each of them up would cost ten times as much.
                oldest = next(iter(handed_out.values()), None)
                handed_out.clear()
            else:
                ours = dict.fromkeys(filter(handed_out.__contains__, whole))
                oldest = min(map(handed_out.pop, ours), default=None)
                if not self._taken.issuperset(ours):
                    self._remember(id_ for id_ in ours if id_ not in self._taken)
        self._acknowledged_after = None if oldest is None else self._clock.monotonic() - oldest
        self._commit_if_due()
        self._wake.set()
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
        bounded(self._commit_at_end, CLOSE_SECONDS)
        self._session.close()
        with self._lock:
            self._settled = not (self._handed_out or self._taken or self._acknowledged)
        self._on_close(self)
        return self._settled

    def _commit_at_end(self) -> None:
        with self._turn:
            self._commit_now()

    # -- within; the turn is held --------------------------------------------------------------------------------------

    def _take(self, room: int, wait: float) -> TakenMessages:
        """Take messages into the transaction, and return those that were not handed out before."""
        nothing = TakenMessages()
        if self._session.dead:
            self._restore()
            return nothing
        if self._disturbed:
            self._roll_back()
        if self._pack_events:
            room = max(1, min(room, room // self._pack_events, MAX_UNPACKED_BYTES // self._pack_bytes))
        try:
            messages = self._session.take(room, wait, LINGER_SECONDS)
        except ConnectionFailedError:
            self._roll_back()
            return nothing
        except QueueError as error:
            self.fail(error)
            return nothing
        if not messages:
            return nothing
        self._measure(messages)
        now = self._clock.monotonic()
        deliveries = messages.deliveries()
        with self._lock:
            self._taken.update(deliveries)
            if self._broken:
                messages = TakenMessages.of(
                    [
                        message
                        for message in messages.one_by_one()
                        if message.delivery not in self._acknowledged and message.delivery not in self._handed_out
                    ]
                )
                deliveries = messages.deliveries()
            self._handed_out.update(zip(deliveries, repeat(now)))
        return messages

    def _roll_back(self) -> None:
        """Give up the transaction. What was taken comes again, under the same ids."""
        self._disturbed = False
        self._session.rollback()
        self._ended(committed=False)

    def _measure(self, messages: TakenMessages) -> None:
        """Look at what a packed message holds, so that as many are taken at once as fit."""
        last = messages.last_single
        self._pack_events = 0
        if last is not None and is_pack(last):
            self._pack_events, self._pack_bytes = claimed_events(last), max(1, len(last.body))

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

    def _restore(self) -> None:
        """Open another session in place of one that is dead, as long as the connection may come back."""
        self._session.close()
        self._ended(committed=False)
        now = monotonic()
        self._restore_by = self._restore_by or now + operation_deadline(self._options.reconnect)
        try:
            self._session = self._open_session(self._on_event)
            self._restore_by = 0.0
        except ConnectionFailedError as error:
            if now > self._restore_by:
                self.fail(error)
        except FlumebeamError as error:
            self.fail(error)
