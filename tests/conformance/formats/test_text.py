from __future__ import annotations

import gzip

from hypothesis import strategies as st

from flumebeam.event import Event
from flumebeam.formats import open_format
from tests.conformance.formats.contract import FormatContract


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
