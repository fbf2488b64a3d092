"""Dealing with the vendor's client: its properties, its errors in our words, its noise, its blocking calls.

What is used of ``solace-pubsubplus`` beyond its documented interface, all of it here and in the other private modules
of this package: ``MessagingService.session`` (transport events in the thread they happen in, and the session pointer),
``TransactionalMessagingService._run_later`` (a batch as one job), the persistent receiver's two callback methods,
the exported C functions that read a message or acknowledge one, and the table of its loggers.
``tests/unit/solace/test_client.py`` names them, so that a version that lacks one is noticed before it is shipped.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import uuid
from collections.abc import Callable
from typing import Any, Final

from solace import SOLACE_LOGGING_CONFIG
from solace.messaging.config.sub_code import SolClientSubCode
from solace.messaging.errors.pubsubplus_client_error import AuthenticationError, PubSubPlusClientError
from solace.messaging.messaging_service import MessagingService

from flumebeam.errors import ConnectionFailedError, FlumebeamError, LoginRefusedError, QueueError
from flumebeam.solace._properties import service_properties_of
from flumebeam.solace._tokens import Tokens
from flumebeam.solace.config import ReconnectPolicy, SolaceOptions

__all__ = [
    "bounded",
    "build_service",
    "connect_error",
    "lost_error",
    "operation_deadline",
    "queue_error",
    "subcode",
    "told_by",
]

_VENDOR_LOGGERS: Final = tuple(SOLACE_LOGGING_CONFIG["loggers"])
"""Each has a handler of its own to standard output, and a level: the package sets them up when it is imported."""

_LOGIN_REFUSALS: Final = {
    "LOGIN_FAILURE": "refused {shown}",
    "MSG_VPN_NOT_ALLOWED": "does not let client username {username!r} into message VPN {vpn!r}, or has no such VPN: "
    "set --solace_vpn or SOLACE_VPN",
    "MSG_VPN_UNAVAILABLE": "has message VPN {vpn!r} switched off: enable it on the broker",
    "CLIENT_USERNAME_IS_SHUTDOWN": "has client username {username!r} switched off: enable it on the broker",
    "CLIENT_NAME_ALREADY_IN_USE": "has a client of that name already: leave {{unique}} in the client name template",
    "CLIENT_NAME_INVALID": "refused the client name: change the client name template",
    "BASIC_AUTHENTICATION_IS_SHUTDOWN": "does not allow logins by password in message VPN {vpn!r}",
    "DYNAMIC_CLIENTS_NOT_ALLOWED": "does not allow clients in message VPN {vpn!r}",
    "CLIENT_ACL_DENIED": "refused client username {username!r} from this machine by its ACL profile",
    "CLIENT_CERTIFICATE_AUTHENTICATION_IS_SHUTDOWN": "does not allow client certificates in message VPN {vpn!r}",
    "KERBEROS_AUTHENTICATION_IS_SHUTDOWN": "does not allow Kerberos in message VPN {vpn!r}",
    "UNTRUSTED_CLIENT_CERTIFICATE": "does not trust {shown}",
    "CLIENT_CERTIFICATE_DATE_INVALID": "refused {shown}: it has expired, or is not valid yet",
}
_TLS_REFUSALS: Final = {
    "FAILED_LOADING_TRUSTSTORE": "The trust store for TLS cannot be used: set --solace_trust_store or "
    "SOLACE_TRUST_STORE to a file or directory with authorities in PEM form",
    "FAILED_LOADING_CERTIFICATE_AND_KEY": "The client certificate or its key cannot be used: check both files and the "
    "key's passphrase",
    "UNTRUSTED_CERTIFICATE": "The certificate of the broker at {host} is not believed: it must be for that host name, "
    "and from an authority in --solace_trust_store or SOLACE_TRUST_STORE",
    "UNTRUSTED_COMMONNAME": "The certificate of the broker at {host} is for another host",
    "CERTIFICATE_DATE_INVALID": "The certificate of the broker at {host} has expired, or is not valid yet",
}
_QUEUE_REFUSALS: Final = {
    "UNKNOWN_QUEUE_NAME": "does not exist: create it, or check its name",
    "QUEUE_NOT_FOUND": "does not exist: create it, or check its name",
    "PERMISSION_NOT_ALLOWED": "may not be used by client username {username!r}: grant it the permission to consume",
    "QUEUE_SHUTDOWN": "is shut down: enable its egress on the broker",
    "ENDPOINT_MODIFIED": "was changed on the broker: bind again",
    "CANNOT_BIND_TO_QUEUE": "cannot be bound: it is in use exclusively",
    "ENDPOINT_PROPERTY_MISMATCH": "exists with other properties",
    "SUBSCRIPTION_INVALID": "cannot get that subscription: it is no valid topic subscription",
    "SUBSCRIPTION_ACL_DENIED": "cannot get that subscription: the ACL profile of {username!r} forbids it",
    "SUBSCRIPTION_TOO_MANY": "cannot get that subscription: the broker's limit is reached",
}
_quiet_lock = threading.Lock()
_quieted = False


def _quiet() -> None:
    """Silence the vendor's logging once, unless somebody set a level of its loggers: our errors say it better."""
    global _quieted
    with _quiet_lock:
        if not _quieted:
            _quieted = True
            vendors = [logging.getLogger(name) for name in _VENDOR_LOGGERS]
            if all(vendor.level == logging.WARNING for vendor in vendors):
                for vendor in vendors:
                    vendor.setLevel(logging.CRITICAL + 1)
                MessagingService.set_core_messaging_log_level("CRITICAL")


