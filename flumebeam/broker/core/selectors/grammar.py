"""From a selector's text to a function of messages: the grammar of JMS 1.1, section 3.8.1.1, by recursive descent."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Final, NamedTuple

from flumebeam.broker.core.selectors import logic
from flumebeam.broker.core.selectors.errors import SelectorError
from flumebeam.broker.core.selectors.fields import Getter, Value, getter
from flumebeam.broker.core.selectors.tokens import Token, TokenKind, tokens

__all__ = ["parse"]

_MAX_NESTING: Final = 32
"""Parentheses, NOTs and signs within each other; chains of AND, OR and arithmetic are flat."""
_COMPARISONS: Final = frozenset(("=", "<>", "<", "<=", ">", ">="))
_CONSTANTS: Final[dict[str, Value]] = {"TRUE": True, "FALSE": False}


class _Type(Enum):
    """What is known of an expression's value."""

    TRUTH = auto()
    NUMBER = auto()
    TEXT = auto()
    ANY = auto()
    """That of a name, which depends on the message."""


class _Expression(NamedTuple):
    type: _Type
    value: Getter
    named: bool = False


def parse(text: str) -> Getter:
    """Return what evaluates a selector; it is true for the messages that match.

    Raises:
        SelectorError: The text is no selector.
    """
    parser = _Parser(text)
    start = parser.token
    result = parser.disjunction()
    parser.need(result, _Type.TRUTH, start)
    if parser.token.kind is not TokenKind.END:
        raise parser.unexpected()
    return result.value


