"""Typed tables in Avro containers, whose records are put together from columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flumebeam.batch import EventBatch
from flumebeam.formats.avro_container import avro_long, check_avro_options, container
from flumebeam.formats.columns import content, fixed, joined
from flumebeam.formats.schemas import AvroType
from flumebeam.formats.tables import TableOptions

__all__ = ["AvroTableFormat"]

_DECIMAL_BYTES: Final = 16
_MOST_LONG_BYTES: Final = 10


@dataclass(frozen=True, slots=True)
class AvroTableFormat:
    """One record per event, of the declared schema and the added columns.

    Args:
        table: How events become rows.
        codec: As in :class:`~flumebeam.formats.avro_event.AvroEventFormat`.
        level: As there.
        block_bytes: A block is closed once its records reach this size before compression.

    Raises:
        ConfigurationError: An unknown codec, a level that it does not have, a size below 1.
    """

    table: TableOptions
    codec: str = "none"
    level: int | None = None
    block_bytes: int = 2_048_000
    name: ClassVar[str] = "avro"
    extension: ClassVar[str] = ".avro"
    concatenable: ClassVar[bool] = False
    joining: ClassVar[str] = "avro"

    def __post_init__(self) -> None:
        check_avro_options(self.codec, self.level, self.block_bytes)

    @property
    def provenance(self) -> bool:
        """Whether records tell where their events came from."""
        return self.table.source

    def check(self, batch: EventBatch) -> None:
        """Raise MisfitError if an event of a batch does not fit the schema."""
        self.table.rows(batch)

    def encode(self, batches: Iterable[EventBatch]) -> Iterator[bytes]:
        """Return one whole file; see :meth:`flumebeam.formats.Format.encode`."""
        record = self.table.record
        return container(
            record,
            self.codec,
            self.level,
            self.block_bytes,
            batches,
            lambda batch: content(_record(self.table.rows(batch).columns, record["fields"])),
        )


def _record(columns: Iterable[pa.Array], fields: Iterable[dict[str, Any]]) -> pa.BinaryArray:
    return joined(*(_encoded(column, field["type"]) for column, field in zip(columns, fields, strict=True)))


def _encoded(column: pa.Array, kind: AvroType) -> pa.BinaryArray:
    """Return the Avro encoding of each value; of nulls in a type that has none, anything."""
    if not isinstance(kind, list):
        return _values(column, kind)
    at = kind.index("null")
    other = _values(column, kind[1 - at])
    return pc.if_else(column.is_valid(), joined(_constant(avro_long(1 - at)), other), _constant(avro_long(at)))


def _values(column: pa.Array, kind: AvroType) -> pa.BinaryArray:
    arrow = column.type
    if pa.types.is_struct(arrow):
        return _record(column.flatten(), kind["fields"])
    if pa.types.is_list(arrow):
        return _arrays(column, kind["items"])
    if pa.types.is_decimal(arrow):
        return _decimals(column)
    if pa.types.is_floating(arrow):
        wide = arrow.bit_width // 8
        return fixed(column.fill_null(0).to_numpy(zero_copy_only=False).astype(f"<f{wide}"), wide)
    if pa.types.is_boolean(arrow):
        return fixed(column.fill_null(False).cast(pa.uint8()).to_numpy(), 1)
    if arrow in (pa.string(), pa.binary()):
        values = pc.fill_null(column.cast(pa.binary()), b"")
        return joined(_longs(pc.binary_length(values)), values)
    return _longs(column.cast(pa.int32()) if pa.types.is_date32(arrow) else column)


def _arrays(column: pa.ListArray, kind: AvroType) -> pa.BinaryArray:
    """Return arrays in one block each, and its end."""
    lengths = pc.fill_null(pc.list_value_length(column), 0)
    ends = np.concatenate(([0], np.cumsum(lengths.to_numpy(), dtype=np.int64))).astype(np.int32)
    items = pa.ListArray.from_arrays(pa.array(ends), _encoded(column.flatten(), kind))
    count = pc.if_else(pc.greater(lengths, 0), _longs(lengths), _constant(b""))
    return joined(count, pc.binary_join(items, _constant(b"")), _constant(avro_long(0)))


def _decimals(column: pa.Array) -> pa.BinaryArray:
    """Return decimals as 16 bytes, highest first: Avro's readers take any number of them."""
    raw = np.frombuffer(column.buffers()[1], np.uint8, _DECIMAL_BYTES * len(column), _DECIMAL_BYTES * column.offset)
    data = np.empty((len(column), 1 + _DECIMAL_BYTES), np.uint8)
    data[:, 0] = avro_long(_DECIMAL_BYTES)[0]
    data[:, 1:] = raw.reshape(-1, _DECIMAL_BYTES)[:, ::-1]
    return fixed(data, data.shape[1])


def _longs(column: pa.Array) -> pa.BinaryArray:
    """Return numbers as Avro longs: zigzag, then seven bits a byte, lowest first."""
    numbers = pc.fill_null(column.cast(pa.int64()), 0).to_numpy()
    rest = ((numbers << 1) ^ (numbers >> 63)).view(np.uint64)
    sizes = np.ones(len(rest), np.int64)
    for more in range(1, _MOST_LONG_BYTES):
        sizes += rest >= np.uint64(1 << (7 * more))
    ends = np.concatenate(([0], np.cumsum(sizes)))
    data = np.empty(int(ends[-1]), np.uint8)
    rows: npt.NDArray[np.int64] = np.arange(len(rest))
    for place in range(_MOST_LONG_BYTES):
        rows = rows[sizes[rows] > place]
        if not len(rows):
            break
        goes_on = np.where(sizes[rows] > place + 1, 0x80, 0)
        data[ends[rows] + place] = ((rest[rows] >> np.uint64(7 * place)) & np.uint64(0x7F)).astype(np.uint8) | goes_on
    offsets = pa.array(ends.astype(np.int32)).buffers()[1]
    return pa.Array.from_buffers(pa.binary(), len(rest), [None, offsets, pa.py_buffer(data)])


def _constant(data: bytes) -> pa.BinaryScalar:
    return pa.scalar(data, type=pa.binary())
