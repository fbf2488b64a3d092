"""Compression of whole files: one small class each, found by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

from flumebeam.codecs.bzip2 import Bzip2Codec
from flumebeam.codecs.hadoop_blocks import Lz4Codec, SnappyCodec
from flumebeam.codecs.none import NoCodec
from flumebeam.codecs.zlib_streams import DeflateCodec, GzipCodec
from flumebeam.codecs.zstd import ZstdCodec
from flumebeam.errors import ConfigurationError

__all__ = [
    "CODEC_NAMES",
    "Bzip2Codec",
    "Codec",
    "DeflateCodec",
    "GzipCodec",
    "Lz4Codec",
    "NoCodec",
    "SnappyCodec",
    "ZstdCodec",
    "open_codec",
]


class Codec(Protocol):
    """A way to compress a stream of bytes. Holds options only: thread-safe, picklable, used for many files."""

    @property
    def name(self) -> str:
        """What options call it."""
        ...

    @property
    def extension(self) -> str:
        """What file names end in, with its dot; empty for none."""
        ...

    @property
    def concatenable(self) -> bool:
        """Whether compressed pieces put one after another are one valid compressed stream of their contents."""
        ...

    def compress(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Compress one whole stream piece by piece; equal contents give equal bytes.

        Args:
            chunks: Its contents, in pieces of any size; larger ones (64 KB and up) are faster.

        Yields:
            Non-empty pieces.
        """
        ...


_WITH_LEVELS: Final[dict[str, Callable[..., Codec]]] = {
    "bzip2": Bzip2Codec,
    "deflate": DeflateCodec,
    "gzip": GzipCodec,
    "zstd": ZstdCodec,
}
_WITHOUT_LEVELS: Final[dict[str, Callable[[], Codec]]] = {"lz4": Lz4Codec, "none": NoCodec, "snappy": SnappyCodec}

CODEC_NAMES: Final = tuple(sorted((*_WITH_LEVELS, *_WITHOUT_LEVELS)))
"""Names that :func:`open_codec` knows."""


def open_codec(name: str, *, level: int | None = None) -> Codec:
    """Return the codec of a name.

    Args:
        name: One of :data:`CODEC_NAMES`.
        level: How hard to try, in the codec's own scale; ``None`` for its default.

    Raises:
        ConfigurationError: There is no such codec, or it has no such level.
    """
    if name in _WITH_LEVELS:
        return _WITH_LEVELS[name]() if level is None else _WITH_LEVELS[name](level)
    if name not in _WITHOUT_LEVELS:
        raise ConfigurationError(f"There is no codec {name!r}; use one of: {', '.join(CODEC_NAMES)}.")
    if level is not None:
        raise ConfigurationError(f"Codec {name!r} has no compression level; leave the level out.")
    return _WITHOUT_LEVELS[name]()
