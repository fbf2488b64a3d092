"""Where the text of a schema is: a file, or an address that a schema registry or any HTTP server answers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

import requests

from flumebeam.errors import ConfigurationError, ConnectionFailedError

__all__ = ["LOGIN_VARIABLE", "is_url", "schema_text", "server_of"]

LOGIN_VARIABLE: Final = "SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO"
"""Holds ``user:password`` for addresses without a user, named after the registry clients' ``basic.auth.user.info``."""

_SCHEMES: Final = ("http", "https")
_MOST_BYTES: Final = 4 << 20
_PIECE_BYTES: Final = 64 << 10
_ACCEPT: Final = "application/vnd.schemaregistry.v1+json, application/json, */*;q=0.1"
_REFUSALS: Final = (requests.codes.unauthorized, requests.codes.forbidden)
_WHERE: Final = "a registry has schemas at /subjects/NAME/versions/latest"


def is_url(place: str) -> bool:
    """Tell whether a place is an HTTP address, and not the path of a file."""
    return place.partition("://")[0].lower() in _SCHEMES and "://" in place


def schema_text(place: str, *, timeout_seconds: float = 30.0) -> str:
    """Return the text of a schema.

    A registry may answer the schema itself (``/subjects/NAME/versions/latest/schema``), or an object that holds it as
    the string ``schema`` beside its type (``/subjects/NAME/versions/latest``); both are what Confluent's documents its
    HTTP interface to do. Whether the text is a schema is looked at by who takes it.

    Args:
        place: Path of a file; or ``http://...``, ``https://...``. User and password come from the address, else from
            :data:`LOGIN_VARIABLE`; no error shows them, nor the query.
        timeout_seconds: Longest wait for the connection, and for each piece of the answer.

    Raises:
        ConfigurationError: There is nothing to read, or no text.
        ConnectionFailedError: The server does not answer, or only that it cannot now.
    """
    if not is_url(place):
        try:
            return Path(place).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"The schema {place} cannot be read: {error}.") from error
    url, shown, login = _address(place)
    data = _fetched(url, shown, login, timeout_seconds)
    try:
        text = data.decode("utf-8-sig")
        answer = json.loads(text)
    except ValueError:
        raise ConfigurationError(
            f"The address {shown} answers no schema, but something that is no JSON; {_WHERE}."
        ) from None
    return _registered(answer, shown) if isinstance(answer, dict) and "type" not in answer else text


def server_of(url: str) -> str:
    """Return the server that an address leads to, without user and password, to compare it with another's.

    Raises:
        ConfigurationError: It is no HTTP address.
    """
    if not is_url(url):
        raise ConfigurationError("The address of a server of schemas must be http://HOST:PORT or https://HOST:PORT.")
    parts = urlsplit(_address(url)[0])
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _registered(answer: dict[str, Any], shown: str) -> str:
    """Return the schema that a registry's object holds; ``schemaType`` is left out for Avro."""
    kind, text = answer.get("schemaType", "AVRO"), answer.get("schema")
    if not isinstance(text, str):
        raise ConfigurationError(f"The address {shown} answers no schema; {_WHERE}.")
    if kind != "AVRO":
        raise ConfigurationError(f"The schema at {shown} is of type {kind}: take one of type AVRO.")
    if answer.get("references"):
        raise ConfigurationError(f"The schema at {shown} refers to other subjects: take one that is written out.")
    return text


def _address(place: str) -> tuple[str, str, tuple[str, str] | None]:
    """Return an address without user and password, what errors may show of it, and the login."""
    try:
        parts = urlsplit(place)
        host = parts.netloc.rpartition("@")[2]
        _ = parts.port
    except ValueError:
        parts, host = SplitResult("", "", "", "", ""), ""
    if not host:
        raise ConfigurationError("The address of the schema cannot be read: give http://HOST:PORT/PATH.")
    url = parts._replace(netloc=host, fragment="")
    if parts.username is not None:
        login = unquote(parts.username), unquote(parts.password or "")
    elif given := os.environ.get(LOGIN_VARIABLE):
        user, _, password = given.partition(":")
        login = user, password
    else:
        login = None
    return url.geturl(), url._replace(query="").geturl(), login


def _fetched(url: str, shown: str, login: tuple[str, str] | None, timeout_seconds: float) -> bytes:
    try:
        with requests.get(url, auth=login, headers={"Accept": _ACCEPT}, timeout=timeout_seconds, stream=True) as answer:
            _check(answer, shown, login is not None)
            data = b""
            for piece in answer.iter_content(_PIECE_BYTES):
                data += piece
                if len(data) > _MOST_BYTES:
                    raise ConfigurationError(f"The answer of {shown} is too large for a schema: more than 4 MB.")
            return data
    except (ValueError, requests.TooManyRedirects, requests.exceptions.ContentDecodingError) as error:
        # Among the library's own errors, those about an address are values that are wrong: it was not even asked.
        raise ConfigurationError(f"The schema at {shown} cannot be read ({type(error).__name__}): check it.") from None
    except (requests.RequestException, OSError) as error:
        # The error's own text may hold the whole address.
        raise ConnectionFailedError(
            f"The schema's server at {shown} does not answer ({type(error).__name__}): start it, or take a file."
        ) from None


def _check(answer: requests.Response, shown: str, has_login: bool) -> None:
    status = answer.status_code
    if status == requests.codes.ok:
        return
    if status in _REFUSALS:
        more = "check user and password" if has_login else f"give USER:PASSWORD as {LOGIN_VARIABLE}"
        raise ConfigurationError(f"The schema's server refuses {shown} (status {status}): {more}.")
    if status == requests.codes.not_found:
        raise ConfigurationError(f"There is no schema at {shown} (status 404); {_WHERE}.")
    if status >= requests.codes.internal_server_error or status == requests.codes.too_many_requests:
        raise ConnectionFailedError(f"The schema's server at {shown} cannot answer now (status {status}): try again.")
    raise ConfigurationError(f"The schema's server does not give {shown} (status {status}): check the address.")
