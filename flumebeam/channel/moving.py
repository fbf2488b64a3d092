"""From a queue to topics in one transaction: taken, changed by a function, published, or none of it.

Exactly once, whatever breaks: a transaction whose commit was not answered has either moved its messages or left them on
the queue, and the next one takes what is there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from flumebeam.batch import EventBatch
from flumebeam.channel.base import Channel
from flumebeam.channel.publishing import observe_nothing
from flumebeam.channel.topics import TopicFunction
from flumebeam.clock import Clock, SystemClock
from flumebeam.errors import ConnectionFailedError, PublishRefusedError
from flumebeam.solace.fields import PLAIN_FIELDS, MessageFields
from flumebeam.solace.ports import OutcomeKind

__all__ = ["Mover"]

_PAUSE_SECONDS: Final = 0.5


@dataclass(slots=True)
class Mover:
    """Moves events through transactions of a channel.

    Attributes:
        channel: Takes from the queue; used by one thread.
        function: Makes of what was taken what is published; may drop events, and add as many as fit.
        topics: Where they go.
        max_messages: Messages that one transaction takes; what it publishes needs as much room.
        fields: What messages get beside body, topic and headers.
        pause: Waits so many seconds.
        clock: The time.
        observe: Told what :data:`~flumebeam.channel.publishing.MEASURED` names, of each transaction.
        ended: Told how each commit ended.
    """

    channel: Channel
    function: Callable[[EventBatch], EventBatch]
    topics: TopicFunction
    max_messages: int
    fields: MessageFields = PLAIN_FIELDS
    pause: Callable[[float], object] = time.sleep
    clock: Clock = field(default_factory=SystemClock)
    observe: Callable[[str, int], object] = observe_nothing
    ended: Callable[[OutcomeKind], object] = bool

    def step(self, timeout: float) -> int | None:
        """Carry out one transaction; wait at most ``timeout`` seconds for the first message.

        Returns:
            How many events were taken for good; 0 if the transaction did not come about, so that its messages are on
            the queue again; ``None`` if nothing came.

        Raises:
            PublishRefusedError: The broker refuses what is published; it is on the queue as it was.
            TransactionTooLargeError: The function makes more than fits; the same.
            ConnectionFailedError: The broker cannot be reached.
        """
        with self.channel.transaction() as transaction:
            try:
                taken = transaction.take(self.max_messages, timeout)
                if not len(taken):
                    return None
                made = self.function(taken)
                begun = self.clock.monotonic()
                if len(made):
                    transaction.put(made, self.topics(made), None, self.fields)
                put = self.clock.monotonic()
            except ConnectionFailedError:  # within the transaction: the next one has a new connection, or raises
                return 0
            outcome = transaction.commit()
            self.observe("publish_ms", round(1000 * (put - begun)))
            self.observe("commit_ms", round(1000 * (self.clock.monotonic() - put)))
        self.ended(outcome.kind)
        if outcome.refused and not outcome.over_quota:
            raise PublishRefusedError(f"{len(taken)} events stay on their queue, since {outcome.cause}.")
        if outcome.kind is not OutcomeKind.COMMITTED:
            self.pause(_PAUSE_SECONDS)
            return 0
        self.observe("transaction_events", len(taken))
        return len(taken)
