from __future__ import annotations

import io

import pyarrow.parquet as pq
from hypothesis import strategies as st

from flumebeam.event import Event
from flumebeam.formats import ParquetFormat
from tests.conformance.formats.contract import FormatContract


class TestParquet(FormatContract):
    # Small row groups, so that even small files have several.
    format = ParquetFormat(row_group_bytes=100)
    keeps_headers = True
    bodies = st.binary(max_size=200)

    def read(self, data: bytes) -> list[Event]:
        rows = pq.read_table(io.BytesIO(data)).to_pylist()
        return [Event(row["body"], dict(row["headers"])) for row in rows]


class TestSnappyParquet(TestParquet):
    format = ParquetFormat("snappy", row_group_bytes=100)


class TestZstandardParquet(TestParquet):
    format = ParquetFormat("zstd", 1, row_group_bytes=100)


class TestGzippedParquet(TestParquet):
    format = ParquetFormat("gzip", row_group_bytes=100)


class TestLz4Parquet(TestParquet):
    format = ParquetFormat("lz4", row_group_bytes=100)
