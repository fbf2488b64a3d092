"""Typed tables in Parquet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from flumebeam.batch import EventBatch
from flumebeam.formats.columns import Sink
from flumebeam.formats.parquet import check_parquet_options, parquet_level, with_level
from flumebeam.formats.tables import TableOptions

__all__ = ["ParquetTableFormat"]


@dataclass(frozen=True, slots=True)
class ParquetTableFormat:
    """One row per event, with the columns of a declared schema.

    Args:
        table: How events become rows.
        codec: As in :class:`~flumebeam.formats.parquet.ParquetFormat`.
        level: As there.
        row_group_bytes: A row group is closed once its rows reach this size in memory.

    Raises:
        ConfigurationError: An unknown codec, a level that it does not have, a size below 1.
    """

    table: TableOptions
    codec: str = "none"
    level: int | None = None
    row_group_bytes: int = 32 * 1024 * 1024
    name: ClassVar[str] = "parquet"
    extension: ClassVar[str] = ".parquet"
    concatenable: ClassVar[bool] = False
    joining: ClassVar[str] = "parquet"

    def __post_init__(self) -> None:
        check_parquet_options(self.codec, self.level, self.row_group_bytes)

    @property
    def provenance(self) -> bool:
        """Whether rows tell where their events came from."""
        return self.table.source

    def check(self, batch: EventBatch) -> None:
        """Raise MisfitError if an event of a batch does not fit the schema."""
        self.table.rows(batch)

    def encode(self, batches: Iterable[EventBatch]) -> Iterator[bytes]:
        """Return one whole file; see :meth:`flumebeam.formats.Format.encode`."""
        sink = Sink()
        columns = self.table.columns
        with pq.ParquetWriter(
            pa.PythonFile(sink, mode="w"),
            with_level(columns, self.level),
            compression=self.codec,
            compression_level=parquet_level(self.codec, self.level),
        ) as writer:
            held: list[pa.RecordBatch] = []
            for batch in batches:
                if not len(batch):
                    continue
                held.append(self.table.rows(batch))
                if sum(rows.nbytes for rows in held) >= self.row_group_bytes:
                    writer.write_table(pa.Table.from_batches(held, columns).combine_chunks())
                    held = []
                    yield sink.take()
            if held:
                writer.write_table(pa.Table.from_batches(held, columns).combine_chunks())
        yield sink.take()
