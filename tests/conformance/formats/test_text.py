from __future__ import annotations

import bz2
import gzip
import re
import zlib

import zstandard
from hypothesis import strategies as st

from flumebeam.event import Event
from flumebeam.formats import open_format
from tests.conformance.formats.contract import FormatContract
from tests.hadoop_files import unblocked


class TestText(FormatContract):
    format = open_format("text")
    keeps_headers = False
    bodies = st.binary(max_size=40).filter(lambda body: b"\n" not in body)

    def read(self, data: bytes) -> list[Event]:
        assert not data or data.endswith(b"\n")
        return [Event(line) for line in data.split(b"\n")[:-1]]


class TestGzippedText(TestText):
    format = open_format("text", codec="gzip", level=1)

    def read(self, data: bytes) -> list[Event]:
        return super().read(gzip.decompress(data))


class TestBzippedText(TestText):
    format = open_format("text", codec="bzip2", level=1)

    def read(self, data: bytes) -> list[Event]:
        return super().read(bz2.decompress(data))


class TestDeflatedText(TestText):
    format = open_format("text", codec="deflate", level=1)

    def read(self, data: bytes) -> list[Event]:
        return super().read(zlib.decompress(data))


class TestZstandardText(TestText):
    format = open_format("text", codec="zstd", level=1)

    def read(self, data: bytes) -> list[Event]:
        return super().read(zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read())


class TestSnappyText(TestText):
    format = open_format("text", codec="snappy")

    def read(self, data: bytes) -> list[Event]:
        return super().read(unblocked("snappy", data))


class TestLz4Text(TestText):
    format = open_format("text", codec="lz4")

    def read(self, data: bytes) -> list[Event]:
        return super().read(unblocked("lz4", data))


class TestHeaderAndText(FormatContract):
    format = open_format("header_and_text")
    keeps_headers = True
    headers = st.dictionaries(st.text("abü.", max_size=5), st.text("abü. ", max_size=20), max_size=4)
    bodies = st.binary(max_size=40).filter(lambda body: b"\n" not in body)

    def read(self, data: bytes) -> list[Event]:
        return [_parsed(line) for line in data.split(b"\n")[:-1]]


def _parsed(line: bytes) -> Event:
    headers, body = re.fullmatch(rb"(?s)\{(.*?)\} (.*)", line).groups()  # type: ignore[union-attr]
    entries = headers.decode().split(", ") if headers else []
    return Event(body, dict(entry.split("=", 1) for entry in entries))  # type: ignore[arg-type]
