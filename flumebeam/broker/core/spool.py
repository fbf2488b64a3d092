"""Spooled messages: their ids, and what they cost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flumebeam.smf.pubmsg import MessageTemplate, spooler_stamp

if TYPE_CHECKING:
    from flumebeam.broker.core.flows import ConsumerFlow
    from flumebeam.broker.core.journal import Portions, Record

__all__ = ["Entry", "MessageIds", "Spool", "SpooledMessage"]

_IDS_START_MS = 1_577_836_800_000
_IDS_PER_MILLISECOND_BITS = 10


class SpooledMessage:
    """A guaranteed message that the broker keeps, once for all queues it is in.

    Attributes:
        id: Its permanent id, which the client shows as part of the replication group message id.
        arrived: When it came, seconds since 1970 UTC.
        references: Number of queues that hold it.
    """

    __slots__ = ("arrived", "body", "id", "references", "size", "summary", "template")

    def __init__(
        self,
        message_id: int,
        template: MessageTemplate,
        summary: bytes,
        body: bytes,
        arrived: float,
        references: int = 0,
    ) -> None:
        self.id = message_id
        self.template = template
        self.summary = summary
        self.body = body
        self.size = len(body)
        self.arrived = arrived
        self.references = references


class Entry:
    """A message in one queue.

    Attributes:
        delivery_id: Id under which it was or will be delivered, the permanent one unless a flow needed a higher one.
            It stays over reconnects: the client acknowledges by it.
        deliveries: How often it was handed to a consumer.
        holder: The flow that has it unacknowledged.
        gone: Whether it has left the queue.
        partition: Number of the partition that it is in, if its queue has partitions.
    """

    __slots__ = ("deliveries", "delivery_id", "gone", "holder", "message", "partition")
    partition: int

    def __init__(self, message: SpooledMessage) -> None:
        self.message = message
        self.delivery_id = message.id
        self.deliveries = 0
        self.holder: ConsumerFlow | None = None
        self.gone = False


class MessageIds:
    """Where the message ids of a whole broker come from.

    Ids never start again below one issued: a client drops what it takes for old, and an old acknowledgement would
    remove a new message. So they begin at a number made from the time, 1,024 for each millisecond since 2020, and a
    broker without memory of its past has an identity of its own. They stay far below 2**52, which leaves clients room
    to number what is in a message.

    Args:
        spooler_id: Identity of the broker's message spool, drawn at random.
        epoch_ms: Time of its creation, milliseconds since 1970 UTC.

    Attributes:
        last: The last id given out.
    """

    __slots__ = ("last", "spooler_id")

    def __init__(self, spooler_id: int, epoch_ms: int) -> None:
        self.spooler_id = spooler_id
        self.last = max(0, epoch_ms - _IDS_START_MS) << _IDS_PER_MILLISECOND_BITS


class Spool:
    """The share of one message VPN in the message spool: numbers its messages and adds up their bytes.

    Args:
        ids: Numbers the messages of all message VPNs.
        portions: Those of the journal of all message VPNs.

    Attributes:
        journal: What has changed in the message VPN and is to be made durable; None if nothing is.
        portions: Which portion that will be in.
    """

    def __init__(self, ids: MessageIds, portions: Portions) -> None:
        self.spooler_id = ids.spooler_id
        self.stamp = spooler_stamp(ids.spooler_id)
        self.bytes = 0
        self.journal: list[Record] | None = None
        self.portions = portions
        self._ids = ids

    def next_id(self) -> int:
        """Return an id above all issued before."""
        self._ids.last += 1
        return self._ids.last

    def store(
        self, template: MessageTemplate, summary: bytes, body: bytes, arrived: float, references: int
    ) -> SpooledMessage:
        """Return a new message that ``references`` queues will hold."""
        message = SpooledMessage(self.next_id(), template, summary, body, arrived, references)
        self.bytes += message.size
        return message

    def reserve(self, count: int, size: int) -> Iterable[int]:
        """Return the ids of so many new messages, which the caller makes, and count their bytes."""
        first = self._ids.last + 1
        self._ids.last += count
        self.bytes += size
        return range(first, first + count)

    def adopt(self, message: SpooledMessage, references: int) -> int:
        """Take in a message of an earlier life, which has its id, and return its size."""
        message.references = references
        self.bytes += message.size
        return message.size

    def release(self, messages: Iterable[SpooledMessage]) -> None:
        """Note that one queue let go of each of these messages."""
        for message in messages:
            message.references -= 1
            if not message.references:
                self.bytes -= message.size
