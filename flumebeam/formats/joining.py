"""One file made of several of the same format: what rolling does with the segments of a file.

Bytes are copied wherever the format allows it: whole, or block by block with the marks between blocks replaced. Only
Parquet is read and written again, columns to columns: pyarrow cannot copy a row group, and a file of many small ones
would be a slow one.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Final, TypeAlias

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq

from flumebeam.errors import FormatError
from flumebeam.formats.avro_container import AVRO_MAGIC, AVRO_METADATA
from flumebeam.formats.columns import Sink
from flumebeam.formats.parquet import level_of, parquet_level

__all__ = ["AS_BYTES", "WAYS_TO_JOIN", "Source", "join_files"]

Source: TypeAlias = Callable[[], Iterator[bytes]]
"""Opens a file and yields it in pieces."""

AS_BYTES: Final = "bytes"
"""The way to join files that may be put one after another as they are."""

_SYNC_BYTES: Final = 16
_SEQUENCE_ESCAPE: Final = b"\xff\xff\xff\xff"
_ROW_GROUP_BYTES: Final = 64 * 1024 * 1024
_DEFLATE_LEVEL: Final = 6
_LEVELS_BY_HINT: Final = (1, 5, 6, 9)
"""Levels of zlib by what its streams say of them: the fastest, 2 to 5, the default, 7 to 9."""


def join_files(how: str, sources: Sequence[Source]) -> Iterator[bytes]:
    """Return one file with the events of several, in order.

    Memory: a few pieces; for ``parquet`` one source and one row group.

    Args:
        how: The way to join them, as their format names it.
        sources: The files; at least one, all written by one format with the same options.

    Raises:
        FormatError: The files are not what their format says, or do not fit together; or there is no such way.
        StorageError: What opening or reading a source raises.
    """
    if how not in _WAYS:
        raise FormatError(
            f"Files that are joined as {how!r} need a newer flumebeam, or another one; this one knows: "
            f"{', '.join(sorted(_WAYS))}."
        )
    return _WAYS[how](sources)


def _join_bytes(sources: Sequence[Source]) -> Iterator[bytes]:
    return chain.from_iterable(source() for source in sources)


def _join_deflate(sources: Sequence[Source]) -> Iterator[bytes]:
    """Pack again: Hadoop's readers stop where the first stream ends."""
    packer = None
    for source in sources:
        unpacker = zlib.decompressobj()
        for piece in source():
            if packer is None:
                # Two bits of a stream's second byte tell how hard it was compressed (RFC 1950, FLEVEL).
                packer = zlib.compressobj(_LEVELS_BY_HINT[piece[1] >> 6] if len(piece) > 1 else _DEFLATE_LEVEL)
            if packed := packer.compress(unpacker.decompress(piece)):
                yield packed
        if not unpacker.eof:
            raise FormatError("A file that is joined as 'deflate' ends within its stream.")
    if packer is not None:
        yield packer.flush()


def _join_avro(sources: Sequence[Source]) -> Iterator[bytes]:
    first: tuple[bytes, bytes] | None = None
    for source in sources:
        pieces = source()
        head, (end, alike, mark) = _head(pieces, _avro_header)
        if first is None:
            first = alike, mark
            yield head[:end]
        elif first[0] != alike:
            raise FormatError("Avro containers of different schemas or codecs cannot be joined.")
        yield from _with_mark(chain((head[end:],), pieces), mark, first[1])


def _avro_header(data: bytes) -> tuple[int, bytes, bytes]:
    if not AVRO_MAGIC.startswith(data[: len(AVRO_MAGIC)]):
        raise FormatError("A file that is joined as 'avro' is no Avro container.")
    reader = io.BytesIO(data)
    reader.seek(len(AVRO_MAGIC))
    metadata = fastavro.schemaless_reader(reader, AVRO_METADATA, None)
    mark = reader.read(_SYNC_BYTES)
    if len(mark) < _SYNC_BYTES:
        raise EOFError
    return reader.tell(), repr(sorted(metadata.items())).encode(), mark


def _join_sequence_files(sources: Sequence[Source]) -> Iterator[bytes]:
    first: tuple[bytes, bytes] | None = None
    for source in sources:
        pieces = source()
        head, (end, alike, mark) = _head(pieces, _sequence_header)
        rest: Iterator[bytes] = (piece for piece in chain((head[end:],), pieces) if piece)
        if first is None:
            first = alike, mark
            yield head[:end]
        elif first[0] != alike:
            raise FormatError("Sequence files of different classes or codecs cannot be joined.")
        elif begin := next(rest, b""):
            # Blocks begin with a mark of their own; before a record it makes a place to start from.
            joint = b"" if begin.startswith(_SEQUENCE_ESCAPE) else _SEQUENCE_ESCAPE + first[1]
            rest = chain((joint + begin,), rest)
        yield from _with_mark(rest, _SEQUENCE_ESCAPE + mark, _SEQUENCE_ESCAPE + first[1])


