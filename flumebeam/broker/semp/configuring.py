"""The configuration API: ``/SEMP/v2/config``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from flumebeam.broker.core.administration import (
    QueueSetup,
    configure_queue,
    drop_username,
    put_username,
)
from flumebeam.broker.core.engine import ACCESS, PERMISSIONS
from flumebeam.broker.core.provisioning import invalid_queue_name, subscribe_queue, unsubscribe_queue
from flumebeam.broker.core.queues import Queue
from flumebeam.broker.core.vpn import OK, ClientUsername, Vpn, VpnSettings
from flumebeam.broker.core.vpns import configure_vpn, create_vpn, delete_vpn, invalid_vpn_name
from flumebeam.broker.semp.attributes import Attribute
from flumebeam.broker.semp.endpoint_settings import (
    ATTRIBUTES,
    MEGABYTE,
    change_settings,
    default_values,
    show_settings,
)
from flumebeam.broker.semp.replies import Problem, Status
from flumebeam.broker.semp.resources import Resource, World

__all__ = ["CONFIG", "show_queue", "show_username", "show_vpn"]

_DEFAULT_PROFILE: Final = "default"
_MAX_USERNAME: Final = 189
_ACCESS_NAMES: Final = {access: name for name, access in ACCESS.items()}
_PERMISSION_NAMES: Final = {permission: name for name, permission in PERMISSIONS.items()}

_NAME: Final = Attribute(default="", required=True, identifying=True)
_VPN: Final = {
    "msgVpnName": _NAME,
    "enabled": Attribute(default=False),
    "maxConnectionCount": Attribute(default=1_000),
    "maxEndpointCount": Attribute(default=10_000),
    "maxMsgSpoolUsage": Attribute(default=0, high=6_000_000),
    "maxSubscriptionCount": Attribute(default=100_000),
    # What follows is known, and done like this.
    "authenticationBasicEnabled": Attribute(default=True, fixed=True),
    "authenticationBasicType": Attribute(default="internal", fixed=True),
}
_QUEUE: Final = ATTRIBUTES | {
    "queueName": _NAME,
    "accessType": Attribute(default="exclusive", choices=tuple(ACCESS)),
    "owner": Attribute(default=""),
    "permission": Attribute(default="no-access", choices=tuple(PERMISSIONS)),
    # What follows is known, and done as the vendor does it by default.
    "consumerAckPropagationEnabled": Attribute(default=True, fixed=True),
    "deliveryCountEnabled": Attribute(default=False, fixed=True),
    "deliveryDelay": Attribute(default=0, fixed=True),
    "redeliveryDelayEnabled": Attribute(default=False, fixed=True),
    "respectMsgPriorityEnabled": Attribute(default=False, fixed=True),
}
_FIXED: Final = {name: attribute.default for name, attribute in _QUEUE.items() if attribute.fixed}
_USERNAME: Final = {
    "clientUsername": _NAME,
    "enabled": Attribute(default=False),
    "password": Attribute(default=""),
    "aclProfileName": Attribute(default=_DEFAULT_PROFILE, fixed=True),
    "clientProfileName": Attribute(default=_DEFAULT_PROFILE, fixed=True),
    "guaranteedEndpointPermissionOverrideEnabled": Attribute(default=False, fixed=True),
    "subscriptionManagerEnabled": Attribute(default=False, fixed=True),
}


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
    return {name: queue for name, queue in vpn.queues.items() if queue.durable}


def _subscribe(world: World, queue: Queue, topic: str, there: str | None, values: dict[str, Any]) -> str:
    response = subscribe_queue(world.vpn, queue, topic)
    if response is not OK:
        raise Problem(Status.FAIL, f"Queue {queue.name} cannot subscribe to {topic!r}: {response.text}.")
    return topic


def _unsubscribe(world: World, queue: Queue, topic: str) -> None:
    unsubscribe_queue(world.vpn, queue, topic)


# Client usernames


def show_username(world: World, user: ClientUsername) -> dict[str, Any]:
    """Return a client username without its password."""
    known = {name: attribute.default for name, attribute in _USERNAME.items() if attribute.fixed}
    return known | {"enabled": user.enabled}


def _put_username(
    world: World, vpn: Vpn, name: str, user: ClientUsername | None, values: dict[str, Any]
) -> ClientUsername:
    if not name or len(name.encode()) > _MAX_USERNAME:
        raise Problem(Status.INVALID_PARAMETER, f"clientUsername must have 1 to {_MAX_USERNAME} bytes.")
    former = user or ClientUsername(name, "", enabled=False)
    changed = ClientUsername(name, values.get("password", former.password), values.get("enabled", former.enabled))
    put_username(vpn, changed)
    return changed


# Message VPNs


def show_vpn(world: World, vpn: Vpn) -> dict[str, Any]:
    """Return how a message VPN is set up."""
    settings = vpn.settings
    known = {name: attribute.default for name, attribute in _VPN.items() if attribute.fixed}
    return known | {
        "authenticationClientCertEnabled": vpn.config.tls_client_ca is not None,
        "enabled": settings.enabled,
        "maxConnectionCount": settings.max_connections,
        "maxEndpointCount": settings.max_queues,
        "maxMsgSpoolUsage": settings.max_spool_bytes // MEGABYTE,
        "maxSubscriptionCount": settings.max_subscriptions,
    }


def _vpn_defaults(world: World) -> dict[str, Any]:
    config = world.vpn.config
    return {
        "maxConnectionCount": config.max_connections,
        "maxEndpointCount": config.max_queues,
        "maxSubscriptionCount": config.max_subscriptions,
    }


def _put_vpn(world: World, _: Any, name: str, vpn: Vpn | None, values: dict[str, Any]) -> Vpn:
    host = world.host
    former = VpnSettings.of(host.config) if vpn is None else vpn.settings
    if vpn is not None:
        values = show_vpn(world, vpn) | values
    quota = values["maxMsgSpoolUsage"]
    settings = replace(
        former,
        enabled=values["enabled"],
        max_connections=values["maxConnectionCount"],
        max_queues=values["maxEndpointCount"],
        max_spool_bytes=former.max_spool_bytes if quota == former.max_spool_bytes // MEGABYTE else quota * MEGABYTE,
        max_subscriptions=values["maxSubscriptionCount"],
    )
    if vpn is not None:
        configure_vpn(vpn, settings)
        return vpn
    if invalid_vpn_name(name):
        raise Problem(Status.INVALID_PARAMETER, "msgVpnName must have 1 to 32 bytes, and no * or ?.")
    if len(host.vpns) >= host.config.max_vpns:
        raise Problem(Status.FAIL, f"The broker has {len(host.vpns)} message VPNs, and no more are allowed.")
    return create_vpn(host, name, settings, {}, world.vpn.now)


def _delete_vpn(world: World, _: Any, vpn: Vpn) -> None:
    if vpn.name == world.host.config.vpn:
        raise Problem(Status.NOT_ALLOWED, f"The message VPN {vpn.name} is the first one and cannot be deleted.")
    delete_vpn(vpn)


# The rest is read only


def _show_acl_profile(world: World, name: str) -> dict[str, Any]:
    return {
        "clientConnectDefaultAction": "allow",
        "publishTopicDefaultAction": "allow",
        "subscribeShareNameDefaultAction": "allow",
        "subscribeTopicDefaultAction": "allow",
    }


def _show_client_profile(world: World, name: str) -> dict[str, Any]:
    config = world.vpn.config
    return {
        "allowGuaranteedEndpointCreateEnabled": True,
        "allowGuaranteedMsgReceiveEnabled": True,
        "allowGuaranteedMsgSendEnabled": True,
        "allowSharedSubscriptionsEnabled": False,
        "allowTransactedSessionsEnabled": True,
        "compressionEnabled": config.compressed_port is not None,
        "maxEgressFlowCount": config.max_flows_per_connection,
        "maxIngressFlowCount": config.max_flows_per_connection,
        "maxMsgsPerTransaction": config.max_transaction_messages,
        "maxTransactedSessionCount": config.max_sessions_per_connection,
        "rejectMsgToSenderOnNoSubscriptionMatchEnabled": config.reject_on_no_match,
    }


def _default_profile(world: World, vpn: Vpn) -> Mapping[str, str]:
    return {_DEFAULT_PROFILE: _DEFAULT_PROFILE}


CONFIG: Final = Resource(
    name="msgVpns",
    key="msgVpnName",
    noun="message VPN",
    members=lambda world, _: world.host.vpns,
    show=show_vpn,
    attributes=_VPN,
    defaults=_vpn_defaults,
    put=_put_vpn,
    delete=_delete_vpn,
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
        Resource(
            name="clientUsernames",
            key="clientUsername",
            noun="client username",
            members=lambda world, vpn: vpn.users,
            show=show_username,
            attributes=_USERNAME,
            put=_put_username,
            delete=lambda world, vpn, user: drop_username(vpn, user.name),
        ),
        Resource(
            name="aclProfiles",
            key="aclProfileName",
            noun="ACL profile",
            members=_default_profile,
            show=_show_acl_profile,
        ),
        Resource(
            name="clientProfiles",
            key="clientProfileName",
            noun="client profile",
            members=_default_profile,
            show=_show_client_profile,
        ),
    ),
)
