"""Consumer flows and browsers: what a client may be sent, was sent, and has not acknowledged."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

from flumebeam.broker.core.connection import MESSAGE_OVERHEAD
from flumebeam.broker.core.journal import DeliveredAgain, Renumbered
from flumebeam.broker.core.spool import Entry, Spool
from flumebeam.broker.core.states import FLOW, FlowState, after
from flumebeam.smf.pubmsg import encode_delivery, encode_redelivery

if TYPE_CHECKING:
    from flumebeam.broker.core.connection import Connection
    from flumebeam.broker.core.queues import Queue
    from flumebeam.broker.core.selectors import Selector

__all__ = ["Browser", "ConsumerFlow"]

_BROWSE_AHEAD: Final = 1_000
_BROWSE_AHEAD_BYTES: Final = 1_000_000
_EXAMINED_AT_ONCE: Final = 2_000
"""Messages put to a browser's selector before others have their turn: some 20 ms."""


class ConsumerFlow:
    """One binding of a client to a queue.

    Two limits hold it back: the transport window, which counts what the client library has not confirmed, and the
    unacknowledged limit, which counts what the application has not settled.

    Args:
        flow_id: Id on its connection.
        queue: Queue that it is bound to.
        connection: Connection that it lives on.
        spool: Numbers deliveries.
        max_unacked: Deliveries that may wait for settlement.
        session_id: Transacted session that it belongs to, or None.
        wants_changes: Whether the client asked to be told when the flow becomes active.
        last_received: Highest delivery id that its client has received from the queue, on a flow before this one.
        selector: What messages have to meet, or None.
    """

    __slots__ = (
        "_in_flight",
        "_previous_id",
        "_widest",
        "connection",
        "id",
        "last_id",
        "max_unacked",
        "queue",
        "selector",
        "session_id",
        "spool",
        "state",
        "token",
        "unacked",
        "wants_changes",
        "window",
    )

    def __init__(
        self,
        flow_id: int,
        queue: Queue,
        connection: Connection,
        spool: Spool,
        max_unacked: int,
        session_id: int | None = None,
        wants_changes: bool = False,
        last_received: int = 0,
        selector: Selector | None = None,
    ) -> None:
        self.id = flow_id
        self.queue = queue
        self.connection = connection
        self.spool = spool
        self.selector = selector
        self.max_unacked = max_unacked
        self.session_id = session_id
        self.wants_changes = wants_changes
        self.window = 0
        self._widest = 0
        """Largest window that the client has granted: it has that much room when it holds nothing."""
        self.last_id = last_received
        """Highest delivery id sent; the client drops anything not above it."""
        self.token = 0
        """Endpoint error id, which the client repeats when it binds again."""
        self.unacked: dict[int, Entry] = {}
        """Deliveries by id, ascending, until the application settles them."""
        self.state = FlowState.UNBOUND
        self._in_flight: deque[int] = deque()
        self._previous_id = 0

    @property
    def is_active(self) -> bool:
        """Whether it receives messages."""
        return self.state is FlowState.ACTIVE

    def advance(self, event: str) -> None:
        """Go where the table of states leads."""
        self.state = after(FLOW, self.state, event)

    @property
    def credit(self) -> int:
        """Number of messages that may be sent now."""
        if not self.connection.accepts_deliveries:
            return 0
        return min(self.window - len(self._in_flight), self.max_unacked - len(self.unacked))

    def confirm(self, last_acked: int, window: int) -> None:
        """Take a transport acknowledgement: everything up to ``last_acked`` arrived, ``window`` more may come."""
        in_flight = self._in_flight
        while in_flight and in_flight[0] <= last_acked:
            in_flight.popleft()
        self.window = window
        self._widest = max(self._widest, window)

    def deliver(self, ready: deque[Entry], limit: int) -> None:
        """Send up to ``limit`` messages from the front of ``ready``, less if the connection's output is full."""
        connection, spool, unacked = self.connection, self.spool, self.unacked
        last_id, previous_id, flow_id = self.last_id, self._previous_id, self.id
        output, in_flight, stamp = connection.output, self._in_flight, spool.stamp
        room = allowed = connection.delivery_room
        queue, wanted = self.queue, limit
        renumbered: list[tuple[int, int]] = []
        repeated: list[tuple[int, int]] = []
        while limit > 0 and ready and room > 0:
            entry = ready.popleft()
            if entry.gone:
                continue
            message = entry.message
            delivery_id = entry.delivery_id
            if delivery_id <= last_id:
                delivery_id = entry.delivery_id = spool.next_id()
                renumbered.append((message.id, delivery_id))
            if entry.deliveries or delivery_id != message.id:
                tail = encode_redelivery(spool.spooler_id, message.id, entry.deliveries)
                if entry.deliveries:
                    repeated.append((message.id, entry.deliveries + 1))
            else:
                tail = stamp
            output += encode_delivery(
                message.template, message.summary, message.body, flow_id, delivery_id, previous_id, tail
            )
            entry.deliveries += 1
            entry.holder = self
            unacked[delivery_id] = entry
            in_flight.append(delivery_id)
            last_id = previous_id = delivery_id
            room -= message.size + MESSAGE_OVERHEAD
            limit -= 1
        self.last_id, self._previous_id = last_id, previous_id
        sent = wanted - limit
        portion = queue.noted_in if last_id <= queue.noted_to and queue.line is None else None
        if sent and queue.line is None and message.id > queue.delivered_to:
            # The last one is the youngest.
            queue.delivered_to = message.id
        if renumbered and spool.journal is not None and queue.durable:
            # The client acknowledges by the delivery id, also after a restart.
            spool.journal.append(Renumbered(queue.name, renumbered))
            portion = None
        queue.redelivered += len(repeated)
        if queue.line is not None:
            # Not in the order of their age, so that each has to be named.
            repeated = [(entry.message.id, entry.deliveries) for entry in islice(reversed(unacked.values()), sent)]
        if repeated and spool.journal is not None and queue.durable:
            spool.journal.append(DeliveredAgain(queue.name, repeated))
            portion = None
        queue.delivered += sent
        connection.traffic.delivered += sent
        queue.delivered_bytes += allowed - room - sent * MESSAGE_OVERHEAD
        connection.spend(room, portion)

    def adopt(self, entries: Iterable[Entry]) -> None:
        """Hold deliveries that the client has received on a flow before this one, in the order of their ids.

        They take up the window until the client confirms them: in a transacted session it does so only when its
        application has taken them, and what comes beyond the window stays without a place there.
        """
        for entry in entries:
            entry.holder = self
            self.unacked[entry.delivery_id] = entry
            self._in_flight.append(entry.delivery_id)

    def settled(self, low: int, high: int) -> list[Entry]:
        """Take the deliveries with ``low <= id <= high`` out of the unacknowledged ones and return them."""
        return list(map(self.unacked.pop, self._between(low, high)))

    def count(self, low: int, high: int) -> int:
        """Return how many unacknowledged deliveries have ``low <= id <= high``."""
        return len(self._between(low, high))

    def _between(self, low: int, high: int) -> list[int]:
        if low == high:
            return [low] if low in self.unacked else []
        ids = []
        for delivery_id in self.unacked:
            if delivery_id > high:
                break
            if delivery_id >= low:
                ids.append(delivery_id)
        return ids

    def take_back(self) -> list[Entry]:
        """Return all unacknowledged deliveries and forget them, and start a new chain of previous ids.

        After a rollback the client discards what was under way until a message names 0 as its previous one. It drops
        what it has not handed out, too, and does not say that it has room again.
        """
        entries = list(self.unacked.values())
        self.unacked.clear()
        self._in_flight.clear()
        self._previous_id = 0
        self.window = max(self.window, self._widest)
        return entries


