"""The TLS contexts of the broker: made from its options, and from what an administrator has set since."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Callable

from flumebeam.broker.config import BrokerConfig
from flumebeam.broker.core.broker_settings import ServerCertificate, Trust
from flumebeam.errors import ConfigurationError

__all__ = ["NOTHING_SET", "ServerTls", "check_authority", "check_certificate", "tls_context"]

NOTHING_SET = Trust(None, ())
"""What holds while no administrator has said otherwise."""


def tls_context(config: BrokerConfig, trust: Trust = NOTHING_SET, *, client_ca: str | None = None) -> ssl.SSLContext:
    """Return a TLS context of the broker.

    Args:
        config: Names the certificate and its key.
        trust: What an administrator has set. Authorities given there are asked after: a client may have a certificate,
            and if it has one it must be of them.
        client_ca: File with further authorities of client certificates; then every client needs one.

    Raises:
        ConfigurationError: The certificate, its key or the authority's certificate cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if trust.certificate is None:
        _load_own(context, config)
    else:
        _load(context, trust.certificate)
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except OSError as error:
            raise ConfigurationError(
                f"The certificate authority {client_ca} cannot be used ({error}); give its certificate in PEM form."
            ) from error
        context.verify_mode = ssl.CERT_REQUIRED
    elif trust.authorities:
        context.verify_mode = ssl.CERT_OPTIONAL
    for content in trust.authorities:
        context.load_verify_locations(cadata=content)
    return context


def _load_own(context: ssl.SSLContext, config: BrokerConfig) -> None:
    try:
        # With a passphrase here nobody is asked for one on the terminal.
        context.load_cert_chain(config.tls_certificate or "", config.tls_key, password="")
    except OSError as error:
        raise ConfigurationError(
            f"The TLS certificate {config.tls_certificate} with key {config.tls_key or 'in the same file'} cannot be "
            f"used ({error}); give a certificate and its key without a passphrase in PEM form."
        ) from error


def _load(context: ssl.SSLContext, certificate: ServerCertificate) -> None:
    # OpenSSL takes keys from files only. Nobody else can read this one, which is gone at once.
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".pem") as file:
        file.write(certificate.content)
        file.flush()
        try:
            context.load_cert_chain(file.name, password=certificate.password)
        except OSError as error:
            raise ConfigurationError(
                f"The certificate cannot be used ({error.args[-1]}); give it with its private key in PEM form, and the "
                "password of the key if it has one."
            ) from error


def check_certificate(certificate: ServerCertificate) -> None:
    """Check a certificate of the broker.

    Raises:
        ConfigurationError: It, or its key, cannot be used.
    """
    _load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificate)


def check_authority(content: str) -> None:
    """Check the certificate of an authority.

    Raises:
        ConfigurationError: It cannot be used.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=content)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"The authority's certificate cannot be used ({error.args[-1]}); give it in PEM form."
        ) from error


class ServerTls:
    """Has the TLS context of each new connection: the one before, unless something was set since.

    Args:
        config: The broker's options.
        trust: Returns what administrators have set.
        client_ca: File with authorities of client certificates, of which every client needs one.

    Raises:
        ConfigurationError: The certificate of the options cannot be used.
    """

    def __init__(self, config: BrokerConfig, trust: Callable[[], Trust], client_ca: str | None = None) -> None:
        self._config = config
        self._trust = trust
        self._client_ca = client_ca
        self._made_from = NOTHING_SET
        self._context = tls_context(config, client_ca=client_ca)

    def context(self) -> ssl.SSLContext:
        """Return the context for a new connection."""
        trust = self._trust()
        if trust != self._made_from:
            self._context = tls_context(self._config, trust, client_ca=self._client_ca)
            self._made_from = trust
        return self._context
