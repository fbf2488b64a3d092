"""The configuration API: ``/SEMP/v2/config``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flumebeam.broker.core.administration import (
    QueueSetup,
    configure_queue,
)
from flumebeam.broker.core.provisioning import invalid_queue_name, subscribe_queue, unsubscribe_queue
from flumebeam.broker.core.queues import Queue
from flumebeam.broker.core.responses import OK
from flumebeam.broker.core.setting_up import ACCESS, PERMISSIONS
from flumebeam.broker.core.vpn import Vpn
from flumebeam.broker.semp.access_settings import ACL_PROFILES, CLIENT_PROFILES, CLIENT_USERNAMES
from flumebeam.broker.semp.attributes import Attribute
from flumebeam.broker.semp.endpoint_settings import (
    ATTRIBUTES,
    FIXED,
    change_settings,
    default_values,
    show_settings,
)
from flumebeam.broker.semp.replays import CONFIG_LOGS
from flumebeam.broker.semp.replies import Problem, Status
from flumebeam.broker.semp.resources import Resource, World
from flumebeam.broker.semp.templates import QUEUE_TEMPLATES, TOPIC_ENDPOINT_TEMPLATES
from flumebeam.broker.semp.topic_endpoints import CONFIG_ENDPOINTS, queues_of
from flumebeam.broker.semp.vpn_settings import VPN_ATTRIBUTES, put_vpn, remove_vpn, show_vpn, vpn_defaults

__all__ = ["CONFIG", "show_queue"]

_ACCESS_NAMES: Final = {access: name for name, access in ACCESS.items()}
_PERMISSION_NAMES: Final = {permission: name for name, permission in PERMISSIONS.items()}

_NAME: Final = Attribute(default="", required=True, identifying=True)
_QUEUE: Final = ATTRIBUTES | {
    "queueName": _NAME,
    "accessType": Attribute(default="exclusive", choices=tuple(ACCESS)),
    "owner": Attribute(default=""),
    "permission": Attribute(default="no-access", choices=tuple(PERMISSIONS)),
    **FIXED,
}
_FIXED: Final = {name: attribute.default for name, attribute in FIXED.items()}


# Queues


def show_queue(world: World, queue: Queue) -> dict[str, Any]:
    """Return how a queue is set up."""
    own = show_settings(queue.settings) | {
        "accessType": _ACCESS_NAMES[queue.access],
        "owner": queue.owner or "",
        "permission": _PERMISSION_NAMES[queue.permission],
    }
    return _FIXED | own


def _queue_defaults(world: World) -> dict[str, Any]:
    return default_values(world.vpn.default_settings())


def _put_queue(world: World, vpn: Vpn, name: str, queue: Queue | None, values: dict[str, Any]) -> Queue:
    if queue is not None:
        values = show_queue(world, queue) | values
    setup = QueueSetup(
        access=ACCESS[values["accessType"]],
        owner=values["owner"] or None,
        permission=PERMISSIONS[values["permission"]],
        settings=change_settings(vpn.default_settings() if queue is None else queue.settings, values),
    )
    if queue is not None:
        configure_queue(vpn, queue, setup)
        return queue
    if invalid_queue_name(name):
        raise Problem(Status.INVALID_PARAMETER, "queueName must have 1 to 200 bytes.")
    if name in vpn.queues:
        raise Problem(Status.ALREADY_EXISTS, f"There is a temporary queue {name}.")
    if len(vpn.queues) >= vpn.settings.max_queues:
        raise Problem(Status.FAIL, f"The message VPN has {len(vpn.queues)} queues, and no more are allowed.")
    return vpn.add_queue(name, setup.access, setup.owner, setup.permission, settings=setup.settings)


def _durable_queues(world: World, vpn: Vpn) -> Mapping[str, Queue]:
    return {name: queue for name, queue in queues_of(vpn).items() if queue.durable}


def _subscribe(world: World, queue: Queue, topic: str, there: str | None, values: dict[str, Any]) -> str:
    response = subscribe_queue(world.vpn, queue, topic)
    if response is not OK:
        raise Problem(Status.FAIL, f"Queue {queue.name} cannot subscribe to {topic!r}: {response.text}.")
    return topic


def _unsubscribe(world: World, queue: Queue, topic: str) -> None:
    unsubscribe_queue(world.vpn, queue, topic)


CONFIG: Final = Resource(
    name="msgVpns",
    key="msgVpnName",
    noun="message VPN",
    members=lambda world, _: world.host.vpns,
    show=show_vpn,
    attributes=VPN_ATTRIBUTES,
    defaults=vpn_defaults,
    put=put_vpn,
    delete=remove_vpn,
    children=(
        Resource(
            name="queues",
            key="queueName",
            noun="queue",
            members=_durable_queues,
            show=show_queue,
            attributes=_QUEUE,
            defaults=_queue_defaults,
            put=_put_queue,
            delete=lambda world, vpn, queue: vpn.remove_queue(queue),
            children=(
                Resource(
                    name="subscriptions",
                    key="subscriptionTopic",
                    noun="subscription",
                    members=lambda world, queue: {topic: topic for topic in queue.subscriptions},
                    show=lambda world, topic: {},
                    attributes={"subscriptionTopic": _NAME},
                    put=_subscribe,
                    delete=_unsubscribe,
                ),
            ),
        ),
        CONFIG_ENDPOINTS,
        QUEUE_TEMPLATES,
        TOPIC_ENDPOINT_TEMPLATES,
        CLIENT_USERNAMES,
        ACL_PROFILES,
        CLIENT_PROFILES,
        CONFIG_LOGS,
    ),
)
