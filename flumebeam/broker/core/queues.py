"""Queues: messages in order, and the flows that take them."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from operator import attrgetter
from typing import Final

from flumebeam.broker.core.counts import Cause, Count
from flumebeam.broker.core.delays import Delayed
from flumebeam.broker.core.expiry import Lifetimes, end_of_life
from flumebeam.broker.core.flows import Browser, ConsumerFlow
from flumebeam.broker.core.journal import Delivered, Removed
from flumebeam.broker.core.lines import Line, by_age, put_in_order
from flumebeam.broker.core.partitions import Partitions
from flumebeam.broker.core.queue_settings import Permission, QueueSettings
from flumebeam.broker.core.queue_status import QueueStatus
from flumebeam.broker.core.selection import Selection
from flumebeam.broker.core.spool import Entry, Spool, SpooledMessage
from flumebeam.smf.assuredctrl import AccessType

__all__ = ["TOPIC_ENDPOINT_PREFIX", "Queue"]

_by_delivery: Final = attrgetter("delivery_id")
_MIN_DEAD: Final = 64
_BACKLOG: Final = 1_000
"""Waiting messages from which on those are noted, too, that will soon be delivered, where no number is limited."""
_NOTED_AHEAD: Final = 5_000
"""How many of them at most."""
TOPIC_ENDPOINT_PREFIX: Final = "#P2P/DTE/"
"""What the names of topic endpoints begin with inside the broker, and those of queues do not."""


@dataclass(slots=True)
class Replays:
    """What was replayed into a queue.

    Attributes:
        started: Replays that were started.
        cancelled: Those of them that were cancelled.
        last_id: Permanent id of the last message of the last one.
    """

    started: int = 0
    cancelled: int = 0
    last_id: int = 0


class Queue:
    """One queue.

    Args:
        name: Its name.
        access: Whether one flow receives at a time, or all in turn.
        spool: Where its messages are accounted.
        owner: Username that may do everything with it, or None.
        permission: What other usernames may do.
        settings: Whether it is open, and its limits.
        bury: Takes messages out of the queue that it gives up.
        clock: Tells the time that messages are dated by.
        durable: False for temporary queues.
    """

    def __init__(
        self,
        name: str,
        access: AccessType,
        spool: Spool,
        owner: str | None,
        permission: Permission,
        settings: QueueSettings,
        bury: Callable[[Queue, Collection[Entry], Cause], None],
        clock: Callable[[], float],
        durable: bool = True,
    ) -> None:
        self.name = name
        self.access = access
        self.owner = owner
        self.permission = permission
        self.settings = settings
        self.durable = durable
        self.ready: deque[Entry] = deque()
        """Messages that wait for a consumer, oldest first, unless ``line`` has them; entries that are gone are
        skipped."""
        self.line: Line | None = None
        """Where messages wait otherwise than in one row."""
        self.flows: list[ConsumerFlow] = []
        """Consumers in the order they bound; the first one is the active flow of an exclusive queue."""
        self.browsers: list[Browser] = []
        self.subscriptions: dict[str, bool] = {}
        """Topics that feed it, and whether an administrator added them, not a client."""
        self.messages = 0
        self.received = 0
        self.bytes = 0
        self.received_bytes = self.peak_bytes = 0
        self.delivered = self.delivered_bytes = self.redelivered = 0
        """Counted by the flows, redeliveries included."""
        self.deleted = 0
        """Messages deleted by an administrator."""
        self.delivered_to = 0
        """Highest permanent id delivered. As messages wait in the order of their ids, all up to it have been."""
        self.noted_to = 0
        """Highest permanent id of which the journal says that it may have been delivered."""
        self.noted_in = 0
        """The portion of the journal that says so. What it tells of is in portions before it, or in that one."""
        self.counts: Counter[Count] = Counter()
        self.replays = Replays()
        self._spool = spool
        self._bury = bury
        self._clock = clock
        self._lifetimes = Lifetimes()
        self._delayed = Delayed(clock)
        self._looked_at = False
        """Whether each message is to be looked at when it comes."""
        self._dead = 0
        self._turn = 0
        self._newest_id = 0
        self.form_line()

    def form_line(self) -> None:
        """Line the waiting messages up as the settings want it. A queue whose partitions change has no flows now."""
        settings = self.settings
        count = settings.partitions if self.access is AccessType.NON_EXCLUSIVE else 0
        line = self.line
        if count != (len(line.partitions) if isinstance(line, Partitions) else 0):
            self._wait_in(Partitions(count, self.put_back) if count else None)
        if isinstance(self.line, Partitions):
            self.line.delay_seconds = settings.rebalance_delay_seconds
            self.line.max_handoff_seconds = settings.max_handoff_seconds
        elif settings.respect_priority or isinstance(self.line, Selection):
            self._select()
        self._looked_at = settings.respect_ttl or settings.delivery_delay_seconds > 0

    def select(self) -> None:
        """Line the messages up for flows with selectors, until the last of these has gone."""
        if self.line is None:
            self._select()

    def _select(self) -> None:
        held = (entry for flow in self.flows for entry in flow.unacked.values())
        line = Selection(self.settings.respect_priority)
        line.extend(sorted((*self._in_line(), *held), key=by_age))
        self.ready.clear()
        self.line = line

    def _wait_in(self, line: Line | None) -> None:
        waiting = list(self._in_line())
        self.ready.clear()
        self.line = line
        if line is None:
            self.ready.extend(waiting)
        else:
            line.extend(waiting)

    @property
    def is_topic_endpoint(self) -> bool:
        """Whether it is a topic endpoint: fed by the one topic that its consumer names."""
        return self.name.startswith(TOPIC_ENDPOINT_PREFIX)

    def allows(self, username: str, permission: Permission) -> bool:
        """Return whether this username may do what ``permission`` names."""
        return username == self.owner or permission <= self.permission

    def waiting(self, after: int = 0) -> Iterator[Entry]:
        """Yield the messages that wait for a consumer and have a permanent id above ``after``, oldest first.

        The queue must not change meanwhile.
        """
        if not self._delayed:
            return self._in_line(after)
        return chain(self._in_line(after), self._delayed.waiting(after))

    def _in_line(self, after: int = 0) -> Iterator[Entry]:
        # Those of them that may be delivered.
        if self.line is not None:
            return self.line.waiting(after)
        start = bisect_right(self.ready, after, key=by_age) if after else 0
        return (entry for entry in islice(self.ready, start, None) if not entry.gone)

    def clear(self, last_id: int | None = None) -> int:
        """Let go of all messages that wait, or of those up to a permanent id, and return how many."""
        doomed = [entry for entry in self.waiting() if last_id is None or entry.message.id <= last_id]
        self.remove(doomed)
        self._compact()
        return len(doomed)

    def extend(self, messages: Sequence[SpooledMessage], size: int) -> None:
        """Put messages at the end; :meth:`pump` delivers them.

        Args:
            messages: Messages in the order of their ids.
            size: Sum of their bodies, bytes.
        """
        self.messages += len(messages)
        if messages:
            self._newest_id = messages[-1].id
            if messages[0].id <= self.noted_to:
                self.noted_in = self._spool.portions.current
        if self.line is None and not self._looked_at:
            self.ready.extend(map(Entry, messages))
        else:
            entries = list(map(Entry, messages))
            self._lifetimes.watch(entries, self.settings, self.messages)
            if self.settings.delivery_delay_seconds:
                self._delayed.extend(entries)
                self._release()
            else:
                (self.ready if self.line is None else self.line).extend(entries)
        self.received += len(messages)
        self.received_bytes += size
        self.bytes += size
        if self.bytes > self.peak_bytes:
            self.peak_bytes = self.bytes

    def due(self) -> bool:
        """Return whether something is to happen because time has passed, when it is pumped."""
        return (self.line is not None and self.line.due()) or self._delayed.due(self.settings.delivery_delay_seconds)

    def _release(self) -> None:
        released = self._delayed.release(self.settings.delivery_delay_seconds)
        (self.ready if self.line is None else self.line).extend(released)

    def remove(self, entries: Collection[Entry]) -> None:
        """Let go of messages for good."""
        if not entries:
            return
        for entry in entries:
            entry.gone = True
            entry.holder = None
        messages = [entry.message for entry in entries]
        self._spool.release(messages)
        self.messages -= len(messages)
        self.bytes -= sum([message.size for message in messages])
        journal = self._spool.journal
        if journal is not None and self.durable:
            journal.append(Removed(self.name, [message.id for message in messages]))

    def remove_waiting(self, message_id: int) -> None:
        """Remove the waiting message with this permanent id, as a browser may; one that is not there is ignored."""
        entry = next(self.waiting(message_id - 1), None)
        if entry is not None and entry.message.id == message_id:
            self.remove((entry,))
            self._sweep(1)

    def _sweep(self, gone: int) -> None:
        # Entries that are gone cost memory until somebody comes by them.
        self._dead += gone
        if self._dead > max(_MIN_DEAD, self.messages // 2):
            self._compact()

    def _compact(self) -> None:
        self._dead = 0
        self._delayed.compact()
        if self.line is None:
            self.ready = deque(entry for entry in self.ready if not entry.gone)
        else:
            self.line.compact()

    def put_back(self, entries: list[Entry]) -> None:
        """Return unsettled messages to the place of their age; :meth:`pump` delivers them again, if it may."""
        entries = self._keep(entries)
        if not entries:
            return
        for entry in entries:
            entry.holder = None
        entries.sort(key=by_age)
        if self.line is None:
            put_in_order(self.ready, entries)
        else:
            self.line.put_back(entries)

    def resume(self, flow: ConsumerFlow, held: Iterable[Entry]) -> None:
        """Let a flow hold what its client has received before, as far as it is still here and with nobody else."""
        wanted = {entry for entry in held if entry.holder is None and not entry.gone}
        flow.adopt(sorted(self._take(wanted) if self.line is None else self.line.take(wanted, flow), key=_by_delivery))

    def _take(self, wanted: set[Entry]) -> list[Entry]:
        found: list[Entry] = []
        passed: list[Entry] = []
        # What was delivered once is near the front.
        while len(found) < len(wanted) and self.ready:
            entry = self.ready.popleft()
            (found if entry in wanted else passed).append(entry)
        self.ready.extendleft(reversed(passed))
        return found

    def _keep(self, entries: list[Entry]) -> list[Entry]:
        # Give up the messages that were delivered for the last time, or have expired meanwhile.
        settings = self.settings
        if settings.respect_ttl:
            entries = self._unexpired(entries)
        if settings.redelivery_enabled and not settings.max_redeliveries:
            return entries
        most = settings.max_redeliveries if settings.redelivery_enabled else 0
        kept = [entry for entry in entries if entry.deliveries <= most]
        if len(kept) < len(entries):
            self._bury(self, [entry for entry in entries if entry.deliveries > most], Cause.REDELIVERY)
        return kept

    def _unexpired(self, entries: list[Entry]) -> list[Entry]:
        now, settings = self._clock(), self.settings
        kept = [entry for entry in entries if end_of_life(settings, entry.message) > now]
        if len(kept) < len(entries):
            # Kept ones are in the heap still.
            over = set(entries).difference(kept)
            self._bury(self, [entry for entry in entries if entry in over], Cause.EXPIRED)
        return kept

    def expire(self, limit: int) -> int:
        """Give up the waiting messages whose time is over, up to so many, and return how many they were."""
        if not self._lifetimes:
            return 0
        over = self._lifetimes.over(self._clock(), limit)
        if over:
            self._bury(self, over, Cause.EXPIRED)
            self._sweep(len(over))
        return len(over)

    def watch_all(self) -> None:
        """Find out anew when messages expire, because the settings have changed."""
        self._lifetimes.forget()
        held = list(self.waiting())
        for flow in self.flows:
            held += flow.unacked.values()
        self._lifetimes.watch(held, self.settings, self.messages)

    def reject(self, entries: Collection[Entry]) -> None:
        """Give up messages that a consumer does not want to see again."""
        if entries:
            self._bury(self, entries, Cause.REJECTED)

    def give_up_exhausted(self) -> None:
        """Give up the waiting messages that may not be delivered again, after an earlier life delivered them."""
        waiting = list(self.waiting())
        if self._keep(waiting) is not waiting:
            self._compact()

    def bind(self, flow: ConsumerFlow) -> None:
        """Add a flow. It receives, unless the queue is exclusive and another one does."""
        behind = self.flows and self.access is AccessType.EXCLUSIVE
        flow.advance("bound behind another" if behind else "bound")
        self.flows.append(flow)

    def unbind(self, flow: ConsumerFlow) -> ConsumerFlow | None:
        """Remove a flow, put back what it held, and return the flow that has become active, if one has."""
        flow.advance("unbound")
        self.flows.remove(flow)
        self.put_back(flow.take_back())
        successor = self.flows[0] if self.flows else None
        if successor is None or successor.is_active:
            return None
        successor.advance("first in line")
        return successor

    def pump(self, now: float) -> None:
        """Deliver as much as the flows take, and note in the journal how far delivery has come.

        Args:
            now: Time, seconds.
        """
        if self.settings.last_value:
            self._keep_last()
        if self._delayed:
            self._release()
        for browser in self.browsers:
            browser.show(self._in_line)
        if isinstance(self.line, Selection) and not self.line.needed_by(self.flows):
            self._wait_in(None)
        if self.line is None:
            self._deliver()
        else:
            self.line.deliver(self.flows, now)
        journal = self._spool.journal
        if journal is not None and self.durable and self.delivered_to > self.noted_to:
            self.noted_to, self.noted_in = self._foreseen(), self._spool.portions.current
            journal.append(Delivered(self.name, self.noted_to))

    def _foreseen(self) -> int:
        """Return up to which permanent id delivery has come, or will soon come where much waits.

        Nothing is sent before it is durable that it may have been. A note for each window of a client would cost a
        backlog most of its time.
        """
        settings = self.settings
        limited = settings.max_redeliveries or not settings.redelivery_enabled
        if limited or len(self.ready) <= _BACKLOG:
            return self.delivered_to
        return max(self.delivered_to, self.ready[min(_NOTED_AHEAD, len(self.ready) - 1)].message.id)

    def _deliver(self) -> None:
        # All to the active flow, or one each in turn to all that have room.
        ready = self.ready
        candidates = self.flows[:1] if self.access is AccessType.EXCLUSIVE else self.flows
        while ready:
            takers = [flow for flow in candidates if flow.credit > 0]
            if not takers:
                return
            if len(takers) == 1:
                takers[0].deliver(ready, takers[0].credit)
                continue
            first = self._turn % len(takers)
            for flow in (*takers[first:], *takers[:first]):
                if ready:
                    self._turn += 1
                    flow.deliver(ready, 1)

    def _keep_last(self) -> None:
        # What is delivered and unsettled stays with its flow; if it comes back it is too old.
        doomed = [entry for entry in self.waiting() if entry.message.id < self._newest_id]
        if doomed:
            self.remove(doomed)
            self._compact()

    def status(self) -> QueueStatus:
        """Return what the queue holds now."""
        return QueueStatus(
            name=self.name,
            access="exclusive" if self.access is AccessType.EXCLUSIVE else "non-exclusive",
            durable=self.durable,
            messages=self.messages,
            unacknowledged=sum(len(flow.unacked) for flow in self.flows),
            received=self.received,
            bytes=self.bytes,
            consumers=len(self.flows),
            subscriptions=tuple(self.subscriptions),
            counts={count.value: number for count, number in self.counts.items() if number},
            partitions_served=self.line.served() if isinstance(self.line, Partitions) else {},
        )
