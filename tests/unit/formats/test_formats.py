from __future__ import annotations

import io
import zlib

import fastavro
import pytest

from flumebeam.batch import EventBatch
from flumebeam.errors import ConfigurationError
from flumebeam.formats import FORMAT_NAMES, AvroEventFormat, open_format


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
    ],
)
def test_a_file_name_says_format_and_codec(name: str, codec: str, extension: str) -> None:
    assert open_format(name, codec=codec).extension == extension


def test_names_are_what_formats_call_themselves() -> None:
    assert [open_format(name).name for name in FORMAT_NAMES] == ["avro_event", "text"]


@pytest.mark.parametrize(
    ("name", "codec", "level", "said"),
    [
        ("parquet", "none", None, "avro_event, text"),
        ("text", "deflate", None, "gzip, none"),
        ("avro_event", "gzip", None, "none or deflate"),
        ("avro_event", "none", 3, "only deflate"),
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
