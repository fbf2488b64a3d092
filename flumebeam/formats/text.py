"""Text: each body and one newline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Final

import pyarrow as pa
import pyarrow.compute as pc

from flumebeam.batch import EventBatch
from flumebeam.codecs import Codec, NoCodec, open_codec
from flumebeam.formats.columns import content

__all__ = ["TextFormat"]

_EMPTY: Final = pa.scalar(b"", type=pa.binary())
_NEWLINE: Final = pa.scalar(b"\n", type=pa.binary())


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
    concatenable: ClassVar[bool] = True

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

    def encode(self, batches: Iterable[EventBatch]) -> Iterator[bytes]:
        """Return one whole file; see :meth:`flumebeam.formats.Format.encode`."""
        return self.codec.compress(_lines(batch) for batch in batches)


def _lines(batch: EventBatch) -> bytes:
    return content(pc.binary_join_element_wise(batch.bodies, _EMPTY, _NEWLINE)) if len(batch) else b""
