"""How client usernames, ACL profiles and client profiles are set up, in the vendor's names."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from flumebeam.broker.core.access import drop_setup, in_use, put_setup
from flumebeam.broker.core.acl import AclProfile, Rule, TopicException
from flumebeam.broker.core.profiles import DEFAULT_PROFILE, ClientProfile, ClientUsername
from flumebeam.broker.core.topics import invalid_topic
from flumebeam.broker.core.vpn import Vpn
from flumebeam.broker.semp.attributes import Attribute, kept_attributes, kept_values, shown_defaults
from flumebeam.broker.semp.replies import Problem, Status
from flumebeam.broker.semp.resources import Resource, World

__all__ = ["ACL_PROFILES", "CLIENT_PROFILES", "CLIENT_USERNAMES"]

_MAX_USERNAME: Final = 189
_MAX_PROFILE: Final = 32
_NAME: Final = Attribute(default="", required=True, identifying=True)


# Client usernames

_USERNAME_FIELDS: Final = {
    "aclProfileName": "acl_profile",
    "clientProfileName": "client_profile",
    "enabled": "enabled",
    "password": "password",
    "subscriptionManagerEnabled": "manages_subscriptions",
}
_USERNAME: Final = {
    "clientUsername": _NAME,
    "aclProfileName": Attribute(default=DEFAULT_PROFILE),
    "clientProfileName": Attribute(default=DEFAULT_PROFILE),
    "enabled": Attribute(default=False),
    "guaranteedEndpointPermissionOverrideEnabled": Attribute(default=False, fixed=True),
    "password": Attribute(default="", secret=True),
    "subscriptionManagerEnabled": Attribute(default=False),
}


def _show_username(world: World, user: ClientUsername) -> dict[str, Any]:
    shown = {name: getattr(user, field) for name, field in _USERNAME_FIELDS.items() if not _USERNAME[name].secret}
    return shown_defaults(_USERNAME) | shown


def _put_username(
    world: World, vpn: Vpn, name: str, user: ClientUsername | None, values: dict[str, Any]
) -> ClientUsername:
    if not name or len(name.encode()) > _MAX_USERNAME:
        raise Problem(Status.INVALID_PARAMETER, f"clientUsername must have 1 to {_MAX_USERNAME} bytes.")
    changes = {field: values[attribute] for attribute, field in _USERNAME_FIELDS.items() if attribute in values}
    changed = replace(user or ClientUsername(name, "", enabled=False), **changes)
    for noun, profile, there in (
        ("ACL profile", changed.acl_profile, vpn.acl_profiles),
        ("client profile", changed.client_profile, vpn.client_profiles),
    ):
        if profile not in there:
            raise Problem(Status.NOT_FOUND, f"There is no {noun} {profile}; create it first.")
    put_setup(vpn, changed)
    return changed


def _drop_username(world: World, vpn: Vpn, user: ClientUsername) -> None:
    drop_setup(vpn, user)


CLIENT_USERNAMES: Final = Resource(
    name="clientUsernames",
    key="clientUsername",
    noun="client username",
    members=lambda world, vpn: vpn.users,
    show=_show_username,
    attributes=_USERNAME,
    put=_put_username,
    delete=_drop_username,
)


# ACL profiles

_ACTIONS: Final = {
    "clientConnectDefaultAction": "connect",
    "publishTopicDefaultAction": "publish",
    "subscribeShareNameDefaultAction": "share",
    "subscribeTopicDefaultAction": "subscribe",
}
_ACL: Final = {
    "aclProfileName": _NAME,
    **{
        name: Attribute(default="allow" if kind == "share" else "disallow", choices=("allow", "disallow"))
        for name, kind in _ACTIONS.items()
    },
}


def _show_acl(world: World, profile: AclProfile) -> dict[str, Any]:
    return {name: "allow" if getattr(profile, kind).allowed else "disallow" for name, kind in _ACTIONS.items()}


def _put_acl(world: World, vpn: Vpn, name: str, profile: AclProfile | None, values: dict[str, Any]) -> AclProfile:
    _check_profile_name("aclProfileName", name)
    changed = profile or AclProfile(name=name)
    for attribute, kind in _ACTIONS.items():
        if attribute in values:
            changed = changed.change(kind, replace(getattr(changed, kind), allowed=values[attribute] == "allow"))
    put_setup(vpn, changed)
    return changed


def _check_profile_name(attribute: str, name: str) -> None:
    if not name or len(name.encode()) > _MAX_PROFILE:
        raise Problem(Status.INVALID_PARAMETER, f"{attribute} must have 1 to {_MAX_PROFILE} bytes.")


def _drop_profile(world: World, vpn: Vpn, profile: AclProfile | ClientProfile) -> None:
    if profile.name == DEFAULT_PROFILE:
        raise Problem(Status.NOT_ALLOWED, f"The profile {DEFAULT_PROFILE} cannot be deleted.")
    if in_use(vpn, profile):
        raise Problem(Status.NOT_ALLOWED, f"The profile {profile.name} is that of a client username; change it first.")
    drop_setup(vpn, profile)


def _exceptions(kind: str, make: Callable[[str], Any], **names: Any) -> Resource:
    """Return the collection of one kind of exceptions; each is nothing but its name."""

    def members(world: World, profile: AclProfile) -> dict[str, Any]:
        return {_exception_name(one): one for one in getattr(profile, kind).exceptions}

    def put(world: World, profile: AclProfile, name: str, there: Any | None, values: dict[str, Any]) -> Any:
        exception = make(name)
        _change_rule(world.vpn, profile, kind, (*getattr(profile, kind).exceptions, exception))
        return exception

    def delete(world: World, profile: AclProfile, exception: Any) -> None:
        others = tuple(one for one in getattr(profile, kind).exceptions if one != exception)
        _change_rule(world.vpn, profile, kind, others)

    return Resource(members=members, show=lambda world, exception: {}, put=put, delete=delete, **names)


def _exception_name(exception: Any) -> str:
    return ",".join(exception) if isinstance(exception, TopicException) else exception


def _change_rule(vpn: Vpn, profile: AclProfile, kind: str, exceptions: tuple[Any, ...]) -> None:
    rule: Rule = getattr(profile, kind)
    put_setup(vpn, profile.change(kind, replace(rule, exceptions=exceptions)))


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise Problem(Status.INVALID_PARAMETER, f"{text!r} is no address in CIDR form.") from error
    return text


def _topic(name: str) -> TopicException:
    syntax, _, topic = name.partition(",")
    if invalid_topic(topic):
        raise Problem(Status.INVALID_PARAMETER, f"{topic!r} is no topic.")
    return TopicException(syntax, topic)


def _topic_exceptions(kind: str, plural: str, name: str, noun: str, syntax: str | None = None) -> Resource:
    syntax = syntax or f"{name}Syntax"
    return _exceptions(
        kind,
        _topic,
        name=plural,
        key=name,
        compound=(syntax, name),
        noun=noun,
        attributes={syntax: replace(_NAME, choices=("smf", "mqtt")), name: _NAME},
    )


ACL_PROFILES: Final = Resource(
    name="aclProfiles",
    key="aclProfileName",
    noun="ACL profile",
    members=lambda world, vpn: vpn.acl_profiles,
    show=_show_acl,
    attributes=_ACL,
    put=_put_acl,
    delete=_drop_profile,
    children=(
        _exceptions(
            "connect",
            _network,
            name="clientConnectExceptions",
            key="clientConnectExceptionAddress",
            noun="client connect exception",
            attributes={"clientConnectExceptionAddress": _NAME},
        ),
        _topic_exceptions("publish", "publishTopicExceptions", "publishTopicException", "publish topic exception"),
        _topic_exceptions(
            "subscribe", "subscribeTopicExceptions", "subscribeTopicException", "subscribe topic exception"
        ),
        _topic_exceptions(
            "share", "subscribeShareNameExceptions", "subscribeShareNameException", "subscribe share name exception"
        ),
        # The names before SEMP 2.14, which provisioning still uses.
        _topic_exceptions("publish", "publishExceptions", "publishExceptionTopic", "publish exception", "topicSyntax"),
        _topic_exceptions(
            "subscribe", "subscribeExceptions", "subscribeExceptionTopic", "subscribe exception", "topicSyntax"
        ),
    ),
)


# Client profiles

_PROFILE_FIELDS: Final = {
    "allowGuaranteedEndpointCreateDurability": "endpoint_durability",
    "allowGuaranteedEndpointCreateEnabled": "create_endpoints",
    "allowGuaranteedMsgReceiveEnabled": "receive_guaranteed",
    "allowGuaranteedMsgSendEnabled": "send_guaranteed",
    "allowSharedSubscriptionsEnabled": "share_subscriptions",
    "allowTransactedSessionsEnabled": "transact",
    "maxConnectionCountPerClientUsername": "max_connections",
    "maxEgressFlowCount": "max_receiving",
    "maxEndpointCountPerClientUsername": "max_endpoints",
    "maxIngressFlowCount": "max_sending",
    "maxMsgsPerTransaction": "max_transaction_messages",
    "maxSubscriptionCount": "max_subscriptions",
    "maxTransactedSessionCount": "max_sessions",
    "apiQueueManagementCopyFromOnCreateTemplateName": "queue_template",
    "apiTopicEndpointManagementCopyFromOnCreateTemplateName": "endpoint_template",
    "maxTransactionCount": "max_transactions",
    "serviceSmfMaxConnectionCountPerClientUsername": "max_smf_connections",
    "tlsAllowDowngradeToPlainTextEnabled": "plain_after_tls",
    "rejectMsgToSenderOnNoSubscriptionMatchEnabled": "reject_on_no_match",
}
_THRESHOLD: Final = {"clearPercent": 60, "setPercent": 80}
_PROFILE: Final = {
    "clientProfileName": _NAME,
    "allowGuaranteedEndpointCreateDurability": Attribute(default="all", choices=("all", "durable", "non-durable")),
    "allowGuaranteedEndpointCreateEnabled": Attribute(default=False),
    "allowGuaranteedMsgReceiveEnabled": Attribute(default=False),
    "allowGuaranteedMsgSendEnabled": Attribute(default=False),
    "allowSharedSubscriptionsEnabled": Attribute(default=False),
    "allowTransactedSessionsEnabled": Attribute(default=False),
    "maxConnectionCountPerClientUsername": Attribute(default=1_000, high=200_000),
    "maxEgressFlowCount": Attribute(default=1_000, high=200_000),
    "maxEndpointCountPerClientUsername": Attribute(default=1_000, high=200_000),
    "maxIngressFlowCount": Attribute(default=1_000, high=1_000_000),
    "maxMsgsPerTransaction": Attribute(default=256, low=1, high=20_000),
    "maxSubscriptionCount": Attribute(default=100_000, high=2**32 - 1),
    "maxTransactedSessionCount": Attribute(default=10, high=30_000),
    "tlsAllowDowngradeToPlainTextEnabled": Attribute(default=True),
    "serviceSmfMaxConnectionCountPerClientUsername": Attribute(default=1_000, high=200_000),
    "maxTransactionCount": Attribute(default=1_000, high=30_000),
    "apiQueueManagementCopyFromOnCreateTemplateName": Attribute(default=""),
    "apiTopicEndpointManagementCopyFromOnCreateTemplateName": Attribute(default=""),
    "rejectMsgToSenderOnNoSubscriptionMatchEnabled": Attribute(default=False),
    # What follows cannot be otherwise.
    "allowCutThroughForwardingEnabled": Attribute(default=False, fixed=True),
    "apiQueueManagementCopyFromOnCreateName": Attribute(default="", fixed=True),
    "apiTopicEndpointManagementCopyFromOnCreateName": Attribute(default="", fixed=True),
    "compressionEnabled": Attribute(default=True, fixed=True),
    "elidingEnabled": Attribute(default=False, fixed=True),
} | kept_attributes(
    (False, """allowBridgeConnectionsEnabled replicationAllowClientConnectWhenStandbyEnabled
        serviceSmfMinKeepaliveEnabled"""),
    (1_000, "serviceWebMaxConnectionCountPerClientUsername"),
    (146_625, "maxAmqpLinkCount"),
    (0, "elidingDelay"),
    (256, "elidingMaxTopicCount tcpMaxWindowSize"),
    (20_000, """queueControl1MaxDepth queueDirect1MaxDepth queueDirect2MaxDepth queueDirect3MaxDepth
        queueGuaranteed1MaxDepth"""),
    (4, "queueControl1MinMsgBurst queueDirect1MinMsgBurst queueDirect2MinMsgBurst queueDirect3MinMsgBurst"),
    (255, "queueGuaranteed1MinMsgBurst"),
    (30, "serviceMinKeepaliveTimeout serviceWebInactiveTimeout"),
    (1_000_000, "serviceWebMaxPayload"),
    (2, "tcpCongestionWindowSize"),
    (5, "tcpKeepaliveCount"),
    (3, "tcpKeepaliveIdleTime"),
    (1, "tcpKeepaliveInterval"),
    (1_460, "tcpMaxSegmentSize"),
    ({"clearPercent": 18, "setPercent": 25}, "eventClientProvisionedEndpointSpoolUsageThreshold"),
    (_THRESHOLD, """eventConnectionCountPerClientUsernameThreshold eventEgressFlowCountThreshold
        eventEndpointCountPerClientUsernameThreshold eventIngressFlowCountThreshold
        eventServiceSmfConnectionCountPerClientUsernameThreshold
        eventServiceWebConnectionCountPerClientUsernameThreshold eventSubscriptionCountThreshold
        eventTransactedSessionCountThreshold eventTransactionCountThreshold"""),
)  # fmt: skip


def _show_profile(world: World, profile: ClientProfile) -> dict[str, Any]:
    own = {name: getattr(profile, field) for name, field in _PROFILE_FIELDS.items()}
    return {**shown_defaults(_PROFILE), **profile.kept, **own}


def _profile_defaults(world: World) -> dict[str, Any]:
    config = world.host.config
    return {
        "maxConnectionCountPerClientUsername": config.max_connections,
        "serviceSmfMaxConnectionCountPerClientUsername": config.max_connections,
        "maxSubscriptionCount": config.max_subscriptions,
    }


def _put_profile(
    world: World, vpn: Vpn, name: str, profile: ClientProfile | None, values: dict[str, Any]
) -> ClientProfile:
    _check_profile_name("clientProfileName", name)
    former = profile or ClientProfile.limited(name, world.host.config)
    changes = {field: values[attribute] for attribute, field in _PROFILE_FIELDS.items() if attribute in values}
    changed = replace(former, **changes, kept=kept_values(_PROFILE, former.kept, values))
    put_setup(vpn, changed)
    return changed


CLIENT_PROFILES: Final = Resource(
    name="clientProfiles",
    key="clientProfileName",
    noun="client profile",
    members=lambda world, vpn: vpn.client_profiles,
    show=_show_profile,
    attributes=_PROFILE,
    defaults=_profile_defaults,
    put=_put_profile,
    delete=_drop_profile,
)
