"""The codec of the compressed port."""

from __future__ import annotations

import zlib

import pytest

from flumebeam.broker.listeners import Deflate
from flumebeam.errors import ProtocolError


def test_each_write_can_be_read_at_once_and_the_streams_go_on() -> None:
    sender, receiver = Deflate(), Deflate()

    for text in (b"first", b"", b"second" * 1_000):
        assert b"".join(receiver.decode(sender.encode(text))) == text


def test_stream_may_be_cut_anywhere() -> None:
    packed = Deflate().encode(b"some text " * 20)
    receiver = Deflate()

    assert b"".join(b"".join(receiver.decode(packed[i : i + 1])) for i in range(len(packed))) == b"some text " * 20


def test_few_bytes_that_stand_for_many_come_in_pieces() -> None:
    packed = Deflate().encode(bytes(10_000_000))
    sizes = [len(piece) for piece in Deflate().decode(packed)]

    assert len(packed) < 20_000
    assert sum(sizes) == 10_000_000
    assert max(sizes) <= 1_048_576


def test_what_is_not_deflate_breaks_the_protocol() -> None:
    with pytest.raises(ProtocolError, match="not compressed"):
        list(Deflate().decode(b"\xff" * 10))


def test_nothing_may_follow_the_end_of_a_stream() -> None:
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(b"last") + packer.flush()
    receiver = Deflate()

    assert b"".join(receiver.decode(packed)) == b"last"
    with pytest.raises(ProtocolError, match="after the end"):
        list(receiver.decode(b"more"))
    with pytest.raises(ProtocolError, match="after the end"):
        list(Deflate().decode(packed + b"more"))
