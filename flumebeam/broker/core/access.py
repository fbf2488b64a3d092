"""Client usernames and profiles come, change and go, and with them what clients that are there may do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from flumebeam.broker.config import BrokerConfig
from flumebeam.broker.core.acl import AclProfile, compile_rule
from flumebeam.broker.core.connection import Connection
from flumebeam.broker.core.journal import Configured, Unconfigured
from flumebeam.broker.core.profiles import DEFAULT_PROFILE, ClientProfile, ClientUsername, Setup
from flumebeam.broker.core.templates import QueueTemplate, TopicEndpointTemplate
from flumebeam.broker.core.vpn import Vpn

__all__ = [
    "admit",
    "all_setup",
    "drop_setup",
    "has_profiles",
    "in_use",
    "initial_setup",
    "put_setup",
    "shut_setup",
    "take_setup",
]


def initial_setup(config: BrokerConfig, users: Mapping[str, str | None]) -> list[Setup]:
    """Return what a message VPN of the configuration has: these usernames, who may do everything.

    Args:
        config: Limits.
        users: Client usernames and their passwords; None accepts any password.
    """
    return [
        AclProfile.permissive(DEFAULT_PROFILE),
        ClientProfile.permissive(DEFAULT_PROFILE, config),
        *(ClientUsername(name, password) for name, password in users.items()),
    ]


def shut_setup(config: BrokerConfig) -> list[Setup]:
    """Return what a message VPN has that an administrator made: as the vendor's, nothing is allowed in it yet."""
    return [
        AclProfile(name=DEFAULT_PROFILE),
        ClientProfile.limited(DEFAULT_PROFILE, config),
        ClientUsername(DEFAULT_PROFILE, "", enabled=False),
    ]


def all_setup(vpn: Vpn) -> Iterable[Setup]:
    """Return all that a message VPN is set up with, apart from its queues."""
    return (*vpn.acl_profiles.values(), *vpn.client_profiles.values(), *vpn.users.values(), *_templates(vpn))


def _templates(vpn: Vpn) -> Iterable[Setup]:
    return (*vpn.queue_templates.values(), *vpn.endpoint_templates.values())


def take_setup(vpn: Vpn, value: Setup) -> None:
    """Take over what a configuration or a store has; nobody is logged in yet."""
    _COLLECTIONS[type(value)](vpn)[value.name] = value


def put_setup(vpn: Vpn, value: Setup) -> None:
    """Add or replace a client username, a profile or a template. It applies at once to what clients do from now on.

    Clients of a username that is disabled now are disconnected.
    """
    take_setup(vpn, value)
    vpn.note(Configured(value))
    if isinstance(value, ClientUsername) and not value.enabled:
        _close_all(vpn, value.name)
    for connection in vpn.clients.values():
        admit(vpn, connection)


def drop_setup(vpn: Vpn, value: Setup) -> None:
    """Remove a client username, whose clients are disconnected, or a profile that no username has, or a template."""
    del _COLLECTIONS[type(value)](vpn)[value.name]
    vpn.note(Unconfigured(type(value).__name__, value.name))
    if isinstance(value, ClientUsername):
        _close_all(vpn, value.name)


def has_profiles(vpn: Vpn, user: ClientUsername) -> bool:
    """Return whether the profiles of a client username are there."""
    return user.acl_profile in vpn.acl_profiles and user.client_profile in vpn.client_profiles


def in_use(vpn: Vpn, profile: AclProfile | ClientProfile) -> bool:
    """Return whether a client username has this profile."""
    named = "acl_profile" if isinstance(profile, AclProfile) else "client_profile"
    return any(getattr(user, named) == profile.name for user in vpn.users.values())


def admit(vpn: Vpn, connection: Connection) -> None:
    """Give a client that has logged in what its username and profiles allow, as they are now."""
    user = vpn.users[connection.username]
    rules = vpn.acl_profiles[user.acl_profile]
    connection.user = user
    connection.profile = vpn.client_profiles[user.client_profile]
    connection.publishing, connection.subscribing, connection.sharing = (
        compile_rule(rule, user.name, connection.client_name) for rule in (rules.publish, rules.subscribe, rules.share)
    )


def _close_all(vpn: Vpn, username: str) -> None:
    for connection in list(vpn.clients.values()):
        if connection.username == username:
            vpn.report(f"{connection.client_name} is disconnected: its username {username} is gone or disabled")
            vpn.drop(connection)
            connection.close()


_COLLECTIONS: Final[Mapping[type, Any]] = {
    ClientUsername: lambda vpn: vpn.users,
    AclProfile: lambda vpn: vpn.acl_profiles,
    ClientProfile: lambda vpn: vpn.client_profiles,
    QueueTemplate: lambda vpn: vpn.queue_templates,
    TopicEndpointTemplate: lambda vpn: vpn.endpoint_templates,
}
