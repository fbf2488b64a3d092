"""Partitioned queues: messages with equal keys go through one partition, and a partition to one flow at a time.

As the vendor documents it: the key is the user property ``JMSXGroupID``, its hash modulo the number of partitions names
the partition, messages without a key are spread, and partitions are shared out evenly over the flows, some time after a
flow has come or gone. A partition that moves stops delivering, and moves when its unacknowledged messages are settled,
or after the longest time for that; what is unsettled then is delivered again, to the new flow.

The hash function is ours, CRC-32, and so is that a queue none of whose partitions is served does not wait.
"""

from __future__ import annotations

import heapq
import zlib
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final

from flumebeam.broker.core.lines import by_age, put_in_order
from flumebeam.broker.core.spool import Entry, SpooledMessage
from flumebeam.errors import ProtocolError
from flumebeam.smf.sdt import decode_properties

if TYPE_CHECKING:
    from flumebeam.broker.core.flows import ConsumerFlow

__all__ = ["MAX_PARTITIONS", "Partition", "Partitions", "partition_of"]

MAX_PARTITIONS: Final = 1_000
_KEY: Final = "JMSXGroupID"


def partition_of(message: SpooledMessage, count: int) -> int:
    """Return the partition of a message, the same one whenever it is asked for."""
    try:
        key = decode_properties(message.summary, message.body).user.get(_KEY)
    except ProtocolError:
        # Clients put it there, and brokers pass on what they cannot read.
        key = None
    raw = message.id.to_bytes(8, "big") if key is None or key == "" else str(key).encode()
    return zlib.crc32(raw) % count


class Partition:
    """One partition.

    Attributes:
        number: Its number in the queue, from 0.
        row: Messages that wait, oldest first.
        flow: The flow that it is delivered to.
        successor: The flow that it moves to, once the messages that ``flow`` has are settled.
        move_by: When it moves at the latest, seconds.
    """

    __slots__ = ("flow", "move_by", "number", "row", "successor")

    def __init__(self, number: int) -> None:
        self.number = number
        self.row: deque[Entry] = deque()
        self.flow: ConsumerFlow | None = None
        self.successor: ConsumerFlow | None = None
        self.move_by = 0.0

    def give(self, flow: ConsumerFlow, move_by: float) -> None:
        """Have it served by a flow, at once if nobody serves it now."""
        if self.flow is None or self.flow is flow:
            self.flow, self.successor = flow, None
        else:
            self.successor, self.move_by = flow, move_by


