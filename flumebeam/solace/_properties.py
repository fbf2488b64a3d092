"""Our options as the properties of the vendor's client."""

from __future__ import annotations

import atexit
import functools
import shutil
import ssl
import tempfile
from pathlib import Path
from typing import Any, Final

from solace.messaging.config.solace_constants import authentication_constants
from solace.messaging.config.solace_properties import (
    authentication_properties,
    client_properties,
    service_properties,
    transport_layer_properties,
    transport_layer_security_properties,
)

from flumebeam.errors import ConfigurationError
from flumebeam.solace._tokens import Tokens
from flumebeam.solace.addresses import uses_tls
from flumebeam.solace.auth import CertificateAuthentication, KerberosAuthentication, OAuthAuthentication
from flumebeam.solace.config import ReconnectPolicy, SolaceOptions
from flumebeam.solace.tls import TlsOptions

__all__ = ["service_properties_of", "transaction_properties"]

_REQUEST_TIMEOUT_PROPERTY: Final = "TRANSACTEDSESSION_REQUESTREPLY_TIMEOUT_MS"
_REQUEST_TRIES_PROPERTY: Final = "TRANSACTEDSESSION_MAX_REQUEST_TRIES"
_CERTIFICATE: Final = b"CERTIFICATE-----"


def service_properties_of(options: SolaceOptions, client_name: str, tokens: Tokens | None) -> dict[str, Any]:
    """Return the properties of a messaging service.

    Args:
        options: The connection.
        client_name: Its name on the broker.
        tokens: The OAuth tokens, if it logs in by them.

    Raises:
        ConfigurationError: A secret, a certificate or the trust store cannot be found.
    """
    policy = options.reconnect
    properties = {
        transport_layer_properties.HOST: options.host,
        service_properties.VPN_NAME: options.vpn,
        client_properties.NAME: client_name,
        transport_layer_properties.CONNECTION_ATTEMPTS_TIMEOUT: _milliseconds(policy.connect_timeout_seconds),
        transport_layer_properties.CONNECTION_RETRIES: policy.connect_retries,
        transport_layer_properties.CONNECTION_RETRIES_PER_HOST: policy.retries_per_host,
        transport_layer_properties.RECONNECTION_ATTEMPTS: policy.attempts,
        transport_layer_properties.RECONNECTION_ATTEMPTS_WAIT_INTERVAL: _milliseconds(policy.wait_seconds),
        transport_layer_properties.KEEP_ALIVE_INTERVAL: _milliseconds(policy.keepalive_seconds),
        transport_layer_properties.KEEP_ALIVE_WITHOUT_RESPONSE_LIMIT: policy.keepalive_limit,
        service_properties.GENERATE_SEND_TIMESTAMPS: True,
        **_login(options, tokens),
    }
    if options.compression_level:
        properties[transport_layer_properties.COMPRESSION_LEVEL] = options.compression_level
    if uses_tls(options.host):
        properties |= _security(options.tls)
    return properties


def transaction_properties(policy: ReconnectPolicy) -> dict[str, str]:
    """Return the properties of a transacted session, under the native names that the builder passes through."""
    return {
        _REQUEST_TIMEOUT_PROPERTY: str(_milliseconds(policy.request_timeout_seconds)),
        _REQUEST_TRIES_PROPERTY: str(policy.request_tries),
    }


def _login(options: SolaceOptions, tokens: Tokens | None) -> dict[str, Any]:
    scheme = authentication_properties.SCHEME
    match options.authentication:
        case None:
            return {
                authentication_properties.SCHEME_BASIC_USER_NAME: options.username,
                authentication_properties.SCHEME_BASIC_PASSWORD: options.secret.reveal(),
            }
        case CertificateAuthentication() as own:
            for file in filter(None, (own.certificate, own.key)):
                _must_be_readable("client certificate or its key", file)
            return _without_empty(
                {
                    scheme: authentication_constants.AUTHENTICATION_SCHEME_CLIENT_CERT,
                    authentication_properties.SCHEME_SSL_CLIENT_CERT_FILE: own.certificate,
                    authentication_properties.SCHEME_SSL_CLIENT_PRIVATE_KEY_FILE: own.key or own.certificate,
                    authentication_properties.SCHEME_CLIENT_PRIVATE_KEY_FILE_PASSWORD: own.key_password.reveal(),
                    authentication_properties.SCHEME_CLIENT_CERT_USER_NAME: options.named_username,
                }
            )
        case OAuthAuthentication() as own:
            return _without_empty(
                {
                    scheme: authentication_constants.AUTHENTICATION_SCHEME_OAUTH2,
                    authentication_properties.SCHEME_OAUTH2_ISSUER_IDENTIFIER: own.issuer,
                    **(tokens.properties if tokens else {}),
                }
            )
        case KerberosAuthentication() as own:
            return _without_empty(
                {
                    scheme: authentication_constants.AUTHENTICATION_SCHEME_KERBEROS,
                    authentication_properties.KRB_SERVICE_NAME: own.service,
                    authentication_properties.SCHEME_KERBEROS_USER_NAME: options.named_username,
                }
            )


def _without_empty(properties: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in properties.items() if value != ""}


def _security(tls: TlsOptions) -> dict[str, Any]:
    return {
        transport_layer_security_properties.CERT_VALIDATED: tls.verify_certificate,
        transport_layer_security_properties.CERT_VALIDATE_SERVERNAME: tls.verify_host_name,
        **(
            {transport_layer_security_properties.TRUST_STORE_PATH: _trust_directory(tls.trust_store)}
            if tls.verify_certificate
            else {}
        ),
    }


def _trust_directory(given: str) -> str:
    """Return a directory of authorities: the client takes no file, and none of the system's by itself."""
    if given:
        path = Path(given)
        if path.is_dir():
            return given
        _must_be_readable("trust store", given)
        return _in_directory(given, path.stat().st_mtime_ns)
    paths = ssl.get_default_verify_paths()
    if paths.capath and any(Path(paths.capath).iterdir()):
        return paths.capath
    if paths.cafile:
        return _in_directory(paths.cafile, 0)
    raise ConfigurationError(
        "This machine has no authorities of its own for TLS: set --solace_trust_store or SOLACE_TRUST_STORE."
    )


@functools.cache
def _in_directory(file: str, _changed: int) -> str:
    """Return a directory with nothing but a copy of ``file``, for as long as this process lives."""
    content = Path(file).read_bytes()
    if _CERTIFICATE not in content:
        raise ConfigurationError(f"The trust store {file} holds no certificate in PEM form.")
    directory = tempfile.mkdtemp(prefix="flumebeam-trust-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    (Path(directory) / "authorities.pem").write_bytes(content)
    return directory


def _must_be_readable(what: str, file: str) -> None:
    try:
        with Path(file).open("rb"):
            pass
    except OSError as error:
        raise ConfigurationError(f"The {what} {file} cannot be read: {error.strerror}.") from None


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
