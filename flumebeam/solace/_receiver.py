"""A consumer flow whose messages are acknowledged by id.

The client's own thread hands each message to :class:`_Flow`, which reads it at once and gives the native message back;
``receive`` only drains what has come. What stays per unacknowledged message is its id and the number under which the
flow acknowledges it.
"""

from __future__ import annotations

import ctypes
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from time import monotonic, sleep
from typing import Any, Final

import pyarrow as pa
from solace.messaging.config.message_acknowledgement_configuration import Outcome
from solace.messaging.core._core_api_utility import prepare_array
from solace.messaging.errors.pubsubplus_client_error import PubSubPlusClientError
from solace.messaging.messaging_service import MessagingService
from solace.messaging.receiver._impl._persistent_message_receiver import _PersistentMessageReceiver
from solace.messaging.resources.queue import Queue

from flumebeam.batch import EventBatch
from flumebeam.clock import Clock
from flumebeam.errors import ConnectionFailedError, QueueError
from flumebeam.solace import _native
from flumebeam.solace._client import bounded, lost_error, queue_error
from flumebeam.solace._native import OK
from flumebeam.solace._placed_frames import Taken, TakenMessages
from flumebeam.solace._queue_receiver import CLOSE_SECONDS, LINGER_SECONDS, MAX_UNPACKED_BYTES, QueueReceiver
from flumebeam.solace._reader import MessageReader
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.flows import FlowOptions, GiveBack
from flumebeam.solace.packing import claimed_events, is_pack

__all__ = ["FlowReceiver"]

_MAX_BUFFERED_MESSAGES: Final = 4096  # several batches ahead; the broker keeps the rest
_MAX_BUFFERED_BYTES: Final = 32 << 20  # large messages must not fill the memory

_OUTCOMES: Final = {GiveBack.FAILED: Outcome.FAILED.value, GiveBack.REJECTED: Outcome.REJECTED.value}

_keep_thread_state: Final = ctypes.pythonapi.PyGILState_Ensure


class _Flow(_PersistentMessageReceiver):  # type: ignore[misc]
    """The vendor's persistent receiver with its two callbacks led to us, in the thread that makes them."""

    def __init__(
        self,
        builder: Any,
        changes: Mapping[str, str],
        on_message: Callable[[int], None],
        on_event: Callable[[int], None],
    ) -> None:
        self._on_message = on_message
        self._on_event = on_event
        self._thread = 0
        super().__init__(builder)
        self._config |= changes
        self._flow_arr = prepare_array(self._config)

    def _flow_message_receive_callback_routine(self, _flow: int, message: int, _user: Any) -> int:
        if self._thread != threading.get_ident():
            # Python makes its state of a foreign thread for each call and throws it away again, which costs more than
            # to read the message. One claim that is not given back keeps it for as long as the thread lives.
            self._thread = threading.get_ident()
            _keep_thread_state()
        self._on_message(message)
        return 0  # the message is read: the library may free it

    def _event_callback_routine(self, flow: int, info: Any, user: Any) -> int:
        self._on_event(info.contents.flow_event)
        result: int = super()._event_callback_routine(flow, info, user)
        return result

    def handle(self) -> int | None:
        """Return the native flow, or ``None`` when it is gone."""
        value: int | None = self._flow_p.value
        return value


