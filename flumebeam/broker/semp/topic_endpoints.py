"""Topic endpoints in the management protocol: as queues, with some names and defaults of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from flumebeam.broker.core.administration import QueueSetup, configure_queue, delete_messages
from flumebeam.broker.core.provisioning import invalid_queue_name
from flumebeam.broker.core.queues import TOPIC_ENDPOINT_PREFIX, Queue
from flumebeam.broker.core.setting_up import ACCESS, PERMISSIONS
from flumebeam.broker.core.vpn import Vpn
from flumebeam.broker.semp.attributes import Attribute
from flumebeam.broker.semp.endpoint_settings import ATTRIBUTES, FIXED, change_settings, default_values, show_settings
from flumebeam.broker.semp.replies import Problem, Status
from flumebeam.broker.semp.resources import Action, Resource, World

__all__ = [
    "CONFIG_ENDPOINTS",
    "ENDPOINT_ACTIONS",
    "queues_of",
    "show_topic_endpoint",
    "topic_endpoints_of",
]

_KEY: Final = "topicEndpointName"
_NOUN: Final = "topic endpoint"
_BEHAVIOR: Final = "rejectMsgToSenderOnDiscardBehavior"
_QUOTA, _QUEUE_QUOTA = "maxSpoolUsage", "maxMsgSpoolUsage"
_THRESHOLD, _QUEUE_THRESHOLD = "eventSpoolUsageThreshold", "eventMsgSpoolUsageThreshold"
_WHEN_ENABLED, _WHEN_QUEUE_ENABLED = "when-topic-endpoint-enabled", "when-queue-enabled"
_SHARED: Final = {
    name: attribute
    for name, attribute in ATTRIBUTES.items()
    if name not in (_QUEUE_QUOTA, _QUEUE_THRESHOLD) and not name.startswith("partition")
}
_ATTRIBUTES: Final = _SHARED | {
    _KEY: Attribute(default="", required=True, identifying=True),
    "accessType": Attribute(default="exclusive", choices=tuple(ACCESS)),
    "maxBindCount": replace(ATTRIBUTES["maxBindCount"], default=1),
    _QUOTA: ATTRIBUTES[_QUEUE_QUOTA],
    _THRESHOLD: ATTRIBUTES[_QUEUE_THRESHOLD],
    "owner": Attribute(default=""),
    "permission": Attribute(default="no-access", choices=tuple(PERMISSIONS)),
    _BEHAVIOR: Attribute(default="never", choices=("always", _WHEN_ENABLED, "never")),
    **FIXED,
}
_FIXED: Final = {name: attribute.default for name, attribute in FIXED.items()}


def queues_of(vpn: Vpn) -> dict[str, Queue]:
    """Return the queues of a message VPN, without its topic endpoints."""
    return {name: queue for name, queue in vpn.queues.items() if not queue.is_topic_endpoint}


def topic_endpoints_of(vpn: Vpn) -> dict[str, Queue]:
    """Return the topic endpoints of a message VPN by the names that clients have for them."""
    return {
        name.removeprefix(TOPIC_ENDPOINT_PREFIX): queue for name, queue in vpn.queues.items() if queue.is_topic_endpoint
    }


def show_topic_endpoint(world: World, endpoint: Queue) -> dict[str, Any]:
    """Return how a topic endpoint is set up."""
    shown = _renamed(show_settings(endpoint.settings)) | {
        "accessType": next(name for name, access in ACCESS.items() if access is endpoint.access),
        "owner": endpoint.owner or "",
        "permission": next(name for name, permission in PERMISSIONS.items() if permission is endpoint.permission),
    }
    return _FIXED | shown


def _renamed(settings: dict[str, Any]) -> dict[str, Any]:
    shown = {name: settings[name] for name in _SHARED}
    if shown[_BEHAVIOR] == _WHEN_QUEUE_ENABLED:
        shown[_BEHAVIOR] = _WHEN_ENABLED
    return shown | {_QUOTA: settings[_QUEUE_QUOTA], _THRESHOLD: settings[_QUEUE_THRESHOLD]}


def _defaults(world: World) -> dict[str, Any]:
    of_queues = default_values(world.vpn.default_settings(topic_endpoint=True))
    return {name: value for name, value in of_queues.items() if name in _ATTRIBUTES} | {_QUOTA: of_queues[_QUEUE_QUOTA]}


def _put(world: World, vpn: Vpn, name: str, endpoint: Queue | None, values: dict[str, Any]) -> Queue:
    if endpoint is not None:
        values = show_topic_endpoint(world, endpoint) | values
    former = vpn.default_settings(topic_endpoint=True) if endpoint is None else endpoint.settings
    behavior = values[_BEHAVIOR]
    wanted = show_settings(former) | {attribute: values[attribute] for attribute in _SHARED}
    wanted |= {
        _QUEUE_QUOTA: values[_QUOTA],
        _QUEUE_THRESHOLD: values[_THRESHOLD],
        _BEHAVIOR: _WHEN_QUEUE_ENABLED if behavior == _WHEN_ENABLED else behavior,
    }
    setup = QueueSetup(
        access=ACCESS[values["accessType"]],
        owner=values["owner"] or None,
        permission=PERMISSIONS[values["permission"]],
        settings=change_settings(former, wanted),
    )
    if endpoint is not None:
        configure_queue(vpn, endpoint, setup)
        return endpoint
    if invalid_queue_name(name):
        raise Problem(Status.INVALID_PARAMETER, f"{_KEY} must have 1 to 200 bytes.")
    full_name = TOPIC_ENDPOINT_PREFIX + name
    if full_name in vpn.queues:
        raise Problem(Status.ALREADY_EXISTS, f"There is a temporary topic endpoint {name}.")
    if len(vpn.queues) >= vpn.settings.max_queues:
        raise Problem(Status.FAIL, f"The message VPN has {len(vpn.queues)} endpoints, and no more are allowed.")
    return vpn.add_queue(full_name, setup.access, setup.owner, setup.permission, settings=setup.settings)


def _durable(world: World, vpn: Vpn) -> Mapping[str, Queue]:
    return {name: endpoint for name, endpoint in topic_endpoints_of(vpn).items() if endpoint.durable}


CONFIG_ENDPOINTS: Final = Resource(
    name="topicEndpoints",
    key=_KEY,
    noun=_NOUN,
    members=_durable,
    show=show_topic_endpoint,
    attributes=_ATTRIBUTES,
    defaults=_defaults,
    put=_put,
    delete=lambda world, vpn, endpoint: vpn.remove_queue(endpoint),
)
ENDPOINT_ACTIONS: Final = Resource(
    name=CONFIG_ENDPOINTS.name,
    key=_KEY,
    noun=_NOUN,
    members=lambda world, vpn: topic_endpoints_of(vpn),
    show=lambda world, endpoint: {},
    actions={"deleteMsgs": Action(lambda world, endpoint, _: delete_messages(world.vpn, endpoint))},
)
