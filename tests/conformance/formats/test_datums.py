from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import fastavro
import pyarrow as pa
from hypothesis import strategies as st

from flumebeam.batch import EventBatch
from flumebeam.event import Event
from flumebeam.formats import AvroDatumFormat, AvroOwnSchemaFormat, Format
from flumebeam.formats.avro_container import avro_long
from flumebeam.formats.own_schemas import SCHEMA_LITERAL_HEADER
from tests.conformance.formats.contract import FormatContract

_SCHEMA = '{"type": "record", "name": "Row", "fields": [{"name": "body", "type": "bytes"}]}'


@dataclass(frozen=True)
class InDatums:
    """Datums for any bodies: what is written are records that hold them."""

    datums: Format
    by_header: bool = False

    @property
    def name(self) -> str:
        return self.datums.name

    @property
    def extension(self) -> str:
        return self.datums.extension

    @property
    def concatenable(self) -> bool:
        return self.datums.concatenable

    @property
    def joining(self) -> str:
        return str(getattr(self.datums, "joining", ""))

    def encode(self, batches: Iterable[EventBatch]) -> Iterator[bytes]:
        return self.datums.encode(map(self._written, batches))

    def _written(self, batch: EventBatch) -> EventBatch:
        bodies = [avro_long(len(body)) + body for body in batch.bodies.to_pylist()]
        made = replace(batch, bodies=pa.array(bodies, type=pa.binary()))
        return made.with_shared({SCHEMA_LITERAL_HEADER: _SCHEMA}) if self.by_header else made


class TestDatums(FormatContract):
    format: Format = InDatums(AvroDatumFormat(_SCHEMA, block_bytes=100))
    keeps_headers = False
    bodies = st.binary(max_size=200)

    def read(self, data: bytes) -> list[Event]:
        return [Event(row["body"]) for row in fastavro.reader(io.BytesIO(data))]


class TestDeflatedDatums(TestDatums):
    format = InDatums(AvroDatumFormat(_SCHEMA, "deflate", block_bytes=100))


class TestSnappyDatums(TestDatums):
    format = InDatums(AvroDatumFormat(_SCHEMA, "snappy", block_bytes=100))


class TestZstandardDatumsWithASchemaInTheirHeaders(TestDatums):
    format = InDatums(AvroOwnSchemaFormat(codec="zstd", block_bytes=100), by_header=True)
