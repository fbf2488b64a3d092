"""How the broker as a whole is set up, in the vendor's names: administrators, authorities, its certificate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeAlias

from flumebeam.broker.certificates import check_authority, check_certificate
from flumebeam.broker.core.broker_settings import (
    ACCESS_LEVELS,
    VPN_ACCESS_LEVELS,
    Administrator,
    ClientAuthority,
    DomainAuthority,
    ServerCertificate,
)
from flumebeam.broker.semp.attributes import Attribute, kept_attributes, kept_values, shown_defaults
from flumebeam.broker.semp.endpoint_settings import MEGABYTE
from flumebeam.broker.semp.replies import Problem, Status
from flumebeam.broker.semp.resources import Resource, World
from flumebeam.errors import ConfigurationError

__all__ = ["BROKER_ATTRIBUTES", "BROKER_RESOURCES", "change_broker", "show_config"]

_MAX_USERNAME: Final = 32
_MAX_AUTHORITY: Final = 64
_NAME: Final = Attribute(default="", required=True, identifying=True)


# The broker itself

BROKER_ATTRIBUTES: Final = {
    "guaranteedMsgingEnabled": Attribute(default=True),
    "guaranteedMsgingMaxMsgSpoolUsage": Attribute(default=0, high=6_000_000),
    "serviceSempPlainTextEnabled": Attribute(default=True),
    "serviceSempPlainTextListenPort": Attribute(default=0),
    "serviceSmfEnabled": Attribute(default=True),
    "serviceSmfPlainTextListenPort": Attribute(default=0),
    "serviceSmfTlsListenPort": Attribute(default=0),
    "tlsServerCertContent": Attribute(default="", secret=True),
    "tlsServerCertPassword": Attribute(default="", secret=True),
}
"""All but the certificate are options of the broker: they are shown, and cannot be otherwise."""


def show_config(world: World) -> dict[str, Any]:
    """Return how the broker is set up."""
    config = world.host.config
    return {
        "guaranteedMsgingEnabled": True,
        "guaranteedMsgingMaxMsgSpoolUsage": config.max_spool_bytes // MEGABYTE,
        "serviceSempPlainTextEnabled": config.semp_port is not None,
        "serviceSempPlainTextListenPort": config.semp_port or 0,
        "serviceSmfEnabled": True,
        "serviceSmfPlainTextListenPort": config.port,
        "serviceSmfTlsListenPort": config.tls_port or 0,
    }


def change_broker(world: World, values: Mapping[str, Any]) -> None:
    """Change the broker's certificate; nothing in its place brings back the one of its options.

    Raises:
        Problem: The certificate cannot be used, or something is to change that cannot.
    """
    shown = show_config(world)
    for name, value in values.items():
        if name in shown and value != shown[name]:
            raise Problem(Status.NOT_SUPPORTED, f"{name} is an option of the broker; start it with another.")
    host = world.host
    if "tlsServerCertContent" in values:
        content, password = values["tlsServerCertContent"], values.get("tlsServerCertPassword", "")
        if content:
            certificate = ServerCertificate(content=content, password=password)
            _checked(check_certificate, certificate)
            host.put_setting(certificate)
        elif host.settings.trust.certificate is not None:
            host.drop_setting(host.settings.trust.certificate)


def _checked(check: Callable[[Any], None], value: Any) -> None:
    try:
        check(value)
    except ConfigurationError as error:
        raise Problem(Status.INVALID_PARAMETER, str(error)) from error


# Administrators

_USER_FIELDS: Final = {
    "enabled": "enabled",
    "globalAccessLevel": "access",
    "msgVpnDefaultAccessLevel": "vpn_access",
    "password": "password",
}
_USER: Final = {
    "userName": _NAME,
    "enabled": Attribute(default=False),
    "globalAccessLevel": Attribute(default="none", choices=ACCESS_LEVELS),
    "msgVpnDefaultAccessLevel": Attribute(default="none", choices=VPN_ACCESS_LEVELS),
    "password": Attribute(default="", secret=True),
}


def _show_user(world: World, user: Administrator) -> dict[str, Any]:
    return {name: getattr(user, field) for name, field in _USER_FIELDS.items() if not _USER[name].secret}


def _put_user(world: World, _: Any, name: str, user: Administrator | None, values: dict[str, Any]) -> Administrator:
    if not name or len(name.encode()) > _MAX_USERNAME or ":" in name:
        raise Problem(Status.INVALID_PARAMETER, f"userName must have 1 to {_MAX_USERNAME} bytes, and no colon.")
    changes = {field: values[attribute] for attribute, field in _USER_FIELDS.items() if attribute in values}
    if name == world.host.config.semp_username and not (
        changes.get("enabled", True) and changes.get("access", "admin") == "admin"
    ):
        raise Problem(Status.NOT_ALLOWED, f"{name} is the administrator of the configuration, who may do everything.")
    changed = replace(user or Administrator(name=name, password="", enabled=False), **changes)
    world.host.put_setting(changed)
    return changed


def _drop_user(world: World, _: Any, user: Administrator) -> None:
    if user.name == world.host.config.semp_username:
        raise Problem(Status.NOT_ALLOWED, f"{user.name} is the administrator of the configuration.")
    world.host.drop_setting(user)


_Exception: TypeAlias = tuple[str, str]
"""A message VPN, and the level there."""


def _put_exception(
    world: World, user: Administrator, name: str, former: _Exception | None, values: dict[str, Any]
) -> _Exception:
    level: str = values.get("accessLevel", former[1] if former else "")
    world.host.put_setting(replace(user, exceptions={**user.exceptions, name: level}))
    return name, level


def _drop_exception(world: World, user: Administrator, exception: _Exception) -> None:
    others = {vpn: level for vpn, level in user.exceptions.items() if vpn != exception[0]}
    world.host.put_setting(replace(user, exceptions=others))


_EXCEPTIONS: Final = Resource(
    name="msgVpnAccessLevelExceptions",
    key="msgVpnName",
    noun="message VPN access level exception",
    members=lambda world, user: {vpn: (vpn, level) for vpn, level in user.exceptions.items()},
    show=lambda world, exception: {"accessLevel": exception[1]},
    attributes={"msgVpnName": _NAME, "accessLevel": Attribute(default="none", choices=VPN_ACCESS_LEVELS)},
    put=_put_exception,
    delete=_drop_exception,
)
_USERS: Final = Resource(
    name="usernames",
    key="userName",
    noun="username",
    members=lambda world, _: world.host.settings.administrators,
    show=_show_user,
    attributes=_USER,
    put=_put_user,
    delete=_drop_user,
    children=(_EXCEPTIONS,),
)


# Authorities

_AUTHORITY: Final = {"certAuthorityName": _NAME, "certContent": Attribute(default="")}
_REVOCATION: Final = kept_attributes(
    ("daily", "crlDayList"),
    ("3:00", "crlTimeList"),
    ("", "crlUrl ocspOverrideUrl"),
    (False, "ocspNonResponderCertEnabled revocationCheckEnabled"),
    (5, "ocspTimeout"),
)


def _authorities(
    name: str,
    noun: str,
    kind: type[ClientAuthority],
    members: Callable[[World, Any], Mapping[str, ClientAuthority]],
    attributes: Mapping[str, Attribute],
) -> Resource:
    def show(world: World, authority: ClientAuthority) -> dict[str, Any]:
        return {**shown_defaults(attributes), **authority.kept, "certContent": authority.content}

    def put(
        world: World, _: Any, name: str, authority: ClientAuthority | None, values: dict[str, Any]
    ) -> ClientAuthority:
        if not name or len(name.encode()) > _MAX_AUTHORITY:
            raise Problem(Status.INVALID_PARAMETER, f"certAuthorityName must have 1 to {_MAX_AUTHORITY} bytes.")
        former = authority or kind(name=name)
        content = values.get("certContent", former.content)
        if content:
            _checked(check_authority, content)
        changed = replace(former, content=content, kept=kept_values(attributes, former.kept, values))
        world.host.put_setting(changed)
        return changed

    return Resource(
        name=name,
        key="certAuthorityName",
        noun=noun,
        members=members,
        show=show,
        attributes=attributes,
        put=put,
        delete=lambda world, _, authority: world.host.drop_setting(authority),
    )


def _client_authorities(world: World, _: Any) -> Mapping[str, ClientAuthority]:
    return world.host.settings.client_authorities


BROKER_RESOURCES: Final = (
    _USERS,
    # The first name is that before SEMP 2.19, which provisioning still uses.
    *(
        _authorities(
            name, "client certificate authority", ClientAuthority, _client_authorities, _AUTHORITY | _REVOCATION
        )
        for name in ("certAuthorities", "clientCertAuthorities")
    ),
    _authorities(
        "domainCertAuthorities",
        "domain certificate authority",
        DomainAuthority,
        lambda world, _: world.host.settings.domain_authorities,
        _AUTHORITY,
    ),
)
"""Collections of the broker, beside its message VPNs."""
