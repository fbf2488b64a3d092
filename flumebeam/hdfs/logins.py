"""How requests to an HDFS say who they come from: by name, by Kerberos, by a delegation token."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

import hdfs
import requests

from flumebeam.errors import ConfigurationError
from flumebeam.hdfs.options import HdfsOptions, KerberosOptions, Tokens
from flumebeam.hdfs.tokens import read_token
from flumebeam.hdfs.webhdfs_errors import NoTicketError, checked, field

__all__ = ["Login", "login_of"]

_EXTRA_HINT: Final = "install it with: pip install 'flumebeam[kerberos]'"
_RENEW_AT: Final = 0.75
"""Part of a token's time after which it is renewed."""
_LEFT_SECS: Final = 60
"""A ticket that ends so soon is replaced, if there is a keytab."""


class Login(Protocol):
    """Who asks. Thread-safe."""

    name: str
    """For messages."""

    def prepare(self, session: requests.Session) -> None:
        """Set up a session that is about to be used; called once for each."""
        ...

    def parameters(self) -> dict[str, str]:
        """Return what goes with each request to a NameNode.

        Raises:
            requests.RequestException: A token could not be got.
            hdfs.HdfsError: The same.
        """
        ...

    def refused(self) -> bool:
        """Take note that a server did not accept :meth:`parameters`; tell whether it will be something else next."""
        ...

    def close(self) -> None:
        """Release connections. Idempotent; a later call opens new ones."""
        ...


def login_of(options: HdfsOptions, request: Callable[..., requests.Response]) -> Login:
    """Return the login that options ask for.

    Args:
        options: A token file comes before Kerberos, Kerberos before a plain name.
        request: Asks one NameNode after the other: ``request(session, method, parameters)``, about the path ``/``.

    Raises:
        ConfigurationError: Kerberos is asked for, and the package for it is missing.
    """
    if options.token_file:
        return _TokenFromFile(options.token_file)
    if options.kerberos is None:
        return _ByName(options.user_name(), options.proxy_user)
    kerberos = _Kerberos(options.kerberos, options.proxy_user)
    if options.kerberos.tokens is Tokens.NONE:
        return kerberos
    return _OwnToken(kerberos, request)


class _ByName:
    """A name is believed, as on clusters without security."""

    def __init__(self, user: str, proxy_user: str | None) -> None:
        self.name = user
        self._parameters = {"user.name": user} | ({"doas": proxy_user} if proxy_user else {})

    def prepare(self, session: requests.Session) -> None:
        """Do nothing: it is said with each request."""

    def parameters(self) -> dict[str, str]:
        return self._parameters

    def refused(self) -> bool:
        return False

    def close(self) -> None:
        """Do nothing: there is nothing to release."""


class _Kerberos:
    """A ticket for each server, by SPNEGO, and then the cookie that the server gives for it."""

    def __init__(self, options: KerberosOptions, proxy_user: str | None) -> None:
        try:
            import gssapi
            import requests_gssapi
        except ImportError as error:
            raise ConfigurationError(
                f"A login by Kerberos needs the package requests-gssapi; {_EXTRA_HINT}."
            ) from error
        # It logs a refused login with a traceback; what matters is in the errors raised here.
        logging.getLogger("requests_gssapi").setLevel(logging.CRITICAL)
        self._options = options
        self._parameters = {"doas": proxy_user} if proxy_user else {}
        self._lock = threading.Lock()
        self._cache = f"MEMORY:flumebeam-{uuid.uuid4().hex}"
        self._credentials: Any = None
        self.name = options.principal or "of the ticket cache"
        self.short_name = (options.principal or "").partition("@")[0].partition("/")[0]
        """What a cluster calls this principal by default; empty if it is not known."""
        login = self

        class Negotiate(requests_gssapi.HTTPSPNEGOAuth):  # type: ignore[misc]  # the package has no types
            """Gets a fresh ticket for each negotiation, and says why there is none."""

            def generate_request_header(self, response: Any, host: str, is_preemptive: bool = False) -> str:
                try:
                    self.creds = login.credentials()
                    header: str = super().generate_request_header(response, host, is_preemptive)
                except (gssapi.exceptions.GSSError, requests_gssapi.exceptions.SPNEGOExchangeError) as error:
                    response.close()
                    raise NoTicketError(_reason_of(error), request=getattr(response, "request", None)) from error
                return header

        self._negotiate = Negotiate

    def prepare(self, session: requests.Session) -> None:
        session.auth = self._negotiate()

    def parameters(self) -> dict[str, str]:
        return self._parameters

    def refused(self) -> bool:
        return False

    def close(self) -> None:
        """Do nothing: there is nothing to release."""

    def credentials(self) -> Any:
        """Return what a negotiation starts from: the key's ticket, fresh; ``None`` for the ticket cache."""
        import gssapi

        if self._options.principal is None:
            return None
        with self._lock:
            if self._credentials is None or not _lasts(self._credentials):
                name = gssapi.Name(self._options.principal, gssapi.NameType.kerberos_principal)
                store = {"client_keytab": self._options.keytab, "ccache": self._cache} if self._options.keytab else None
                self._credentials = gssapi.Credentials(name=name, usage="initiate", store=store)
            return self._credentials


