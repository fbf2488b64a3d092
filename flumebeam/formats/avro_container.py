"""What every Avro container has around its records: the header, and the compression of its blocks."""

from __future__ import annotations

import bz2
import io
import json
import secrets
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import fastavro
import pyarrow as pa
import zstandard

from flumebeam.batch import EventBatch
from flumebeam.errors import ConfigurationError

__all__ = ["AVRO_CODECS", "AVRO_MAGIC", "AVRO_METADATA", "SYNC_BYTES", "avro_long", "check_avro_options", "container"]

AVRO_CODECS: Final = {
    "none": "null",
    "null": "null",
    "deflate": "deflate",
    "snappy": "snappy",
    "bzip2": "bzip2",
    "zstd": "zstandard",
}
"""Names of options, and what Avro calls them in a file's header."""

_LEVELS: Final = {"deflate": (1, 9), "bzip2": (1, 9), "zstd": (1, zstandard.MAX_COMPRESSION_LEVEL)}
_CHECKSUM_BYTES: Final = 4
SYNC_BYTES: Final = 16
"""Length of the mark between blocks."""
AVRO_MAGIC: Final = b"Obj\x01"
"""First bytes of a container."""
AVRO_METADATA: Final = fastavro.parse_schema({"type": "map", "values": "bytes"})
"""Schema of what follows them: the schema of the records, and the codec."""


def container(
    schema: Mapping[str, Any],
    codec: str,
    level: int | None,
    block_bytes: int,
    batches: Iterable[EventBatch],
    records: Callable[[EventBatch], bytes],
    sync: bytes | None = None,
) -> Iterator[bytes]:
    """Return a whole container: its header, then its blocks.

    Args:
        schema: Of its records.
        codec: A key of :data:`AVRO_CODECS`.
        level: How hard to compress; ``None`` for the codec's default.
        block_bytes: A block is closed once its records reach this size before compression.
        batches: Events, of which each is a record; taken as blocks are made.
        records: Encodes those of a batch.
        sync: 16 bytes that stand behind each block; ``None`` draws fresh ones, as readers expect.
    """
    sync = sync or secrets.token_bytes(SYNC_BYTES)
    yield _header(schema, codec, sync)
    pending: list[bytes] = []
    events = size = 0
    for batch in batches:
        if not len(batch):
            continue
        data = records(batch)
        pending.append(data)
        events += len(batch)
        size += len(data)
        if size >= block_bytes:
            yield _block(codec, level, pending, events, sync)
            pending, events, size = [], 0, 0
    if events:
        yield _block(codec, level, pending, events, sync)


def _header(schema: Mapping[str, Any], codec: str, sync: bytes) -> bytes:
    metadata = {"avro.codec": AVRO_CODECS[codec].encode(), "avro.schema": json.dumps(schema).encode()}
    header = io.BytesIO(AVRO_MAGIC)
    header.seek(0, io.SEEK_END)
    fastavro.schemaless_writer(header, AVRO_METADATA, metadata)
    return header.getvalue() + sync


def _block(codec: str, level: int | None, records: Sequence[bytes], events: int, sync: bytes) -> bytes:
    data = _COMPRESS[AVRO_CODECS[codec]](records, level)
    return b"".join((avro_long(events), avro_long(sum(map(len, data))), *data, sync))


def avro_long(number: int) -> bytes:
    """Return a number that is not negative as an Avro long: zigzag, then seven bits a byte, lowest first."""
    rest = number << 1
    encoded = bytearray()
    while rest > 0x7F:
        encoded.append(rest & 0x7F | 0x80)
        rest >>= 7
    encoded.append(rest)
    return bytes(encoded)


def check_avro_options(codec: str, level: int | None, block_bytes: int) -> None:
    """Check the options of a format that writes Avro containers.

    Args:
        codec: A key of :data:`AVRO_CODECS`.
        level: How hard to compress, in the codec's own scale; ``None`` for its default.
        block_bytes: A block is closed once its records reach this size before compression.

    Raises:
        ConfigurationError: There is no such codec for Avro, it has no such level, or blocks would be empty.
    """
    if block_bytes < 1:
        raise ConfigurationError(f"block_bytes must be at least 1, got {block_bytes}.")
    if codec not in AVRO_CODECS:
        names = ", ".join(name for name in AVRO_CODECS if name != "null")
        raise ConfigurationError(f"Avro compresses its own blocks, with one of: {names}; {codec!r} is none of them.")
    if level is not None:
        if codec not in _LEVELS:
            raise ConfigurationError(f"Codec {codec!r} has no compression level; leave the level out.")
        lowest, highest = _LEVELS[codec]
        if not lowest <= level <= highest:
            raise ConfigurationError(f"{codec} has levels {lowest} (fastest) to {highest} (smallest), got {level}.")


def _plain(records: Sequence[bytes], level: int | None) -> Sequence[bytes]:
    return records


def _deflate(records: Sequence[bytes], level: int | None) -> Sequence[bytes]:
    machine = zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION if level is None else level, zlib.DEFLATED, -zlib.MAX_WBITS)
    return [*(machine.compress(piece) for piece in records), machine.flush()]


def _snappy(records: Sequence[bytes], level: int | None) -> Sequence[bytes]:
    data = b"".join(records)
    return pa.compress(data, codec="snappy", asbytes=True), zlib.crc32(data).to_bytes(_CHECKSUM_BYTES, "big")


def _bzip2(records: Sequence[bytes], level: int | None) -> Sequence[bytes]:
    return (bz2.compress(b"".join(records), level or 9),)


def _zstd(records: Sequence[bytes], level: int | None) -> Sequence[bytes]:
    return (zstandard.ZstdCompressor(level=level or 3).compress(b"".join(records)),)


_COMPRESS: Final[dict[str, Callable[[Sequence[bytes], int | None], Sequence[bytes]]]] = {
    "null": _plain,
    "deflate": _deflate,
    "snappy": _snappy,
    "bzip2": _bzip2,
    "zstandard": _zstd,
}
