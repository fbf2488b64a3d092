"""A selector as a flow has it: compiled once, asked per message, counting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flumebeam.broker.core.selectors.errors import SelectorError
from flumebeam.broker.core.selectors.fields import Fields
from flumebeam.broker.core.selectors.grammar import parse

if TYPE_CHECKING:
    from flumebeam.broker.core.spool import SpooledMessage

__all__ = ["Selector", "SelectorError"]

_MAX_BYTES: Final = 2_000
"""As the vendor documents it; its C library takes 1,023."""


class Selector:
    """A condition in the SQL of JMS.

    Args:
        text: The condition; one of nothing but blanks matches every message.

    Raises:
        SelectorError: It is no selector, too long, or nested too deeply.
    """

    __slots__ = ("_evaluate", "examined", "matched", "text")

    def __init__(self, text: str) -> None:
        if len(text.encode()) > _MAX_BYTES:
            raise SelectorError(f"it has more than {_MAX_BYTES} bytes")
        self.text = text
        self._evaluate = parse(text if text.strip() else "TRUE")
        self.examined = 0
        self.matched = 0

    def matches(self, message: SpooledMessage) -> bool:
        """Return whether a message meets the condition; unknown is not enough."""
        matches = self._evaluate(Fields(message)) is True
        self.examined += 1
        self.matched += matches
        return matches
