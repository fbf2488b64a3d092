"""Hadoop's SequenceFile, version 6: Flume's own default for files on HDFS.

The layout was checked against Hadoop's own reader (``SequenceFile.Reader``, Hadoop 3.4).
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flumebeam.batch import EventBatch
from flumebeam.clock import Clock, SystemClock
from flumebeam.codecs import Codec, NoCodec, open_codec
from flumebeam.formats.columns import content, fixed, joined, mapped

__all__ = ["SequenceFileFormat", "TextSequenceFileFormat"]

_VERSION: Final = b"SEQ\x06"
_KEY_CLASS: Final = "org.apache.hadoop.io.LongWritable"
_CODEC_CLASSES: Final = {
    "bzip2": "BZip2Codec",
    "deflate": "DefaultCodec",
    "gzip": "GzipCodec",
    "lz4": "Lz4Codec",
    "snappy": "SnappyCodec",
    "zstd": "ZStandardCodec",
}
_CODEC_PACKAGE: Final = "org.apache.hadoop.io.compress."
_SYNC_BYTES: Final = 16
_SYNC_ESCAPE: Final = b"\xff\xff\xff\xff"
_SYNC_INTERVAL: Final = 102_400
"""Bytes between the marks from which a reader may start, without compression; Hadoop's own distance."""
_BLOCK_BYTES: Final = 1_000_000
"""Keys and values of one block before compression; Hadoop's own size."""
_KEY_BYTES: Final = 8
_NO_METADATA: Final = bytes(4)
_TIMESTAMP: Final = "timestamp"


@dataclass(frozen=True, slots=True)
class SequenceFileFormat:
    """One record per event: its time as the key, its body as the value; other headers are not written.

    The key is the header ``timestamp`` in milliseconds since 1970 UTC, or the time of writing if an event has none or
    another text in it, as Flume's HDFS sink does. Values are ``BytesWritable``. Without a codec records are written
    one by one; with one in blocks, each compressed as a whole, so that the file can be split.

    Args:
        codec: Compression of blocks, any of :mod:`flumebeam.codecs`. ``zstd`` needs Hadoop's native library to read.
        clock: Time of events that carry none.
    """

    codec: Codec = field(default_factory=NoCodec)
    clock: Clock = field(default_factory=SystemClock, compare=False)
    name: ClassVar[str] = "sequence_file"
    extension: ClassVar[str] = ".seq"
    concatenable: ClassVar[bool] = False
    joining: ClassVar[str] = "sequence_file"
    _value_class: ClassVar[str] = "org.apache.hadoop.io.BytesWritable"

    @classmethod
    def of_codec(cls, codec: str, level: int | None = None) -> SequenceFileFormat:
        """Return the format with a codec of :mod:`flumebeam.codecs`, by name.

        Raises:
            ConfigurationError: There is no such codec or level.
        """
        return cls(open_codec(codec, level=level))

    def encode(self, batches: Iterable[EventBatch]) -> Iterator[bytes]:
        """Return one whole file; see :meth:`flumebeam.formats.Format.encode`."""
        sync = secrets.token_bytes(_SYNC_BYTES)
        yield self._header() + sync
        mark = _SYNC_ESCAPE + sync
        if isinstance(self.codec, NoCodec):
            yield from self._records(batches, mark)
        else:
            yield from self._blocks(batches, mark)

    def _header(self) -> bytes:
        block = not isinstance(self.codec, NoCodec)
        codec = _text(_CODEC_PACKAGE + _CODEC_CLASSES[self.codec.name]) if block else b""
        flags = bytes((block, block))
        return _VERSION + _text(_KEY_CLASS) + _text(self._value_class) + flags + codec + _NO_METADATA

    def _records(self, batches: Iterable[EventBatch], mark: bytes) -> Iterator[bytes]:
        since = 0
        for batch in batches:
            for part in _cut(batch, _SYNC_INTERVAL):
                values = self._values(part)
                key_length = struct.pack(">i", _KEY_BYTES)
                lengths = np.frombuffer(_lengths(values), dtype=np.int32) + _KEY_BYTES
                totals = fixed(lengths.astype(">i4"), 4)
                piece = content(joined(totals, pa.scalar(key_length, type=pa.binary()), self._keys(part), values))
                if since >= _SYNC_INTERVAL:
                    piece, since = mark + piece, 0
                since += len(piece)
                yield piece

    def _blocks(self, batches: Iterable[EventBatch], mark: bytes) -> Iterator[bytes]:
        held: list[EventBatch] = []
        size = 0
        for batch in batches:
            for part in _cut(batch, _BLOCK_BYTES):
                held.append(part)
                size += part.bodies.nbytes + _KEY_BYTES * len(part)
                if size >= _BLOCK_BYTES:
                    yield self._block(held, mark)
                    held, size = [], 0
        if held:
            yield self._block(held, mark)

    def _block(self, parts: list[EventBatch], mark: bytes) -> bytes:
        events = sum(map(len, parts))
        values = [self._values(part) for part in parts]
        columns = (
            _vint(_KEY_BYTES) * events,
            b"".join(content(self._keys(part)) for part in parts),
            b"".join(content(mapped(pc.binary_length(value), _vint)) for value in values),
            b"".join(map(content, values)),
        )
        packed = [b"".join(self.codec.compress((column,))) for column in columns]
        return mark + _vint(events) + b"".join(_vint(len(column)) + column for column in packed)

    def _keys(self, batch: EventBatch) -> pa.BinaryArray:
        """Return the times of events as ``LongWritable`` keys."""
        now = self.clock.epoch_ms()
        shared = batch.shared.get(_TIMESTAMP)
        if _TIMESTAMP not in batch.columns:
            known = int(shared) if shared is not None and pc.match_substring_regex(shared, _DECIMAL).as_py() else now
            return pa.repeat(pa.scalar(struct.pack(">q", known), type=pa.binary()), len(batch))
        column = batch.columns[_TIMESTAMP]
        usable = pc.fill_null(pc.match_substring_regex(column, _DECIMAL), False)
        times = pc.cast(pc.if_else(usable, column, str(now)), pa.int64())
        return fixed(times.to_numpy(zero_copy_only=False).astype(">i8"), _KEY_BYTES)

    def _values(self, batch: EventBatch) -> pa.BinaryArray:
        """Return bodies as they are serialized: here a ``BytesWritable``'s length, and the bytes."""
        lengths = pc.binary_length(batch.bodies).to_numpy(zero_copy_only=False)
        return joined(fixed(lengths.astype(">i4"), 4), batch.bodies)


