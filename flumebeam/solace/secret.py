"""Secrets: passwords, keys and tokens that show themselves to nobody but the broker.

A secret is a reference wherever it can be one: to an environment variable, a file or a function. It is looked up when a
connection is opened. A literal one stays in the memory of the process that made it: a pickle carries its number only.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from flumebeam.errors import ConfigurationError

__all__ = ["NO_SECRET", "Secret"]

_literals: Final[dict[str, str]] = {}
"""Literal secrets of this process that were pickled, by number."""


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A password, key or token that does not show itself in ``repr``, logs, error texts or pickles.

    Make it by one of the class methods; a plain text is a literal. A pickled literal is found again within the process
    that pickled it, and nowhere else: what runs on other machines needs a reference.

    Attributes:
        text: The literal, the name of the variable, or the path; empty for a function.
        source: ``value``, ``environment``, ``file``, ``function`` or ``elsewhere`` (a literal of another process).
        function: What returns the secret, for ``function``.
    """

    text: str
    source: str = "value"
    function: Callable[[], str] | None = None

    @classmethod
    def from_environment(cls, name: str) -> Self:
        """Return a secret that is read from an environment variable when it is needed."""
        return cls(name, "environment")

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Return a secret that is read from a file when it is needed; a line end at its end does not belong to it."""
        return cls(str(path), "file")

    @classmethod
    def from_function(cls, function: Callable[[], str]) -> Self:
        """Return a secret that a function returns when it is needed; it must be picklable for other processes."""
        return cls("", "function", function)

    @property
    def given(self) -> bool:
        """Whether there is one: an empty literal is none."""
        return self.source != "value" or bool(self.text)

    def reveal(self) -> str:
        """Return the secret itself.

        Raises:
            ConfigurationError: The variable is not set, the file cannot be read, the function fails, or it is a literal
                of another process.
        """
        if self.source == "environment":
            value = os.environ.get(self.text)
            if value is None:
                raise ConfigurationError(
                    f"The secret is to be read from the environment variable {self.text}: set it where this runs."
                )
            return value
        if self.source == "file":
            try:
                return Path(self.text).read_text(encoding="utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                # Not the error's own text: one about its encoding would show the file's bytes.
                why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
                raise ConfigurationError(f"The secret file {self.text} cannot be read: {why}.") from None
        if self.source == "function":
            return self._call()
        if self.source == "elsewhere":
            raise ConfigurationError(
                "A secret that was given as a literal does not travel to other processes: "
                "give it as an environment variable, a file or a function."
            )
        return self.text

    def _call(self) -> str:
        if self.function is None:
            raise ConfigurationError("A secret of source function needs a function.")
        name = getattr(self.function, "__qualname__", type(self.function).__name__)
        try:
            value = self.function()
        except Exception as error:  # noqa: BLE001 - a user's function; its error may quote the secret
            raise ConfigurationError(
                f"The function {name}, which returns a secret, failed: {type(error).__name__}."
            ) from None
        if not isinstance(value, str):
            raise ConfigurationError(f"The function {name}, which returns a secret, returned no text.")
        return value

    def __reduce__(self) -> tuple[Any, ...]:
        if self.source == "value" and self.text:
            number = next((key for key, text in _literals.items() if text == self.text), None)
            if number is None:
                number = secrets.token_hex(8)
                _literals[number] = self.text
            return _found, (number,)
        return type(self), (self.text, self.source, self.function)

    def __repr__(self) -> str:
        if self.source == "function":
            return f"Secret(function {getattr(self.function, '__qualname__', type(self.function).__name__)})"
        return "Secret(***)" if self.source in ("value", "elsewhere") else f"Secret({self.source} {self.text})"


NO_SECRET: Final = Secret("")
"""The secret of whoever has none."""


def _found(number: str) -> Secret:
    literal = _literals.get(number)
    return Secret(number, "elsewhere") if literal is None else Secret(literal)
