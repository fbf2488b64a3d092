"""Endpoints as clients name them and set them up: queues and topic endpoints, durable and temporary.

A topic endpoint is a queue that is fed by one topic, which its consumer names when it binds. It has a name space of its
own, which is a prefix here. Names on the wire: measured with the C library (7.33), JCSMP and JMS (10.29).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from flumebeam.broker.core.administration import QueueSetup, delete_messages
from flumebeam.broker.core.connection import Connection
from flumebeam.broker.core.provisioning import invalid_queue_name, subscribe_queue, unsubscribe_queue
from flumebeam.broker.core.queue_settings import Permission, QueueSettings
from flumebeam.broker.core.queues import TOPIC_ENDPOINT_PREFIX, Queue
from flumebeam.broker.core.responses import NOT_PERMITTED, TOO_MANY_SUBSCRIPTIONS
from flumebeam.broker.core.routes import TEMPORARY_QUEUE_PREFIX
from flumebeam.broker.core.templates import QueueTemplate, find_template
from flumebeam.broker.core.topics import invalid_topic
from flumebeam.broker.core.vpn import Vpn
from flumebeam.smf.assuredctrl import AccessType, AssuredControl, Durability, EndpointBehavior
from flumebeam.smf.values import Response

__all__ = [
    "change_topic",
    "decode_permission",
    "encode_permission",
    "endpoint_name",
    "full_name",
    "invalid_endpoint_name",
    "refused_topic",
    "requested_setup",
    "temporary_name",
    "temporary_settings",
]

_TO_BE_CHOSEN: Final = "-"
_MEGABYTE: Final = 1_000_000
_TEMPORARY_ENDPOINT_PREFIX: Final = f"{TOPIC_ENDPOINT_PREFIX}#TMP/"
_BAD_TOPIC: Final = Response(400, "Invalid Topic Name")
_TOPIC_CHANGED: Final = Response(503, "Topic or Selector Modified on Durable Topic Endpoint")
_BITS: Final = {
    Permission.NO_ACCESS: 0x0,
    Permission.READ_ONLY: 0x1,
    Permission.CONSUME: 0x3,
    Permission.MODIFY_TOPIC: 0x7,
    Permission.DELETE: 0xF,
}
"""Permissions on the wire: each has the bits of those that it includes."""


def encode_permission(permission: Permission) -> bytes:
    """Return a permission as clients read it."""
    return _BITS[permission].to_bytes(4, "big")


def decode_permission(raw: bytes | None) -> Permission:
    """Return the highest permission that all bits are there for; without any, others have no access."""
    bits = int.from_bytes(raw or b"", "big")
    return max(permission for permission, needed in _BITS.items() if bits & needed == needed)


def full_name(request: AssuredControl) -> str:
    """Return the name by which the broker knows the endpoint of a request; empty if the broker is to choose one."""
    if request.endpoint is None:
        return request.queue or ""
    return f"{TOPIC_ENDPOINT_PREFIX}{request.endpoint}" if request.endpoint else ""


def endpoint_name(queue: Queue) -> str | None:
    """Return the name that clients have for a topic endpoint, None for a queue."""
    return queue.name.removeprefix(TOPIC_ENDPOINT_PREFIX) if queue.is_topic_endpoint else None


def invalid_endpoint_name(request: AssuredControl) -> bool:
    """Return whether an endpoint cannot be made under the name in a request, which also says of what kind it is."""
    name = full_name(request)
    if request.endpoint is None:
        temporary = name.startswith(TEMPORARY_QUEUE_PREFIX)
    else:
        temporary = not name or name.startswith(_TEMPORARY_ENDPOINT_PREFIX)
        name = request.endpoint or _TO_BE_CHOSEN
    return invalid_queue_name(name) or temporary is not (request.durability == Durability.NON_DURABLE)


def temporary_name(vpn: Vpn) -> str:
    """Return a name for a temporary topic endpoint, by which its client also comes back to it."""
    return f"{_TEMPORARY_ENDPOINT_PREFIX}{vpn.spool.spooler_id:x}/{vpn.next_handle()}"


def requested_setup(vpn: Vpn, connection: Connection, request: AssuredControl) -> QueueSetup:
    """Return the set-up of a durable endpoint that a client makes, its own one: what it asks for comes first."""
    template = _template(vpn, connection, request)
    access, permission = AccessType.EXCLUSIVE, decode_permission(request.other_permissions)
    if request.access == AccessType.NON_EXCLUSIVE or (request.access is None and template and not template.exclusive):
        access = AccessType.NON_EXCLUSIVE
    if request.other_permissions is None and template:
        permission = template.permission
    return QueueSetup(
        access=access,
        owner=connection.username,
        permission=permission,
        settings=_requested_settings(vpn, request, template),
    )


def temporary_settings(vpn: Vpn, connection: Connection, request: AssuredControl) -> QueueSettings:
    """Return the settings of a temporary endpoint that a client makes by binding to it."""
    return _requested_settings(vpn, request, _template(vpn, connection, request))


def _template(vpn: Vpn, connection: Connection, request: AssuredControl) -> QueueTemplate | None:
    # That of its name, or else that of the client profile.
    profile = connection.profile
    if request.endpoint is None:
        found = find_template(vpn.queue_templates, request.queue or "")
        return found or vpn.queue_templates.get(profile.queue_template)
    return find_template(vpn.endpoint_templates, request.endpoint) or vpn.endpoint_templates.get(
        profile.endpoint_template
    )


def _requested_settings(vpn: Vpn, request: AssuredControl, template: QueueTemplate | None) -> QueueSettings:
    """Return the settings of an endpoint that a client makes.

    What it asks for comes before what a template says, and that before what all have (the vendor's guide on endpoint
    properties).
    """
    settings = vpn.default_settings(topic_endpoint=request.endpoint is not None)
    if template is not None:
        settings = template.settings
    behavior = request.behavior or 0
    told = settings.reject_on_discard
    if behavior & EndpointBehavior.NOTIFY_SENDER:
        told = "when-queue-enabled"
    elif behavior & EndpointBehavior.DO_NOT_NOTIFY_SENDER:
        told = "never"
    quota = request.quota_mb
    return replace(
        settings,
        max_bytes=quota * _MEGABYTE if quota else settings.max_bytes,
        last_value=settings.last_value if quota is None else quota == 0,
        max_message_bytes=_or(request.max_message_bytes, settings.max_message_bytes),
        max_redeliveries=_or(request.max_redeliveries, settings.max_redeliveries),
        respect_ttl=settings.respect_ttl if request.respect_ttl is None else bool(request.respect_ttl),
        reject_on_discard=told,
    )


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def refused_topic(vpn: Vpn, queue: Queue | None, topic: str | None, may_change: bool) -> Response | None:
    """Return why a topic endpoint cannot be fed by a topic, if so.

    Args:
        vpn: Has the subscriptions.
        queue: The topic endpoint, None if it is to be made.
        topic: The topic; None leaves the one that is there.
        may_change: Whether who wants it may put it in the place of another.
    """
    if topic is None:
        return _BAD_TOPIC if queue is None else None
    if queue is not None and topic in queue.subscriptions:
        return None
    if invalid_topic(topic) or topic.startswith("#share/"):
        return _BAD_TOPIC
    if queue is not None and queue.subscriptions and not may_change:
        return NOT_PERMITTED
    if len(vpn.routes) >= vpn.settings.max_subscriptions:
        return TOO_MANY_SUBSCRIPTIONS
    return None


def change_topic(vpn: Vpn, queue: Queue, topic: str | None) -> None:
    """Let a topic endpoint be fed by a topic, or by none; another one than before deletes what it holds."""
    if topic is not None and topic in queue.subscriptions:
        return
    vpn.unbind_all(queue, _TOPIC_CHANGED)
    for former in tuple(queue.subscriptions):
        unsubscribe_queue(vpn, queue, former)
    delete_messages(vpn, queue)
    if topic is not None:
        subscribe_queue(vpn, queue, topic, by_client=True)
