"""Parquet: events as rows of two columns, their headers and their body."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flumebeam.batch import EventBatch
from flumebeam.errors import ConfigurationError
from flumebeam.formats.columns import Sink

__all__ = ["EVENT_COLUMNS", "ParquetFormat", "check_parquet_options", "level_of", "parquet_level", "with_level"]

EVENT_COLUMNS: Final = pa.schema(
    [
        pa.field("headers", pa.map_(pa.string(), pa.string()), nullable=False),
        pa.field("body", pa.binary(), nullable=False),
    ]
)
"""Columns of a file."""

_CODECS: Final = ("none", "snappy", "gzip", "zstd", "lz4", "brotli")
_LEVELS: Final = ("gzip", "zstd", "brotli")
_LEVEL: Final = b"flumebeam.compression_level"
_GZIP_LEVEL: Final = 6
"""Where none is asked for. Arrow's own is 9, which takes five times as long for a hundredth of the size."""


@dataclass(frozen=True, slots=True)
class ParquetFormat:
    """One row per event: ``headers map<string, string>, body binary``. A file has no more columns for other headers.

    Rows are made from columns: there is no Python object for an event.

    Args:
        codec: ``none``, ``snappy``, ``gzip``, ``zstd``, ``lz4`` or ``brotli``, applied to the pages of each column.
        level: How hard to compress, in the codec's own scale; ``None`` for its default.
        row_group_bytes: A row group is closed once its events reach this size before compression; it is held in memory.

    Raises:
        ConfigurationError: An unknown codec, a level that it does not have, a size below 1.
    """

    codec: str = "none"
    level: int | None = None
    row_group_bytes: int = 32 * 1024 * 1024
    name: ClassVar[str] = "parquet"
    extension: ClassVar[str] = ".parquet"
    concatenable: ClassVar[bool] = False
    joining: ClassVar[str] = "parquet"

    def __post_init__(self) -> None:
        check_parquet_options(self.codec, self.level, self.row_group_bytes)

    @classmethod
    def of_codec(cls, codec: str, level: int | None = None) -> ParquetFormat:
        """Return the format with a codec by name.

        Raises:
            ConfigurationError: It cannot carry this codec or level.
        """
        return cls(codec, level)

    def encode(self, batches: Iterable[EventBatch]) -> Iterator[bytes]:
        """Return one whole file; see :meth:`flumebeam.formats.Format.encode`."""
        sink = Sink()
        with pq.ParquetWriter(
            pa.PythonFile(sink, mode="w"),
            with_level(EVENT_COLUMNS, self.level),
            compression=self.codec,
            compression_level=parquet_level(self.codec, self.level),
            # Bodies seldom repeat: a dictionary of them would be made and thrown away.
            use_dictionary=["headers.key_value.key", "headers.key_value.value"],
        ) as writer:
            held: list[EventBatch] = []
            for batch in batches:
                held.append(batch)
                if sum(each.nbytes for each in held) >= self.row_group_bytes:
                    writer.write_table(_table(held))
                    held = []
                    yield sink.take()
            if any(map(len, held)):
                writer.write_table(_table(held))
        yield sink.take()


def parquet_level(codec: str, level: int | None) -> int | None:
    """Return the level for Arrow; ``None`` for its default."""
    return _GZIP_LEVEL if codec == "gzip" and level is None else level


def with_level(schema: pa.Schema, level: int | None) -> pa.Schema:
    """Return a schema whose file says its level of compression, if one was asked for: Parquet itself does not keep it.

    Who joins files compresses as hard as they were.
    """
    return schema if level is None else schema.with_metadata({**(schema.metadata or {}), _LEVEL: b"%d" % level})


def level_of(metadata: pq.FileMetaData) -> int | None:
    """Return the level that a file says it was compressed with; ``None`` for its codec's default."""
    said = (metadata.metadata or {}).get(_LEVEL, b"")
    return int(said) if said else None


def check_parquet_options(codec: str, level: int | None, row_group_bytes: int) -> None:
    """Check the options of a format that writes Parquet.

    Args:
        codec: One of those of :class:`ParquetFormat`.
        level: How hard to compress, in the codec's own scale; ``None`` for its default.
        row_group_bytes: When a row group is closed.

    Raises:
        ConfigurationError: An unknown codec, a level that it does not have, a size below 1.
    """
    if codec not in _CODECS:
        raise ConfigurationError(
            f"parquet compresses its own pages, with one of: {', '.join(_CODECS)}; {codec!r} is none of them."
        )
    if level is not None:
        if codec not in _LEVELS:
            raise ConfigurationError(f"Codec {codec!r} has no compression level; leave the level out.")
        lowest, highest = pa.Codec.minimum_compression_level(codec), _highest(codec)
        if not lowest <= level <= highest:
            raise ConfigurationError(f"{codec} has levels {lowest} to {highest}, got {level}.")
    if row_group_bytes < 1:
        raise ConfigurationError(f"row_group_bytes must be at least 1, got {row_group_bytes}.")


def _table(batches: list[EventBatch]) -> pa.Table:
    rows = [
        pa.RecordBatch.from_arrays([_headers(batch), batch.bodies], schema=EVENT_COLUMNS)
        for batch in batches
        if len(batch)
    ]
    return pa.Table.from_batches(rows, EVENT_COLUMNS).combine_chunks()


def _headers(batch: EventBatch) -> pa.MapArray:
    """Return the headers of each event as a map, from columns: an event has no entry where its column is null."""
    events = len(batch)
    names = pa.array([*batch.shared, *batch.columns], type=pa.string())
    kinds = len(names)
    if not kinds:
        empty = pa.array([], type=pa.string())
        return pa.MapArray.from_arrays(pa.array(np.zeros(events + 1, dtype=np.int32)), empty, empty)
    columns = [batch.header(name) for name in batch.header_names]
    # Values column by column become values event by event.
    order = np.arange(events * kinds, dtype=np.int64).reshape(kinds, events).T.reshape(-1)
    values = pc.take(pa.concat_arrays(columns), pa.array(order))
    keys = pc.take(names, pa.array(np.tile(np.arange(kinds, dtype=np.int32), events)))
    there = values.is_valid()
    counts = there.to_numpy(zero_copy_only=False).reshape(events, kinds).sum(axis=1)
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
    return pa.MapArray.from_arrays(pa.array(offsets), pc.filter(keys, there), pc.filter(values, there))


def _highest(codec: str) -> int:
    level: int = pa.Codec.maximum_compression_level(codec)
    return level
