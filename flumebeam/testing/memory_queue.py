"""A queue in this process's memory, with receivers that follow the contract: for tests of what reads from receivers.

It behaves as a queue of the broker does: what a receiver took and did not acknowledge comes back, marked as
redelivered, in front, when the receiver closes. It is not a client of any broker.
"""

from __future__ import annotations

import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa

from flumebeam.batch import EventBatch
from flumebeam.errors import ConnectionFailedError
from flumebeam.event import Event, Provenance
from flumebeam.ids import DeliveryId

__all__ = ["MemoryQueue", "MemoryReceiver", "MemoryReceiverFactory"]


@dataclass(frozen=True, slots=True)
class _Stored:
    delivery: DeliveryId
    body: bytes
    redelivered: bool = False


class MemoryQueue:
    """A named queue. Thread-safe.

    Args:
        name: Unique in this process while the queue lives; factories find it by that name.
    """

    _queues: Final[dict[str, MemoryQueue]] = {}

    def __init__(self, name: str) -> None:
        self.name = name
        self._changed = threading.Condition()
        self._stored: deque[_Stored] = deque()
        self._origin = uuid.uuid4().int >> 64
        self._count = 0
        self.opened: list[str] = []
        self.open: set[str] = set()
        self.acknowledged: list[bytes] = []
        self._queues[name] = self

    @classmethod
    def named(cls, name: str) -> MemoryQueue:
        """Return the queue of that name."""
        return cls._queues[name]

    def put(self, bodies: Iterable[bytes]) -> None:
        """Add events."""
        with self._changed:
            for body in bodies:
                self._count += 1
                self._stored.append(_Stored(DeliveryId(self._origin, self._count), body))
            self._changed.notify_all()

    def remove(self) -> None:
        """Forget the queue."""
        self._queues.pop(self.name, None)

    def __len__(self) -> int:
        return len(self._stored)

    def take(self, max_events: int, timeout: float) -> list[_Stored]:
        """Take stored events, waiting for the first."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._stored), timeout)
            return [self._stored.popleft() for _ in range(min(max_events, len(self._stored)))]

    def give_back(self, events: Iterable[_Stored]) -> None:
        """Put events back in front, in order, marked as redelivered."""
        with self._changed:
            self._stored.extendleft(
                _Stored(event.delivery, event.body, redelivered=True) for event in reversed(list(events))
            )
            self._changed.notify_all()


class MemoryReceiver:
    """A receiver of a :class:`MemoryQueue`; see :class:`~flumebeam.deliveries.Receiver`."""

    def __init__(self, queue: MemoryQueue, before_bind: Callable[[str], None]) -> None:
        self.receiver_id = uuid.uuid4().hex
        before_bind(self.receiver_id)
        self._queue = queue
        self._lock = threading.Lock()
        self._open: dict[bytes, _Stored] | None = {}
        self._settled = True
        queue.opened.append(self.receiver_id)
        queue.open.add(self.receiver_id)

    @property
    def unacknowledged(self) -> int:
        """Deliveries handed out and not acknowledged."""
        with self._lock:
            return len(self._open or ())

    def receive(self, max_events: int, timeout: float) -> EventBatch:
        """Return up to ``max_events`` events.

        Raises:
            ConnectionFailedError: The receiver is closed.
        """
        taken = self._queue.take(max_events, timeout)
        with self._lock:
            if self._open is None:
                self._queue.give_back(taken)
                raise ConnectionFailedError(f"Receiver {self.receiver_id} is closed.")
            self._open.update((event.delivery.pack(), event) for event in taken)
        return EventBatch.from_events(
            Event(
                event.body,
                provenance=Provenance(self.receiver_id, self._queue.name, event.delivery, event.redelivered),
            )
            for event in taken
        )

    def acknowledge(self, ids: pa.FixedSizeBinaryArray) -> None:
        """Forget these deliveries for good.

        Raises:
            ConnectionFailedError: The receiver is closed.
        """
        with self._lock:
            if self._open is None:
                raise ConnectionFailedError(f"Receiver {self.receiver_id} is closed.")
            for packed in ids.to_pylist():
                if (event := self._open.pop(packed, None)) is not None:
                    self._queue.acknowledged.append(event.body)

    def close(self) -> bool:
        """Give back what is not acknowledged. Idempotent.

        Returns:
            Whether there was nothing to give back.
        """
        with self._lock:
            held, self._open = self._open, None
            self._settled = self._settled and not held
        if held is not None:
            self._queue.give_back(held.values())
            self._queue.open.discard(self.receiver_id)
        return self._settled


@dataclass(frozen=True)
class MemoryReceiverFactory:
    """Opens receivers of a queue of this process.

    Attributes:
        source: Name of the queue.
    """

    source: str
    errors: tuple[Exception, ...] = field(default=())

    @property
    def lineage(self) -> tuple[str, ...]:
        """What is read, for Beam's lineage."""
        return "memory", self.source

    def open(self, before_bind: Callable[[str], None]) -> MemoryReceiver:
        """Open a receiver; raise the error that the factory was given, if any."""
        for error in self.errors:
            raise error
        return MemoryReceiver(MemoryQueue.named(self.source), before_bind)
