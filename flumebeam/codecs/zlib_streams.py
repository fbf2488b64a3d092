"""gzip (RFC 1952), which every reader of text files knows by its file name, and deflate, Hadoop's own default."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

from flumebeam.errors import ConfigurationError

__all__ = ["DeflateCodec", "GzipCodec"]

_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS
"""zlib's way to ask for its largest window in a gzip envelope, which it writes without time and file name."""


@dataclass(frozen=True, slots=True)
class _ZlibCodec:
    """What both share: they differ in the envelope only."""

    level: int = 6
    name: ClassVar[str]
    _window: ClassVar[int]

    def __post_init__(self) -> None:
        if not 1 <= self.level <= 9:
            raise ConfigurationError(f"{self.name} has levels 1 (fastest) to 9 (smallest), got {self.level}.")

    def compress(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the stream's bytes as they come."""
        machine = zlib.compressobj(self.level, zlib.DEFLATED, self._window)
        for chunk in chunks:
            if packed := machine.compress(chunk):
                yield packed
        yield machine.flush()


@dataclass(frozen=True, slots=True)
class GzipCodec(_ZlibCodec):
    """One gzip member per stream, without a time in its header, so that equal contents give equal bytes.

    Args:
        level: 1 (fastest) to 9 (smallest). On log lines 1 costs less than half of 6 and its files are a fifth larger.

    Raises:
        ConfigurationError: The level is outside 1 to 9.
    """

    name: ClassVar[str] = "gzip"
    extension: ClassVar[str] = ".gz"
    concatenable: ClassVar[bool] = True
    _window: ClassVar[int] = _GZIP_WINDOW


@dataclass(frozen=True, slots=True)
class DeflateCodec(_ZlibCodec):
    """One zlib stream (RFC 1950), which Hadoop calls its default codec; its readers stop at the stream's end.

    Args:
        level: 1 (fastest) to 9 (smallest).

    Raises:
        ConfigurationError: The level is outside 1 to 9.
    """

    name: ClassVar[str] = "deflate"
    extension: ClassVar[str] = ".deflate"
    concatenable: ClassVar[bool] = False
    _window: ClassVar[int] = zlib.MAX_WBITS
