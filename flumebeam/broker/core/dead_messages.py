"""Messages that a queue gives up: moved to its dead message queue if they are eligible, otherwise deleted."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from flumebeam.broker.core.admission import Admission
from flumebeam.broker.core.counts import Cause
from flumebeam.broker.core.routes import Route

if TYPE_CHECKING:
    from flumebeam.broker.core.queues import Queue
    from flumebeam.broker.core.spool import Entry
    from flumebeam.broker.core.vpn import Vpn

__all__ = ["bury"]


def bury(vpn: Vpn, queue: Queue, entries: Collection[Entry], cause: Cause) -> None:
    """Take messages out of a queue for good, and move those to its dead message queue that may go there.

    A message moves once: the copy keeps topic, headers and body, and is not eligible any more. So dead message queues
    that name each other make no loop. It is a new message with an id of its own, because a queue holds messages in the
    order in which they came.

    Args:
        vpn: Has the queues.
        queue: Queue that gives them up.
        entries: Messages in it, delivered ones included.
        cause: Why; decides what is counted.
    """
    discarded, moved, refused = cause.value
    target = vpn.queues.get(queue.settings.dead_message_queue)
    if target is queue or target is None:
        queue.counts[discarded] += len(entries)
    else:
        admission = Admission(vpn, can_refuse=False)
        opened = target.settings.ingress_enabled
        route = Route(queues=(target,)) if opened else Route()
        copies = []
        for entry in entries:
            message = entry.message
            template = message.template
            if not template.dmq_eligible:
                queue.counts[discarded] += 1
            elif not admission.place(route, template, message.size):
                queue.counts[refused] += 1
            else:
                copies.append(vpn.spool.store(template.ineligible(), message.summary, message.body, vpn.time, 1))
        queue.counts[moved] += len(copies)
        vpn.note_stored(copies, (target,))
        target.extend(copies, sum(copy.size for copy in copies))
        admission.count()
        vpn.touch((target,))
    queue.remove(entries)
    vpn.report(f"queue {queue.name} gave up {len(entries)} messages: {cause.name.lower()}")
