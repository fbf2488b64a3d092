"""What passed through a client's connection, counted so that messages cost next to nothing more."""

from __future__ import annotations

__all__ = ["Traffic"]


class Traffic:
    """Counters of one client, or of several together.

    Attributes:
        received: Messages from the client.
        received_bytes: All bytes from it.
        delivered: Messages to the client.
        delivered_bytes: All bytes to it.
        denied: Messages from it that were dropped or refused because it must not publish on their topics.
        unmatched: Messages from it that nobody has subscribed to.
        discarded: Direct messages to it that it did not take in time.
    """

    __slots__ = ("delivered", "delivered_bytes", "denied", "discarded", "received", "received_bytes", "unmatched")

    def __init__(self) -> None:
        self.received = self.received_bytes = self.delivered = self.delivered_bytes = 0
        self.denied = self.discarded = self.unmatched = 0

    def add(self, other: Traffic) -> None:
        """Add the counters of another one."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def clear(self) -> None:
        """Begin at zero again."""
        for name in self.__slots__:
            setattr(self, name, 0)
