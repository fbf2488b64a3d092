"""Who gets a message: the answer for each topic, remembered until a queue or subscription changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from flumebeam.broker.core.connection import Connection
from flumebeam.broker.core.queues import Queue
from flumebeam.broker.core.responses import QUEUE_SHUTDOWN
from flumebeam.broker.core.shared import ClientGroup, QueueGroup, Subscription, parse_subscription
from flumebeam.broker.core.topics import TopicTree, invalid_topic
from flumebeam.smf.values import Response

__all__ = ["NO_MATCH", "TEMPORARY_QUEUE_PREFIX", "Route", "Routes"]

NO_MATCH: Final = Response(503, "No Subscription Match")
_BAD_TOPIC: Final = Response(400, "Topic Parse Error")
_NO_QUEUE: Final = Response(503, "Queue Not Found")
_QUEUE_PREFIX: Final = "#P2P/QUE/"
TEMPORARY_QUEUE_PREFIX: Final = "#P2P/QTMP/"
_MAX_REMEMBERED: Final = 10_000


class Route(NamedTuple):
    """Where messages on one topic go."""

    queues: tuple[Queue, ...] = ()
    clients: tuple[Connection | ClientGroup, ...] = ()
    """Connections with a matching direct subscription, and groups that share one."""
    refusal: Response | None = None
    """Why guaranteed messages on this topic are refused, if they are. What nobody gets is refused only where the
    publisher's client profile says so."""
    shut: tuple[Queue, ...] = ()
    """Queues that would get them if they were open."""
    shared: tuple[QueueGroup, ...] = ()
    """Groups of queues, of each of which one gets a message. Whoever asks for a route is given it."""
    always: frozenset[Connection] = frozenset()
    """Those of the clients that get messages which are to be delivered to one only beside that one."""
    logs: tuple[Queue, ...] = ()
    """The replay log that keeps guaranteed messages, if there is one."""


class Routes:
    """Routes by topic.

    Args:
        queues: Queues by name, for messages that are addressed to one; the owner tells of changes by :meth:`forget`.
    """

    def __init__(self, queues: Mapping[str, Queue]) -> None:
        self._queues = queues
        self._tree: TopicTree[Queue | Connection | ClientGroup | QueueGroup] = TopicTree()
        self._always: TopicTree[Connection] = TopicTree()
        self._groups: dict[tuple[Subscription, bool], ClientGroup | QueueGroup] = {}
        self._turn = 0
        self._remembered: dict[str, Route] = {}
        self.log: Queue | None = None
        """The replay log; the owner tells of changes by :meth:`forget`."""

    def __len__(self) -> int:
        return len(self._tree) + sum(len(group.members) - 1 for group in self._groups.values())

    def add(self, subscription: str, subscriber: Queue | Connection, always: bool = False) -> None:
        """Let ``subscriber`` get what matches ``subscription``, or its share of that if it is shared.

        Args:
            subscription: Added once for each subscriber.
            subscriber: Queue or client.
            always: Whether it gets messages that are to be delivered to one client only, beside that one.
        """
        parsed = parse_subscription(subscription)
        if parsed.share is None:
            self._tree.add(parsed.topic, subscriber)
            if always and isinstance(subscriber, Connection):
                self._always.add(parsed.topic, subscriber)
        else:
            self._join(parsed, subscriber)
        self._remembered.clear()

    def _join(self, subscription: Subscription, subscriber: Queue | Connection) -> None:
        key = (subscription, isinstance(subscriber, Queue))
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = QueueGroup() if isinstance(subscriber, Queue) else ClientGroup()
            self._tree.add(subscription.topic, group)
        members: list[Queue | Connection] = group.members  # type: ignore[assignment]  # a group is of one kind
        members.append(subscriber)

    def remove(self, subscription: str, subscriber: Queue | Connection) -> None:
        """Undo :meth:`add`."""
        parsed = parse_subscription(subscription)
        if parsed.share is None:
            self._tree.remove(parsed.topic, subscriber)
            if isinstance(subscriber, Connection):
                self._always.remove(parsed.topic, subscriber)
        else:
            self._leave(parsed, subscriber)
        self._remembered.clear()

    def _leave(self, subscription: Subscription, subscriber: Queue | Connection) -> None:
        key = (subscription, isinstance(subscriber, Queue))
        group = self._groups[key]
        members: list[Queue | Connection] = group.members  # type: ignore[assignment]  # a group is of one kind
        members.remove(subscriber)
        if not members:
            del self._groups[key]
            self._tree.remove(subscription.topic, group)

    def forget(self) -> None:
        """Forget what is remembered, because a queue came or went."""
        self._remembered.clear()

    def of(self, topic: str) -> Route:
        """Return the route of ``topic``."""
        route = self._remembered.get(topic) or self._look_up(topic)
        if route.shared:
            takers = (group.next_open() for group in route.shared)
            queues = dict.fromkeys((*route.queues, *(queue for queue in takers if queue is not None)))
            return route._replace(queues=tuple(queues))
        return route

    def reach(self, topic: str, queue: Queue) -> bool:
        """Return whether a queue gets messages on a topic, or its share of them, open or not."""
        route = self._remembered.get(topic) or self._look_up(topic)
        return queue in route.queues or queue in route.shut or any(queue in group.members for group in route.shared)

    def _look_up(self, topic: str) -> Route:
        if len(self._remembered) >= _MAX_REMEMBERED:
            self._remembered.clear()
        route = self._find(topic)
        log = self.log
        if log is not None and log.settings.ingress_enabled and not topic.startswith(TEMPORARY_QUEUE_PREFIX):
            route = route._replace(logs=(log,))
        self._remembered[topic] = route
        return route

    def one_of(self, route: Route) -> Iterable[Connection | ClientGroup]:
        """Return who gets a message that is to be delivered to one client only: one in turn, and those that always do.

        Args:
            route: The message's.
        """
        takers = [client for client in route.clients if client not in route.always]
        self._turn += 1
        return (*route.always, *takers[self._turn % max(len(takers), 1) :][:1])

    def _find(self, topic: str) -> Route:
        if topic.startswith(_QUEUE_PREFIX):
            return self._to_queue(topic.removeprefix(_QUEUE_PREFIX))
        if topic.startswith(TEMPORARY_QUEUE_PREFIX):
            return self._to_queue(topic)
        if invalid_topic(topic):
            return Route(refusal=_BAD_TOPIC)
        found = self._tree.match(topic)
        queues = [subscriber for subscriber in found if isinstance(subscriber, Queue)]
        return Route(
            queues=tuple(queue for queue in queues if queue.settings.ingress_enabled),
            clients=tuple(subscriber for subscriber in found if isinstance(subscriber, Connection | ClientGroup)),
            refusal=None if found else NO_MATCH,
            shut=tuple(queue for queue in queues if not queue.settings.ingress_enabled),
            shared=tuple(subscriber for subscriber in found if isinstance(subscriber, QueueGroup)),
            always=frozenset(self._always.match(topic)),
        )

    def _to_queue(self, name: str) -> Route:
        queue = self._queues.get(name)
        if queue is None or queue.is_topic_endpoint:
            return Route(refusal=_NO_QUEUE)
        return (
            Route(queues=(queue,)) if queue.settings.ingress_enabled else Route(refusal=QUEUE_SHUTDOWN, shut=(queue,))
        )
