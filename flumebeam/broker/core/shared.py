"""Shared subscriptions: each message goes to one member of a group.

``#share/NAME/TOPIC`` makes a group of all that subscribe to the same topic under the same name. ``#noexport/`` in
front, or in front of the topic, keeps a subscription from other brokers, of which there are none here.
"""

from __future__ import annotations

from typing import Final, Generic, NamedTuple, TypeVar

from flumebeam.broker.core.connection import Connection
from flumebeam.broker.core.queues import Queue
from flumebeam.broker.core.topics import invalid_topic
from flumebeam.smf.pubmsg import MessageTemplate

__all__ = ["ClientGroup", "Group", "QueueGroup", "Subscription", "invalid_subscription", "parse_subscription"]

_SHARE: Final = "#share/"
_NO_EXPORT: Final = "#noexport/"

T = TypeVar("T")


class Subscription(NamedTuple):
    """A subscription taken apart."""

    topic: str
    share: str | None
    """Name of the group, or None for one that is not shared."""


def parse_subscription(text: str) -> Subscription:
    """Take a subscription apart."""
    text = text.removeprefix(_NO_EXPORT)
    if not text.startswith(_SHARE):
        return Subscription(text, None)
    share, _, topic = text.removeprefix(_SHARE).partition("/")
    return Subscription(topic.removeprefix(_NO_EXPORT), share)


def invalid_subscription(subscription: Subscription) -> bool:
    """Return whether it has no valid topic, or a group without a name or with a wildcard in it."""
    share = subscription.share
    return invalid_topic(subscription.topic) or (share is not None and (not share or "*" in share or ">" in share))


class Group(Generic[T]):
    """Members that share what a subscription matches, in turn."""

    def __init__(self) -> None:
        self.members: list[T] = []
        self._turn = 0

    def next(self) -> T:
        """Return the member whose turn it is."""
        self._turn = (self._turn + 1) % len(self.members)
        return self.members[self._turn]


class ClientGroup(Group[Connection]):
    """Clients that share a subscription. It is sent direct messages as one client is."""

    def send_direct(self, template: MessageTemplate, summary: bytes, body: bytes) -> None:
        """Pass a message to the next member that keeps up, or have the next one discard it if none does."""
        for _ in self.members:
            member = self.next()
            if member.accepts_deliveries:
                break
        member.send_direct(template, summary, body)


class QueueGroup(Group[Queue]):
    """Queues that share a subscription."""

    def next_open(self) -> Queue | None:
        """Return the next member that is open for messages, or None."""
        for _ in self.members:
            member = self.next()
            if member.settings.ingress_enabled:
                return member
        return None
