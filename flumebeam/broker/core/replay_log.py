"""The replay log of a message VPN: what was published, kept to be delivered once more.

It holds guaranteed messages as a queue does, a body once for all that hold it, whether or not anybody else wanted them,
and lets the oldest go beyond its limits.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final

from flumebeam.broker.core.queue_settings import Permission, QueueSettings
from flumebeam.broker.core.queues import Queue
from flumebeam.smf.assuredctrl import AccessType

if TYPE_CHECKING:
    from flumebeam.broker.core.counts import Cause
    from flumebeam.broker.core.spool import Entry, Spool

__all__ = ["LOG_PREFIX", "ReplayLog"]

LOG_PREFIX: Final = "#REPLAY_LOG/"
"""Begins the name that a log has among the queues of a journal; no queue may have such a name."""


class ReplayLog(Queue):
    """What is kept of the messages of a message VPN. Nobody binds to it.

    Args:
        name: Its name.
        spool: Where its messages are accounted.
        settings: Whether it takes and gives messages, and how many bytes it holds.
        bury: As of every queue; a log gives nothing up.
        clock: Returns the time by which messages are dated.
        max_messages: How many messages it holds.
    """

    def __init__(
        self,
        name: str,
        spool: Spool,
        settings: QueueSettings,
        bury: Callable[[Queue, Collection[Entry], Cause], None],
        clock: Callable[[], float],
        max_messages: int,
    ) -> None:
        super().__init__(
            LOG_PREFIX + name, AccessType.EXCLUSIVE, spool, None, Permission.NO_ACCESS, settings, bury, clock
        )
        self.log_name = name
        self._max_messages = max_messages

    def pump(self, now: float) -> None:
        """Let the oldest messages go that are too many."""
        size, messages = self.bytes, self.messages
        doomed = []
        while self.ready and (size > self.settings.max_bytes or messages > self._max_messages):
            entry = self.ready.popleft()
            doomed.append(entry)
            size -= entry.message.size
            messages -= 1
        self.remove(doomed)

    def trim(self, before: float) -> int:
        """Let all messages go that came before a time, and return how many."""
        doomed = []
        while self.ready and self.ready[0].message.arrived < before:
            doomed.append(self.ready.popleft())
        self.remove(doomed)
        return len(doomed)
