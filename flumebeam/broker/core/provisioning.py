"""Topic subscriptions of clients and queues."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from flumebeam.broker.core.connection import Connection
from flumebeam.broker.core.journal import Subscribed, Unsubscribed
from flumebeam.broker.core.queue_settings import Permission
from flumebeam.broker.core.queues import TOPIC_ENDPOINT_PREFIX, Queue
from flumebeam.broker.core.replay_log import LOG_PREFIX
from flumebeam.broker.core.responses import NOT_PERMITTED, OK, TOO_MANY_SUBSCRIPTIONS, UNKNOWN_QUEUE
from flumebeam.broker.core.shared import Subscription, invalid_subscription, parse_subscription
from flumebeam.broker.core.vpn import Vpn
from flumebeam.smf.subctrl import SubscriptionControl, SubscriptionFlag, SubscriptionKind
from flumebeam.smf.values import Response

__all__ = [
    "handle_subscription",
    "invalid_queue_name",
    "subscribe_queue",
    "subscription_denial",
    "unsubscribe_queue",
]

_MAX_QUEUE_NAME: Final = 200
_BAD_SUBSCRIPTION: Final = Response(400, "Subscription Parse Error")
_EXISTS: Final = Response(400, "Subscription Already Exists")
_NOT_FOUND: Final = Response(400, "Subscription Not Found")
_DENIED: Final = Response(403, "Subscription ACL Denied")
_NO_SHARING: Final = Response(403, "Shared Subscription Permission Denied")


def invalid_queue_name(name: str) -> bool:
    """Return whether ``name`` is empty, longer than 200 bytes, or like that of a topic endpoint or a replay log."""
    return not name or len(name.encode()) > _MAX_QUEUE_NAME or name.startswith((LOG_PREFIX, TOPIC_ENDPOINT_PREFIX))


def handle_subscription(vpn: Vpn, connection: Connection, request: SubscriptionControl) -> None:
    """Add or remove a subscription. A request that did not ask for an answer gets none: clients break on it."""
    response = _change(vpn, connection, request)
    if request.flags & SubscriptionFlag.WANTS_RESPONSE:
        connection.send(replace(request, response=response))


def _change(vpn: Vpn, connection: Connection, request: SubscriptionControl) -> Response:
    if request.kind in (SubscriptionKind.ADD_TO_QUEUE, SubscriptionKind.REMOVE_FROM_QUEUE):
        queue = vpn.queues.get(request.target or "")
        if queue is None:
            return UNKNOWN_QUEUE
        if not queue.allows(connection.username, Permission.MODIFY_TOPIC):
            return NOT_PERMITTED
        if request.kind is SubscriptionKind.ADD_TO_QUEUE:
            return subscription_denial(connection, parse_subscription(request.topic)) or subscribe_queue(
                vpn, queue, request.topic, by_client=True
            )
        return unsubscribe_queue(vpn, queue, request.topic)
    if request.kind is SubscriptionKind.ADD:
        return _subscribe_client(vpn, connection, request)
    if request.kind is SubscriptionKind.REMOVE:
        return _unsubscribe_client(vpn, connection, request.topic)
    if not connection.user.manages_subscriptions:
        return Response(403, "Subscription Manager Denied")
    client = vpn.clients.get(request.target or "")
    if client is None:
        return Response(400, "Client Not Found")
    if request.kind is SubscriptionKind.ADD_FOR_CLIENT:
        return _subscribe_client(vpn, client, request)
    return _unsubscribe_client(vpn, client, request.topic)


def subscribe_queue(vpn: Vpn, queue: Queue, topic: str, by_client: bool = False) -> Response:
    """Let ``queue`` get what matches ``topic``, and return what a client is told."""
    if invalid_subscription(parse_subscription(topic)):
        return _BAD_SUBSCRIPTION
    if topic in queue.subscriptions:
        return _EXISTS
    if len(vpn.routes) >= vpn.settings.max_subscriptions:
        return TOO_MANY_SUBSCRIPTIONS
    queue.subscriptions[topic] = not by_client
    vpn.routes.add(topic, queue)
    if queue.durable:
        vpn.note(Subscribed(queue.name, topic, by_client))
    vpn.report(f"queue {queue.name} subscribed to {topic}")
    return OK


def unsubscribe_queue(vpn: Vpn, queue: Queue, topic: str) -> Response:
    """Undo :func:`subscribe_queue`, and return what a client is told."""
    if topic not in queue.subscriptions:
        return _NOT_FOUND
    del queue.subscriptions[topic]
    vpn.routes.remove(topic, queue)
    if queue.durable:
        vpn.note(Unsubscribed(queue.name, topic))
    vpn.report(f"queue {queue.name} unsubscribed from {topic}")
    return OK


def subscription_denial(connection: Connection, subscription: Subscription) -> Response | None:
    """Return why a client may not have a subscription, if so."""
    if connection.subscribing is not None and not connection.subscribing.covers(subscription.topic):
        return _DENIED
    if subscription.share is None:
        return None
    if connection.sharing is not None and not connection.sharing.covers(subscription.share):
        return _DENIED
    return None if connection.profile.share_subscriptions else _NO_SHARING


def _subscribe_client(vpn: Vpn, connection: Connection, request: SubscriptionControl) -> Response:
    topic = request.topic
    if topic in connection.subscriptions:
        return _EXISTS
    # The client's inbox may be longer than topics of messages are: it holds the client's name.
    if topic != f"{connection.inbox}/>":
        subscription = parse_subscription(topic)
        if invalid_subscription(subscription):
            return _BAD_SUBSCRIPTION
        denial = subscription_denial(connection, subscription)
        if denial is not None:
            return denial
        if len(connection.subscriptions) >= connection.profile.max_subscriptions + connection.has_inbox:
            return TOO_MANY_SUBSCRIPTIONS
    if len(vpn.routes) >= vpn.settings.max_subscriptions:
        return TOO_MANY_SUBSCRIPTIONS
    connection.subscriptions.add(topic)
    vpn.routes.add(topic, connection, bool(request.flags & SubscriptionFlag.DELIVER_ALWAYS))
    return OK


def _unsubscribe_client(vpn: Vpn, connection: Connection, topic: str) -> Response:
    if topic not in connection.subscriptions:
        return _NOT_FOUND
    connection.subscriptions.discard(topic)
    vpn.routes.remove(topic, connection)
    return OK
