from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from flumebeam.batch import EventBatch
from flumebeam.event import Event
from flumebeam.formats import AvroTableFormat, Format, ParquetTableFormat, TableOptions, TableSchema
from tests.conformance.formats.contract import FormatContract

_COLUMN = {"type": "record", "name": "Row", "fields": [{"name": "hex", "type": "string"}]}
OPTIONS = TableOptions(schema=TableSchema(json.dumps(_COLUMN)))


@dataclass(frozen=True)
class Hexadecimal:
    """A table for any bodies: what is written are objects that hold them."""

    table: Format
    as_csv: bool = False

    @property
    def name(self) -> str:
        return self.table.name

    @property
    def extension(self) -> str:
        return self.table.extension

    @property
    def concatenable(self) -> bool:
        return self.table.concatenable

    @property
    def joining(self) -> str:
        return str(getattr(self.table, "joining", ""))

    def encode(self, batches: Iterable[EventBatch]) -> Iterator[bytes]:
        return self.table.encode(map(self._written, batches))

    def _written(self, batch: EventBatch) -> EventBatch:
        texts = [body.hex() for body in batch.bodies.to_pylist()]
        bodies = [text if self.as_csv else json.dumps({"more": [1], "hex": text}) for text in texts]
        return replace(batch, bodies=pa.array([body.encode() for body in bodies], type=pa.binary()))


class TestParquetTable(FormatContract):
    format: Format = Hexadecimal(ParquetTableFormat(OPTIONS, row_group_bytes=100))
    keeps_headers = False
    bodies = st.binary(max_size=200)

    def read(self, data: bytes) -> list[Event]:
        return [Event(bytes.fromhex(row["hex"])) for row in pq.read_table(io.BytesIO(data)).to_pylist()]


class TestSnappyParquetTableOfDelimitedText(TestParquetTable):
    format = Hexadecimal(ParquetTableFormat(replace(OPTIONS, body="csv"), "snappy", row_group_bytes=100), as_csv=True)


class TestZstandardParquetTable(TestParquetTable):
    format = Hexadecimal(ParquetTableFormat(OPTIONS, "zstd", 1, row_group_bytes=100))


class TestAvroTable(FormatContract):
    format: Format = Hexadecimal(AvroTableFormat(OPTIONS, block_bytes=100))
    keeps_headers = False
    bodies = st.binary(max_size=200)

    def read(self, data: bytes) -> list[Event]:
        return [Event(bytes.fromhex(row["hex"])) for row in fastavro.reader(io.BytesIO(data))]


class TestDeflatedAvroTableOfDelimitedText(TestAvroTable):
    format = Hexadecimal(AvroTableFormat(replace(OPTIONS, body="csv"), "deflate", block_bytes=100), as_csv=True)


class TestZstandardAvroTable(TestAvroTable):
    format = Hexadecimal(AvroTableFormat(OPTIONS, "zstd", block_bytes=100))
