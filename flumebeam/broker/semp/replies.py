"""Requests, objects and answers of SEMP, without HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

__all__ = ["Item", "Problem", "Reply", "Request", "Status"]


class Status(Enum):
    """The vendor's error codes, as far as they are used here."""

    FAIL = 2
    NOT_FOUND = 6
    ALREADY_EXISTS = 10
    INVALID_PARAMETER = 11
    NOT_SUPPORTED = 14
    PARSE_ERROR = 27
    UNAUTHORIZED = 72
    NOT_ALLOWED = 89
    MISSING_PARAMETER = 228
    INVALID_PATH = 535


class Problem(Exception):
    """Why a request is refused: an answer to the client, which never leaves this package.

    Args:
        status: The vendor's code.
        description: One sentence.
        http: HTTP status.
    """

    def __init__(self, status: Status, description: str, http: int = 400) -> None:
        super().__init__(description)
        self.status = status
        self.description = description
        self.http = http


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request.

    Attributes:
        method: HTTP method.
        target: Path and query as they came, percent-encoded.
        base: Scheme and authority that links begin with.
        authorization: Value of that header, or None.
        body: Body.
    """

    method: str
    target: str
    base: str = "http://127.0.0.1:8080"
    authorization: str | None = field(default=None, repr=False)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer to a :class:`Request`: HTTP status and JSON, or no body where that is None."""

    status: int
    body: dict[str, Any] | None


@dataclass(slots=True)
class Item:
    """One object as SEMP shows it.

    Attributes:
        data: Its attributes.
        links: Where it and its collections are found, by name.
        collections: How many objects its collections hold.
    """

    data: dict[str, Any]
    links: dict[str, str]
    collections: dict[str, dict[str, int]]
