"""What the operators of selectors make of values: three-valued logic, numbers, patterns.

NULL is None, and so is unknown. Values of different types are never in a relation to each other, numbers of all kinds
are of one type (JMS 1.1, section 3.8.1.2). Each function here returns a function of a message.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from flumebeam.broker.core.selectors.fields import Fields, Getter, Value

__all__ = ["Join", "all_of", "any_of", "arithmetic", "compare", "is_in", "is_like", "is_null", "negated", "signed"]

Join: TypeAlias = Callable[[Sequence[Getter]], Getter]
_ORDERS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def any_of(terms: Sequence[Getter]) -> Getter:
    """OR: true if one is true, else unknown if one is unknown."""

    def evaluate(fields: Fields) -> Value:
        result: Value = False
        for term in terms:
            value = term(fields)
            if value is True:
                return True
            if value is not False:
                result = None
        return result

    return evaluate


def all_of(terms: Sequence[Getter]) -> Getter:
    """AND: false if one is false, else unknown if one is unknown."""

    def evaluate(fields: Fields) -> Value:
        result: Value = True
        for term in terms:
            value = term(fields)
            if value is False:
                return False
            if value is not True:
                result = None
        return result

    return evaluate


def negated(term: Getter) -> Getter:
    """NOT: what is unknown, or no truth value, stays unknown."""

    def evaluate(fields: Fields) -> Value:
        value = term(fields)
        return not value if isinstance(value, bool) else None

    return evaluate


def compare(sign: str, left: Getter, right: Getter) -> Getter:
    """Comparison by one of ``=``, ``<>``, ``<``, ``<=``, ``>``, ``>=``; only numbers have an order."""
    order = _ORDERS.get(sign)
    wanted = sign == "="

    def evaluate(fields: Fields) -> Value:
        one, other = left(fields), right(fields)
        if one is None or other is None:
            return None
        if order is not None:
            return _is_number(one) and _is_number(other) and order(one, other)
        alike = type(one) is type(other) or (_is_number(one) and _is_number(other))
        return alike and (one == other) is wanted

    return evaluate


def arithmetic(first: Getter, rest: Sequence[tuple[str, Getter]]) -> Getter:
    """Sums and differences, or products and quotients, from left to right.

    What is not a number makes NULL, and so do a division by zero and a result without bounds. Exact numbers are divided
    towards zero.
    """

    def evaluate(fields: Fields) -> Value:
        result: Any = first(fields)
        for sign, term in rest:
            value: Any = term(fields)
            if not _is_number(result) or not _is_number(value):
                return None
            try:
                result = _calculate(sign, result, value)
            except (ZeroDivisionError, OverflowError):
                return None
        return result  # type: ignore[no-any-return]

    return evaluate


def _calculate(sign: str, one: Any, other: Any) -> Any:
    if sign == "+":
        return one + other
    if sign == "-":
        return one - other
    if sign == "*":
        return one * other
    if isinstance(one, int) and isinstance(other, int):
        quotient = abs(one) // abs(other)
        return quotient if (one < 0) is (other < 0) else -quotient
    return one / other


def signed(term: Getter) -> Getter:
    """Minus."""

    def evaluate(fields: Fields) -> Value:
        value: Any = term(fields)
        return -value if _is_number(value) else None

    return evaluate


def is_null(term: Getter) -> Getter:
    """IS NULL."""
    return lambda fields: term(fields) is None


def is_in(term: Getter, choices: frozenset[str]) -> Getter:
    """IN."""

    def evaluate(fields: Fields) -> Value:
        value = term(fields)
        return None if value is None else value in choices

    return evaluate


def is_like(term: Getter, parts: Sequence[str | None]) -> Getter:
    """LIKE.

    Args:
        term: What is looked at.
        parts: The pattern: characters, an empty text for any one character, None for any number of them.
    """
    pieces: list[list[str]] = [[]]
    for part in parts:
        if part is None:
            pieces.append([])
        else:
            pieces[-1].append(re.escape(part) if part else ".")
    # The pieces between wildcards are looked for one after the other: one expression for all could take for ever.
    compiled = [re.compile("".join(piece), re.DOTALL) for piece in pieces]
    first, *middle = compiled
    last = re.compile(compiled[-1].pattern + r"\Z", re.DOTALL)
    last_size = len(pieces[-1])

    def matches(text: str) -> bool:
        if not middle:
            return first.fullmatch(text) is not None
        found = first.match(text)
        for piece in middle[:-1]:
            if found is None:
                return False
            found = piece.search(text, found.end())
        return found is not None and last.match(text, max(found.end(), len(text) - last_size)) is not None

    def evaluate(fields: Fields) -> Value:
        value = term(fields)
        return None if value is None else isinstance(value, str) and matches(value)

    return evaluate
