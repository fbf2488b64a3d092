"""Bytes cut into frames, with limits."""

from __future__ import annotations

import pytest

from flumebeam.errors import ProtocolError
from flumebeam.smf.header import Header, encode_frame
from flumebeam.smf.stream import FrameReader

SMALL = encode_frame(Header(11), b"", b"")
LARGE = encode_frame(Header(13), b"\0" * 5, b"x" * 1000)


def test_frames_come_out_in_order_however_they_are_cut() -> None:
    stream = (SMALL + LARGE) * 3
    for size in (1, 7, 11, 12, 13, 500, len(stream)):
        reader = FrameReader(10_000)
        frames = [f for at in range(0, len(stream), size) for f in reader.receive(stream[at : at + size])]

        assert [head + payload for head, payload in frames] == [SMALL, LARGE] * 3


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"GET / HTTP/1.1", "version 3"),
        (bytes.fromhex("030b00000000000b0000000c"), "claims a header of 11"),
        (bytes.fromhex("030b00000000000d0000000c"), "claims a header of 13"),
        (bytes.fromhex("030b0000000001010000ffff"), "claims a header of 257"),
        (bytes.fromhex("030b00000000000cffffffff"), "exceeds the limit of 100"),
    ],
)
def test_bytes_beyond_the_rules_are_refused_after_the_frames_before_them(raw: bytes, why: str) -> None:
    frames = FrameReader(100, max_head_bytes=256).receive(SMALL + raw)

    assert next(frames) == (SMALL, b"")
    with pytest.raises(ProtocolError, match=why):
        next(frames)


def test_limit_may_grow_between_frames() -> None:
    reader = FrameReader(100)
    assert len(list(reader.receive(SMALL))) == 1
    reader.max_frame_bytes = 2000

    assert len(list(reader.receive(LARGE))) == 1
