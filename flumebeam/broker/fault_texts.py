"""Faults as texts, for command lines and files: ``nack-publishes count=3 reason='Spool Over Quota'``."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from typing import Any, Final

from flumebeam.broker.faults import KINDS, Fault
from flumebeam.errors import ConfigurationError

__all__ = ["parse_fault"]

_KINDS: Final[dict[str, type[Any]]] = {re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower(): kind for kind in KINDS}
_BOOLEANS: Final = {"true": True, "yes": True, "false": False, "no": False}


def parse_fault(text: str) -> Fault:
    """Return the fault that a text names, with its attributes as ``name=value``.

    Raises:
        ConfigurationError: There is no such fault or attribute, or a value is not of its type.
    """
    try:
        name, *settings = shlex.split(text)
    except ValueError as error:
        raise ConfigurationError(
            f"The fault {text!r} cannot be read; write its name and attributes, such as "
            "'lose-commit-response applied=true'."
        ) from error
    kind = _KINDS.get(name)
    if kind is None:
        raise ConfigurationError(f"There is no fault {name!r}; choose one of {', '.join(sorted(_KINDS))}.")
    known = {field.name: field for field in fields(kind)}
    values = {}
    for setting in settings:
        key, given, value = setting.partition("=")
        field = known.get(key.replace("-", "_"))
        if field is None or not given:
            told = ", ".join(known) if known else "none"
            raise ConfigurationError(f"The fault {name} has no attribute {setting!r}; it has {told}.")
        values[field.name] = _value(name, field, value)
    missing = [key for key, field in known.items() if field.default is MISSING and key not in values]
    if missing:
        raise ConfigurationError(f"The fault {name} needs {missing[0]}, such as {name} {missing[0]}=...")
    fault: Fault = kind(**values)
    return fault


def _value(name: str, field: Field[Any], text: str) -> Any:
    kind = str(field.type).removesuffix(" | None")
    try:
        return _PARSERS[kind](text)
    except (KeyError, ValueError) as error:
        raise ConfigurationError(f"{field.name} of the fault {name} is {text!r}; it must be {_TYPES[kind]}.") from error


_PARSERS: Final[dict[str, Callable[[str], Any]]] = {
    "bool": lambda text: _BOOLEANS[text.lower()],
    "int": int,
    "float": float,
    "str": str,
}
_TYPES: Final = {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "a text"}
