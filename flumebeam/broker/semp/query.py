"""Query parameters of SEMP: ``select``, ``where``, ``count`` and ``cursor``."""

from __future__ import annotations

import base64
import binascii
import fnmatch
import json
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from flumebeam.broker.semp.replies import Problem, Status

__all__ = ["Query", "parse_query"]

_DEFAULT_COUNT: Final = 10
_MAX_COUNT: Final = 100
_KNOWN: Final = frozenset(("count", "cursor", "forceFullPage", "select", "where"))
_CONDITION: Final = re.compile(r"([A-Za-z][\w.]*)\s*(==|!=|<=|>=|<|>)\s*(.*)", re.DOTALL)
_ORDER: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class _Condition:
    name: str
    comparison: str
    text: str

    def holds(self, data: Mapping[str, Any]) -> bool:
        value = data[self.name]
        if self.comparison in _ORDER:
            return _ORDER[self.comparison](*self._comparable(value))
        return self._equals(value) is (self.comparison == "==")

    def _equals(self, value: Any) -> bool:
        if isinstance(value, str):
            # Only * is a wildcard: other characters of shell patterns are ordinary in names.
            pattern = "*".join(map(_literal, self.text.split("*")))
            return fnmatch.fnmatchcase(value, pattern)
        return json.dumps(value) == self.text

    def _comparable(self, value: Any) -> tuple[Any, Any]:
        if isinstance(value, str):
            return value, self.text
        try:
            return value, float(self.text)
        except ValueError as error:
            raise Problem(
                Status.INVALID_PARAMETER, f"{self.name} cannot be compared with {self.text!r}, which is no number."
            ) from error


def _literal(text: str) -> str:
    return re.sub(r"([\[?])", r"[\1]", text)


@dataclass(frozen=True, slots=True)
class Query:
    """What a GET asks for.

    Attributes:
        count: Objects a page.
        after: Name of the last object of the page before, or None.
        selected: Attribute names; they may begin with ``-`` to leave one out, and contain ``*``.
        conditions: What must all hold.
    """

    count: int
    after: str | None
    selected: tuple[str, ...]
    conditions: tuple[_Condition, ...]

    def matches(self, data: Mapping[str, Any]) -> bool:
        """Return whether an object meets all conditions.

        Raises:
            Problem: A condition names an attribute that the object does not have.
        """
        for condition in self.conditions:
            if condition.name not in data:
                raise Problem(Status.INVALID_PARAMETER, f"where: {condition.name} is not an attribute of this object.")
        return all(condition.holds(data) for condition in self.conditions)

    def choose(self, data: Mapping[str, Any], collections: Mapping[str, Any]) -> dict[str, Any]:
        """Return the selected attributes of an object.

        Raises:
            Problem: An attribute without wildcard is none of the object's.
        """
        if not self.selected:
            return dict(data)
        left_out = {name[1:] for name in self.selected if name.startswith("-")}
        wanted = {name for name in self.selected if not name.startswith("-")} or {"*"}
        for name in wanted | left_out:
            if "*" not in name and name not in data and name.partition(".")[0] not in collections:
                raise Problem(Status.INVALID_PARAMETER, f"select: {name} is not an attribute of this object.")
        return {
            name: value
            for name, value in data.items()
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in wanted)
            and not any(fnmatch.fnmatchcase(name, pattern) for pattern in left_out)
        }

    @staticmethod
    def cursor(name: str) -> str:
        """Return the cursor of the page behind the object of this name."""
        return base64.urlsafe_b64encode(name.encode()).decode()


def parse_query(text: str) -> Query:
    """Return what a query string asks for.

    Raises:
        Problem: It cannot be understood.
    """
    given = dict(parse_qsl(text, keep_blank_values=True))
    for name in given:
        if name not in _KNOWN:
            raise Problem(Status.INVALID_PARAMETER, f"{name} is not a query parameter that this broker knows.")
    return Query(
        _count(given.get("count", str(_DEFAULT_COUNT))),
        _after(given["cursor"]) if "cursor" in given else None,
        tuple(filter(None, map(str.strip, given.get("select", "").split(",")))),
        tuple(map(_condition, filter(None, given.get("where", "").split(",")))),
    )


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text) or not int(text):
        raise Problem(Status.INVALID_PARAMETER, f"count must be a number above 0, not {text!r}.")
    return min(int(text), _MAX_COUNT)


def _after(text: str) -> str:
    try:
        return base64.b64decode(text.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError) as error:
        raise Problem(Status.INVALID_PARAMETER, "The cursor is none that this broker has given.") from error


def _condition(text: str) -> _Condition:
    found = _CONDITION.fullmatch(text.strip())
    if found is None:
        raise Problem(
            Status.INVALID_PARAMETER, f"where: {text!r} is no condition; write attribute, operator and value."
        )
    return _Condition(found[1], found[2], found[3])
