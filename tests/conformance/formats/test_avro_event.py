from __future__ import annotations

import io

import fastavro
from hypothesis import strategies as st

from flumebeam.event import Event
from flumebeam.formats import AvroEventFormat
from tests.conformance.formats.contract import FormatContract


class TestAvroEvent(FormatContract):
    # Small blocks, so that even small files have several.
    format = AvroEventFormat(block_bytes=100)
    keeps_headers = True
    bodies = st.binary(max_size=200)

    def read(self, data: bytes) -> list[Event]:
        reader = fastavro.reader(io.BytesIO(data))
        assert reader.writer_schema["name"] == "Event"
        return [Event(record["body"], record["headers"]) for record in reader]


class TestDeflatedAvroEvent(TestAvroEvent):
    format = AvroEventFormat("deflate", block_bytes=100)


class TestSnappyAvroEvent(TestAvroEvent):
    format = AvroEventFormat("snappy", block_bytes=100)


class TestBzippedAvroEvent(TestAvroEvent):
    format = AvroEventFormat("bzip2", block_bytes=100)


class TestZstandardAvroEvent(TestAvroEvent):
    format = AvroEventFormat("zstd", block_bytes=100)
