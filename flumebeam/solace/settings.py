"""Settings of a connection by name: from a mapping, the environment, a URL, a file, or the vendor's property names."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

from flumebeam.errors import ConfigurationError
from flumebeam.solace.addresses import parse_url
from flumebeam.solace.auth import (
    Authentication,
    CertificateAuthentication,
    ClientCredentials,
    KerberosAuthentication,
    OAuthAuthentication,
)
from flumebeam.solace.reconnect import ReconnectPolicy
from flumebeam.solace.secret import NO_SECRET, Secret
from flumebeam.solace.tls import TlsOptions

__all__ = ["SETTINGS", "environment_layers", "keywords_of", "merged", "settings_of_file"]

_SECRETS: Final = ("password", "client_key_password", "token", "id_token", "oauth_client_secret")
_LOGINS: Final = {
    "password": ("password",),
    "client certificate": ("client_certificate", "client_key", "client_key_password"),
    "OAuth": (
        "token",
        "id_token",
        "oauth_issuer",
        "oauth_token_url",
        "oauth_client_id",
        "oauth_client_secret",
        "oauth_scope",
        "oauth_trust_store",
    ),
    "Kerberos": ("kerberos_service",),
}
_RECONNECT: Final = {f"reconnect_{option.name}": option.name for option in fields(ReconnectPolicy)}
SETTINGS: Final = (
    "url",
    "host",
    "vpn",
    "username",
    "client_name",
    "lane",
    "compression_level",
    "trust_store",
    "verify_certificate",
    "verify_host_name",
    "reconnect",
    *_RECONNECT,
    *(name for names in _LOGINS.values() for name in names),
    *(f"{name}_file" for name in _SECRETS),
)
"""Names of all settings. ``url`` stands for host, username and VPN; ``..._file`` names a file with a secret;
``reconnect`` is the name of a preset, which ``reconnect_attempts`` and so on change."""

_VENDOR_PREFIX: Final = "solace.messaging."
_VENDOR_SETTINGS: Final = {
    "transport.host": "host",
    "transport.compression-level": "compression_level",
    "transport.connection-attempts-timeout": "reconnect_connect_timeout_seconds",
    "transport.connection-retries": "reconnect_connect_retries",
    "transport.connection.retries-per-host": "reconnect_retries_per_host",
    "transport.reconnection-attempts": "reconnect_attempts",
    "transport.reconnection-attempts-wait-interval": "reconnect_wait_seconds",
    "transport.keep-alive-interval": "reconnect_keepalive_seconds",
    "transport.keep-alive-without-response-limit": "reconnect_keepalive_limit",
    "service.vpn-name": "vpn",
    "client.name": "client_name",
    "authentication.basic.username": "username",
    "authentication.basic.password": "password",
    "authentication.client-cert.username": "username",
    "authentication.client-cert.file": "client_certificate",
    "authentication.client-cert.private-key-file": "client_key",
    "authentication.client-cert.private-key-password": "client_key_password",
    "authentication.oauth2.access-token": "token",
    "authentication.oauth2.oidc-id-token": "id_token",
    "authentication.oauth2.issuer-identifier": "oauth_issuer",
    "authentication.kerberos.username": "username",
    "authentication.kerberos.instance-name": "kerberos_service",
    "tls.trust-store-path": "trust_store",
    "tls.cert-validated": "verify_certificate",
    "tls.cert-validate-servername": "verify_host_name",
}
_VENDOR_SCHEME: Final = "authentication.scheme"
_VENDOR_SCHEMES: Final = {
    "AUTHENTICATION_SCHEME_BASIC": "password",
    "AUTHENTICATION_SCHEME_CLIENT_CERTIFICATE": "client certificate",
    "AUTHENTICATION_SCHEME_OAUTH2": "OAuth",
    "AUTHENTICATION_SCHEME_GSS_KRB": "Kerberos",
}
_WORDS: Final = {
    "true": True,
    "1": True,
    "yes": True,
    "on": True,
    "false": False,
    "0": False,
    "no": False,
    "off": False,
}


# -- sources of settings -----------------------------------------------------------------------------------------------


def environment_layers(variables: Mapping[str, str], *, own: bool) -> list[dict[str, Any]]:
    """Return what variables like ``SOLACE_HOST`` give, an empty one nothing; before it the file ``SOLACE_CONFIG``.

    Args:
        variables: By name.
        own: Whether they are this process's own, so that a secret can stay a reference to its variable.

    Raises:
        ConfigurationError: The file cannot be read.
    """
    given: dict[str, Any] = {}
    for name in SETTINGS:
        variable = f"SOLACE_{name.upper()}"
        if value := variables.get(variable):
            given[name] = Secret.from_environment(variable) if own and name in _SECRETS else value
    file = variables.get("SOLACE_CONFIG")
    return [settings_of_file(Path(file)), given] if file else [given]


def settings_of_file(path: Path) -> dict[str, Any]:
    """Return the settings in a file, by its ending: ``.toml``, ``.json`` or ``.properties``.

    Raises:
        ConfigurationError: The file cannot be read, or has another ending.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ConfigurationError(f"The file {path} must end in {', '.join(_READERS)}: its ending says what it is.")
    try:
        content = reader(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"The file of settings {path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        # Not the error's own text, which may quote a secret.
        raise ConfigurationError(f"The file of settings {path} is no {path.suffix[1:].upper()}.") from error
    if not isinstance(content, Mapping):
        raise ConfigurationError(f"The file of settings {path} must hold names and values.")
    flat = dict(_flat("", content))
    return {name if name.startswith(_VENDOR_PREFIX) else name.removeprefix("solace."): flat[name] for name in flat}


def _properties(text: str) -> dict[str, str]:
    """Return the content of a properties file: a name and a value a line, comments behind ``#`` or ``!``."""
    content = {}
    for line in map(str.strip, text.splitlines()):
        if line and line[0] not in "#!":
            name, separator, value = line.partition("=")
            if not separator:
                name, separator, value = line.partition(":")
            if not separator:
                raise ValueError
            content[name.strip()] = value.strip()
    return content


_READERS: Final[dict[str, Callable[[str], Any]]] = {
    ".toml": tomllib.loads,
    ".json": json.loads,
    ".properties": _properties,
}


def _flat(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{prefix}{name}.", value)
        else:
            yield prefix + name, value


# -- from settings to options ------------------------------------------------------------------------------------------


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return several layers of settings as one; later ones win.

    A layer that says how to log in takes away what earlier ones said about that. URLs and files of secrets are resolved
    within their layer.

    Raises:
        ConfigurationError: A name is unknown, or a URL cannot be read.
    """
    result: dict[str, Any] = {}
    for layer in map(_resolved, layers):
        if any(name in layer for names in _LOGINS.values() for name in names):
            for name in [name for names in _LOGINS.values() for name in names]:
                result.pop(name, None)
        result |= layer
    return result


def _resolved(layer: Mapping[str, Any]) -> dict[str, Any]:
    given = _translated({name: value for name, value in layer.items() if value is not None})
    if (url := given.pop("url", None)) is not None:
        hosts, username, vpn, others = parse_url(str(url))
        found = {"host": hosts, "username": username, "vpn": vpn}
        given = {**_resolved(others), **{name: text for name, text in found.items() if text}, **given}
    for name in _SECRETS:
        if file := given.pop(f"{name}_file", None):
            given[name] = Secret.from_file(file)
        elif name in given:
            given[name] = _secret(given[name])
    return given


def _translated(layer: Mapping[str, Any]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    scheme = None
    for name, value in layer.items():
        vendors = name.removeprefix(_VENDOR_PREFIX) if name.startswith(_VENDOR_PREFIX) else ""
        if vendors == _VENDOR_SCHEME:
            scheme = _VENDOR_SCHEMES.get(str(value))
            if scheme is None:
                raise ConfigurationError(f"There is no authentication scheme {value!r}.")
        elif ours := _VENDOR_SETTINGS.get(vendors):
            given[ours] = _number(name, value) / 1000 if ours.endswith("_seconds") else value
        elif name in SETTINGS:
            given[name] = value
        else:
            raise ConfigurationError(f"There is no setting {name!r} of a connection; there are: {', '.join(SETTINGS)}.")
    if scheme == "Kerberos":
        given.setdefault("kerberos_service", "solace")
    if scheme is not None:  # the vendor's client ignores what belongs to other schemes
        mine = _LOGINS[scheme]
        given = {name: value for name, value in given.items() if name in mine or not _is_login(name)}
    return given


def _is_login(name: str) -> bool:
    return any(name in names for names in _LOGINS.values())


def _secret(value: Any) -> Secret:
    if isinstance(value, Secret):
        return value
    return Secret.from_function(value) if callable(value) else Secret(str(value))


def keywords_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of :class:`~flumebeam.solace.config.SolaceOptions` that merged settings mean.

    Raises:
        ConfigurationError: A value cannot work, or there are several ways to log in.
    """
    keywords = {
        name: str(given[name]) for name in ("host", "vpn", "username", "client_name", "lane") if given.get(name)
    }
    logins = [login for login, names in _LOGINS.items() if any(name in given for name in names)]
    if len(logins) > 1:
        raise ConfigurationError(f"There are several ways to log in: {' and '.join(logins)}. Give one of them.")
    result: dict[str, Any] = dict(keywords)
    if "password" in given:
        result["password"] = given["password"]
    elif logins:
        result["authentication"] = _authentication(logins[0], given)
    if "compression_level" in given:
        result["compression_level"] = _whole("compression_level", given["compression_level"])
    result["tls"] = TlsOptions(
        trust_store=str(given.get("trust_store", "")),
        verify_certificate=_truth("verify_certificate", given.get("verify_certificate", True)),
        verify_host_name=_truth("verify_host_name", given.get("verify_host_name", True)),
    )
    result["reconnect"] = _policy(given)
    return result


def _authentication(login: str, given: Mapping[str, Any]) -> Authentication:
    def text(name: str) -> str:
        return str(given.get(name, ""))

    if login == "client certificate":
        return CertificateAuthentication(
            certificate=text("client_certificate"),
            key=text("client_key"),
            key_password=given.get("client_key_password", NO_SECRET),
        )
    if login == "Kerberos":
        return KerberosAuthentication(service=text("kerberos_service"))
    access: Secret | ClientCredentials = given.get("token", NO_SECRET)
    if "oauth_token_url" in given:
        if "token" in given:
            raise ConfigurationError("A token and a token server to get it from are given: give one of them.")
        access = ClientCredentials(
            token_url=text("oauth_token_url"),
            client_id=text("oauth_client_id"),
            client_secret=given.get("oauth_client_secret", NO_SECRET),
            scope=text("oauth_scope"),
            trust_store=text("oauth_trust_store"),
        )
    return OAuthAuthentication(
        access_token=access, id_token=given.get("id_token", NO_SECRET), issuer=text("oauth_issuer")
    )


def _policy(given: Mapping[str, Any]) -> ReconnectPolicy:
    policy = ReconnectPolicy.preset(str(given["reconnect"])) if given.get("reconnect") else ReconnectPolicy()
    changes: dict[str, Any] = {}
    for setting, name in _RECONNECT.items():
        if setting in given:
            convert = _number if name.endswith("_seconds") else _whole
            changes[name] = convert(setting, given[setting])
    return replace(policy, **changes)


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ConfigurationError(f"The setting {name} must be a number, not {value!r}.") from None


def _whole(name: str, value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise ConfigurationError(f"The setting {name} must be a whole number, not {value!r}.") from None


def _truth(name: str, value: Any) -> bool:
    truth = value if isinstance(value, bool) else _WORDS.get(str(value).lower())
    if truth is None:
        raise ConfigurationError(f"The setting {name} must be true or false, not {value!r}.")
    return truth
