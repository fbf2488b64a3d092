"""What a broker as a whole is set up with, beside its message VPNs: its administrators and its certificates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

__all__ = [
    "ACCESS_LEVELS",
    "VPN_ACCESS_LEVELS",
    "Administrator",
    "BrokerSetting",
    "BrokerSettings",
    "ClientAuthority",
    "DomainAuthority",
    "ServerCertificate",
    "Trust",
    "read_setting",
]

ACCESS_LEVELS: Final = ("none", "read-only", "mesh-manager", "read-write", "admin")
"""What an administrator may do with the whole broker; each includes those before it."""
VPN_ACCESS_LEVELS: Final = ("none", "read-only", "read-write")
"""What an administrator may do with a message VPN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Administrator:
    """Who may manage the broker.

    Attributes:
        name: The username.
        password: Its password.
        enabled: Whether it is let in.
        access: One of ``ACCESS_LEVELS``.
        vpn_access: One of ``VPN_ACCESS_LEVELS``, for message VPNs without an exception.
        exceptions: Level by message VPN.
    """

    name: str
    password: str = field(repr=False)
    enabled: bool = True
    access: str = "none"
    vpn_access: str = "none"
    exceptions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientAuthority:
    """Whose client certificates are accepted.

    Attributes:
        name: Its name.
        content: Its certificate in PEM form, or nothing.
        kept: What else was set, by the vendor's names: it is shown and has no effect here.
    """

    name: str
    content: str = ""
    kept: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainAuthority(ClientAuthority):
    """Whose certificates a broker accepts that it connects to. This one connects to nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCertificate:
    """The certificate that an administrator has given the broker.

    Attributes:
        name: There is one, without a name.
        content: The certificate, its chain and its private key, in PEM form.
        password: What the key is locked with, or nothing.
    """

    name: str = ""
    content: str = field(repr=False)
    password: str = field(default="", repr=False)


BrokerSetting: TypeAlias = Administrator | ClientAuthority | DomainAuthority | ServerCertificate
"""One thing that the broker is set up with."""


class Trust(NamedTuple):
    """What TLS connections are made with, as far as administrators have set it.

    Attributes:
        certificate: The broker's; None leaves the one of its options.
        authorities: Certificates of those whose client certificates are accepted, besides that of its options.
    """

    certificate: ServerCertificate | None
    authorities: tuple[str, ...]


class BrokerSettings:
    """All of it, by kind and name."""

    def __init__(self) -> None:
        self.administrators: dict[str, Administrator] = {}
        self.client_authorities: dict[str, ClientAuthority] = {}
        self.domain_authorities: dict[str, DomainAuthority] = {}
        self.certificates: dict[str, ServerCertificate] = {}
        """One at most."""
        self._collections: Final[dict[str, dict[str, Any]]] = {
            Administrator.__name__: self.administrators,
            ClientAuthority.__name__: self.client_authorities,
            DomainAuthority.__name__: self.domain_authorities,
            ServerCertificate.__name__: self.certificates,
        }

    def take(self, value: BrokerSetting) -> None:
        """Add or replace a setting."""
        self._collections[type(value).__name__][value.name] = value

    def drop(self, value: BrokerSetting) -> None:
        """Remove a setting that is there."""
        del self._collections[type(value).__name__][value.name]

    def all(self) -> Iterable[BrokerSetting]:
        """Return all settings."""
        return [value for collection in self._collections.values() for value in collection.values()]

    @property
    def trust(self) -> Trust:
        """What TLS connections are made with from now on."""
        authorities = (authority.content for authority in self.client_authorities.values())
        return Trust(next(iter(self.certificates.values()), None), tuple(filter(None, authorities)))


_READERS: Final[Mapping[str, Callable[..., BrokerSetting]]] = {
    kind.__name__: kind for kind in (Administrator, ClientAuthority, DomainAuthority, ServerCertificate)
}


def read_setting(kind: str, fields: Mapping[str, Any]) -> BrokerSetting:
    """Return what a store has kept as the name of its class and its fields.

    Raises:
        LookupError, TypeError: It is none of these.
    """
    return _READERS[kind](**fields)
