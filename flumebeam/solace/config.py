"""Options of a connection to a broker: where, as whom, and how patiently."""

from __future__ import annotations

import os
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self
from urllib.parse import SplitResult, urlsplit

from flumebeam.errors import ConfigurationError

__all__ = ["DEFAULT_PORT", "LANES", "ReconnectPolicy", "Secret", "SolaceOptions"]

DEFAULT_PORT: Final = 55555
LANES: Final = ("auto", "native", "wrapper", "plain")
"""Ways through the vendor's client; see :attr:`SolaceOptions.lane`."""
"""The port on which a Solace broker speaks SMF without TLS."""

_MAX_HOSTS: Final = 16  # the vendor's client takes no longer host list
_MAX_VPN_CHARS: Final = 32  # limits of the broker
_MAX_USERNAME_CHARS: Final = 189
_MAX_CLIENT_NAME_CHARS: Final = 160
_NAME_FIELDS: Final = frozenset({"host", "pid", "unique"})


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A password that does not show itself in ``repr``, logs or error texts.

    Made by :meth:`from_environment` or :meth:`from_file` it holds a reference only, is looked up when a connection is
    opened, and pickles as that reference. A literal value has to travel with the options when they are pickled.

    Attributes:
        source: ``value``, ``environment`` or ``file``.
        text: The value, the name of the variable, or the path.
    """

    text: str
    source: str = "value"

    @classmethod
    def from_environment(cls, name: str) -> Self:
        """Return a secret that is read from an environment variable when it is needed."""
        return cls(name, "environment")

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Return a secret that is read from a file when it is needed; a line end at its end does not belong to it."""
        return cls(str(path), "file")

    def reveal(self) -> str:
        """Return the secret itself.

        Raises:
            ConfigurationError: The variable is not set, or the file cannot be read.
        """
        if self.source == "environment":
            value = os.environ.get(self.text)
            if value is None:
                raise ConfigurationError(
                    f"The password is to be read from the environment variable {self.text}: set it where this runs."
                )
            return value
        if self.source == "file":
            try:
                return Path(self.text).read_text(encoding="utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigurationError(f"The password file {self.text} cannot be read: {error}.") from error
        return self.text

    def __repr__(self) -> str:
        return "Secret(***)" if self.source == "value" else f"Secret({self.source} {self.text})"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconnectPolicy:
    """How often and how long the client tries; every wait of a connection is bounded by these numbers.

    The defaults ride over a broker that is away for half a minute, and fail at once if it is down at the start.

    Attributes:
        attempts: Connection attempts after a connection was lost, over the whole host list; 0 to 1000. The bound of a
            commit that waits for its answer: ``attempts * wait_seconds`` if connections are refused, plus
            ``attempts * connect_timeout_seconds`` if the host is silent.
        wait_seconds: Pause between two attempts; 0 to 60.
        connect_timeout_seconds: How long one attempt may take; 0.1 to 120.
        connect_retries: Further attempts of the *first* connection; 0 to 1000.
        keepalive_seconds: Interval of keepalives; 0.05 to 60. A silent connection is given up after
            ``keepalive_seconds * keepalive_limit``.
        keepalive_limit: Keepalives without an answer; 3 to 100 (the vendor's client refuses fewer).
        request_timeout_seconds: How long one request of a transacted session may take; more than 1, up to 300.
        request_tries: How often such a request is made; 1 to 10. A publish waits at most
            ``2 * request_timeout_seconds * request_tries`` for its flow.
    """

    attempts: int = 40
    wait_seconds: float = 1.0
    connect_timeout_seconds: float = 5.0
    connect_retries: int = 0
    keepalive_seconds: float = 3.0
    keepalive_limit: int = 3
    request_timeout_seconds: float = 10.0
    request_tries: int = 3

    def __post_init__(self) -> None:
        for name, low, high in (
            ("attempts", 0, 1000),
            ("wait_seconds", 0, 60),
            ("connect_timeout_seconds", 0.1, 120),
            ("connect_retries", 0, 1000),
            ("keepalive_seconds", 0.05, 60),
            ("keepalive_limit", 3, 100),
            # The vendor's client silently ignores a request timeout of one second or less.
            ("request_timeout_seconds", 1.001, 300),
            ("request_tries", 1, 10),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigurationError(f"Reconnect option {name} must be between {low} and {high}, got {value}.")

    @classmethod
    def ha_pair(cls) -> Self:
        """Return the policy for an HA pair whose fail-over takes up to a minute."""
        return cls(attempts=40, wait_seconds=3.0, connect_timeout_seconds=10.0, request_timeout_seconds=20.0)

    @classmethod
    def fail_fast(cls) -> Self:
        """Return the policy for tests and tools that would rather fail in seconds than wait."""
        return cls(
            attempts=1,
            wait_seconds=0.5,
            connect_timeout_seconds=2.0,
            keepalive_seconds=1.0,
            request_timeout_seconds=2.0,
            request_tries=1,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SolaceOptions:
    """Everything a connection needs; plain data that a runner may pickle.

    Attributes:
        host: ``tcp://host:55555``, or a list of such addresses with commas between, tried in order. The scheme and
            the port may be left out.
        vpn: Name of the message VPN, up to 32 characters.
        username: Client username, up to 189 characters.
        password: The password; a plain string is taken as a literal :class:`Secret`.
        client_name: Template of the client name; ``{host}``, ``{pid}`` and ``{unique}`` are filled in. Two connections
            with one name push each other out, so leave ``{unique}`` in unless that is wanted.
        reconnect: How patiently to connect and reconnect.
        lane: How messages pass the vendor's client: ``native`` (its C library), ``wrapper`` (its Python layer, a batch
            at a time), ``plain`` (its Python layer, a call at a time), or ``auto``: native if it passes its self-check,
            else wrapper.

    Raises:
        ConfigurationError: A value cannot work.
    """

    host: str = f"tcp://localhost:{DEFAULT_PORT}"
    vpn: str = "default"
    username: str = "default"
    password: Secret | str = field(default=Secret(""), repr=False)
    client_name: str = "flumebeam/{host}/{pid}/{unique}"
    reconnect: ReconnectPolicy = field(default_factory=ReconnectPolicy)
    lane: str = "auto"

    def __post_init__(self) -> None:
        object.__setattr__(self, "host", ",".join(_address(part) for part in _split_hosts(self.host)))
        if isinstance(self.password, str):
            object.__setattr__(self, "password", Secret(self.password))
        _check_name("message VPN", "--solace_vpn or SOLACE_VPN", self.vpn, _MAX_VPN_CHARS)
        _check_name("client username", "--solace_username or SOLACE_USERNAME", self.username, _MAX_USERNAME_CHARS)
        _check_template(self.client_name)
        if self.lane not in LANES:
            raise ConfigurationError(
                f"There is no lane {self.lane!r}; use one of: {', '.join(LANES)}; set --solace_lane or SOLACE_LANE."
            )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Return options from ``SOLACE_HOST``, ``_VPN``, ``_USERNAME``, ``_PASSWORD`` and ``_LANE``.

        What is not set, or empty, keeps its default. Read from the process's own environment, the password stays a
        reference to its variable.

        Args:
            environ: Variables to read instead of the process's own.

        Raises:
            ConfigurationError: A value cannot work.
        """
        variables = os.environ if environ is None else environ
        password = Secret("")
        if variables.get("SOLACE_PASSWORD"):
            own = variables is os.environ
            password = Secret.from_environment("SOLACE_PASSWORD") if own else Secret(variables["SOLACE_PASSWORD"])
        return cls(
            host=variables.get("SOLACE_HOST") or f"tcp://localhost:{DEFAULT_PORT}",
            vpn=variables.get("SOLACE_VPN") or "default",
            username=variables.get("SOLACE_USERNAME") or "default",
            password=password,
            lane=variables.get("SOLACE_LANE") or "auto",
        )

    @property
    def secret(self) -> Secret:
        """The password as a secret, whatever it was given as."""
        return self.password if isinstance(self.password, Secret) else Secret(self.password)

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


def _split_hosts(text: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    if not all(parts) or len(parts) > _MAX_HOSTS:
        raise ConfigurationError(
            f"The broker address {_shown(text)!r} must be one to {_MAX_HOSTS} addresses like tcp://host:55555 "
            "with commas between; set --solace_host or SOLACE_HOST."
        )
    return parts


def _address(text: str) -> str:
    parts = urlsplit(text if "://" in text else f"tcp://{text}")
    if parts.scheme != "tcp":
        raise ConfigurationError(
            f"The broker address {_shown(text)!r} must begin with tcp://; other transports are not supported."
        )
    if parts.username or parts.password:
        raise ConfigurationError("Give username and password as options of their own, not inside the broker address.")
    if not parts.hostname or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ConfigurationError(f"The broker address {_shown(text)!r} must look like tcp://host:55555.")
    return f"tcp://{_bracketed(parts.hostname)}:{_port(parts, text)}"


def _port(parts: SplitResult, text: str) -> int:
    try:
        port = DEFAULT_PORT if parts.port is None else parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ConfigurationError(f"The port of the broker address {_shown(text)!r} must be between 1 and 65535.")
    return port


def _bracketed(hostname: str) -> str:
    return f"[{hostname}]" if ":" in hostname else hostname


def _shown(text: str) -> str:
    """Return an address as an error may show it: whatever stands before an @ may be a password."""
    return re.sub(r"//[^/,@]*@", "//***@", text)


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
