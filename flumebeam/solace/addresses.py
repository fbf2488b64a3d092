"""Addresses of brokers: host lists and URLs, checked and completed, never shown with what may be a password."""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from flumebeam.errors import ConfigurationError

__all__ = ["COMPRESSED_PORT", "DEFAULT_PORT", "TLS_PORT", "BrokerUrl", "complete_hosts", "parse_url", "uses_tls"]

DEFAULT_PORT: Final = 55555
"""The port on which a Solace broker speaks SMF without TLS."""
TLS_PORT: Final = 55443
"""The port on which it speaks SMF over TLS."""
COMPRESSED_PORT: Final = 55003
"""The port on which it speaks compressed SMF without TLS."""

_MAX_HOSTS: Final = 16  # the vendor's client takes no longer host list
_SCHEMES: Final = ("tcp", "tcps")


class BrokerUrl(NamedTuple):
    """What a URL says: the host list, and the rest where it says anything.

    Attributes:
        hosts: Addresses with commas between.
        username: Client username; empty if there is none.
        vpn: Message VPN; empty if there is none.
        settings: Further settings, by name.
    """

    hosts: str
    username: str
    vpn: str
    settings: dict[str, str]


def parse_url(url: str) -> BrokerUrl:
    """Take ``tcps://user@host:55443,other:55443/vpn?compression_level=6`` apart; everything but the host may be absent.

    Raises:
        ConfigurationError: It is no such URL, or it holds a password.
    """
    parts = _split(url)
    userinfo, _, hosts = parts.netloc.rpartition("@")
    if ":" in userinfo:
        raise ConfigurationError("A password does not belong into a URL: give it by SOLACE_PASSWORD or a file.")
    if parts.scheme not in _SCHEMES or not hosts or parts.fragment or "/" in parts.path[1:]:
        raise ConfigurationError(f"The broker URL {_shown(url)!r} must look like tcps://user@host:55443/vpn.")
    listed = ",".join(f"{parts.scheme}://{host.strip()}" for host in hosts.split(","))
    return BrokerUrl(listed, unquote(userinfo), unquote(parts.path[1:]), dict(parse_qsl(parts.query)))


def complete_hosts(text: str, *, compressed: bool) -> str:
    """Return a host list with the schemes and ports that it lacks.

    Args:
        text: One to 16 addresses like ``tcp://host:55555`` with commas between.
        compressed: Whether the connection is compressed, which has a port of its own without TLS.

    Raises:
        ConfigurationError: An address cannot work.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(parts) or len(parts) > _MAX_HOSTS:
        raise ConfigurationError(
            f"The broker address {_shown(text)!r} must be one to {_MAX_HOSTS} addresses like tcp://host:55555 "
            "with commas between; set --solace_host or SOLACE_HOST."
        )
    return ",".join(_address(part, compressed) for part in parts)


def uses_tls(hosts: str) -> bool:
    """Tell whether any address of a completed host list is one for TLS."""
    return any(host.startswith("tcps:") for host in hosts.split(","))


def _address(text: str, compressed: bool) -> str:
    parts = _split(text if "://" in text else f"tcp://{text}")
    if parts.scheme not in _SCHEMES:
        raise ConfigurationError(
            f"The broker address {_shown(text)!r} must begin with tcp:// or tcps://; there are no others."
        )
    if parts.username or parts.password:
        raise ConfigurationError("Give username and password as options of their own, not inside the broker address.")
    if not parts.hostname or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ConfigurationError(f"The broker address {_shown(text)!r} must look like {parts.scheme}://host:port.")
    default = TLS_PORT if parts.scheme == "tcps" else COMPRESSED_PORT if compressed else DEFAULT_PORT
    return f"{parts.scheme}://{_bracketed(parts.hostname)}:{_port(parts, text, default)}"


def _split(text: str) -> SplitResult:
    try:
        return urlsplit(text)
    except ValueError as error:
        raise ConfigurationError(f"The broker address {_shown(text)!r} cannot be read: {error}.") from None


def _port(parts: SplitResult, text: str, default: int) -> int:
    try:
        port = default if parts.port is None else parts.port
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
