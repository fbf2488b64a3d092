"""The words of a selector."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum, auto
from typing import Final, NamedTuple

from flumebeam.broker.core.selectors.errors import SelectorError

__all__ = ["Token", "TokenKind", "tokens"]

_MAX_EXACT: Final = 2**63 - 1
"""Exact numbers are 64 bits with a sign."""
_WORDS: Final = frozenset(
    ("AND", "BETWEEN", "ESCAPE", "FALSE", "IN", "IS", "LIKE", "NOT", "NULL", "OR", "TRUE"),
)
_PATTERN: Final = re.compile(
    r"""\s*(?:
        (?P<text>'(?:[^']|'')*')
      | (?P<approximate>(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fFdD]?|[0-9]+(?:[eE][+-]?[0-9]+[fFdD]?|[fFdD]))
      | (?P<exact>[0-9]+)[lL]?
      | (?P<name>[^\W\d][\w$]*|\$[\w$]*)
      | (?P<sign><>|<=|>=|[=<>+\-*/(),])
    )""",
    re.VERBOSE,
)


class TokenKind(Enum):
    """What a word is."""

    TEXT = auto()
    NUMBER = auto()
    NAME = auto()
    SIGN = auto()
    """A sign, or a reserved word in capitals."""
    END = auto()


class Token(NamedTuple):
    """One word.

    Attributes:
        kind: What it is.
        value: Its value, or itself.
        position: Where it begins, from 0.
    """

    kind: TokenKind
    value: str | int | float
    position: int


def tokens(text: str) -> Iterator[Token]:
    """Yield the words of a selector, the last one of the kind END.

    Raises:
        SelectorError: Some of it is no word.
    """
    position, end = 0, len(text.rstrip())
    while position < end:
        found = _PATTERN.match(text, position)
        if found is None:
            raise SelectorError(f"what begins at character {position + 1} is no part of a selector")
        kind = found.lastgroup or ""
        raw, start = found[kind], found.start(kind)
        if kind == "text":
            yield Token(TokenKind.TEXT, raw[1:-1].replace("''", "'"), start)
        elif kind == "exact":
            number = int(raw) if len(raw) < 20 else _MAX_EXACT + 1
            if number > _MAX_EXACT:
                raise SelectorError(f"the number at character {start + 1} is too large")
            yield Token(TokenKind.NUMBER, number, start)
        elif kind == "approximate":
            yield Token(TokenKind.NUMBER, float(raw.rstrip("fFdD")), start)
        elif kind == "name" and raw.upper() not in _WORDS:
            yield Token(TokenKind.NAME, raw, start)
        else:
            yield Token(TokenKind.SIGN, raw.upper(), start)
        position = found.end()
    yield Token(TokenKind.END, "the end", end)