class FlowReceiver(QueueReceiver):
    """A :class:`~flumebeam.deliveries.Receiver` over one consumer flow.

    Unit of parallelism: one flow. After a failure everything unacknowledged comes again, to this receiver or another
    one; nothing is lost. A message that the broker hands over twice within the receiver's life is delivered once.

    Args:
        service: A connected service.
        options: Where it leads, for errors.
        queue: Name of a durable queue.
        before_bind: Called with the receiver's id before the flow is bound.
        flow: How it is bound.
        on_close: Called once when the receiver is closed.
        clock: The time, for the age of what is not acknowledged.

    Raises:
        ConfigurationError: The flow is to share the queue, and the broker lets it stand by.
        QueueError: The queue is unknown, or permission is missing.
        ConnectionFailedError: The broker does not answer.
    """

    def __init__(
        self,
        service: MessagingService,
        options: SolaceOptions,
        queue: str,
        before_bind: Callable[[str], None] | None,
        flow: FlowOptions,
        on_close: Callable[[QueueReceiver], None],
        clock: Clock | None = None,
    ) -> None:
        super().__init__(options, queue, flow, on_close, clock)
        self._reader = MessageReader()
        # What has come and nobody has taken; None where something happened that asks for a fence.
        self._buffer: deque[Taken | None] = deque([None])
        self._buffered_bytes = 0
        self._stopped = False
        # Delivery id to the number that acknowledges it: buffered or handed out, and not acknowledged.
        self._open: dict[bytes, int] = {}
        self._told = False  # anything was acknowledged
        self._settled = True
        if before_bind is not None:
            before_bind(self._receiver_id)
        self._flow = self._bind(service)
        self._must_be_served()

    def _bind(self, service: MessagingService) -> _Flow:
        builder = service.create_persistent_message_receiver_builder().with_message_client_acknowledgement()
        builder._endpoint_to_consume_from = Queue.durable_exclusive_queue(self._queue)
        flow = _Flow(builder, self._how.properties(), self._on_message, self._on_event)
        self._flow = flow  # messages may come before start() returns
        try:
            flow.start()
        except PubSubPlusClientError as error:
            raise queue_error(self._options, self._queue, error) from error
        return flow

    # -- called by the client's thread ---------------------------------------------------------------------------------

    def _on_message(self, handle: int) -> None:
        try:
            self._accept(handle)
        except Exception as error:  # noqa: BLE001 - nothing may escape into the native caller; receive() raises it
            self.fail(QueueError(f"A message of queue {self._queue!r} cannot be read: {error!r}."))

    def _accept(self, handle: int) -> None:
        message = self._reader.take(handle)
        if message is None:
            self.fail(
                QueueError(
                    f"Queue {self._queue!r} delivers messages without a replication group message id: "
                    "a broker of version 10 or later is needed."
                )
            )
            return
        number = self._reader.number(handle)
        with self._lock:
            settled = message.delivery in self._acknowledged
            known = settled or message.delivery in self._open
            if not settled:
                self._open[message.delivery] = number  # a new bind may number it anew
            if not known:
                self._buffered_bytes += len(message.body)
                self._buffer.append(message)
        if settled and not self._how.browse:
            _native.acknowledge(self._flow.handle(), number)  # the first acknowledgement was lost with its connection
        elif not known:
            if not self._stopped and self._is_full(1):
                self._stopped = _native.stop_flow(self._flow.handle()) == OK
            if not self._wake.is_set():
                self._wake.set()

    def _is_full(self, share: int) -> bool:
        """Tell whether the buffer holds at least one ``share``-th of what it may."""
        return (
            len(self._buffer) * share >= _MAX_BUFFERED_MESSAGES or self._buffered_bytes * share >= _MAX_BUFFERED_BYTES
        )

    def _note_event(self, event: int) -> None:
        # What was acknowledged on the flow's way down may not have arrived.
        self._settled = self._settled and not self._told

    def fence(self) -> None:
        """Mark what comes from now on: something happened after which another receiver may have had it."""
        self._buffer.append(None)

    # -- the contract --------------------------------------------------------------------------------------------------

    def receive(self, max_events: int, timeout: float) -> EventBatch:
        """Return up to ``max_events`` events; wait at most ``timeout`` seconds for the first one.

        Raises:
            ConnectionFailedError: The broker is away for longer than the reconnect policy allows.
            QueueError: The broker ended the flow.
        """
        if len(self._surplus):
            self._check()
            return self._hand_out(self._surplus, max_events)
        deadline = monotonic() + timeout
        waited = False
        while True:
            self._check()
            self._wake.clear()
            if waited and len(self._buffer) < max_events:
                sleep(LINGER_SECONDS)
            messages, fence = self._drain(max_events)
            if messages:
                return self._events(TakenMessages.of(messages), fence, max_events)
            if fence:
                self._buffer.appendleft(None)
            if self._how.browse:
                # What a browser has seen leaves the window only when the flow is started anew.
                _native.start_flow(self._flow.handle())
            if not self._wake.wait(max(0.0, deadline - monotonic())):
                self._check()
                return EventBatch.empty()
            waited = True

    def _drain(self, max_events: int) -> tuple[list[Taken], bool]:
        """Take what has come, up to a mark that stands behind a message: a fence covers whole batches.

        Of packed messages as many as fit by what they say of themselves, at least one.
        """
        buffer = self._buffer
        messages: list[Taken] = []
        fence = False
        room, nbytes = max_events, 0
        with self._lock:
            while buffer and room > 0:
                item = buffer[0]
                if item is None:
                    if messages:
                        break
                    fence = True
                else:
                    room -= claimed_events(item)
                    nbytes += len(item.body)
                    packed = is_pack(item)
                    full = room < 0 or (packed and nbytes > MAX_UNPACKED_BYTES)
                    if messages and (full or packed != is_pack(messages[0])):
                        nbytes -= len(item.body)
                        break
                    messages.append(item)
                buffer.popleft()
            self._buffered_bytes -= nbytes
            self._handed_out.update(dict.fromkeys((message.delivery for message in messages), self._clock.monotonic()))
        # Looked at on every call: the client's thread may have stopped the flow behind an earlier one.
        if self._stopped and not self._is_full(2):
            self._stopped = _native.start_flow(self._flow.handle()) != OK
        return messages, fence

    def acknowledge(self, ids: pa.FixedSizeBinaryArray) -> None:
        """Tell the broker that these deliveries are durable. Idempotent; ids that are not open are ignored.

        The client sends acknowledgements in ranges, within a second; :meth:`close` sends what is left.

        Raises:
            ConnectionFailedError: The broker can no longer be told; it will deliver them again.
            QueueError: The broker ended the flow; it will deliver them again.
        """
        self._check()
        self._told = True
        flow = self._flow.handle()
        whole = self._packs.completed_by(ids)
        if self._how.browse:
            self._forget(whole)
            return
        with self._lock:
            due = {id_: self._open[id_] for id_ in whole if id_ in self._handed_out and id_ in self._open}
        for number in due.values():
            if _native.acknowledge(flow, number) != OK:
                raise lost_error(self._options, f"Deliveries of queue {self._queue!r} cannot be acknowledged")
        with self._lock:
            # A reconnect in between may have brought them again, under other numbers.
            renumbered = [now for id_, number in due.items() if (now := self._open.pop(id_, number)) != number]
            since = [handed_out for id_ in due if (handed_out := self._handed_out.pop(id_, None)) is not None]
            self._remember(due)
        self._acknowledged_after = self._clock.monotonic() - min(since) if since else None
        for number in renumbered:
            _native.acknowledge(flow, number)

    def _forget(self, ids: Iterable[bytes]) -> None:
        """Drop what was only looked at: the client would delete it on the broker if it were acknowledged."""
        with self._lock:
            for id_ in ids:
                self._handed_out.pop(id_, None)
                if self._open.pop(id_, None) is not None:
                    self._remember((id_,))

    def give_back(self) -> int:
        """Tell the broker what became of deliveries that were handed out and not acknowledged, if the flow can.

        A packed message is given back whole. They come again to whoever the broker serves, also to this receiver once
        it is asked again. Called by the thread that receives, or when none does.

        Returns:
            How many messages the broker was told of; 0 if they are released by :meth:`close` only.
        """
        outcome = _OUTCOMES.get(self._how.give_back)
        if outcome is None or self._failure is not None:
            return 0
        with self._lock:
            numbers = [self._open.pop(id_) for id_ in self._handed_out if id_ in self._open]
            given_back = tuple(self._handed_out)
            self._handed_out.clear()
        self.fence()
        self._packs.forget(given_back)
        self._surplus = EventBatch.empty()
        self._settled = False
        flow = self._flow.handle()
        # The broker would deliver it again on this flow, also one that is about to end, and count that as one more try.
        # The next call of receive() starts the flow.
        self._stopped = _native.stop_flow(flow) == OK
        # What the broker cannot be told of is released when the flow ends.
        return sum(_native.settle(flow, number, outcome) == OK for number in numbers)

    @property
    def settled(self) -> bool:
        """Whether the flow was unbound in order after everything it had handed out was acknowledged on it."""
        return self._closed and self._settled

    def close(self) -> bool:
        """Unbind: acknowledgements are sent, what is not acknowledged is given back. Idempotent, bounded in time.

        Returns:
            False: the client does not wait for the broker's answer here (measured with solace-pubsubplus 1.11), but
            when the connection is closed, which tells.
        """
        if self._closed:
            return False
        self._settled = self._settled and self._failure is None and not self._handed_out
        self._closed = True
        self.fail(ConnectionFailedError(f"The receiver of queue {self._queue!r} is closed."))
        # Nothing lies in the vendor's own buffer, so no grace is needed.
        self._settled = bounded(lambda: self._flow.terminate(0), CLOSE_SECONDS) and self._settled
        self._buffer.clear()
        self._on_close(self)
        return False
