"""Readers of Hadoop's own file layouts, for tests without Java; Hadoop's readers see the same files in integration."""

from __future__ import annotations

import bz2
import gzip
import io
import struct
import zlib
from collections.abc import Callable, Iterator

import cramjam
import zstandard

__all__ = ["sequence_file", "unblocked"]

_RAW = {
    "snappy": lambda data, size: bytes(cramjam.snappy.decompress_raw(data)),
    "lz4": lambda data, size: bytes(cramjam.lz4.decompress_block(data, output_len=size)),
}


def unblocked(codec: str, data: bytes) -> bytes:
    """Return the contents of a stream of Hadoop's blocks: each its length, that of its data, and the data."""
    stream, contents = io.BytesIO(data), b""
    while head := stream.read(8):
        size, packed = struct.unpack(">II", head)
        block = _RAW[codec](stream.read(packed), size)
        assert len(block) == size
        contents += block
    return contents


_CODECS: dict[str, Callable[[bytes], bytes]] = {
    "BZip2Codec": bz2.decompress,
    "DefaultCodec": zlib.decompress,
    "GzipCodec": gzip.decompress,
    "Lz4Codec": lambda data: unblocked("lz4", data),
    "SnappyCodec": lambda data: unblocked("snappy", data),
    "ZStandardCodec": lambda data: zstandard.ZstdDecompressor().stream_reader(data).read(),
}


def sequence_file(data: bytes) -> tuple[str, list[tuple[int, bytes]]]:
    """Return the class of a sequence file's values, and its keys with the bytes that their values hold."""
    stream = io.BytesIO(data)
    assert stream.read(4) == b"SEQ\x06"
    assert _text(stream) == "org.apache.hadoop.io.LongWritable"
    value_class = _text(stream)
    compressed, block = stream.read(2)
    assert compressed == block
    codec = _text(stream) if compressed else ""
    assert stream.read(4) == bytes(4), "no metadata"
    sync = stream.read(16)
    rows = _blocks(stream, sync, _CODECS[codec.rpartition(".")[2]]) if block else _records(stream, sync)
    return value_class, [(struct.unpack(">q", key)[0], _value(value_class, value)) for key, value in rows]


def _records(stream: io.BytesIO, sync: bytes) -> Iterator[tuple[bytes, bytes]]:
    while head := stream.read(4):
        (size,) = struct.unpack(">i", head)
        if size == -1:
            assert stream.read(16) == sync
            continue
        (key,) = struct.unpack(">i", stream.read(4))
        yield stream.read(key), stream.read(size - key)


def _blocks(stream: io.BytesIO, sync: bytes, decompress: Callable[[bytes], bytes]) -> Iterator[tuple[bytes, bytes]]:
    while head := stream.read(4):
        assert head == b"\xff\xff\xff\xff"
        assert stream.read(16) == sync
        events = _vint(stream)
        key_lengths, keys, value_lengths, values = (
            io.BytesIO(decompress(stream.read(_vint(stream)))) for _ in range(4)
        )
        for _ in range(events):
            yield keys.read(_vint(key_lengths)), values.read(_vint(value_lengths))
        assert not any(buffer.read() for buffer in (key_lengths, keys, value_lengths, values))


def _value(value_class: str, data: bytes) -> bytes:
    stream = io.BytesIO(data)
    length = _vint(stream) if value_class.endswith(".Text") else struct.unpack(">i", stream.read(4))[0]
    body = stream.read()
    assert len(body) == length
    return body


def _text(stream: io.BytesIO) -> str:
    return stream.read(_vint(stream)).decode()


def _vint(stream: io.BytesIO) -> int:
    (first,) = struct.unpack("b", stream.read(1))
    if first >= -112:
        return first
    assert first >= -120, "no negative numbers"
    return int.from_bytes(stream.read(-112 - first), "big")
