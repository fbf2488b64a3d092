"""Every format with every codec that it can carry: what readers are tried on, and what is measured."""

from __future__ import annotations

from typing import Final

from flumebeam.formats import Format, TableOptions, open_format

__all__ = ["CODECS", "FILES", "TYPED", "format_of"]

_TEXT: Final = ("none", "gzip", "bzip2", "deflate", "snappy", "lz4", "zstd")
_AVRO: Final = ("none", "deflate", "snappy", "bzip2", "zstd")
_PARQUET: Final = ("none", "snappy", "gzip", "zstd", "lz4", "brotli")
TYPED: Final = "typed "
"""What stands before the name of a format that holds typed tables."""
CODECS: Final = {
    "text": _TEXT,
    "header_and_text": _TEXT,
    "avro_event": _AVRO,
    "parquet": _PARQUET,
    "sequence_file": _TEXT,
    "sequence_file_text": _TEXT,
    TYPED + "avro": _AVRO,
    TYPED + "parquet": _PARQUET,
}
FILES: Final = [(name, codec) for name, codecs in CODECS.items() for codec in codecs]
"""Each of them, by names."""


def format_of(name: str, codec: str, table: TableOptions) -> Format:
    """Return one of them.

    Args:
        name: A key of :data:`CODECS`.
        codec: One of its codecs.
        table: How bodies become rows, for those that are typed.
    """
    return open_format(name.removeprefix(TYPED), codec=codec, table=table if name.startswith(TYPED) else None)