def _sequence_header(data: bytes) -> tuple[int, bytes, bytes]:
    if not b"SEQ\x06".startswith(data[:4]):
        raise FormatError("A file that is joined as 'sequence_file' is no sequence file of version 6.")
    at = _after_text(data, _after_text(data, 4))
    compressed, at = data[at], at + 2
    if compressed:
        at = _after_text(data, at)
    (pairs,) = struct.unpack_from(">i", data, at)
    at += 4
    for _ in range(2 * pairs):
        at = _after_text(data, at)
    if len(data) < at + _SYNC_BYTES:
        raise EOFError
    return at + _SYNC_BYTES, data[:at], data[at : at + _SYNC_BYTES]


def _after_text(data: bytes, at: int) -> int:
    """Return where a Hadoop text ends: a length below 128 in one byte, as class names have, and the bytes."""
    return at + 1 + data[at]


def _join_parquet(sources: Sequence[Source]) -> Iterator[bytes]:
    sink = Sink()
    writer: pq.ParquetWriter | None = None
    schema: pa.Schema | None = None
    held: list[pa.Table] = []
    for source in sources:
        file = pq.ParquetFile(pa.BufferReader(b"".join(source())))
        if writer is None:
            schema = file.schema_arrow
            writer = pq.ParquetWriter(pa.PythonFile(sink, mode="w"), schema, **_parquet_options(file.metadata))
        elif file.schema_arrow != schema:
            raise FormatError("Parquet files of different schemas cannot be joined.")
        held.append(file.read(use_threads=False))
        if sum(table.nbytes for table in held) >= _ROW_GROUP_BYTES:
            writer.write_table(pa.concat_tables(held))
            held.clear()
            yield sink.take()
    if writer is not None:
        if held:
            writer.write_table(pa.concat_tables(held))
        writer.close()
        yield sink.take()


def _parquet_options(metadata: pq.FileMetaData) -> dict[str, object]:
    """Return how a file was written: the same codec and level, and dictionaries for the same columns."""
    if not metadata.num_row_groups:
        return {}
    group = metadata.row_group(0)
    columns = [group.column(index) for index in range(group.num_columns)]
    with_dictionary = [column.path_in_schema for column in columns if column.has_dictionary_page]
    codecs = {column.path_in_schema: column.compression.replace("UNCOMPRESSED", "NONE") for column in columns}
    level = level_of(metadata)
    of_codecs = {path: parquet_level(codec.lower(), level) for path, codec in codecs.items()}
    levels = {path: each for path, each in of_codecs.items() if each is not None}
    return {"compression": codecs, "compression_level": levels or None, "use_dictionary": with_dictionary or False}


def _head(
    pieces: Iterator[bytes], parse: Callable[[bytes], tuple[int, bytes, bytes]]
) -> tuple[bytes, tuple[int, bytes, bytes]]:
    """Read until a header can be parsed; return what was read, and the header's end, what makes files alike, its mark.

    Raises:
        FormatError: The file ends within its header.
    """
    data = b""
    for piece in pieces:
        data += piece
        try:
            return data, parse(data)
        except (EOFError, IndexError, struct.error):
            continue
    raise FormatError("A file that is to be joined ends within its header.")


def _with_mark(pieces: Iterable[bytes], old: bytes, new: bytes) -> Iterator[bytes]:
    """Replace the mark between the blocks of a file: 16 random bytes, which no event holds by chance."""
    keep = len(old) - 1
    rest = b""
    for piece in pieces:
        data = (rest + piece).replace(old, new)
        if data[:-keep]:
            yield data[:-keep]
        rest = data[-keep:]
    if rest:
        yield rest


_WAYS: Final[dict[str, Callable[[Sequence[Source]], Iterator[bytes]]]] = {
    AS_BYTES: _join_bytes,
    "avro": _join_avro,
    "deflate": _join_deflate,
    "parquet": _join_parquet,
    "sequence_file": _join_sequence_files,
}

WAYS_TO_JOIN: Final = frozenset(_WAYS)
"""What :func:`join_files` knows."""
