from __future__ import annotations

import io
import random
import secrets

import pyarrow.parquet as pq
import pytest

from flumebeam.batch import EventBatch
from flumebeam.errors import FormatError
from flumebeam.formats import (
    AvroEventFormat,
    Format,
    ParquetFormat,
    TableOptions,
    TableSchema,
    TextFormat,
    open_format,
    way_to_join,
)
from flumebeam.formats.joining import Source, join_files
from tests.hadoop_files import sequence_file


def source(format: Format, *bodies: bytes) -> Source:
    data = b"".join(format.encode([EventBatch.from_bodies(bodies)]))
    return lambda: iter([data])


def test_an_unknown_way_is_told() -> None:
    with pytest.raises(FormatError, match="'knots' need a newer flumebeam"):
        join_files("knots", [])


def test_avro_blocks_are_copied_as_they_are() -> None:
    formats = [AvroEventFormat(sync_marker=secrets.token_bytes(16)) for _ in range(2)]
    first, second = (b"".join(source(each, b"a", b"b")()) for each in formats)

    joined = b"".join(join_files("avro", [lambda: iter([first]), lambda: iter([second])]))

    block = first[first.index(formats[0].sync_marker or b"") + 16 :]
    assert joined == first + block


@pytest.mark.parametrize(
    ("how", "one", "other"),
    [
        ("avro", open_format("avro_event"), open_format("avro_event", codec="deflate")),
        ("sequence_file", open_format("sequence_file"), open_format("sequence_file_text")),
        ("sequence_file", open_format("sequence_file"), open_format("sequence_file", codec="gzip")),
    ],
)
def test_files_that_do_not_fit_together_are_told(how: str, one: Format, other: Format) -> None:
    with pytest.raises(FormatError, match="cannot be joined"):
        b"".join(join_files(how, [source(one, b"a"), source(other, b"a")]))


@pytest.mark.parametrize("how", ["avro", "sequence_file"])
@pytest.mark.parametrize("content", [b"", b"somethingelse", b"Obj\x01", b"SEQ\x06"])
def test_what_is_no_such_file_is_told(how: str, content: bytes) -> None:
    with pytest.raises(FormatError):
        b"".join(join_files(how, [lambda: iter([content] if content else [])]))


def test_a_stream_that_was_cut_off_is_told() -> None:
    whole = b"".join(source(open_format("text", codec="deflate"), b"a" * 1000)())

    with pytest.raises(FormatError, match="ends within"):
        b"".join(join_files("deflate", [lambda: iter([whole[:-5]])]))


def test_records_of_a_joined_sequence_file_start_at_a_mark() -> None:
    format = open_format("sequence_file")

    data = b"".join(join_files("sequence_file", [source(format, b"a"), source(format, b"b")]))

    mark = b"\xff\xff\xff\xff" + data[: data.index(b"\x00\x00\x00\x0d")][-16:]
    assert data.count(mark) == 1
    assert [body for _, body in sequence_file(data)[1]] == [b"a", b"b"]


def test_small_row_groups_become_one() -> None:
    format = ParquetFormat(codec="zstd")

    data = b"".join(join_files("parquet", [source(format, b"%d" % n) for n in range(20)]))

    metadata = pq.ParquetFile(io.BytesIO(data)).metadata
    assert metadata.num_row_groups == 1
    assert metadata.row_group(0).column(2).compression == "ZSTD"
    assert metadata.row_group(0).column(2).path_in_schema == "body"
    assert not metadata.row_group(0).column(2).has_dictionary_page


@pytest.mark.parametrize(("codec", "lowest", "highest"), [("gzip", 1, 9), ("zstd", 1, 19), ("brotli", 1, 9)])
@pytest.mark.parametrize("is_table", [False, True])
def test_joined_parquet_is_compressed_as_hard_as_its_parts_were(
    codec: str, lowest: int, highest: int, is_table: bool
) -> None:
    chance = random.Random(7)
    words = [word_of(chance, 9) for _ in range(300)]
    bodies = [b'{"s": "%s"}' % " ".join(chance.choices(words, k=12)).encode() for _ in range(4000)]
    schema = '{"type": "record", "name": "R", "fields": [{"name": "s", "type": "string"}]}'
    table = TableOptions(schema=TableSchema(schema)) if is_table else None

    def joined(level: int | None) -> tuple[int, dict[bytes, bytes]]:
        format = open_format("parquet", codec=codec, level=level, table=table)
        parts = [source(format, *bodies[start : start + 1000]) for start in range(0, 4000, 1000)]
        data = b"".join(join_files("parquet", parts))
        # And once more, as a merge of what was merged.
        again = b"".join(join_files("parquet", [lambda: iter([data])]))
        assert len(again) == len(data)
        return len(data), pq.ParquetFile(io.BytesIO(data)).metadata.metadata or {}

    fast, hard = joined(lowest), joined(highest)
    assert hard[0] < 0.97 * fast[0]
    assert hard[1][b"flumebeam.compression_level"] == b"%d" % highest
    # Without a level the codec's own, which nobody has to say.
    assert b"flumebeam.compression_level" not in joined(None)[1]


def test_joined_deflate_is_compressed_as_hard_as_its_parts_were() -> None:
    chance = random.Random(7)
    words = [word_of(chance, 9) for _ in range(300)]
    bodies = [" ".join(chance.choices(words, k=12)).encode() for _ in range(2000)]

    def joined(level: int) -> int:
        parts = [source(open_format("text", codec="deflate", level=level), *bodies)] * 2
        return len(b"".join(join_files("deflate", parts)))

    assert joined(9) < joined(5) < joined(1)


def word_of(chance: random.Random, length: int) -> str:
    return "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=length))


def test_texts_of_a_codec_without_a_way_are_not_joined() -> None:
    class OddCodec:
        name, extension, concatenable = "odd", ".odd", False

        def compress(self, chunks):  # noqa: ANN001, ANN202
            return iter(chunks)

    assert way_to_join(TextFormat(OddCodec())) == ""
