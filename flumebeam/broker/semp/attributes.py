"""Attributes that can be written: their types, defaults and limits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flumebeam.broker.semp.replies import Problem, Status

__all__ = ["Attribute", "kept_attributes", "kept_values", "parse_body", "shown_defaults"]

_THRESHOLD_NAMES = frozenset(("clearPercent", "clearValue", "setPercent", "setValue"))
_JSON_NAMES = {str: "a string", int: "a number", bool: "true or false", dict: "an object"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """One attribute of an object.

    Attributes:
        default: Its value where a request does not say; also gives its type.
        choices: Its values, if they are few.
        fixed: Whether this broker can do nothing but the default.
        kept: Whether it is kept and shown, and has no effect here: what it is about does not exist in this broker.
        secret: Whether it can be written and is never shown.
        required: Whether creating an object needs it.
        identifying: Whether it names the object, and so cannot change.
        low: Lowest number.
        high: Highest number.
    """

    default: Any
    choices: tuple[str, ...] = ()
    fixed: bool = False
    kept: bool = False
    secret: bool = False
    required: bool = False
    identifying: bool = False
    low: int = 0
    high: int = 2**31 - 1

    def check(self, name: str, value: Any) -> None:
        """Check a value.

        Raises:
            Problem: It has the wrong type, is out of range, or asks for what this broker cannot do.
        """
        if type(value) is not type(self.default):
            raise Problem(Status.INVALID_PARAMETER, f"{name} must be {_JSON_NAMES[type(self.default)]}.")
        if self.choices and value not in self.choices:
            raise Problem(Status.INVALID_PARAMETER, f"{name} must be one of {', '.join(self.choices)}.")
        if self.fixed and value != self.default:
            raise Problem(
                Status.NOT_SUPPORTED,
                f"The development broker cannot do {name} = {json.dumps(value)}, only {json.dumps(self.default)}.",
            )
        if isinstance(value, dict) and not all(type(number) is int for number in value.values()):
            raise Problem(Status.INVALID_PARAMETER, f"{name} must be an object of numbers.")
        if isinstance(value, dict) and not _THRESHOLD_NAMES.issuperset(value):
            raise Problem(Status.INVALID_PARAMETER, f"{name} may have {', '.join(sorted(_THRESHOLD_NAMES))}.")
        if isinstance(value, int) and not self.low <= value <= self.high:
            raise Problem(Status.INVALID_PARAMETER, f"{name} must be between {self.low} and {self.high}.")
        if isinstance(value, str) and not _is_text(value):
            raise Problem(Status.INVALID_PARAMETER, f"{name} must be text without NUL.")


def kept_attributes(*groups: tuple[Any, str]) -> dict[str, Attribute]:
    """Return attributes that are kept without effect.

    Args:
        groups: A default, and the names that have it with blanks between; an asterisk in front marks a secret.
    """
    attributes = {}
    for default, names in groups:
        for name in names.split():
            secret = name.startswith("*")
            one = Attribute(default=default, kept=True, secret=secret, low=-1, high=2**32 - 1)
            attributes[name.removeprefix("*")] = one
    return attributes


def kept_values(
    attributes: Mapping[str, Attribute], kept: Mapping[str, Any], values: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what an object keeps without effect after a change.

    Args:
        attributes: What may be set on it.
        kept: What it keeps now; values that are the default are left out.
        values: What is changed.
    """
    known = {name for name, one in attributes.items() if one.kept and not one.secret}
    changed = {name: value for name, value in values.items() if name in known}
    return {name: value for name, value in {**kept, **changed}.items() if value != attributes[name].default}


def shown_defaults(attributes: Mapping[str, Attribute]) -> dict[str, Any]:
    """Return the defaults of what this broker does not do otherwise, or only keeps, without secrets."""
    return {name: one.default for name, one in attributes.items() if (one.fixed or one.kept) and not one.secret}


def _is_text(value: str) -> bool:
    # JSON can write halves of characters, and names end with NUL on the wire.
    return "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)


def parse_body(
    body: bytes, attributes: Mapping[str, Attribute], names: Mapping[str, str], creating: bool
) -> dict[str, Any]:
    """Return the attributes that a request sets.

    Args:
        body: JSON object.
        attributes: What may be set.
        names: What the path says; a body that repeats it must agree.
        creating: Whether required attributes must be there.

    Raises:
        Problem: It is no JSON object, or an attribute is unknown, wrong or missing.
    """
    try:
        given = json.loads(body or b"{}")
    except ValueError as error:
        raise Problem(Status.PARSE_ERROR, f"The body is no JSON: {error}.") from error
    except RecursionError as error:
        raise Problem(Status.PARSE_ERROR, "The body is nested too deeply.") from error
    if not isinstance(given, dict):
        raise Problem(Status.PARSE_ERROR, "The body must be a JSON object.")
    values = {}
    for name, value in given.items():
        if name in names:
            if value != names[name]:
                raise Problem(Status.INVALID_PARAMETER, f"{name} in the body is not the one in the path.")
            continue
        attribute = attributes.get(name)
        if attribute is None:
            raise Problem(Status.INVALID_PARAMETER, f"{name} is not an attribute of this object.")
        attribute.check(name, value)
        values[name] = value
    for name, attribute in attributes.items():
        if creating and attribute.required and name not in values:
            raise Problem(Status.MISSING_PARAMETER, f"{name} is missing.")
    return values
