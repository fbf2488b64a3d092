"""Zstandard (RFC 8878): faster than gzip and smaller; Hadoop needs its native library to read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import zstandard

from flumebeam.errors import ConfigurationError

__all__ = ["ZstdCodec"]


@dataclass(frozen=True, slots=True)
class ZstdCodec:
    """One Zstandard frame per stream, without its length, which is not known at its start.

    Args:
        level: 1 (fastest) to 22 (smallest).

    Raises:
        ConfigurationError: The level is outside 1 to 22.
    """

    level: int = 3
    name: ClassVar[str] = "zstd"
    extension: ClassVar[str] = ".zst"
    concatenable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 1 <= self.level <= zstandard.MAX_COMPRESSION_LEVEL:
            raise ConfigurationError(
                f"zstd has levels 1 (fastest) to {zstandard.MAX_COMPRESSION_LEVEL} (smallest), got {self.level}."
            )

    def compress(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the frame's bytes as they come."""
        machine = zstandard.ZstdCompressor(level=self.level).compressobj()
        for chunk in chunks:
            if packed := machine.compress(chunk):
                yield packed
        yield machine.flush()
