"""How a message VPN is set up, in the vendor's names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from flumebeam.broker.core.access import shut_setup
from flumebeam.broker.core.vpn import Vpn, VpnSettings
from flumebeam.broker.core.vpns import configure_vpn, create_vpn, delete_vpn, invalid_vpn_name
from flumebeam.broker.semp.attributes import Attribute, kept_attributes, kept_values, shown_defaults
from flumebeam.broker.semp.endpoint_settings import MEGABYTE
from flumebeam.broker.semp.replies import Problem, Status
from flumebeam.broker.semp.resources import World

__all__ = ["VPN_ATTRIBUTES", "put_vpn", "remove_vpn", "show_vpn", "vpn_defaults"]

_FIELDS: Final = {
    "enabled": "enabled",
    "authenticationBasicEnabled": "by_password",
    "authenticationClientCertEnabled": "by_certificate",
    "maxConnectionCount": "max_connections",
    "maxEndpointCount": "max_queues",
    "maxEgressFlowCount": "max_receiving",
    "maxIngressFlowCount": "max_sending",
    "maxSubscriptionCount": "max_subscriptions",
    "maxTransactedSessionCount": "max_sessions",
    "tlsAllowDowngradeToPlainTextEnabled": "plain_after_tls",
    "maxTransactionCount": "max_transactions",
    "serviceSmfMaxConnectionCount": "max_smf_connections",
}
"""Attributes that are one field."""
_THRESHOLD: Final = {"clearPercent": 60, "setPercent": 80}
VPN_ATTRIBUTES: Final = {
    "msgVpnName": Attribute(default="", required=True, identifying=True),
    "authenticationBasicEnabled": Attribute(default=True),
    # The vendor's default is a RADIUS server, which nobody has on a laptop.
    "authenticationBasicType": Attribute(default="internal", choices=("internal", "none")),
    "authenticationClientCertEnabled": Attribute(default=False),
    "enabled": Attribute(default=False),
    "maxConnectionCount": Attribute(default=1_000, high=200_000),
    "maxEndpointCount": Attribute(default=1_000, high=200_000),
    "maxEgressFlowCount": Attribute(default=1_000, high=200_000),
    "maxIngressFlowCount": Attribute(default=1_000, high=1_000_000),
    "maxMsgSpoolUsage": Attribute(default=0, high=6_000_000),
    "maxSubscriptionCount": Attribute(default=500_000, high=2**32 - 1),
    "maxTransactedSessionCount": Attribute(default=1_000, high=200_000),
    "maxTransactionCount": Attribute(default=50_000, high=200_000),
    "tlsAllowDowngradeToPlainTextEnabled": Attribute(default=False),
    "serviceSmfMaxConnectionCount": Attribute(default=1_000, high=200_000),
    # What follows cannot be otherwise.
    "authenticationClientCertUsernameSource": Attribute(default="common-name", fixed=True),
    "authenticationKerberosEnabled": Attribute(default=False, fixed=True),
    "authorizationType": Attribute(default="internal", fixed=True),
    "dmrEnabled": Attribute(default=False, fixed=True),
    "jndiEnabled": Attribute(default=False, fixed=True),
    "replicationEnabled": Attribute(default=False, fixed=True),
    "serviceAmqpPlainTextEnabled": Attribute(default=False, fixed=True),
    "serviceAmqpTlsEnabled": Attribute(default=False, fixed=True),
    "serviceMqttPlainTextEnabled": Attribute(default=False, fixed=True),
    "serviceMqttTlsEnabled": Attribute(default=False, fixed=True),
    "serviceMqttTlsWebSocketEnabled": Attribute(default=False, fixed=True),
    "serviceMqttWebSocketEnabled": Attribute(default=False, fixed=True),
    "serviceRestIncomingPlainTextEnabled": Attribute(default=False, fixed=True),
    "serviceRestIncomingTlsEnabled": Attribute(default=False, fixed=True),
    "serviceSmfPlainTextEnabled": Attribute(default=True, fixed=True),
    "serviceSmfTlsEnabled": Attribute(default=True, fixed=True),
} | kept_attributes(
    ("", """alias authenticationBasicProfileName authenticationBasicRadiusDomain authenticationOauthDefaultProfileName
        authorizationProfileName eventLogTag replicationBridgeAuthenticationBasicClientUsername
        *replicationBridgeAuthenticationBasicPassword *replicationBridgeAuthenticationClientCertContent
        *replicationBridgeAuthenticationClientCertPassword"""),
    (True, """allowDmqEligibleEndpointOverrideEnabled authenticationClientCertValidateDateEnabled
        bridgingTlsServerCertEnforceTrustedCommonNameEnabled
        bridgingTlsServerCertValidateDateEnabled bridgingTlsServerCertValidateNameEnabled
        eventPublishTopicFormatSmfEnabled replicationQueueRejectMsgToSenderOnDiscardEnabled
        restTlsServerCertEnforceTrustedCommonNameEnabled
        restTlsServerCertValidateDateEnabled restTlsServerCertValidateNameEnabled sempOverMsgBusEnabled
        serviceWebPlainTextEnabled serviceWebTlsEnabled"""),
    (False, """authenticationClientCertAllowApiProvidedUsernameEnabled
        authenticationClientCertCertificateMatchingRulesEnabled authenticationKerberosAllowApiProvidedUsernameEnabled
        authenticationOauthEnabled authorizationLdapTrimClientUsernameDomainEnabled eventPublishClientEnabled
        eventPublishMsgVpnEnabled eventPublishTopicFormatMqttEnabled exportSubscriptionsEnabled
        replicationBridgeCompressedDataEnabled replicationBridgeTlsEnabled replicationRejectMsgWhenSyncIneligibleEnabled
        sempOverMsgBusAdminClientEnabled sempOverMsgBusAdminDistributedCacheEnabled sempOverMsgBusAdminEnabled
        sempOverMsgBusShowEnabled"""),
    (0, """serviceAmqpPlainTextListenPort serviceAmqpTlsListenPort serviceMqttPlainTextListenPort
        serviceMqttTlsListenPort serviceMqttTlsWebSocketListenPort serviceMqttWebSocketListenPort
        serviceRestIncomingPlainTextListenPort serviceRestIncomingTlsListenPort"""),
    (3, """authenticationClientCertMaxChainDepth bridgingTlsServerCertMaxChainDepth replicationBridgeRetryDelay
        restTlsServerCertMaxChainDepth"""),
    (1_000, """maxKafkaBrokerConnectionCount serviceAmqpMaxConnectionCount serviceMqttMaxConnectionCount
        serviceRestIncomingMaxConnectionCount serviceRestOutgoingMaxConnectionCount serviceWebMaxConnectionCount"""),
    (-1, "mqttRetainMaxMemory"),
    (20, "replicationAckPropagationIntervalMsgCount"),
    (255, "replicationBridgeEgressFlowWindowSize"),
    (1_024, "eventLargeMsgThreshold"),
    (60_000, "replicationQueueMaxMsgSpoolUsage"),
    ("allow-valid", "authenticationClientCertRevocationCheckMode"),
    ("async", "replicationTransactionMode"),
    ("basic", "replicationBridgeAuthenticationScheme"),
    ("drop", "serviceRestIncomingAuthorizationHeaderHandling"),
    ("fail-on-existing-queue", "*replicationEnabledQueueBehavior"),
    ("#client-profile", "replicationBridgeUnidirectionalClientProfileName"),
    ("memberOf", "authorizationLdapGroupMembershipAttributeName"),
    ("messaging", "serviceRestMode"),
    ("off", "eventPublishSubscriptionMode"),
    ("standby", "replicationRole"),
    ("when-enabled-in-message-vpn", """serviceMqttAuthenticationClientCertRequest
        serviceRestIncomingAuthenticationClientCertRequest serviceWebAuthenticationClientCertRequest"""),
    ({"clearValue": 3_000_000, "setValue": 4_000_000}, "eventEgressMsgRateThreshold eventIngressMsgRateThreshold"),
    (_THRESHOLD, """eventConnectionCountThreshold eventEgressFlowCountThreshold eventEndpointCountThreshold
        eventIngressFlowCountThreshold eventMsgSpoolUsageThreshold eventServiceAmqpConnectionCountThreshold
        eventServiceMqttConnectionCountThreshold eventServiceRestIncomingConnectionCountThreshold
        eventServiceSmfConnectionCountThreshold eventServiceWebConnectionCountThreshold eventSubscriptionCountThreshold
        eventTransactedSessionCountThreshold eventTransactionCountThreshold"""),
)  # fmt: skip


def show_vpn(world: World, vpn: Vpn) -> dict[str, Any]:
    """Return how a message VPN is set up."""
    settings = vpn.settings
    return {
        **shown_defaults(VPN_ATTRIBUTES),
        **settings.kept,
        **{name: getattr(settings, field) for name, field in _FIELDS.items()},
        "authenticationBasicType": "internal" if settings.checks_passwords else "none",
        "maxMsgSpoolUsage": settings.max_spool_bytes // MEGABYTE,
    }


def vpn_defaults(world: World) -> dict[str, Any]:
    """Return the defaults of a new message VPN that are limits of this broker."""
    config = world.host.config
    return {
        "maxConnectionCount": config.max_connections,
        "maxEndpointCount": config.max_queues,
        "maxEgressFlowCount": config.max_flows,
        "maxIngressFlowCount": config.max_flows,
        "maxSubscriptionCount": config.max_subscriptions,
        "maxTransactedSessionCount": config.max_sessions,
        "maxTransactionCount": config.max_transactions,
        "serviceSmfMaxConnectionCount": config.max_connections,
    }


def put_vpn(world: World, _: Any, name: str, vpn: Vpn | None, values: dict[str, Any]) -> Vpn:
    """Create a message VPN, or change one."""
    host = world.host
    former = VpnSettings.of(host.config) if vpn is None else vpn.settings
    changes = {field: values[attribute] for attribute, field in _FIELDS.items() if attribute in values}
    if "authenticationBasicType" in values:
        changes["checks_passwords"] = values["authenticationBasicType"] == "internal"
    quota = values.get("maxMsgSpoolUsage", former.max_spool_bytes // MEGABYTE)
    if quota != former.max_spool_bytes // MEGABYTE:
        changes["max_spool_bytes"] = quota * MEGABYTE
    settings = replace(former, **changes, kept=kept_values(VPN_ATTRIBUTES, former.kept, values))
    if vpn is not None:
        configure_vpn(vpn, settings)
        return vpn
    if invalid_vpn_name(name):
        raise Problem(Status.INVALID_PARAMETER, "msgVpnName must have 1 to 32 bytes, and no * or ?.")
    if len(host.vpns) >= host.config.max_vpns:
        raise Problem(Status.FAIL, f"The broker has {len(host.vpns)} message VPNs, and no more are allowed.")
    return create_vpn(host, name, settings, shut_setup(host.config), world.vpn.now)


def remove_vpn(world: World, _: Any, vpn: Vpn) -> None:
    """Delete a message VPN."""
    if vpn.name == world.host.config.vpn:
        raise Problem(Status.NOT_ALLOWED, f"The message VPN {vpn.name} is the first one and cannot be deleted.")
    delete_vpn(vpn)
