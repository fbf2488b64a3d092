"""Durable queues and topic endpoints as a program sets them up, with errors in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flumebeam.broker.core.endpoints import change_topic, refused_topic
from flumebeam.broker.core.provisioning import invalid_queue_name
from flumebeam.broker.core.queue_settings import Permission
from flumebeam.broker.core.queues import TOPIC_ENDPOINT_PREFIX, Queue
from flumebeam.broker.core.vpn import Vpn
from flumebeam.errors import ConfigurationError, QueueError
from flumebeam.smf.assuredctrl import AccessType

__all__ = ["ACCESS", "PERMISSIONS", "find_queue", "find_topic_endpoint", "set_up_queue", "set_up_topic_endpoint"]

ACCESS: Final = {"exclusive": AccessType.EXCLUSIVE, "non-exclusive": AccessType.NON_EXCLUSIVE}
PERMISSIONS: Final = {permission.name.lower().replace("_", "-"): permission for permission in Permission}


def set_up_queue(
    vpn: Vpn, name: str, access: str, owner: str | None, permission: str, settings: Mapping[str, Any]
) -> Queue:
    """Return a queue, created if it is not there.

    Args:
        vpn: Where it is to be.
        name: 1 to 200 bytes.
        access: Key of ``ACCESS``.
        owner: Username that may do everything with it.
        permission: Key of ``PERMISSIONS``: what others may do.
        settings: Fields of :class:`QueueSettings` that are not to have their default.

    Raises:
        ConfigurationError: An argument is not valid.
        QueueError: The queue exists with another access type, or there are too many.
    """
    if invalid_queue_name(name):
        raise ConfigurationError(f"{name!r} cannot be the name of a queue: it needs 1 to 200 bytes.")
    return _set_up(vpn, name, f"Queue {name}", access, owner, permission, settings)


def set_up_topic_endpoint(
    vpn: Vpn,
    name: str,
    access: str,
    topic: str | None,
    owner: str | None,
    permission: str,
    settings: Mapping[str, Any],
) -> Queue:
    """Return a topic endpoint, created if it is not there, and let it be fed by a topic; else :func:`set_up_queue`.

    Raises:
        ConfigurationError: An argument is not valid.
        QueueError: The topic endpoint exists with another access type, or there are too many.
    """
    if invalid_queue_name(name):
        raise ConfigurationError(f"{name!r} cannot be the name of a topic endpoint: it needs 1 to 200 bytes.")
    noun = f"Topic endpoint {name}"
    endpoint = _set_up(vpn, TOPIC_ENDPOINT_PREFIX + name, noun, access, owner, permission, settings)
    if topic is not None:
        refusal = refused_topic(vpn, endpoint, topic, may_change=True)
        if refusal is not None:
            raise ConfigurationError(f"{noun} cannot be fed by {topic!r}: {refusal.text}.")
        change_topic(vpn, endpoint, topic)
    return endpoint


def _set_up(
    vpn: Vpn, name: str, noun: str, access: str, owner: str | None, permission: str, settings: Mapping[str, Any]
) -> Queue:
    if permission not in PERMISSIONS:
        raise ConfigurationError(f"{permission!r} is no permission; choose one of {', '.join(PERMISSIONS)}.")
    if access not in ACCESS:
        raise ConfigurationError(f'The access type of a queue is "exclusive" or "non-exclusive", not {access!r}.')
    queue = vpn.queues.get(name)
    if queue is None:
        if len(vpn.queues) >= vpn.settings.max_queues:
            raise QueueError(f"The broker has {len(vpn.queues)} queues already; delete some or raise max_queues.")
        chosen = vpn.default_settings(name.startswith(TOPIC_ENDPOINT_PREFIX)).changed(settings)
        if chosen.partitions and access == "exclusive":
            raise ConfigurationError(f"{noun} cannot have partitions: only a non-exclusive queue can.")
        return vpn.add_queue(name, ACCESS[access], owner, PERMISSIONS[permission], settings=chosen)
    if queue.access is not ACCESS[access]:
        raise QueueError(f"{noun} exists already and is {queue.status().access}.")
    return queue


def find_queue(vpn: Vpn, name: str) -> Queue:
    """Return the queue of this name.

    Raises:
        QueueError: There is none.
    """
    queue = vpn.queues.get(name)
    if queue is None:
        raise QueueError(f"There is no queue {name}; create it first.")
    return queue


def find_topic_endpoint(vpn: Vpn, name: str) -> Queue:
    """Return the topic endpoint of this name.

    Raises:
        QueueError: There is none.
    """
    endpoint = vpn.queues.get(TOPIC_ENDPOINT_PREFIX + name)
    if endpoint is None:
        raise QueueError(f"There is no topic endpoint {name}; create it first.")
    return endpoint
