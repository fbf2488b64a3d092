"""How a client proves who it is, where that is not a password."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeAlias
from urllib.parse import urlsplit

from flumebeam.errors import ConfigurationError
from flumebeam.solace.secret import NO_SECRET, Secret

__all__ = [
    "Authentication",
    "CertificateAuthentication",
    "ClientCredentials",
    "KerberosAuthentication",
    "OAuthAuthentication",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateAuthentication:
    """A client certificate, whose common name is the username unless the broker is set up otherwise. Needs TLS.

    Attributes:
        certificate: File with the certificate in PEM form.
        key: File with its private key; empty if it stands in the same file.
        key_password: Passphrase of the key.

    Raises:
        ConfigurationError: No certificate is named.
    """

    needs_tls: ClassVar[bool] = True

    certificate: str
    key: str = ""
    key_password: Secret = NO_SECRET

    def __post_init__(self) -> None:
        if not self.certificate:
            raise ConfigurationError("The login by client certificate needs a certificate: name its file.")

    @property
    def shown(self) -> str:
        """What the broker looks at, for errors."""
        return f"the client certificate {self.certificate}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCredentials:
    """Access tokens from a token server, by the OAuth 2.0 grant of client credentials (RFC 6749, section 4.4).

    A token is fetched when a connection is opened, and a new one when three quarters of its life are over.

    Attributes:
        token_url: The token endpoint. With ``http`` the secret is readable on the way: for laptops.
        client_id: Identity at the token server.
        client_secret: Its secret, sent as HTTP basic authentication.
        scope: What is asked for; empty leaves it to the server.
        trust_store: File with the authorities that the server's certificate may come from; empty for the system's.
        timeout_seconds: How long one request may take.

    Raises:
        ConfigurationError: The address is none, or the identity is missing.
    """

    token_url: str
    client_id: str
    client_secret: Secret
    scope: str = ""
    trust_store: str = ""
    timeout_seconds: float = 10.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.token_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
            raise ConfigurationError("The address of the token server must look like https://host/path.")
        if not self.client_id or not self.client_secret.given:
            raise ConfigurationError("The token server needs a client id and a client secret: give both.")
        if not self.timeout_seconds > 0:
            raise ConfigurationError(f"timeout_seconds must be more than 0, got {self.timeout_seconds}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthAuthentication:
    """An OAuth 2.0 access token, or an OpenID Connect id token. Needs TLS: the vendor's client refuses it without.

    Attributes:
        access_token: A static token; one of a file or a function, which is looked up again every
            ``refresh_seconds`` so that it can be rotated; or credentials by which tokens are fetched.
        id_token: An id token, for brokers that want one.
        issuer: Identity of the token server, where the broker trusts several.
        refresh_seconds: How often a token of a file, a function or a variable is looked up again. A new one is used by
            the next reconnect, so rotate tokens before they expire.

    Raises:
        ConfigurationError: There is no token.
    """

    needs_tls: ClassVar[bool] = True

    access_token: Secret | ClientCredentials = NO_SECRET
    id_token: Secret = NO_SECRET
    issuer: str = ""
    refresh_seconds: float = 15.0

    def __post_init__(self) -> None:
        if isinstance(self.access_token, Secret) and not self.access_token.given and not self.id_token.given:
            raise ConfigurationError("The login by OAuth needs an access token or an id token.")
        if not self.refresh_seconds > 0:
            raise ConfigurationError(f"refresh_seconds must be more than 0, got {self.refresh_seconds}.")

    @property
    def shown(self) -> str:
        """What the broker looks at, for errors."""
        return "the OAuth token"


@dataclass(frozen=True, slots=True, kw_only=True)
class KerberosAuthentication:
    """A Kerberos ticket of the user who runs this, by the system's GSS library.

    Attributes:
        service: First part of the broker's service principal.
    """

    needs_tls: ClassVar[bool] = False

    service: str = "solace"

    def __post_init__(self) -> None:
        if not self.service:
            raise ConfigurationError("The login by Kerberos needs the broker's service name, which is mostly solace.")

    @property
    def shown(self) -> str:
        """What the broker looks at, for errors."""
        return "the Kerberos ticket"


Authentication: TypeAlias = CertificateAuthentication | OAuthAuthentication | KerberosAuthentication
"""Tagged by its type; a password is an option of the connection itself."""
