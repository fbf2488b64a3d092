"""Who gets a message: the answer for each topic, remembered until a queue or subscription changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from flumebeam.broker.core.connection import Connection
from flumebeam.broker.core.queues import Queue
from flumebeam.broker.core.topics import TopicTree, invalid_topic
from flumebeam.smf.values import Response

__all__ = ["NO_MATCH", "Route", "Routes"]

NO_MATCH: Final = Response(503, "No Subscription Match")
_BAD_TOPIC: Final = Response(400, "Topic Parse Error")
_NO_QUEUE: Final = Response(503, "Queue Not Found")
_SHUT: Final = Response(503, "Queue Shutdown")
_QUEUE_PREFIX: Final = "#P2P/QUE/"
_TEMPORARY_PREFIX: Final = "#P2P/QTMP/"
_MAX_REMEMBERED: Final = 10_000


class Route(NamedTuple):
    """Where messages on one topic go."""

    queues: tuple[Queue, ...] = ()
    clients: tuple[Connection, ...] = ()
    """Connections with a matching direct subscription."""
    refusal: Response | None = None
    """Why guaranteed messages on this topic are refused, if they are. What nobody gets is refused only where the
    publisher's client profile says so."""
    shut: tuple[Queue, ...] = ()
    """Queues that would get them if they were open."""


class Routes:
    """Routes by topic.

    Args:
        queues: Queues by name, for messages that are addressed to one; the owner tells of changes by :meth:`forget`.
    """

    def __init__(self, queues: Mapping[str, Queue]) -> None:
        self._queues = queues
        self._tree: TopicTree[Queue | Connection] = TopicTree()
        self._remembered: dict[str, Route] = {}

    def __len__(self) -> int:
        return len(self._tree)

    def add(self, subscription: str, subscriber: Queue | Connection) -> None:
        """Let ``subscriber`` get what matches ``subscription``."""
        self._tree.add(subscription, subscriber)
        self._remembered.clear()

    def remove(self, subscription: str, subscriber: Queue | Connection) -> None:
        """Undo :meth:`add`."""
        self._tree.remove(subscription, subscriber)
        self._remembered.clear()

    def forget(self) -> None:
        """Forget what is remembered, because a queue came or went."""
        self._remembered.clear()

    def of(self, topic: str) -> Route:
        """Return the route of ``topic``."""
        route = self._remembered.get(topic)
        if route is None:
            if len(self._remembered) >= _MAX_REMEMBERED:
                self._remembered.clear()
            route = self._remembered[topic] = self._find(topic)
        return route

    def _find(self, topic: str) -> Route:
        if topic.startswith(_QUEUE_PREFIX):
            return self._to_queue(topic.removeprefix(_QUEUE_PREFIX))
        if topic.startswith(_TEMPORARY_PREFIX):
            return self._to_queue(topic)
        if invalid_topic(topic):
            return Route(refusal=_BAD_TOPIC)
        found = self._tree.match(topic)
        queues = [subscriber for subscriber in found if isinstance(subscriber, Queue)]
        return Route(
            queues=tuple(queue for queue in queues if queue.settings.ingress_enabled),
            clients=tuple(subscriber for subscriber in found if isinstance(subscriber, Connection)),
            refusal=None if found else NO_MATCH,
            shut=tuple(queue for queue in queues if not queue.settings.ingress_enabled),
        )

    def _to_queue(self, name: str) -> Route:
        queue = self._queues.get(name)
        if queue is None:
            return Route(refusal=_NO_QUEUE)
        return Route(queues=(queue,)) if queue.settings.ingress_enabled else Route(refusal=_SHUT, shut=(queue,))
