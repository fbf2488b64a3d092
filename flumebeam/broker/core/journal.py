"""What changed in the broker's durable state, as values.

The core appends them while it handles an event; the shell takes them after it, makes all of one event durable at once,
and only then sends what the core has put out up to that event. A journal is a plain list, because a record is appended
for every message published outside transactions. Each message VPN has one; where they are put together an
:class:`InVpn` says whose the records behind it are. :mod:`flumebeam.broker.core.replay` builds the state from them
again.

Not in it: temporary queues, which end with the broker, what is staged in open transactions, which a restart rolls
back, and everything about connections.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from flumebeam.broker.core.broker_settings import BrokerSetting
    from flumebeam.broker.core.profiles import Setup
    from flumebeam.broker.core.queue_settings import QueueSettings
    from flumebeam.broker.core.spool import SpooledMessage
    from flumebeam.broker.core.vpn import VpnSettings
    from flumebeam.smf.assuredctrl import AccessType, SessionState

__all__ = [
    "BrokerConfigured",
    "BrokerUnconfigured",
    "Configured",
    "Delivered",
    "DeliveredAgain",
    "InVpn",
    "Issued",
    "Portions",
    "PublisherClosed",
    "PublisherMoved",
    "PublisherOpened",
    "QueueDeleted",
    "QueueSet",
    "Record",
    "Removed",
    "Renumbered",
    "Replayed",
    "SessionClosed",
    "SessionEnded",
    "SessionOpened",
    "Stored",
    "Subscribed",
    "Unconfigured",
    "Unsubscribed",
    "VpnDeleted",
    "VpnSet",
]


class Portions:
    """Counts the portions in which the shell takes the journal, of all message VPNs together.

    Attributes:
        current: Number of the one that what happens now is in. The shell makes each durable as a whole, in their order.
    """

    __slots__ = ("current",)

    def __init__(self) -> None:
        self.current = 1


class Issued(NamedTuple):
    """Message ids and handles up to these may have been given out; a broker that comes back starts above them."""

    message_id: int
    handle: int


class BrokerConfigured(NamedTuple):
    """An administrator, an authority or the broker's certificate was made or changed."""

    value: BrokerSetting


class BrokerUnconfigured(NamedTuple):
    """One of them was removed, given by the name of its class and its own."""

    kind: str
    name: str


class VpnSet(NamedTuple):
    """A message VPN was created, or set up otherwise."""

    name: str
    settings: VpnSettings


class VpnDeleted(NamedTuple):
    """A message VPN was deleted; what was in it is the subject of records before."""

    name: str


class InVpn(NamedTuple):
    """The records behind this one, up to the next, are about this message VPN."""

    name: str


class Configured(NamedTuple):
    """A client username or a profile was made or changed."""

    value: Setup


class Unconfigured(NamedTuple):
    """A client username or a profile was deleted, given by the name of its class and its own."""

    kind: str
    name: str


class QueueSet(NamedTuple):
    """A queue was created, or set up otherwise."""

    name: str
    access: AccessType
    owner: str | None
    permission: int
    settings: QueueSettings


class QueueDeleted(NamedTuple):
    """A queue was deleted; what was in it is the subject of records before."""

    name: str


class Subscribed(NamedTuple):
    """A queue gets what matches a topic; a client or an administrator wanted it."""

    queue: str
    topic: str
    by_client: bool


class Unsubscribed(NamedTuple):
    """A queue no longer gets what matches a topic."""

    queue: str
    topic: str


class Stored(NamedTuple):
    """Messages were put into all of these queues, in the order of their ids."""

    messages: Sequence[SpooledMessage]
    queues: tuple[str, ...]


class Removed(NamedTuple):
    """Messages left a queue for good, given by their permanent ids."""

    queue: str
    message_ids: Sequence[int]


class Replayed(NamedTuple):
    """Messages that the replay log has were put into a queue once more, given by their permanent ids."""

    queue: str
    message_ids: Sequence[int]


class Delivered(NamedTuple):
    """Messages of a queue up to this permanent id may have been delivered: redelivered, from now on."""

    queue: str
    message_id: int


class DeliveredAgain(NamedTuple):
    """Messages of a queue were delivered, more than once or out of order: pairs of permanent id and how often."""

    queue: str
    counts: Sequence[tuple[int, int]]


class Renumbered(NamedTuple):
    """Messages of a queue got other delivery ids: pairs of permanent id and delivery id."""

    queue: str
    ids: Sequence[tuple[int, int]]


class PublisherOpened(NamedTuple):
    """A publisher flow was opened, of a transacted session or of none."""

    name: str
    id: int
    owner: str
    session: str | None
    eager_acks: bool


class PublisherMoved(NamedTuple):
    """A publisher flow's messages up to this id have arrived."""

    name: str
    last_id: int


class PublisherClosed(NamedTuple):
    """A publisher flow was closed or forgotten."""

    name: str


class SessionOpened(NamedTuple):
    """A transacted session was opened."""

    name: str
    id: int
    owner: str


class SessionEnded(NamedTuple):
    """A transaction of a session ended, given by its pair of counters."""

    name: str
    transaction: tuple[int, int]
    outcome: SessionState


class SessionClosed(NamedTuple):
    """A transacted session was closed or forgotten; its publisher flow is the subject of a record before."""

    name: str


Record: TypeAlias = (
    Issued
    | BrokerConfigured
    | BrokerUnconfigured
    | VpnSet
    | VpnDeleted
    | InVpn
    | Configured
    | Unconfigured
    | QueueSet
    | QueueDeleted
    | Subscribed
    | Unsubscribed
    | Stored
    | Removed
    | Replayed
    | Delivered
    | DeliveredAgain
    | Renumbered
    | PublisherOpened
    | PublisherMoved
    | PublisherClosed
    | SessionOpened
    | SessionEnded
    | SessionClosed
)
