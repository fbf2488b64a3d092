"""The fixed part of a frame's header."""

from __future__ import annotations

import pytest

from flumebeam.errors import ProtocolError
from flumebeam.smf.header import Flag, Header, Protocol, decode_header, encode_frame


def test_header_is_written_and_read() -> None:
    header = Header(Protocol.MESSAGE, flags=Flag.ASSURED | Flag.DMQ_ELIGIBLE, handling=2, service=0x0C, hops=255)
    frame = encode_frame(header, b"\0\0", b"body")

    assert frame == bytes.fromhex("1b8d0cff0000000e000000120000") + b"body"
    assert decode_header(frame) == header


@pytest.mark.parametrize("head", [b"", b"\x03\x8c\0\0", bytes.fromhex("028c00010000000c0000000c")])
def test_other_versions_and_short_headers_are_refused(head: bytes) -> None:
    with pytest.raises(ProtocolError, match="not an SMF version 3"):
        decode_header(head)
