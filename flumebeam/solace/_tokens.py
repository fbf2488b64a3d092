"""OAuth tokens: looked up or fetched when a connection is opened, and kept fresh while it lives.

The broker ends a connection whose token has expired, and the client comes back with the token that it was given last.
So a new one must be with the client before; the client uses it for its next reconnect.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import requests
from solace.messaging.config.solace_properties import authentication_properties

from flumebeam.errors import ConfigurationError, ConnectionFailedError, FlumebeamError, LoginRefusedError
from flumebeam.solace.auth import ClientCredentials, OAuthAuthentication
from flumebeam.solace.secret import Secret

__all__ = ["TokenKeeper", "Tokens", "fetch_token", "tokens_of"]

_RENEW_SHARE: Final = 0.75
"""After which part of its life a fetched token is replaced."""
_LIFE_SECONDS: Final = 300.0
"""Assumed life of a token of which its server says nothing."""
_SHORTEST_SECONDS: Final = 1.0
_RETRY_SECONDS: Final = 5.0
_STOP_SECONDS: Final = 2.0
_logger: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, repr=False)
class Tokens:
    """The tokens of a login, now.

    Attributes:
        properties: For the vendor's client, by the names of its properties.
        renew_seconds: When to look for new ones.
    """

    properties: dict[str, str]
    renew_seconds: float


def tokens_of(authentication: OAuthAuthentication) -> Tokens:
    """Return the tokens of a login as they are now.

    Raises:
        ConfigurationError: A token cannot be found.
        ConnectionFailedError: The token server does not answer.
        LoginRefusedError: The token server refuses.
    """
    found: dict[str, str] = {}
    renew = authentication.refresh_seconds
    access = authentication.access_token
    if isinstance(access, ClientCredentials):
        found[authentication_properties.SCHEME_OAUTH2_ACCESS_TOKEN], life = fetch_token(access)
        renew = max(life * _RENEW_SHARE, _SHORTEST_SECONDS)
    elif access.given:
        found[authentication_properties.SCHEME_OAUTH2_ACCESS_TOKEN] = _revealed(access)
    if authentication.id_token.given:
        found[authentication_properties.SCHEME_OAUTH2_OIDC_ID_TOKEN] = _revealed(authentication.id_token)
    return Tokens(found, renew)


def _revealed(token: Secret) -> str:
    text = token.reveal().strip()
    if not text:
        raise ConfigurationError("The OAuth token is empty: is its file being written?")
    return text


def fetch_token(credentials: ClientCredentials) -> tuple[str, float]:
    """Return a new access token, and for how many seconds it is valid.

    Raises:
        ConfigurationError: The client secret cannot be found.
        ConnectionFailedError: The token server does not answer, or not as a token server does.
        LoginRefusedError: It refuses.
    """
    form = {"grant_type": "client_credentials", **({"scope": credentials.scope} if credentials.scope else {})}
    try:
        answer = requests.post(
            credentials.token_url,
            data=form,
            auth=(credentials.client_id, credentials.client_secret.reveal()),
            timeout=credentials.timeout_seconds,
            verify=credentials.trust_store or True,
            allow_redirects=False,  # the secret is for this server alone
        )
    except (requests.RequestException, OSError) as error:
        raise ConnectionFailedError(
            f"The token server {credentials.token_url} does not answer ({type(error).__name__}): "
            "start it, or set SOLACE_OAUTH_TOKEN_URL."
        ) from None
    said = _content(answer)
    if 400 <= answer.status_code < 500:
        raise LoginRefusedError(
            f"The token server {credentials.token_url} refuses client id {credentials.client_id!r} "
            f"(status {answer.status_code}{_error_code(said)}): check id, secret and scope."
        )
    token = said.get("access_token")
    if answer.status_code != requests.codes.ok or not isinstance(token, str) or not token:
        raise ConnectionFailedError(
            f"The token server {credentials.token_url} answers with status {answer.status_code} and no access token."
        )
    life = said.get("expires_in")
    return token, float(life) if isinstance(life, int | float) and life > 0 else _LIFE_SECONDS


def _content(answer: requests.Response) -> dict[str, Any]:
    try:
        content = answer.json()
    except requests.JSONDecodeError:
        return {}
    return content if isinstance(content, dict) else {}


def _error_code(said: dict[str, Any]) -> str:
    """Return the error code that the standard defines, if it is one; never what else a server may echo."""
    code = said.get("error")
    known = ("invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "invalid_scope")
    return f", {code}" if code in known else ""


class TokenKeeper:
    """Gives the client new tokens while a connection lives, from a thread of its own.

    A token server that fails is asked again; the connection goes on as long as the broker lets it.

    Args:
        authentication: The login.
        tokens: What the connection was opened with.
        update: Hands the client a property's new value.
    """

    def __init__(self, authentication: OAuthAuthentication, tokens: Tokens, update: Callable[[str, str], None]) -> None:
        self._authentication = authentication
        self._tokens = tokens
        self._update = update
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="flumebeam-tokens", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it. Idempotent; waits for a request under way for a short time."""
        self._ended.set()
        if self._thread is not threading.current_thread():
            self._thread.join(_STOP_SECONDS)

    def _keep(self) -> None:
        wait = self._tokens.renew_seconds
        while not self._ended.wait(wait):
            try:
                now = tokens_of(self._authentication)
            except FlumebeamError as error:
                _logger.warning("A new OAuth token cannot be had, and is asked for again: %s", error)
                wait = min(wait, _RETRY_SECONDS)
                continue
            if now.properties != self._tokens.properties and not self._ended.is_set():
                for name, token in now.properties.items():
                    self._update(name, token)
            self._tokens, wait = now, now.renew_seconds