class _Parser:
    """Reads from left to right, one word ahead."""

    def __init__(self, text: str) -> None:
        self._rest = tokens(text)
        self._depth = 0
        self.token = next(self._rest)

    def unexpected(self) -> SelectorError:
        """Return what is raised where the next word cannot stand."""
        return SelectorError(f"{self.token.value!r} at character {self.token.position + 1} cannot stand there")

    def need(self, expression: _Expression, wanted: _Type, start: Token) -> None:
        """Check the type of an expression."""
        if expression.type not in (wanted, _Type.ANY):
            raise SelectorError(f"what begins at character {start.position + 1} is no {wanted.name.lower()}")

    def _next(self) -> Token:
        token, self.token = self.token, next(self._rest, self.token)
        return token

    def _accept(self, *signs: str) -> str | None:
        token = self.token
        if token.kind is TokenKind.SIGN and token.value in signs:
            return str(self._next().value)
        return None

    def _expect(self, sign: str) -> None:
        if self._accept(sign) is None:
            raise self.unexpected()

    def _text(self) -> str:
        if self.token.kind is not TokenKind.TEXT:
            raise self.unexpected()
        return str(self._next().value)

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > _MAX_NESTING:
            raise SelectorError(f"it is nested more than {_MAX_NESTING} levels deep")

    # Conditions

    def disjunction(self) -> _Expression:
        """Read an expression."""
        start = self.token
        terms = [self._conjunction()]
        while self._accept("OR"):
            terms.append(self._conjunction())
        return self._joined(terms, start, logic.any_of)

    def _conjunction(self) -> _Expression:
        start = self.token
        terms = [self._negation()]
        while self._accept("AND"):
            terms.append(self._negation())
        return self._joined(terms, start, logic.all_of)

    def _joined(self, terms: list[_Expression], start: Token, join: logic.Join) -> _Expression:
        if len(terms) == 1:
            return terms[0]
        for term in terms:
            self.need(term, _Type.TRUTH, start)
        return _Expression(_Type.TRUTH, join([term.value for term in terms]))

    def _negation(self) -> _Expression:
        if not self._accept("NOT"):
            return self._condition()
        self._deeper()
        start = self.token
        term = self._negation()
        self._depth -= 1
        self.need(term, _Type.TRUTH, start)
        return _Expression(_Type.TRUTH, logic.negated(term.value))

    def _condition(self) -> _Expression:
        start = self.token
        left = self._sum()
        sign = self._accept(*_COMPARISONS)
        if sign is not None:
            return self._comparison(left, sign, start)
        if self._accept("IS"):
            no = self._accept("NOT")
            self._expect("NULL")
            return self._of_name(left, start, logic.is_null(left.value), no)
        no = self._accept("NOT")
        if self._accept("BETWEEN"):
            return self._between(left, start, no)
        if self._accept("LIKE"):
            return self._of_name(left, start, logic.is_like(left.value, self._pattern()), no)
        if self._accept("IN"):
            return self._of_name(left, start, logic.is_in(left.value, self._choices()), no)
        if no is not None:
            raise self.unexpected()
        return left

    def _of_name(self, left: _Expression, start: Token, value: Getter, no: str | None) -> _Expression:
        if not left.named:
            raise SelectorError(f"what begins at character {start.position + 1} must be a name")
        return _Expression(_Type.TRUTH, value if no is None else logic.negated(value))

    def _comparison(self, left: _Expression, sign: str, start: Token) -> _Expression:
        behind = self.token
        right = self._sum()
        if sign not in ("=", "<>"):
            self.need(left, _Type.NUMBER, start)
            self.need(right, _Type.NUMBER, behind)
        return _Expression(_Type.TRUTH, logic.compare(sign, left.value, right.value))

    def _between(self, left: _Expression, start: Token, no: str | None) -> _Expression:
        low = self._sum()
        self._expect("AND")
        high = self._sum()
        for bound in (left, low, high):
            self.need(bound, _Type.NUMBER, start)
        value = logic.all_of([logic.compare(">=", left.value, low.value), logic.compare("<=", left.value, high.value)])
        return _Expression(_Type.TRUTH, value if no is None else logic.negated(value))

    def _choices(self) -> frozenset[str]:
        self._expect("(")
        choices = {self._text()}
        while self._accept(","):
            choices.add(self._text())
        self._expect(")")
        return frozenset(choices)

    def _pattern(self) -> list[str | None]:
        pattern = self._text()
        escape = self._text() if self._accept("ESCAPE") else None
        if escape is not None and len(escape) != 1:
            raise SelectorError("the character behind ESCAPE must be one")
        parts: list[str | None] = []
        characters = iter(pattern)
        for character in characters:
            if character == escape:
                following = next(characters, None)
                if following is None:
                    raise SelectorError("a pattern ends with its escape character")
                parts.append(following)
            else:
                parts.append({"%": None, "_": ""}.get(character, character))
        return parts

    # Values

    def _sum(self) -> _Expression:
        return self._chain(("+", "-"), self._product)

    def _product(self) -> _Expression:
        return self._chain(("*", "/"), self._signed)

    def _chain(self, signs: tuple[str, str], operand: Callable[[], _Expression]) -> _Expression:
        start = self.token
        first = operand()
        rest = []
        while (sign := self._accept(*signs)) is not None:
            behind = self.token
            term = operand()
            self.need(term, _Type.NUMBER, behind)
            rest.append((sign, term.value))
        if not rest:
            return first
        self.need(first, _Type.NUMBER, start)
        return _Expression(_Type.NUMBER, logic.arithmetic(first.value, rest))

    def _signed(self) -> _Expression:
        sign = self._accept("+", "-")
        if sign is None:
            return self._primary()
        self._deeper()
        start = self.token
        term = self._signed()
        self._depth -= 1
        self.need(term, _Type.NUMBER, start)
        return _Expression(_Type.NUMBER, term.value if sign == "+" else logic.signed(term.value))

    def _primary(self) -> _Expression:
        token = self.token
        if token.kind is TokenKind.NAME:
            return _Expression(_Type.ANY, getter(str(self._next().value)), named=True)
        if token.kind in (TokenKind.NUMBER, TokenKind.TEXT):
            constant = self._next().value
            kind = _Type.TEXT if token.kind is TokenKind.TEXT else _Type.NUMBER
            return _Expression(kind, lambda fields: constant)
        word = self._accept("(", *_CONSTANTS)
        if word is None:
            raise self.unexpected()
        if word != "(":
            truth = _CONSTANTS[word]
            return _Expression(_Type.TRUTH, lambda fields: truth)
        self._deeper()
        inner = self.disjunction()
        self._expect(")")
        self._depth -= 1
        return inner._replace(named=False)