@dataclass(frozen=True, slots=True)
class TextSequenceFileFormat(SequenceFileFormat):
    """The same with values of class ``Text``, which Hive and Impala read as strings (Flume's ``writeFormat = Text``).

    Args:
        codec: Compression of blocks, any of :mod:`flumebeam.codecs`.
        clock: Time of events that carry none.
    """

    name: ClassVar[str] = "sequence_file_text"
    _value_class: ClassVar[str] = "org.apache.hadoop.io.Text"

    def _values(self, batch: EventBatch) -> pa.BinaryArray:
        return joined(mapped(pc.binary_length(batch.bodies), _vint), batch.bodies)


_DECIMAL: Final = r"^[0-9]{1,18}$"
"""Eighteen digits cannot overflow 64 bits."""


def _cut(batch: EventBatch, size: int) -> Iterator[EventBatch]:
    """Cut a batch into parts of at least ``size`` bytes of bodies, and a smaller last one."""
    if not len(batch):
        return
    ends: npt.NDArray[np.int64] = np.cumsum(pc.binary_length(batch.bodies).to_numpy(zero_copy_only=False) + 1)
    start = done = 0
    while start < len(batch):
        stop = int(np.searchsorted(ends, done + size)) + 1
        yield batch.slice(start, stop - start)
        start = min(stop, len(batch))
        done = int(ends[start - 1])


def _lengths(values: pa.BinaryArray) -> bytes:
    lengths: bytes = pc.binary_length(values).to_numpy(zero_copy_only=False).tobytes()
    return lengths


def _text(value: str) -> bytes:
    data = value.encode()
    return _vint(len(data)) + data


def _vint(number: int) -> bytes:
    """Return a number that is not negative as Hadoop's ``WritableUtils`` writes it: a byte, or a length and bytes."""
    if number <= 127:
        return bytes((number,))
    data = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return bytes((0x90 - len(data),)) + data
