from __future__ import annotations

from hypothesis import strategies as st

from flumebeam.clock import ManualClock
from flumebeam.codecs import open_codec
from flumebeam.event import Event
from flumebeam.formats import SequenceFileFormat, TextSequenceFileFormat
from tests.conformance.formats.contract import FormatContract
from tests.hadoop_files import sequence_file


class TestSequenceFile(FormatContract):
    format = SequenceFileFormat()
    keeps_headers = False
    bodies = st.binary(max_size=200)
    value_class = "org.apache.hadoop.io.BytesWritable"

    def read(self, data: bytes) -> list[Event]:
        value_class, rows = sequence_file(data)
        assert value_class == self.value_class
        return [Event(body) for _, body in rows]


class TestTextSequenceFile(TestSequenceFile):
    format = TextSequenceFileFormat()
    value_class = "org.apache.hadoop.io.Text"


class TestDeflatedSequenceFile(TestSequenceFile):
    format = SequenceFileFormat(open_codec("deflate"))


class TestGzippedTextSequenceFile(TestTextSequenceFile):
    format = TextSequenceFileFormat(open_codec("gzip"))


class TestBzippedSequenceFile(TestSequenceFile):
    format = SequenceFileFormat(open_codec("bzip2"))


class TestSnappySequenceFile(TestSequenceFile):
    format = SequenceFileFormat(open_codec("snappy"))


class TestLz4SequenceFile(TestSequenceFile):
    format = SequenceFileFormat(open_codec("lz4"))


class TestZstandardSequenceFile(TestSequenceFile):
    format = SequenceFileFormat(open_codec("zstd"), ManualClock())
