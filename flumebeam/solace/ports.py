"""What the rest of flumebeam needs from a Solace client, in batches only.

One call is one hop to the client's thread for a whole batch, which alone makes it three to six times faster than a
call per message (measured with solace-pubsubplus 1.11). Everything above this module, the channel and the Beam
transforms, is written against these protocols.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

import pyarrow as pa

from flumebeam.batch import EventBatch
from flumebeam.deliveries import Receiver
from flumebeam.solace.fields import PLAIN_FIELDS, MessageFields
from flumebeam.solace.flows import FlowOptions
from flumebeam.solace.packing import Packing

__all__ = ["Connection", "FlowOfQueue", "MessagePublisher", "Outcome", "OutcomeKind", "Refusal", "TransactedSession"]


class OutcomeKind(Enum):
    """The three ways in which a transaction ends."""

    COMMITTED = "committed"
    """The broker applied everything."""
    ROLLED_BACK = "rolled back"
    """The broker applied nothing; takes come again."""
    UNKNOWN = "unknown"
    """The answer was lost: everything or nothing was applied, and only a look at the data can tell."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a transaction ended.

    Attributes:
        kind: One of the three ways.
        cause: For people: why it was not committed; empty if it was.
        refused: The broker itself refused the contents (no queue, quota, ACL, too large): the same transaction would
            be refused again until somebody changes something. False for lost connections.
        over_quota: That it was refused because a quota is reached, so that waiting may help.
    """

    kind: OutcomeKind
    cause: str = ""
    refused: bool = False
    over_quota: bool = False

    @property
    def committed(self) -> bool:
        """Whether the broker is known to have applied everything."""
        return self.kind is OutcomeKind.COMMITTED


class TransactedSession(Protocol):
    """One transacted session of the broker: always one transaction open, its operations in order from one thread.

    After a reconnect inside a transaction the session answers the next operation or the commit with a rollback:
    the client may otherwise return normally from a commit that carried only a part of the data.
    """

    def publish(
        self,
        batch: EventBatch,
        topics: str | pa.StringArray,
        packing: Packing | None = None,
        fields: MessageFields = PLAIN_FIELDS,
    ) -> None:
        """Publish a batch within the open transaction.

        Args:
            batch: Events; reserved headers are not published.
            topics: One topic for all, or one per event.
            packing: How many events of one topic go into one message; ``None`` for one.
            fields: What the messages get beside that.

        Raises:
            ConnectionFailedError: The session is dead; what was published is rolled back by the broker.
        """
        ...

    def receive(self, max_messages: int, timeout: float) -> EventBatch:
        """Take up to ``max_messages`` messages from the session's queue; wait at most ``timeout`` s for the first.

        A packed message is taken whole: the batch may hold more events than messages were taken.

        Raises:
            ConnectionFailedError: The session is dead; what was taken comes again.
        """
        ...

    def commit(self) -> Outcome:
        """End the transaction and open the next one. Never raises for what the broker or the network did."""
        ...

    def rollback(self) -> Outcome:
        """Give up the transaction and open the next one.

        Returns:
            ``ROLLED_BACK``; also if the session is dead, since the broker then rolls back by itself.
        """
        ...

    @property
    def alive(self) -> bool:
        """Whether another transaction can be tried on this session."""
        ...

    def close(self) -> None:
        """Release the session; what is open is rolled back. Idempotent, never hangs."""
        ...


class Refusal(NamedTuple):
    """Why the broker did not take one message.

    Attributes:
        cause: For people.
        over_quota: That a quota is reached, so that waiting may help.
    """

    cause: str
    over_quota: bool = False


class MessagePublisher(Protocol):
    """Publishes outside of transactions. Used by one thread."""

    def send(
        self,
        batch: EventBatch,
        topics: str | pa.StringArray,
        packing: Packing | None = None,
        fields: MessageFields = PLAIN_FIELDS,
        *,
        on_sent: Callable[[], object] = bool,
    ) -> list[Refusal | None]:
        """Publish a batch, and wait for the receipt of every message if they have one.

        Args:
            batch: Events; reserved headers are not published.
            topics: One topic for all, or one per event.
            packing: How many events of one topic go into one message; ``None`` for one.
            fields: What the messages get beside that.
            on_sent: Called once the client has all messages, before receipts are waited for.

        Returns:
            For each message ``None`` if the broker has it, or why it refused it; for direct messages ``None``.

        Raises:
            PublishRefusedError: An event cannot be published as it is; nothing was sent.
            ConnectionFailedError: The connection is gone, or receipts did not come: it is unknown what the broker has.
        """
        ...

    def close(self) -> None:
        """Release it. Idempotent, never hangs."""
        ...


class FlowOfQueue(Receiver, Protocol):
    """A receiver over one consumer flow."""

    @property
    def active(self) -> bool:
        """Whether the broker has said that this flow is the one of an exclusive queue that is served."""
        ...

    @property
    def oldest_age(self) -> float:
        """Seconds since the oldest delivery that is not acknowledged was handed out; 0 if there is none."""
        ...

    @property
    def acknowledged_after(self) -> float | None:
        """Seconds for which the oldest delivery of the last acknowledgement had waited; ``None`` if there was none."""
        ...

    def give_back(self) -> int:
        """Tell the broker what became of deliveries that were handed out and not acknowledged, as the flow was bound.

        Returns:
            How many messages the broker was told of; the others are released when the flow ends.
        """
        ...


class Connection(Protocol):
    """One connection to the broker."""

    @property
    def away(self) -> bool:
        """Whether the connection is lost and being restored: that nothing comes means nothing meanwhile."""
        ...

    @property
    def alive(self) -> bool:
        """Whether it stands, or is being restored by the reconnect policy."""
        ...

    def transacted_session(self, *, queue: str | None = None, selector: str = "") -> TransactedSession:
        """Open a transacted session, with a consumer flow on ``queue`` if one is named, for what a selector matches.

        Raises:
            QueueError: The queue is unknown, or permission is missing.
            ConnectionFailedError: The broker does not answer.
        """
        ...

    def receiver(
        self, queue: str, *, before_bind: Callable[[str], None] | None = None, flow: FlowOptions | None = None
    ) -> FlowOfQueue:
        """Bind a consumer flow whose messages are acknowledged by id.

        Args:
            queue: Name of a durable queue.
            before_bind: Called with the new receiver's id before the flow is bound, so that an exactly-once sink can
                open an epoch of that name.
            flow: How the flow is bound; by default it takes everything.

        Raises:
            QueueError: The queue is unknown, or permission is missing.
            ConnectionFailedError: The broker does not answer.
        """
        ...

    def publisher(self, *, direct: bool = False) -> MessagePublisher:
        """Open a publisher of persistent messages with receipts, or of direct ones without.

        Raises:
            ConnectionFailedError: It cannot be opened.
        """
        ...

    def close(self) -> bool:
        """Close everything that was opened here. Idempotent, never hangs.

        Returns:
            Whether everything that its receivers had handed out was acknowledged, and the broker is known to have got
            all of that. False says nothing.
        """
        ...
