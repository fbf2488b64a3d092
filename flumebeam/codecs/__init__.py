"""Compression of whole files: one small class each, found by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

from flumebeam.codecs.gzip import GzipCodec
from flumebeam.codecs.none import NoCodec
from flumebeam.errors import ConfigurationError

__all__ = ["CODEC_NAMES", "Codec", "GzipCodec", "NoCodec", "open_codec"]


class Codec(Protocol):
    """A way to compress a stream of bytes. Holds options only: thread-safe, picklable, used for many files.

    Compressed pieces put one after another are one valid compressed stream of their contents.

    Attributes:
        name: What options call it.
        extension: What file names end in, with its dot; empty for none.
    """

    @property
    def name(self) -> str:
        """What options call it."""
        ...

    @property
    def extension(self) -> str:
        """What file names end in, with its dot; empty for none."""
        ...

    def compress(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Compress one whole stream piece by piece; equal contents give equal bytes.

        Args:
            chunks: Its contents, in pieces of any size; larger ones (64 KB and up) are faster.

        Yields:
            Non-empty pieces.
        """
        ...


_CODECS: Final[dict[str, Callable[[int | None], Codec]]] = {
    "none": lambda level: NoCodec() if level is None else _no_level("none"),
    "gzip": lambda level: GzipCodec() if level is None else GzipCodec(level),
}

CODEC_NAMES: Final = tuple(sorted(_CODECS))
"""Names that :func:`open_codec` knows."""


def open_codec(name: str, *, level: int | None = None) -> Codec:
    """Return the codec of a name.

    Args:
        name: One of :data:`CODEC_NAMES`.
        level: How hard to try, in the codec's own scale; ``None`` for its default.

    Raises:
        ConfigurationError: There is no such codec, or it has no such level.
    """
    try:
        make = _CODECS[name]
    except KeyError:
        raise ConfigurationError(f"There is no codec {name!r}; use one of: {', '.join(CODEC_NAMES)}.") from None
    return make(level)


def _no_level(name: str) -> Codec:
    raise ConfigurationError(f"Codec {name!r} has no compression level; leave the level out.")
