from __future__ import annotations

import io
import random
import re
import zlib
from itertools import pairwise

import fastavro
import pyarrow.parquet as pq
import pytest

from flumebeam.batch import EventBatch
from flumebeam.clock import ManualClock
from flumebeam.errors import ConfigurationError
from flumebeam.formats import FORMAT_NAMES, AvroEventFormat, ParquetFormat, SequenceFileFormat, open_format
from flumebeam.formats.joining import join_files
from flumebeam.formats.parquet import EVENT_COLUMNS
from tests.hadoop_files import sequence_file


def test_text_is_each_body_and_one_newline() -> None:
    batch = EventBatch.from_bodies([b"one", b"", b"two\r", b"\xff"], {"h": "not written"})

    assert b"".join(open_format("text").encode([batch])) == b"one\n\ntwo\r\n\xff\n"


@pytest.mark.parametrize(
    ("name", "codec", "extension"),
    [
        ("text", "none", ".txt"),
        ("text", "gzip", ".txt.gz"),
        ("avro_event", "none", ".avro"),
        ("avro_event", "deflate", ".avro"),
        ("header_and_text", "bzip2", ".txt.bz2"),
        ("parquet", "snappy", ".parquet"),
        ("sequence_file", "none", ".seq"),
        ("sequence_file_text", "gzip", ".seq"),
        ("text", "zstd", ".txt.zst"),
    ],
)
def test_a_file_name_says_format_and_codec(name: str, codec: str, extension: str) -> None:
    assert open_format(name, codec=codec).extension == extension


def test_names_are_what_formats_call_themselves() -> None:
    assert [open_format(name).name for name in FORMAT_NAMES] == list(FORMAT_NAMES)


