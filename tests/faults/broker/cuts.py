"""Events that move through transactions while their connection is cut, and the audit after it.

One client of the vendor takes events from a queue and publishes each to another in the transaction that takes it,
through the native lane, and rides on over cuts inside of open transactions. Cuts strike at random moments and at named
points: inside frames in both directions, between a publish and its commit, before and after the commit is applied,
after its answer, at a rollback, at a bind.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import pyarrow as pa
from solace.messaging.errors.pubsubplus_client_error import (
    PubSubPlusClientError,
    TransactionRollbackError,
    UnknownTransactionStateError,
)
from solace.messaging.messaging_service import ReconnectionListener
from solace.messaging.resources.queue import Queue

from flumebeam.broker import (
    CutAfterCommit,
    CutAfterPublishes,
    CutInFrame,
    DevelopmentBroker,
    Fault,
    LoseBindResponse,
    LoseCommitResponse,
    LoseRollbackResponse,
    running_broker,
)
from flumebeam.solace._native_lane import NativeLane
from flumebeam.solace._reader import MessageReader
from flumebeam.solace.outgoing import OutgoingEvents
from tests.faults.broker.conversations import connected

__all__ = ["CutSums", "cut_scene"]

_LARGEST = 180
"""Messages taken in one transaction at most; twice that many count in it."""
_BODY_BYTES = 60
_WAIT_MS = 1_000
_PATIENCE = 60.0
_MOST_BYTES = 40_000
"""Bytes of a large transaction: so a cut after fewer may strike anywhere in it."""

T = TypeVar("T")


@dataclass
class CutSums:
    """What came of it. ``lost``, ``repeated``, ``misordered``, ``divided`` and ``extra`` are to be 0.

    Attributes:
        cuts: Connections that were cut.
        events: Events that were moved.
        committed: Transactions that the client called committed.
        rolled_back: Transactions that it called rolled back, or that were given up.
        unknown_applied: Transactions of unknown fate that turned out to be applied: nothing of them came again.
        unknown_undone: Transactions of unknown fate of which everything came again.
        reopened: Sessions that could not go on.
        lost: Events that did not arrive.
        repeated: Events that arrived once too often.
        misordered: Events that arrived behind a younger one.
        divided: Transactions of which a part came again.
        extra: Messages that were left in the queues.
    """

    cuts: int = 0
    events: int = 0
    committed: int = 0
    rolled_back: int = 0
    unknown_applied: int = 0
    unknown_undone: int = 0
    reopened: int = 0
    lost: int = 0
    repeated: int = 0
    misordered: int = 0
    divided: int = 0
    extra: int = 0

    def __add__(self, other: CutSums) -> CutSums:
        return CutSums(**{name: value + getattr(other, name) for name, value in asdict(self).items()})

    @property
    def clean(self) -> bool:
        """Whether every event was moved exactly once."""
        return not (self.lost or self.repeated or self.misordered or self.divided or self.extra)


class Session:
    """A transacted session of the vendor's client, used through the native lane.

    Args:
        service: A connected service.
        queue: What it takes from, or None.
    """

    def __init__(self, service: Any, queue: str | None) -> None:
        self._vendor = service.create_transactional_service_builder().build()
        self._vendor.connect()
        flow = None
        if queue is not None:
            builder = self._vendor.create_transactional_message_receiver_builder()
            flow = builder.build(Queue.durable_exclusive_queue(queue)).start()
        self._lane = NativeLane(self._vendor, flow)
        self._reader = MessageReader()

    def _run(self, job: Callable[[], T]) -> T:
        result: T = self._vendor._run_later(job).result(_PATIENCE)
        return result

    def take(self, count: int) -> list[int]:
        """Take up to so many numbers."""
        found = self._run(lambda: self._lane.receive(count, _WAIT_MS, self._reader))
        return [int(message.body.partition(b" ")[0]) for message in found.one_by_one()]

    def publish(self, numbers: Sequence[int], topic: str) -> None:
        """Publish numbers."""
        bodies = pa.array([(b"%d " % number).ljust(_BODY_BYTES) for number in numbers], pa.binary())
        outgoing = OutgoingEvents({}, bodies, {}, [topic] * len(numbers), None)
        self._run(lambda: self._lane.publish(outgoing))

    def commit(self) -> None:
        """Commit."""
        self._run(self._vendor.commit)

    def rollback(self) -> None:
        """Roll back."""
        self._run(self._vendor.rollback)

    def close(self) -> None:
        """Close the session, whatever state it is in."""
        with contextlib.suppress(PubSubPlusClientError, concurrent.futures.TimeoutError):
            self._vendor.disconnect()


class Mover:
    """Moves numbers from ``in`` to ``out`` and keeps books about the fate of its transactions."""

    def __init__(self, service: Any, chance: random.Random, sums: CutSums) -> None:
        self._service = service
        self._chance = chance
        self._sums = sums
        self._session = Session(service, "in")
        self._in_doubt: set[int] = set()

    def step(self) -> bool:
        """Try one transaction; return whether there was something to take."""
        session, sums = self._session, self._sums
        numbers: list[int] = []
        try:
            numbers = session.take(self._chance.randint(1, _LARGEST))
            if not numbers:
                return False
            self._resolve(numbers)
            session.publish(numbers, "out")
            if self._chance.random() < 0.05:
                session.rollback()
                sums.rolled_back += 1
            else:
                session.commit()
                sums.committed += 1
        except TransactionRollbackError:
            sums.rolled_back += 1
        except UnknownTransactionStateError:
            self._in_doubt = set(numbers)
        except PubSubPlusClientError:
            sums.rolled_back += 1
            self._give_up()
        return True

    def _resolve(self, numbers: list[int]) -> None:
        # Events come in order, so those of a transaction that was not applied are the next ones, from its first.
        doubtful, self._in_doubt = self._in_doubt, set()
        again = doubtful.intersection(numbers)
        if not doubtful:
            return
        if not again:
            self._sums.unknown_applied += 1
        elif numbers[0] == min(doubtful) and again == set(numbers[: len(doubtful)]):
            self._sums.unknown_undone += 1
        else:
            self._sums.divided += 1

    def settle(self) -> None:
        """Note that nothing comes any more, so nothing will come again."""
        if self._in_doubt:
            self._sums.unknown_applied += 1
            self._in_doubt = set()

    def _give_up(self) -> None:
        try:
            self._session.rollback()
        except PubSubPlusClientError:
            self._session.close()
            self._session = Session(self._service, "in")
            self._sums.reopened += 1

    def close(self) -> None:
        """Close the session."""
        self._session.close()


class Cutter:
    """Arms one cut after the other."""

    def __init__(self, broker: DevelopmentBroker, chance: random.Random) -> None:
        self._broker = broker
        self._chance = chance
        self._timer: threading.Timer | None = None

    def arm(self, wanted: bool) -> None:
        """Have the next cut made soon if one is wanted, unless there is one that has still to strike."""
        if not wanted or (self._timer is not None and self._timer.is_alive()):
            return
        if self._broker.pending_faults():
            return
        chance = self._chance
        choice: Fault | None = chance.choice(
            (
                None,
                None,
                CutAfterPublishes(count=chance.randint(1, _LARGEST)),
                CutInFrame(after_bytes=chance.randint(1, _MOST_BYTES)),
                CutInFrame(after_bytes=chance.randint(1, _MOST_BYTES), sent=True),
                LoseCommitResponse(applied=True),
                LoseCommitResponse(applied=False),
                CutAfterCommit(),
            )
        )
        if choice is None:
            self._timer = threading.Timer(chance.expovariate(200.0), self._broker.cut_connections, ("mover",))
            self._timer.start()
        elif chance.random() < 0.1:
            # What comes after a cut is hit as well.
            self._broker.fault(choice, chance.choice((LoseBindResponse(), LoseRollbackResponse(applied=False))))
        else:
            self._broker.fault(choice)

    def stop(self) -> None:
        """Have no cut left to come."""
        if self._timer is not None:
            self._timer.join()
        self._broker.forget_faults()


def cut_scene(cuts: int, events: int, seed: str) -> CutSums:
    """Move events while connections are cut, and count what arrived.

    Args:
        cuts: At least so many; if all events have moved before, more are fed.
        events: At least so many.
        seed: Of the cuts and of the transactions' sizes.

    Returns:
        The sums.

    Raises:
        AssertionError: Something stalled.
    """
    chance, sums = random.Random(seed), CutSums()
    with running_broker(max_transaction_messages=2 * _LARGEST) as broker:
        broker.create_queue("in", subscriptions=["in"])
        broker.create_queue("out", subscriptions=["out"])
        _feed(broker, range(events))
        sums.events = events
        service = connected(broker.url, "mover")
        losses = _Losses(service)
        cutter, mover = Cutter(broker, chance), Mover(service, chance, sums)
        deadline = time.monotonic() + _PATIENCE
        while broker.queue("in").messages or losses.count < cuts:
            if broker.queue("in").messages:
                cutter.arm(losses.count < cuts)
            else:
                cutter.stop()
                _feed(broker, range(sums.events, sums.events + 10 * _LARGEST))
                sums.events += 10 * _LARGEST
            if mover.step():
                deadline = time.monotonic() + _PATIENCE
            elif time.monotonic() > deadline:
                raise AssertionError(f"Nothing moves (seed {seed}): {broker.queues()}")
        cutter.stop()
        mover.settle()
        sums.cuts = losses.count
        mover.close()
        service.disconnect()
        _audit(broker, sums)
    return sums


class _Losses(ReconnectionListener):
    """How often the client came back after it had lost its connection: cuts that follow at once count as one."""

    def __init__(self, service: Any) -> None:
        self.count = 0
        service.add_reconnection_listener(self)

    def on_reconnected(self, service_event: Any) -> None:
        self.count += 1


def _feed(broker: DevelopmentBroker, numbers: range) -> None:
    service = connected(broker.url, "feeder")
    session = Session(service, None)
    for first in range(numbers.start, numbers.stop, _LARGEST):
        session.publish(range(first, min(first + _LARGEST, numbers.stop)), "in")
        session.commit()
    session.close()
    service.disconnect()


def _audit(broker: DevelopmentBroker, sums: CutSums) -> None:
    service = connected(broker.url, "audit")
    session = Session(service, "out")
    seen: collections.Counter[int] = collections.Counter()
    highest = -1
    while broker.queue("out").messages:
        numbers = session.take(2 * _LARGEST)
        session.commit()
        for number in numbers:
            seen[number] += 1
            sums.misordered += number < highest
            highest = max(highest, number)
    session.close()
    service.disconnect()
    sums.lost = sum(not seen[number] for number in range(sums.events))
    sums.repeated = sum(count - 1 for count in seen.values() if count)
    sums.extra = sum(queue.messages for queue in broker.queues()) + sum(number >= sums.events for number in seen)