class Browser:
    """A flow that looks at messages and leaves them where they are, unless the application removes one.

    It reads ahead a bounded number of entries, so that neither a large queue nor a slow browser costs more.
    """

    __slots__ = (
        "_ahead",
        "_in_flight",
        "_previous_id",
        "_shown_id",
        "connection",
        "id",
        "queue",
        "selector",
        "spool",
        "window",
    )

    def __init__(
        self,
        flow_id: int,
        queue: Queue,
        connection: Connection,
        spool: Spool,
        last_received: int = 0,
        selector: Selector | None = None,
    ) -> None:
        self.id = flow_id
        self.queue = queue
        self.connection = connection
        self.spool = spool
        self.selector = selector
        self.window = 0
        self._ahead: deque[Entry] = deque()
        self._shown_id = last_received
        self._previous_id = 0
        self._in_flight: deque[int] = deque()

    def confirm(self, last_acked: int, window: int) -> None:
        """Take a transport acknowledgement: everything up to ``last_acked`` arrived, ``window`` more may come."""
        while self._in_flight and self._in_flight[0] <= last_acked:
            self._in_flight.popleft()
        self.window = window

    def show(self, waiting: Callable[[int], Iterator[Entry]]) -> None:
        """Send what the window allows of the entries behind the last one shown.

        Args:
            waiting: Returns the messages that wait and have a permanent id above a given one, oldest first.
        """
        connection, selector = self.connection, self.selector
        budget = _EXAMINED_AT_ONCE
        while connection.accepts_deliveries and len(self._in_flight) < self.window:
            if not self._ahead and not self._look_ahead(waiting):
                return
            if not budget:
                connection.come_back()
                return
            entry = self._ahead.popleft()
            message = entry.message
            self._shown_id = message.id
            if entry.gone or entry.holder is not None:
                continue
            if selector is not None:
                budget -= 1
                if not selector.matches(message):
                    continue
            parts = encode_delivery(
                message.template,
                message.summary,
                message.body,
                self.id,
                message.id,
                self._previous_id,
                self.spool.stamp,
            )
            connection.output += parts
            self._previous_id = message.id
            self._in_flight.append(message.id)
            connection.spend(connection.delivery_room - message.size - MESSAGE_OVERHEAD)

    def _look_ahead(self, waiting: Callable[[int], Iterator[Entry]]) -> bool:
        # Not too much: what has left the queue meanwhile stays in memory until it is come by.
        size = 0
        for entry in islice(waiting(self._shown_id), _BROWSE_AHEAD):
            self._ahead.append(entry)
            size += entry.message.size
            if size > _BROWSE_AHEAD_BYTES:
                break
        return bool(self._ahead)
