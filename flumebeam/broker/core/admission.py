"""Whether a queue takes a message, and who is told if it does not.

Almost always everything fits, which :func:`fits` finds out for a message and :func:`all_fit` for a whole transaction at
once. Only if it does not, messages are looked at one by one, in their order.

What a queue does not take it discards, and the publisher is told or not, as the queue's setting has it. Where the
publisher is told, no queue gets the message, and a transaction fails (both as the vendor documents it).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Final

from flumebeam.broker.core.counts import Count
from flumebeam.broker.core.responses import QUEUE_SHUTDOWN
from flumebeam.smf.values import Response

if TYPE_CHECKING:
    from flumebeam.broker.core.queues import Queue
    from flumebeam.broker.core.routes import Route
    from flumebeam.broker.core.vpn import Vpn
    from flumebeam.smf.pubmsg import MessageTemplate

__all__ = ["OVER_QUOTA", "Admission", "all_fit", "fits"]

OVER_QUOTA: Final = Response(503, "Spool Over Quota")
_REFUSALS: Final = {
    Count.DISABLED: QUEUE_SHUTDOWN,
    Count.LOCAL: Response(503, "No Local Discard"),
    Count.LOW_PRIORITY: Response(503, "Low Priority Msg Congestion"),
    Count.OVER_QUOTA: OVER_QUOTA,
    Count.TOO_LARGE: Response(400, "Document Is Too Large"),
}
_NORMAL_PRIORITY: Final = 4
"""Messages below it are of low priority."""


def fits(vpn: Vpn, route: Route, size: int) -> bool:
    """Return whether all queues of a route take a message; if not, each of them has to be looked at.

    Args:
        vpn: Has the spool.
        route: Where the message goes.
        size: Its bytes.
    """
    if route.shut or ((route.queues or route.logs) and not _has_room(vpn, size)):
        return False
    max_messages = vpn.config.max_queue_messages
    for queue in route.queues:
        if size > queue.settings.max_message_bytes:
            return False
        if not _may_hold(queue, queue.messages + 1, queue.bytes + size, max_messages):
            return False
    return True


def all_fit(vpn: Vpn, totals: Iterable[tuple[Route, int, int]]) -> bool:
    """Return whether all queues take all messages; if not, each message has to be looked at.

    Args:
        vpn: Has the spool.
        totals: Per route the number of messages and the sum of their bytes. Several routes may share a queue.
    """
    added = 0
    per_queue: dict[Queue, tuple[int, int]] = {}
    for route, messages, size in totals:
        if route.shut:
            return False
        if route.queues or route.logs:
            added += size
        for queue in route.queues:
            before = per_queue.get(queue) or (queue.messages, queue.bytes)
            per_queue[queue] = (before[0] + messages, before[1] + size)
            if size > queue.settings.max_message_bytes:
                # Perhaps not one of them alone.
                return False
    if not _has_room(vpn, added):
        return False
    max_messages = vpn.config.max_queue_messages
    return all(_may_hold(queue, messages, size, max_messages) for queue, (messages, size) in per_queue.items())


def _has_room(vpn: Vpn, size: int) -> bool:
    if vpn.host.storage_full:
        return False
    spooled = vpn.spool.bytes + size
    return spooled <= vpn.settings.max_spool_bytes and spooled + _elsewhere(vpn) <= vpn.config.max_spool_bytes


def _may_hold(queue: Queue, messages: int, size: int, max_messages: int) -> bool:
    settings = queue.settings
    if messages > max_messages or size > settings.max_bytes:
        return False
    return not settings.reject_low_priority or messages <= settings.low_priority_limit


def _elsewhere(vpn: Vpn) -> int:
    host = vpn.host
    return host.spooled_bytes() - vpn.spool.bytes if len(host.vpns) > 1 else 0


class Admission:
    """Decides on messages one after the other, each as if those before it were in their queues.

    Args:
        vpn: Has the spool.
        can_refuse: Whether the publisher can be told; if not, each queue decides for itself.
        closed: Queues that take nothing from this publisher, because its own consumer there does not want that.
    """

    def __init__(self, vpn: Vpn, can_refuse: bool = True, closed: Collection[Queue] = ()) -> None:
        self._vpn = vpn
        self._can_refuse = can_refuse
        self._closed = closed
        self._spooled = vpn.spool.bytes
        self._max_spool = min(vpn.settings.max_spool_bytes, vpn.config.max_spool_bytes - _elsewhere(vpn))
        self._held: dict[Queue, tuple[int, int]] = {}
        self._discards: list[tuple[Queue, Count]] = []

    def place(self, route: Route, template: MessageTemplate, size: int) -> tuple[Queue, ...] | Response:
        """Return the queues that take a message, or what the publisher is told, which undoes what came before."""
        if (route.queues or route.logs) and self._vpn.host.storage_full:
            return OVER_QUOTA
        takers = []
        discards = [(queue, Count.DISABLED) for queue in route.shut]
        for queue in route.queues:
            obstacle = self._obstacle(queue, template, size)
            if obstacle is None:
                takers.append(queue)
            else:
                discards.append((queue, obstacle))
        for queue, obstacle in discards:
            if self._can_refuse and _tells(queue, obstacle):
                queue.counts[obstacle] += 1
                return _REFUSALS[obstacle]
        self._discards += discards
        if takers or route.logs:
            self._spooled += size
        for queue in takers:
            messages, held = self._held.get(queue) or (queue.messages, queue.bytes)
            self._held[queue] = (messages + 1, held + size)
        return tuple(takers)

    def count(self) -> None:
        """Count what was discarded without telling the publisher, because now it is certain."""
        for queue, obstacle in self._discards:
            queue.counts[obstacle] += 1

    def _obstacle(self, queue: Queue, template: MessageTemplate, size: int) -> Count | None:
        settings = queue.settings
        messages, held = self._held.get(queue) or (queue.messages, queue.bytes)
        if queue in self._closed:
            return Count.LOCAL
        if size > settings.max_message_bytes:
            return Count.TOO_LARGE
        if (
            held + size > settings.max_bytes
            or self._spooled + size > self._max_spool
            or messages >= self._vpn.config.max_queue_messages
        ):
            return Count.OVER_QUOTA
        low = settings.reject_low_priority and template.priority < _NORMAL_PRIORITY
        if low and messages >= settings.low_priority_limit:
            return Count.LOW_PRIORITY
        return None


def _tells(queue: Queue, obstacle: Count) -> bool:
    behavior = queue.settings.reject_on_discard
    return behavior == "always" or (behavior == "when-queue-enabled" and obstacle is not Count.DISABLED)