@pytest.mark.parametrize(
    ("name", "codec", "level", "said"),
    [
        ("orc", "none", None, "avro_event, header_and_text, parquet, sequence_file, sequence_file_text, text"),
        ("text", "lzo", None, "bzip2, deflate, gzip, lz4, none, snappy, zstd"),
        ("avro_event", "gzip", None, "one of: none, deflate, snappy, bzip2, zstd"),
        ("avro_event", "none", 3, "no compression level"),
        ("parquet", "bzip2", None, "one of: none, snappy, gzip, zstd, lz4, brotli"),
        ("parquet", "snappy", 3, "no compression level"),
        ("parquet", "gzip", 10, "levels 1 to 9"),
        ("sequence_file", "snappy", 3, "no compression level"),
        ("avro_event", "deflate", 10, "1 .fastest. to 9"),
    ],
)
def test_what_cannot_be_written_is_told_with_what_can(name: str, codec: str, level: int | None, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        open_format(name, codec=codec, level=level)


class TestAvroEvent:
    def test_the_schema_is_flumes(self) -> None:
        header = b"".join(open_format("avro_event").encode([]))

        assert fastavro.reader(io.BytesIO(header)).writer_schema == {
            "type": "record",
            "name": "Event",
            "fields": [
                {"name": "headers", "type": {"type": "map", "values": "string"}},
                {"name": "body", "type": "bytes"},
            ],
        }

    def test_a_block_is_closed_once_it_is_full(self) -> None:
        batches = [EventBatch.from_bodies([b"x" * 50] * 2) for _ in range(5)]

        data = b"".join(AvroEventFormat(block_bytes=200).encode(batches))

        assert [block.num_records for block in fastavro.block_reader(io.BytesIO(data))] == [4, 4, 2]

    def test_each_file_has_a_sync_marker_of_its_own(self) -> None:
        first, second = (b"".join(open_format("avro_event").encode([])) for _ in range(2))

        assert first[:-16] == second[:-16]
        assert first[-16:] != second[-16:]

    def test_with_a_given_marker_equal_events_give_equal_bytes(self) -> None:
        format_ = AvroEventFormat(sync_marker=b"m" * 16)
        batch = EventBatch.from_bodies([b"a"], {"h": "v"})

        assert b"".join(format_.encode([batch])) == b"".join(format_.encode([batch]))

    def test_deflated_blocks_are_smaller_by_level(self) -> None:
        batch = EventBatch.from_bodies([b"%d words of a log line %d" % (n, n * n) for n in range(3000)])

        sizes = [
            sum(map(len, open_format("avro_event", codec=codec, level=level).encode([batch])))
            for codec, level in (("none", None), ("deflate", 1), ("deflate", 9))
        ]

        assert sizes == sorted(sizes, reverse=True)
        assert len(set(sizes)) == 3

    def test_deflate_without_a_level_takes_zlibs_own(self) -> None:
        batch = EventBatch.from_bodies([b"%d words of a log line %d" % (n, n * n) for n in range(300)])

        plain, level_six = (
            b"".join(AvroEventFormat("deflate", level, sync_marker=b"m" * 16).encode([batch])) for level in (None, 6)
        )

        assert zlib.Z_DEFAULT_COMPRESSION == -1
        assert plain == level_six

    @pytest.mark.parametrize(
        ("options", "said"), [({"block_bytes": 0}, "at least 1"), ({"sync_marker": b"short"}, "16 bytes")]
    )
    def test_limits_are_checked_at_construction(self, options: dict[str, object], said: str) -> None:
        with pytest.raises(ConfigurationError, match=said):
            AvroEventFormat(**options)  # type: ignore[arg-type]


class TestSequenceFile:
    def test_the_key_is_the_timestamp_header_or_the_time_of_writing(self) -> None:
        clock = ManualClock(5_000)
        own = EventBatch.from_bodies([b"a", b"b", b"c"], None, {"timestamp": ["7", None, "not a number"]})
        shared = EventBatch.from_bodies([b"d"], {"timestamp": "1700000000000"})
        odd = EventBatch.from_bodies([b"e"], {"timestamp": "-1"})

        _, rows = sequence_file(b"".join(SequenceFileFormat(clock=clock).encode([own, shared, odd])))

        assert rows == [(7, b"a"), (5_000, b"b"), (5_000, b"c"), (1_700_000_000_000, b"d"), (5_000, b"e")]

    @pytest.mark.parametrize("codec", ["none", "snappy"])
    def test_a_reader_finds_a_mark_to_start_from_at_least_every_megabyte(self, codec: str) -> None:
        bodies = [b"%06d" % n + random.Random(n).randbytes(294) for n in range(20_000)]

        header, *rest = open_format("sequence_file", codec=codec).encode([EventBatch.from_bodies(bodies)])

        data = b"".join((header, *rest))
        marks = [found.start() for found in re.finditer(b"\xff\xff\xff\xff" + re.escape(header[-16:]), data)]
        assert len(marks) >= len(data) // 1_100_000
        assert max(after - before for before, after in pairwise([0, *marks, len(data)])) < 1_100_000
        assert [body for _, body in sequence_file(data)[1]] == bodies


class TestParquet:
    def test_a_row_group_is_closed_once_it_is_full(self) -> None:
        batches = [EventBatch.from_bodies([b"x" * 50] * 2) for _ in range(5)]

        data = b"".join(ParquetFormat(row_group_bytes=200).encode(batches))

        file = pq.ParquetFile(io.BytesIO(data))
        assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [4, 4, 2]

    def test_gzip_without_a_level_takes_the_usual_one_also_where_files_are_joined(self) -> None:
        rng = random.Random(1)
        batch = EventBatch.from_bodies([bytes(rng.choices(b"abcdefgh ", k=80)) for _ in range(2_000)])

        def written(level: int | None) -> bytes:
            return b"".join(ParquetFormat("gzip", level).encode([batch]))

        joined = b"".join(join_files("parquet", [lambda: iter([written(None)])] * 2))

        # Of the headers of gzip, the next to last byte tells of the highest level.
        best = b"\x1f\x8b\x08\0\0\0\0\0\x02"
        assert best in written(9)
        assert best not in written(None)
        assert best not in joined
        # But for what the file says of its level, these are the same.
        usual, six = (
            pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(2).total_compressed_size
            for data in (written(None), written(6))
        )
        assert usual == six

    def test_its_columns_are_headers_and_body(self) -> None:
        data = b"".join(open_format("parquet").encode([]))

        assert pq.read_schema(io.BytesIO(data)).equals(EVENT_COLUMNS)
