"""What WebHDFS says when something fails, as this project's errors: one sentence each, and whether a repeat may help.

Failures come in two families: answers of a server, which name a Java exception, and requests that got no answer.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import hdfs
import requests
from urllib3.exceptions import MaxRetryError, NewConnectionError

from flumebeam.errors import StorageConflictError, StorageError, StorageFullError, StorageUnavailableError

__all__ = [
    "NoTicketError",
    "NoWebHdfsError",
    "NothingThereError",
    "certainly_not_done",
    "checked",
    "field",
    "refused_token",
    "storage_error",
]

_NOT_IN_CHARGE: Final = frozenset({"StandbyException", "RetriableException"})
_LATER: Final = frozenset(
    {
        "ConnectException",
        "EOFException",
        "IOException",
        "LeaseExpiredException",
        "NoRouteToHostException",
        "SafeModeException",
        "SocketTimeoutException",
        *_NOT_IN_CHARGE,
    }
)
_IN_THE_WAY: Final = frozenset(
    {"AlreadyBeingCreatedException", "FileAlreadyExistsException", "ParentNotDirectoryException"}
)
_MAKING: Final = frozenset({"write", "make directory"})
_REFUSED: Final = frozenset({"AccessControlException", "AuthorizationException", "SecurityException"})
_BAD_TOKEN: Final = "InvalidToken"  # noqa: S105 - the name of an exception
_SERVER_ERROR: Final = 500
_LOGIN: Final = frozenset({401, 403})
_SHOWN_CHARACTERS: Final = 300


class NothingThereError(StorageError):
    """The path of an operation does not exist; caught by the adapter's methods, each of which knows what it means.

    Attributes:
        parent: Whether it is the target's parent that is missing, of a rename.
    """

    def __init__(self, message: str, *, parent: bool) -> None:
        super().__init__(message)
        self.parent = parent


class NoWebHdfsError(requests.RequestException):
    """An answer that no WebHDFS would send: of a proxy, a login filter, or another program on that port."""


class NoTicketError(requests.RequestException):
    """There is nothing to log in with: no ticket, one that has ended, no key; its text says why."""


def checked(answer: requests.Response) -> requests.Response:
    """Return an answer if it is a success.

    Raises:
        hdfs.HdfsError: The server refused, and named its exception.
        NoWebHdfsError: It refused in some other form.
    """
    if answer.ok:
        return answer
    try:
        told = answer.json()["RemoteException"]
        # What follows the first line is Java's stack.
        reason = (str(told["message"]).strip() or "no reason given").splitlines()[0]
        raise hdfs.HdfsError("%s", reason[:_SHOWN_CHARACTERS].rstrip(" ."), exception=told["exception"])
    except (ValueError, KeyError, TypeError) as error:
        raise NoWebHdfsError(f"HTTP {answer.status_code}", request=answer.request, response=answer) from error


def field(answer: requests.Response, name: str) -> Any:
    """Return a field of an answer in JSON.

    Raises:
        NoWebHdfsError: The answer is something else.
    """
    try:
        return answer.json()[name]
    except (ValueError, KeyError, TypeError) as error:
        raise NoWebHdfsError(f"no {name}", request=answer.request, response=answer) from error


def certainly_not_done(error: Exception) -> bool:
    """Tell whether a failed request never began: no connection, or a NameNode that is not in charge."""
    if isinstance(error, hdfs.HdfsError):
        return error.exception in _NOT_IN_CHARGE
    if isinstance(error, requests.ConnectTimeout):
        return True
    cause = error.args[0] if isinstance(error, requests.ConnectionError) and error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError)


def refused_token(error: BaseException | None) -> bool:
    """Tell whether a server did not accept a delegation token: it has ended, or was cancelled."""
    if isinstance(error, NoWebHdfsError) and error.response is not None:
        return error.response.status_code in _LOGIN
    return isinstance(error, hdfs.HdfsError) and (error.exception == _BAD_TOKEN or _BAD_TOKEN in str(error))


def storage_error(failures: Sequence[Exception], *, what: str, path: str, user: str) -> StorageError:
    """Return the error that stands for the failures of one operation.

    Args:
        failures: What each server asked said, in order; the last one decides.
        what: The operation: ``write``, ``rename``.
        path: What it was about.
        user: Who asked.
    """
    last = failures[-1]
    if isinstance(last, NoTicketError):
        return StorageUnavailableError(
            f"HDFS could not {what} {path}: there is no valid Kerberos ticket or token ({last}); "
            "run kinit, or see to the keytab or the token file."
        )
    if isinstance(last, requests.exceptions.SSLError):
        return StorageError(
            f"HDFS could not {what} {path}: {_host(last)} does not prove who it is, or does not know us "
            f"({_tls_reason(last)}); name the authority that vouches for it, and our certificate if it wants one."
        )
    if refused_token(last) and not isinstance(last, NoWebHdfsError):
        return StorageUnavailableError(
            f"HDFS could not {what} {path}: it does not accept the delegation token ({last}); get a fresh one."
        )
    if isinstance(last, hdfs.HdfsError) and last.exception not in _NOT_IN_CHARGE:
        return _of_answer(last, what, path, user)
    if isinstance(last, NoWebHdfsError):
        return _of_foreign_answer(last, what, path, user)
    told = "; ".join(dict.fromkeys(_reason(failure) for failure in failures))
    return StorageUnavailableError(
        f"HDFS could not {what} {path}: {told}; check that it is up and that the address is right."
    )


def _of_answer(error: hdfs.HdfsError, what: str, path: str, user: str) -> StorageError:
    name = error.exception
    message = str(error)
    if name == "FileNotFoundException":
        return NothingThereError(f"{path} does not exist: {message}", parent="destination parent" in message)
    if name == "ParentNotDirectoryException" and what not in _MAKING:
        return NothingThereError(f"{path} does not exist: {message}", parent=True)
    if name in _IN_THE_WAY:
        return StorageConflictError(f"HDFS could not {what} {path}: something stands in the way ({message}).")
    if name in _REFUSED:
        return StorageError(f"HDFS does not let user {user!r} {what} {path}: {message}.")
    if name is not None and name.endswith("QuotaExceededException"):
        return StorageFullError(f"HDFS could not {what} {path}, a quota is used up: {message}.")
    if name == "SafeModeException":
        return StorageUnavailableError(f"HDFS could not {what} {path}: the NameNode is in safe mode and only reads.")
    if name in _LATER:
        return StorageUnavailableError(f"HDFS could not {what} {path} now: {message}.")
    return StorageError(f"HDFS could not {what} {path}: {name}: {message}.")


def _of_foreign_answer(error: NoWebHdfsError, what: str, path: str, user: str) -> StorageError:
    status = error.response.status_code if error.response is not None else 0
    host = _host(error)
    if status >= _SERVER_ERROR:
        return StorageUnavailableError(f"{host} could not {what} {path}: it answered HTTP {status}.")
    if status in _LOGIN:
        return StorageError(f"{host} refused user {user!r} (HTTP {status}); it may want a Kerberos login.")
    return StorageError(f"{host} answered HTTP {status}, which is no WebHDFS; check the address of the NameNode.")


def _reason(failure: Exception) -> str:
    """Say in a few words why a server gave no usable answer."""
    if isinstance(failure, hdfs.HdfsError):
        return "a NameNode is not in charge (standby, or starting)"
    host = _host(failure)
    if isinstance(failure, requests.ConnectTimeout):
        return f"{host} does not accept connections in time"
    if isinstance(failure, requests.ReadTimeout):
        return f"{host} does not answer in time"
    if certainly_not_done(failure):
        unknown = isinstance(failure.args[0].reason.__context__, socket.gaierror)
        return f"{host} is unknown" if unknown else f"{host} refuses connections"
    return f"the connection to {host} broke"


def _tls_reason(failure: Exception) -> str:
    found = re.search(r"\[SSL[^]]*\] (.*?)(?: \(_ssl|$)", str(failure))
    return found[1] if found else "no TLS"


def _host(failure: Exception) -> str:
    request = getattr(failure, "request", None)
    return urlsplit(request.url).netloc if request is not None and request.url else "the server"
