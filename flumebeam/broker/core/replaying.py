"""Replays: a queue is emptied, and given what the replay log has for it from some point on.

As the vendor documents it: a client may start a replay when it binds to an exclusive queue as its active flow, and an
administrator whenever he likes; the consumers that are bound then are unbound, and bind again by themselves. Messages
keep their permanent ids, those that come during a replay are delivered after it. That all of it comes into the queue at
once, above its quota if need be, is ours.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import islice
from typing import Final

from flumebeam.broker.core.administration import delete_messages
from flumebeam.broker.core.journal import Delivered, Replayed
from flumebeam.broker.core.lines import by_age
from flumebeam.broker.core.queues import Queue
from flumebeam.broker.core.replay_log import ReplayLog
from flumebeam.broker.core.responses import OK
from flumebeam.broker.core.spool import Entry, SpooledMessage
from flumebeam.broker.core.vpn import Vpn
from flumebeam.smf.assuredctrl import AccessType, ReplayFrom, ReplayStart
from flumebeam.smf.pubmsg import MessageTemplate
from flumebeam.smf.values import Response

__all__ = ["cancel_replay", "replay_active", "replay_for_client", "start_replay"]

_NANOSECONDS: Final = 1_000_000_000
_CANCELLED: Final = Response(503, "Replay Cancelled")
_DISABLED: Final = Response(503, "Replay Disabled")
_FROM_BROWSER: Final = Response(403, "Client Initiated Replay from Browser Flow Not Allowed")
_INACTIVE: Final = Response(403, "Client Initiated Replay from Inactive Flow Not Allowed")
_MESSAGE_UNAVAILABLE: Final = Response(403, "Replay Start Message Unavailable")
_NON_EXCLUSIVE: Final = Response(403, "Client Initiated Replay Not Allowed on Non-Exclusive Queue")
_STARTED: Final = Response(503, "Replay Started")
"""Clients that are told this bind again by themselves."""
_TEMPORARY: Final = Response(403, "Replay Not Supported on Temporary Queue")
_TIME_UNAVAILABLE: Final = Response(403, "Replay Start Time Not Available")
_UNKNOWN_START: Final = Response(403, "Unknown Start Location Type")


def replay_for_client(vpn: Vpn, queue: Queue | None, start: ReplayStart, browsing: bool) -> Response:
    """Start the replay that a client asks for in a bind, and return OK or why not, in texts that clients know."""
    if browsing:
        return _FROM_BROWSER
    if queue is None:
        return _TEMPORARY
    if queue.access is not AccessType.EXCLUSIVE:
        return _about(queue, _NON_EXCLUSIVE)
    if queue.flows:
        return _INACTIVE
    return start_replay(vpn, queue, start)


def start_replay(vpn: Vpn, queue: Queue, start: ReplayStart) -> Response:
    """Start a replay, and return OK or why not, with nothing changed."""
    log = vpn.log
    if log is None or not log.settings.egress_enabled:
        return _DISABLED
    if not queue.durable:
        return _about(queue, _TEMPORARY)
    first = _position(vpn, log, start)
    if isinstance(first, Response):
        return first
    wanted = list(_wanted(vpn, queue, islice(log.ready, first, None)))
    delete_messages(vpn, queue)
    vpn.unbind_all(queue, _STARTED)
    queue.replays.started += 1
    queue.replays.last_id = wanted[-1].id if wanted else 0
    # All are as if they had never been delivered.
    queue.delivered_to = queue.noted_to = 0
    vpn.note(Delivered(queue.name, 0))
    for message in wanted:
        message.references += 1
    queue.extend(wanted, sum(message.size for message in wanted))
    vpn.note(Replayed(queue.name, [message.id for message in wanted]))
    vpn.touch((queue,))
    vpn.report(f"queue {queue.name}: replay of {len(wanted)} messages started")
    return OK


def _about(queue: Queue, refusal: Response) -> Response:
    return (
        refusal._replace(text=refusal.text.replace("Queue", "Topic Endpoint")) if queue.is_topic_endpoint else refusal
    )


def _position(vpn: Vpn, log: ReplayLog, start: ReplayStart) -> int | Response:
    if start.kind == ReplayFrom.BEGINNING:
        return 0
    if start.kind == ReplayFrom.TIME:
        time = start.time_ns / _NANOSECONDS
        if time > vpn.time:
            return _TIME_UNAVAILABLE
        return bisect_left(log.ready, time, key=lambda entry: entry.message.arrived)
    if start.kind != ReplayFrom.MESSAGE:
        return _UNKNOWN_START
    index = bisect_left(log.ready, start.message_id, key=by_age)
    found = start.spooler_id == vpn.spool.spooler_id and index < len(log.ready)
    if not found or log.ready[index].message.id != start.message_id:
        return _MESSAGE_UNAVAILABLE
    return index + 1


def _wanted(vpn: Vpn, queue: Queue, entries: Iterator[Entry]) -> Iterator[SpooledMessage]:
    known: dict[MessageTemplate, bool] = {}
    for entry in entries:
        message = entry.message
        wanted = known.get(message.template)
        if wanted is None:
            wanted = known[message.template] = vpn.routes.reach(message.template.topic, queue)
        if wanted:
            yield message


def replay_active(queue: Queue) -> bool:
    """Return whether messages of the last replay are still in a queue."""
    oldest = [next(flow.unacked[number].message.id for number in flow.unacked) for flow in queue.flows if flow.unacked]
    oldest += [entry.message.id for entry in islice(queue.waiting(), 1)]
    return min(oldest, default=queue.replays.last_id + 1) <= queue.replays.last_id


def cancel_replay(vpn: Vpn, queue: Queue) -> bool:
    """End a replay: what is left of it leaves the queue, and consumers are unbound. Return whether there was one."""
    if not replay_active(queue):
        return False
    vpn.unbind_all(queue, _CANCELLED)
    queue.clear(queue.replays.last_id)
    queue.replays.cancelled += 1
    queue.replays.last_id = 0
    vpn.report(f"queue {queue.name}: replay cancelled")
    return True
