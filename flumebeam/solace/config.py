"""Options of a connection to a broker: where, as whom, how patiently, and over what."""

from __future__ import annotations

import os
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from flumebeam.errors import ConfigurationError
from flumebeam.solace import settings
from flumebeam.solace.addresses import DEFAULT_PORT, complete_hosts, uses_tls
from flumebeam.solace.auth import Authentication
from flumebeam.solace.reconnect import ReconnectPolicy
from flumebeam.solace.secret import NO_SECRET, Secret
from flumebeam.solace.tls import TlsOptions

__all__ = ["DEFAULT_PORT", "LANES", "ReconnectPolicy", "Secret", "SolaceOptions", "TlsOptions"]

LANES: Final = ("auto", "native", "wrapper", "plain")
"""Ways through the vendor's client; see :attr:`SolaceOptions.lane`."""

_MAX_VPN_CHARS: Final = 32  # limits of the broker
_MAX_USERNAME_CHARS: Final = 189
_MAX_CLIENT_NAME_CHARS: Final = 160
_MAX_COMPRESSION: Final = 9
_NAME_FIELDS: Final = frozenset({"host", "pid", "unique"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SolaceOptions:
    """Everything a connection needs; plain data that a runner may pickle.

    Attributes:
        host: ``tcp://host:55555``, or ``tcps://host:55443`` for TLS, or a list of such addresses with commas between,
            tried in order. The scheme and the port may be left out.
        vpn: Name of the message VPN, up to 32 characters.
        username: Client username, up to 189 characters. With another :attr:`authentication` the broker takes the name
            from that; one that is not ``default`` is sent with a client certificate or a Kerberos ticket.
        password: The password; a plain string is taken as a literal :class:`Secret`.
        authentication: How to prove who one is, where that is not by the password: a type of
            :mod:`flumebeam.solace.auth`.
        client_name: Template of the client name; ``{host}``, ``{pid}`` and ``{unique}`` are filled in. Two connections
            with one name push each other out, so leave ``{unique}`` in unless that is wanted.
        reconnect: How patiently to connect and reconnect.
        lane: How messages pass the vendor's client: ``native`` (its C library), ``wrapper`` (its Python layer, a batch
            at a time), ``plain`` (its Python layer, a call at a time), or ``auto``: native if it passes its self-check,
            else wrapper.
        compression_level: 0 for none, or from 1 (fastest) to 9 (smallest). Without TLS the broker has a port of its own
            for compressed connections, 55003.
        tls: What is checked of the broker's certificate.

    Raises:
        ConfigurationError: A value cannot work.
    """

    host: str = f"tcp://localhost:{DEFAULT_PORT}"
    vpn: str = "default"
    username: str = "default"
    password: Secret | str = field(default=NO_SECRET, repr=False)
    authentication: Authentication | None = None
    client_name: str = "flumebeam/{host}/{pid}/{unique}"
    reconnect: ReconnectPolicy = field(default_factory=ReconnectPolicy)
    lane: str = "auto"
    compression_level: int = 0
    tls: TlsOptions = field(default_factory=TlsOptions)

    def __post_init__(self) -> None:
        if not 0 <= self.compression_level <= _MAX_COMPRESSION:
            raise ConfigurationError(f"The compression level is from 0 (none) to 9, not {self.compression_level}.")
        object.__setattr__(self, "host", complete_hosts(self.host, compressed=self.compression_level > 0))
        if isinstance(self.password, str):
            object.__setattr__(self, "password", Secret(self.password))
        _check_name("message VPN", "--solace_vpn or SOLACE_VPN", self.vpn, _MAX_VPN_CHARS)
        _check_name("client username", "--solace_username or SOLACE_USERNAME", self.username, _MAX_USERNAME_CHARS)
        _check_template(self.client_name)
        if self.lane not in LANES:
            raise ConfigurationError(
                f"There is no lane {self.lane!r}; use one of: {', '.join(LANES)}; set --solace_lane or SOLACE_LANE."
            )
        if self.authentication is not None and self.authentication.needs_tls and not uses_tls(self.host):
            raise ConfigurationError(
                f"The login by {self.authentication.shown} needs TLS: give a broker address that begins with tcps://."
            )

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Return options from settings by name; see :data:`flumebeam.solace.settings.SETTINGS` for the names.

        The names of the vendor's own client (``solace.messaging.transport.host``) are understood, too.

        Raises:
            ConfigurationError: A name is unknown, or a value cannot work.
        """
        return cls.from_layers(values)

    @classmethod
    def from_environment_and(cls, values: Mapping[str, Any], *, config: str | Path | None = None) -> Self:
        """Return options from this process's environment, and settings that win over it.

        Args:
            values: Settings by name.
            config: A file of settings, which win over the environment and not over ``values``.

        Raises:
            ConfigurationError: A name is unknown, or a value cannot work.
        """
        file = {} if config is None else settings.settings_of_file(Path(config))
        return cls.from_layers(*settings.environment_layers(os.environ, own=True), file, values)

    @classmethod
    def from_layers(cls, *layers: Mapping[str, Any]) -> Self:
        """Return options from several mappings as :meth:`from_mapping` takes one; later ones win.

        A layer that says how to log in replaces what earlier ones say about that.

        Raises:
            ConfigurationError: A name is unknown, or a value cannot work.
        """
        return cls(**settings.keywords_of(settings.merged(*layers)))

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Return options from ``SOLACE_HOST``, ``_VPN``, ``_USERNAME``, ``_PASSWORD`` and so on.

        Every setting has a variable; ``SOLACE_CONFIG`` names a file of settings, over which the others win. What is not
        set, or empty, keeps its default. Read from the process's own environment, secrets stay references to their
        variables.

        Args:
            environ: Variables to read instead of the process's own.

        Raises:
            ConfigurationError: A value cannot work.
        """
        variables = os.environ if environ is None else environ
        return cls.from_layers(*settings.environment_layers(variables, own=variables is os.environ))

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Return options from ``tcps://user@host:55443,other:55443/vpn?trust_store=/etc/ca``.

        Everything but the host may be left out; what stands behind the question mark are settings by name.

        Raises:
            ConfigurationError: It is no such URL, or it holds a password.
        """
        return cls.from_mapping({"url": url})

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Return options from a file of settings: ``.toml``, ``.json`` or ``.properties``.

        Names may stand in a table ``solace``, and may be those of the vendor's client. A secret that stands in the file
        itself does not travel to other processes; one that it names (``password_file``) does.

        Raises:
            ConfigurationError: The file cannot be read, a name in it is unknown, or a value cannot work.
        """
        return cls.from_mapping(settings.settings_of_file(Path(path)))

    @property
    def secret(self) -> Secret:
        """The password as a secret, whatever it was given as."""
        return self.password if isinstance(self.password, Secret) else Secret(self.password)

    @property
    def named_username(self) -> str:
        """The username if one was given, else empty: for logins that bring a name of their own."""
        return "" if self.username == "default" else self.username

    def name_client(self, *, host: str, pid: int, unique: str) -> str:
        """Return the client name of one connection.

        Args:
            host: Name of this machine.
            pid: This process.
            unique: Text that no other connection has.

        Returns:
            At most 160 characters, which is the broker's limit; ``unique`` is never what is cut.
        """
        name = self.client_name.format(host=host, pid=pid, unique=unique)
        if len(name) > _MAX_CLIENT_NAME_CHARS:
            name = self.client_name.format(host="", pid=pid, unique=unique)[-_MAX_CLIENT_NAME_CHARS:]
        return name


def _check_name(what: str, where: str, value: str, limit: int) -> None:
    if not value or len(value) > limit or not value.isprintable():
        raise ConfigurationError(f"The {what} {value!r} must have 1 to {limit} printable characters; set {where}.")


def _check_template(template: str) -> None:
    try:
        fields = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
    except ValueError as error:
        raise ConfigurationError(f"The client name template {template!r} cannot be read: {error}.") from error
    if unknown := fields - _NAME_FIELDS:
        raise ConfigurationError(
            f"The client name template {template!r} uses {sorted(unknown)}; it may use host, pid and unique."
        )
    if not template or len(template) > _MAX_CLIENT_NAME_CHARS or not template.isprintable():
        raise ConfigurationError(
            f"The client name template {template!r} must have 1 to {_MAX_CLIENT_NAME_CHARS} printable characters."
        )
