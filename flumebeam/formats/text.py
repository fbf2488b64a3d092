"""Text: each body and one newline, with its headers in front of it or without them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Final

import pyarrow as pa
import pyarrow.compute as pc

from flumebeam.batch import EventBatch
from flumebeam.codecs import Codec, NoCodec, open_codec
from flumebeam.formats.columns import content, joined
from flumebeam.formats.joining import WAYS_TO_JOIN

__all__ = ["HeaderAndTextFormat", "TextFormat"]

_NEWLINE: Final = pa.scalar(b"\n", type=pa.binary())
_BETWEEN: Final = ", "


@dataclass(frozen=True, slots=True)
class TextFormat:
    """Each body as it is, whatever bytes it holds, and one newline; headers are not written.

    A carriage return belongs to its body. A body with a newline in it reads back as several lines: choose another
    format where that matters. An empty file is a valid one.

    Args:
        codec: Compression of the whole file.
    """

    codec: Codec = field(default_factory=NoCodec)
    name: ClassVar[str] = "text"

    @classmethod
    def of_codec(cls, codec: str, level: int | None = None) -> TextFormat:
        """Return the format with a codec of :mod:`flumebeam.codecs`, by name.

        Raises:
            ConfigurationError: There is no such codec or level.
        """
        return cls(open_codec(codec, level=level))

    @property
    def extension(self) -> str:
        """``.txt`` and the codec's own."""
        return ".txt" + self.codec.extension

    @property
    def concatenable(self) -> bool:
        """Whether the codec's streams can be put one after another."""
        return self.codec.concatenable

    @property
    def joining(self) -> str:
        """The way to join files whose codec's streams cannot: by packing them again, if that is known."""
        return self.codec.name if self.codec.name in WAYS_TO_JOIN else ""

    def encode(self, batches: Iterable[EventBatch]) -> Iterator[bytes]:
        """Return one whole file; see :meth:`flumebeam.formats.Format.encode`."""
        return self.codec.compress(_lines(batch) for batch in batches)


@dataclass(frozen=True, slots=True)
class HeaderAndTextFormat(TextFormat):
    """The headers of each event as ``{name=value, name=value}``, a blank, its body and one newline.

    So Flume's ``HEADER_AND_TEXT`` serializer writes them. It is made for reading by people: a value that holds the
    signs in between cannot be told from several values.

    Args:
        codec: Compression of the whole file.
    """

    name: ClassVar[str] = "header_and_text"

    def encode(self, batches: Iterable[EventBatch]) -> Iterator[bytes]:
        """Return one whole file; see :meth:`flumebeam.formats.Format.encode`."""
        return self.codec.compress(_lines(batch, _headers(batch)) for batch in batches)


def _lines(batch: EventBatch, *before: pa.BinaryArray | pa.BinaryScalar) -> bytes:
    return content(joined(*before, batch.bodies, _NEWLINE)) if len(batch) else b""


def _headers(batch: EventBatch) -> pa.BinaryArray | pa.BinaryScalar:
    """Return the headers of each event with the blank behind them; one value if all have the same."""
    shared = _BETWEEN.join(f"{name}={value}" for name, value in batch.shared.items())
    if not batch.columns:
        return pa.scalar(f"{{{shared}}} ".encode(), type=pa.binary())
    entries = [
        pc.fill_null(pc.binary_join_element_wise(f"{_BETWEEN}{name}=", column, ""), "")
        for name, column in batch.columns.items()
    ]
    own = pc.binary_join_element_wise(*entries, "")
    if not shared:
        own = pc.utf8_slice_codeunits(own, len(_BETWEEN))
    return pc.cast(pc.binary_join_element_wise(f"{{{shared}", own, "} ", ""), pa.binary())
