"""bzip2, which Hadoop can read from the middle of a file: the smallest files, and the slowest to make."""

from __future__ import annotations

import bz2
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from flumebeam.errors import ConfigurationError

__all__ = ["Bzip2Codec"]


@dataclass(frozen=True, slots=True)
class Bzip2Codec:
    """One bzip2 stream per file, or per piece of one.

    Args:
        level: 1 to 9, the size of a block in hundreds of kilobytes; a reader needs several times as much memory.

    Raises:
        ConfigurationError: The level is outside 1 to 9.
    """

    level: int = 9
    name: ClassVar[str] = "bzip2"
    extension: ClassVar[str] = ".bz2"
    concatenable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 1 <= self.level <= 9:
            raise ConfigurationError(f"bzip2 has levels 1 to 9, got {self.level}.")

    def compress(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the stream's bytes as they come."""
        machine = bz2.BZ2Compressor(self.level)
        for chunk in chunks:
            if packed := machine.compress(chunk):
                yield packed
        yield machine.flush()
