"""No compression."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

__all__ = ["NoCodec"]


@dataclass(frozen=True, slots=True)
class NoCodec:
    """Bytes as they are."""

    name: ClassVar[str] = "none"
    extension: ClassVar[str] = ""
    concatenable: ClassVar[bool] = True

    def compress(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the pieces unchanged, without empty ones."""
        return filter(None, chunks)