class Partitions:
    """The partitions of a queue.

    Args:
        count: How many.
        put_back: Takes back what a flow had to give up.

    Attributes:
        delay_seconds: How long after a flow came or went the partitions are shared out again.
        max_handoff_seconds: How long a partition that moves waits for its messages to be settled.
    """

    def __init__(self, count: int, put_back: Callable[[list[Entry]], None]) -> None:
        self.partitions = tuple(map(Partition, range(count)))
        self.delay_seconds = self.max_handoff_seconds = 0
        self._put_back = put_back
        self._flows: list[ConsumerFlow] = []
        self._rebalance_at: float | None = None

    @property
    def rebalancing(self) -> bool:
        """Whether the partitions are to be shared out again, or some are moving."""
        return self._rebalance_at is not None or any(partition.successor for partition in self.partitions)

    def served(self) -> dict[str, int]:
        """Return how many partitions each client serves, by client name; those that are moving are left out."""
        return Counter(
            partition.flow.connection.client_name
            for partition in self.partitions
            if partition.flow is not None and partition.successor is None
        )

    # As a line

    def extend(self, entries: Iterable[Entry]) -> None:
        """Take messages that have just come or waited elsewhere, oldest first."""
        partitions = self.partitions
        for entry in entries:
            entry.partition = partition_of(entry.message, len(partitions))
            partitions[entry.partition].row.append(entry)

    def put_back(self, entries: list[Entry]) -> None:
        """Take back messages that were delivered and not settled, oldest first."""
        rows: dict[int, list[Entry]] = {}
        for entry in entries:
            rows.setdefault(entry.partition, []).append(entry)
        for number, returned in rows.items():
            put_in_order(self.partitions[number].row, returned)

    def take(self, wanted: set[Entry], flow: ConsumerFlow) -> list[Entry]:
        """Return those of some messages that wait, to be held by a flow that has just been bound.

        It comes back to the partitions that they are in, unless these are served by another flow by now.
        """
        found = []
        for partition in self.partitions:
            mine = [entry for entry in partition.row if entry in wanted]
            if mine:
                found += mine
                partition.row = deque(entry for entry in partition.row if entry not in wanted)
                if partition.flow not in flow.queue.flows:
                    partition.flow = flow
        return found

    def deliver(self, flows: Sequence[ConsumerFlow], now: float) -> None:
        """Deliver as much as the flows take, and move partitions whose time has come."""
        if self._flows != flows:
            self._note_flows(list(flows), now)
        if self._rebalance_at is not None and now >= self._rebalance_at:
            self._rebalance(now)
        for partition in self.partitions:
            if partition.successor is not None:
                self._hand_over(partition, partition.successor, now)
        self._serve()

    def waiting(self, after: int) -> Iterator[Entry]:
        """Yield the messages that wait and have a permanent id above ``after``, oldest first."""
        rows = (
            islice(partition.row, bisect_right(partition.row, after, key=by_age), None) for partition in self.partitions
        )
        return (entry for entry in heapq.merge(*rows, key=by_age) if not entry.gone)

    def compact(self) -> None:
        """Forget messages that are gone."""
        for partition in self.partitions:
            partition.row = deque(entry for entry in partition.row if not entry.gone)

    def due(self) -> bool:
        """Return whether something is to happen because time passes."""
        return self.rebalancing

    # Who serves what

    def _note_flows(self, flows: list[ConsumerFlow], now: float) -> None:
        self._flows = flows
        for partition in self.partitions:
            if partition.flow not in flows:
                partition.flow = None
            if partition.successor not in flows:
                partition.successor = None
        if not flows:
            self._rebalance_at = None
        elif all(partition.flow is None for partition in self.partitions):
            self._rebalance_at = now
        elif self._rebalance_at is None:
            self._rebalance_at = now + self.delay_seconds

    def _rebalance(self, now: float) -> None:
        self._rebalance_at = None
        # Flows beyond the number of partitions stand by, the first ones to bind do not.
        serving = self._flows[: len(self.partitions)]
        held: dict[ConsumerFlow, list[Partition]] = {flow: [] for flow in serving}
        homeless: deque[Partition] = deque()
        for partition in self.partitions:
            holder = partition.successor or partition.flow
            (held[holder] if holder in held else homeless).append(partition)
        least, larger = divmod(len(self.partitions), len(serving))
        shares = {}
        # The larger shares go to those that have most, so that as few partitions move as possible.
        for rank, flow in enumerate(sorted(serving, key=lambda flow: -len(held[flow]))):
            shares[flow] = least + (rank < larger)
            homeless.extend(held[flow][shares[flow] :])
        for flow in serving:
            kept = held[flow][: shares[flow]]
            for partition in (*kept, *(homeless.popleft() for _ in range(shares[flow] - len(kept)))):
                if (partition.successor or partition.flow) is not flow:
                    partition.give(flow, now + self.max_handoff_seconds)

    def _hand_over(self, partition: Partition, successor: ConsumerFlow, now: float) -> None:
        flow = partition.flow
        if flow is not None:
            unsettled = [entry for entry in flow.unacked.values() if entry.partition == partition.number]
            if unsettled and now < partition.move_by:
                return
            for entry in unsettled:
                del flow.unacked[entry.delivery_id]
            self._put_back(unsettled)
        partition.flow, partition.successor = successor, None

    def _serve(self) -> None:
        work: dict[ConsumerFlow, list[Partition]] = {}
        for partition in self.partitions:
            if partition.row and partition.flow is not None and partition.successor is None:
                work.setdefault(partition.flow, []).append(partition)
        for flow, busy in work.items():
            while busy and flow.credit > 0:
                chosen = _oldest(busy, flow.credit)
                flow.deliver(chosen, len(chosen))
                # What the output had no room for; asking for credit once more has the flow remembered as starved.
                self.put_back(list(chosen))
                busy = [partition for partition in busy if partition.row]


def _oldest(partitions: Sequence[Partition], count: int) -> deque[Entry]:
    # Across partitions in the order of their age, as long as one flow serves them: its ids have to rise.
    fronts = [(partition.row[0].message.id, partition.number, partition.row) for partition in partitions]
    heapq.heapify(fronts)
    chosen: deque[Entry] = deque()
    while fronts and len(chosen) < count:
        _, number, row = fronts[0]
        chosen.append(row.popleft())
        if row:
            heapq.heapreplace(fronts, (row[0].message.id, number, row))
        else:
            heapq.heappop(fronts)
    return chosen