class _TokenFromFile:
    """A token that somebody else gets and renews."""

    def __init__(self, path: str) -> None:
        self.name = f"of the token in {path}"
        self._path = Path(path)
        self._lock = threading.Lock()
        self._read: tuple[int, str] | None = None

    def prepare(self, session: requests.Session) -> None:
        """Do nothing: it is said with each request."""

    def parameters(self) -> dict[str, str]:
        with self._lock:
            try:
                changed = self._path.stat().st_mtime_ns
                if self._read is None or self._read[0] != changed:
                    self._read = changed, read_token(self._path.read_bytes(), str(self._path))
            except OSError as error:
                raise NoTicketError(f"the token file {self._path} cannot be read: {error.strerror}") from error
            return {"delegation": self._read[1]}

    def refused(self) -> bool:
        with self._lock:
            before, self._read = self._read, None
        return before is not None and self.parameters()["delegation"] != before[1]

    def close(self) -> None:
        """Do nothing: there is nothing to release."""


class _OwnToken:
    """A token got by Kerberos, renewed at three quarters of its time, replaced when it cannot be renewed any more."""

    def __init__(self, kerberos: _Kerberos, request: Callable[..., requests.Response]) -> None:
        self.name = kerberos.name
        self._kerberos = kerberos
        self._request = request
        self._lock = threading.Lock()
        self._token: str | None = None
        self._renew_at = 0.0
        self._session = requests.Session()
        self._session.trust_env = False
        kerberos.prepare(self._session)

    def prepare(self, session: requests.Session) -> None:
        # A token counts in place of a login: only the session that gets it negotiates.
        self._session.verify, self._session.cert = session.verify, session.cert

    def parameters(self) -> dict[str, str]:
        with self._lock:
            if self._token is not None and time.time() >= self._renew_at:
                self._renew()
            if self._token is None:
                parameters = {**self._kerberos.parameters(), "op": "GETDELEGATIONTOKEN"}
                # Of a token for somebody else we must be named as the one who renews it.
                if self._kerberos.short_name:
                    parameters["renewer"] = self._kerberos.short_name
                found = field(checked(self._request(self._session, "GET", parameters)), "Token")
                self._token = str(found["urlString"])
                # A token does not say when it ends; its renewal does.
                self._renew()
            return {"delegation": self._token}

    def refused(self) -> bool:
        with self._lock:
            had, self._token = self._token is not None, None
        return had

    def close(self) -> None:
        self._session.close()

    def _renew(self) -> None:
        parameters = {"op": "RENEWDELEGATIONTOKEN", "token": str(self._token)}
        now = time.time()
        try:
            end = field(checked(self._request(self._session, "PUT", parameters)), "long") / 1000
        except hdfs.HdfsError:
            # It has come to its last end.
            self._token = None
            return
        self._renew_at = now + (end - now) * _RENEW_AT


def _lasts(credentials: Any) -> bool:
    import gssapi

    try:
        return credentials.lifetime is None or credentials.lifetime > _LEFT_SECS
    except gssapi.exceptions.ExpiredCredentialsError:
        return False


def _reason_of(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(" .")