def build_service(options: SolaceOptions, tokens: Tokens | None = None) -> MessagingService:
    """Return a service of the vendor's client, not yet connected.

    Args:
        options: The connection.
        tokens: OAuth tokens to log in with, if it does so.

    Raises:
        ConfigurationError: A secret, a certificate or the trust store cannot be found.
    """
    _quiet()
    name = options.name_client(host=socket.gethostname(), pid=os.getpid(), unique=uuid.uuid4().hex[:12])
    return MessagingService.builder().from_properties(service_properties_of(options, name, tokens)).build()


def operation_deadline(policy: ReconnectPolicy) -> float:
    """Return the seconds after which an operation that the client should have ended is given up.

    The client has no limit of its own for a commit: it ends when the reconnect attempts do. This is the longest that
    noticing a dead connection, all attempts, and the requests behind them can take, and a margin.
    """
    outage = policy.keepalive_seconds * policy.keepalive_limit + policy.attempts * (
        policy.wait_seconds + policy.connect_timeout_seconds
    )
    return outage + 2 * policy.request_timeout_seconds * policy.request_tries + 10.0


def subcode(error: BaseException) -> str:
    """Return the vendor's name of an error's cause without its prefix; empty if it gives none."""
    code = getattr(error, "sub_code", None) or _facts(error).get("sub_code")
    if isinstance(code, int):
        try:
            code = SolClientSubCode(code).name
        except ValueError:
            return ""
    return str(code or "").removeprefix("SOLCLIENT_SUBCODE_")


def _facts(error: BaseException) -> dict[str, Any]:
    """Return what some errors of the vendor's client have as a mapping instead of attributes."""
    first = error.args[0] if error.args else None
    return first if isinstance(first, dict) else {}


def told_by(error: BaseException) -> str:
    """Return what the broker or the vendor's client says about an error, in one line; it may say nothing."""
    text = _facts(error).get("error_info_contents") or error
    return " ".join(str(text).split()) or subcode(error).lower().replace("_", " ") or type(error).__name__


def connect_error(options: SolaceOptions, error: PubSubPlusClientError) -> ConnectionFailedError:
    """Return our error for a first connection that failed."""
    cause = subcode(error)
    if isinstance(error, AuthenticationError) and cause not in _TLS_REFUSALS:
        cause = cause if cause in _LOGIN_REFUSALS else "LOGIN_FAILURE"
    if told := _LOGIN_REFUSALS.get(cause):
        said = told.format(username=options.username, vpn=options.vpn, shown=_shown_login(options))
        return LoginRefusedError(f"The broker at {options.host} {said}.")
    if told := _TLS_REFUSALS.get(cause):
        return LoginRefusedError(f"{told.format(host=options.host)}.")
    if cause == "TOO_MANY_CLIENTS":
        return ConnectionFailedError(f"The broker at {options.host} has too many clients: try again later.")
    detail = f" ({cause.lower().replace('_', ' ')})" if cause not in ("", "OK") else ""
    return ConnectionFailedError(
        f"No broker answers at {options.host}{detail}: start it, or set --solace_host or SOLACE_HOST."
    )


def _shown_login(options: SolaceOptions) -> str:
    if options.authentication is not None:
        return options.authentication.shown
    return f"the password of client username {options.username!r}: set --solace_username and SOLACE_PASSWORD"


def lost_error(options: SolaceOptions, what: str, error: BaseException | None = None) -> ConnectionFailedError:
    """Return our error for a connection or session that is gone.

    Args:
        options: Where the connection led.
        what: What was being done, or is lost; begins the sentence.
        error: What the vendor's client said, if anything.
    """
    cause = subcode(error) if error is not None else ""
    detail = f" ({cause.lower().replace('_', ' ')})" if cause not in ("", "OK") else ""
    return ConnectionFailedError(f"{what}: the connection to the broker at {options.host} was lost{detail}.")


def queue_error(options: SolaceOptions, queue: str, error: PubSubPlusClientError) -> FlumebeamError:
    """Return our error for a queue that could not be bound or made."""
    cause = subcode(error)
    if told := _QUEUE_REFUSALS.get(cause):
        said = told.format(username=options.username)
        return QueueError(f"Queue {queue!r} in message VPN {options.vpn!r} at {options.host} {said}.")
    if cause in ("", "OK", "TIMEOUT", "COMMUNICATION_ERROR", "SESSION_NOT_ESTABLISHED"):
        return lost_error(options, f"Queue {queue!r} cannot be bound", error)
    return QueueError(
        f"Queue {queue!r} in message VPN {options.vpn!r} at {options.host} cannot be used: the broker says {error}."
    )


def bounded(job: Callable[[], Any], seconds: float) -> bool:
    """Run a job in a thread of its own and stop waiting for it after a time.

    For calls of the vendor's client that may block for longer than anybody wants to wait: what it raises is dropped,
    since the caller is closing down.

    Returns:
        Whether it ended in time.
    """

    def run() -> None:
        try:
            job()
        except Exception as error:  # noqa: BLE001 - closing: there is nobody left to handle it
            logging.getLogger(__name__).debug("While closing: %s", error)

    worker = threading.Thread(target=run, name="flumebeam-close", daemon=True)
    worker.start()
    worker.join(seconds)
    return not worker.is_alive()
