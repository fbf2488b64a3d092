"""Flume's ``avro_event``: events with their headers in an Avro object container file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

import pyarrow as pa
import pyarrow.compute as pc

from flumebeam.batch import EventBatch
from flumebeam.errors import ConfigurationError
from flumebeam.formats.avro_container import SYNC_BYTES, avro_long, check_avro_options, container
from flumebeam.formats.columns import content, joined, mapped

__all__ = ["EVENT_SCHEMA", "AvroEventFormat"]

EVENT_SCHEMA: Final = {
    "type": "record",
    "name": "Event",
    "fields": [
        {"name": "headers", "type": {"type": "map", "values": "string"}},
        {"name": "body", "type": "bytes"},
    ],
}
"""Flume's schema of the container: record, field names and order are what its readers look for."""

_MAP_END: Final = b"\x00"


@dataclass(frozen=True, slots=True)
class AvroEventFormat:
    """One record ``Event {headers: map<string>, body: bytes}`` per event, as Flume's ``AVRO_EVENT`` serializer writes.

    Records are put together as columns: no Python object is made per event.

    Args:
        codec: ``none``, ``deflate``, ``snappy``, ``bzip2`` or ``zstd``, applied block by block, so the file stays
            splittable.
        level: How hard to compress, in the codec's own scale; ``None`` for its default.
        block_bytes: A block is closed once its records reach this size before compression (Flume's
            ``syncIntervalBytes``); a reader holds one block at a time. A batch is never divided between blocks.
        sync_marker: 16 bytes between blocks; ``None`` draws fresh ones for each file, as readers expect.

    Raises:
        ConfigurationError: An unknown codec, a level that it does not have, a size below 1, a marker of another length.
    """

    codec: str = "none"
    level: int | None = None
    block_bytes: int = 2_048_000
    sync_marker: bytes | None = None
    name: ClassVar[str] = "avro_event"
    extension: ClassVar[str] = ".avro"
    concatenable: ClassVar[bool] = False
    joining: ClassVar[str] = "avro"

    def __post_init__(self) -> None:
        check_avro_options(self.codec, self.level, self.block_bytes)
        if self.sync_marker is not None and len(self.sync_marker) != SYNC_BYTES:
            raise ConfigurationError(f"A sync marker has {SYNC_BYTES} bytes, got {len(self.sync_marker)}.")

    @classmethod
    def of_codec(cls, codec: str, level: int | None = None) -> AvroEventFormat:
        """Return the format with a codec by name.

        Raises:
            ConfigurationError: It cannot carry this codec or level.
        """
        return cls(codec, level)

    def encode(self, batches: Iterable[EventBatch]) -> Iterator[bytes]:
        """Return one whole file; see :meth:`flumebeam.formats.Format.encode`."""
        return container(
            EVENT_SCHEMA,
            self.codec,
            self.level,
            self.block_bytes,
            batches,
            lambda batch: content(_records(batch)),
            self.sync_marker,
        )


def _records(batch: EventBatch) -> pa.BinaryArray:
    """Return the binary encoding of each event: the map in one block, its end, then the body."""
    shared = b"".join(_text(name) + _text(value) for name, value in batch.shared.items())
    body = (_longs(pc.binary_length(batch.bodies)), batch.bodies)
    if not batch.columns:
        # A map without entries is its end alone.
        headers = (avro_long(len(batch.shared)) + shared if batch.shared else b"") + _MAP_END
        return joined(pa.scalar(headers, type=pa.binary()), *body)
    count = pa.repeat(pa.scalar(len(batch.shared), type=pa.int32()), len(batch))
    for column in batch.columns.values():
        count = pc.add(count, pc.cast(column.is_valid(), pa.int32()))
    return joined(
        _longs(count, zero=b""),
        pa.scalar(shared, type=pa.binary()),
        *(_entries(name, column) for name, column in batch.columns.items()),
        pa.scalar(_MAP_END, type=pa.binary()),
        *body,
    )


def _entries(name: str, column: pa.StringArray) -> pa.BinaryArray:
    """Return one header as map entries, empty where an event has none."""
    key = pa.scalar(_text(name), type=pa.binary())
    return pc.fill_null(joined(key, _longs(pc.binary_length(column)), pc.cast(column, pa.binary())), b"")


def _longs(numbers: pa.Int32Array, zero: bytes = b"\x00") -> pa.BinaryArray:
    """Return Avro longs, null for null."""
    return mapped(numbers, lambda number: avro_long(number) if number else zero)


def _text(value: str) -> bytes:
    data = value.encode()
    return avro_long(len(data)) + data
