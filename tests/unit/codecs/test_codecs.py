from __future__ import annotations

import bz2
import gzip
import pickle
import zlib
from functools import partial

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from flumebeam.codecs import CODEC_NAMES, GzipCodec, open_codec
from flumebeam.errors import ConfigurationError
from tests.hadoop_files import unblocked

_READERS = {
    "bzip2": bz2.decompress,
    "deflate": lambda data: zlib.decompressobj().decompress(data),
    "gzip": gzip.decompress,
    "lz4": partial(unblocked, "lz4"),
    "none": bytes,
    "snappy": partial(unblocked, "snappy"),
    "zstd": lambda data: zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read(),
}


@pytest.mark.parametrize("name", CODEC_NAMES)
class TestEveryCodec:
    @given(chunks=st.lists(st.binary(max_size=300), max_size=8))
    def test_contents_come_back(self, name: str, chunks: list[bytes]) -> None:
        assert _READERS[name](b"".join(open_codec(name).compress(chunks))) == b"".join(chunks)

    def test_no_piece_is_empty(self, name: str) -> None:
        assert all(open_codec(name).compress([b"", b"a", b"", b"b", b""]))

    def test_equal_contents_give_equal_bytes_however_they_are_cut(self, name: str) -> None:
        data = b"a line of a log\n" * 5000
        codec = open_codec(name)

        whole = b"".join(codec.compress([data]))

        assert b"".join(codec.compress([data[:7], b"", data[7:40_000], data[40_000:]])) == whole

    def test_pieces_come_before_all_contents_were_taken(self, name: str) -> None:
        taken = 0

        def contents():  # noqa: ANN202
            nonlocal taken
            for n in range(64):
                taken = n
                yield bytes([n % 7, n % 5, n % 3]) * 50_000

        next(iter(open_codec(name).compress(contents())))
        next(iter(pieces := open_codec(name).compress(contents())))
        next(pieces)

        assert taken < 63

    def test_it_can_be_sent_to_a_worker(self, name: str) -> None:
        assert pickle.loads(pickle.dumps(open_codec(name))) == open_codec(name)  # noqa: S301


@pytest.mark.parametrize("name", CODEC_NAMES)
def test_streams_one_after_another_are_one_stream_where_a_codec_says_so(name: str) -> None:
    codec = open_codec(name)

    joined = b"".join([*codec.compress([b"one"]), *codec.compress([b"two"])])

    assert (_READERS[name](joined) == b"onetwo") is codec.concatenable


def test_gzip_writes_no_time_and_no_name_into_its_header() -> None:
    header = b"".join(GzipCodec().compress([b"x"]))[:10]

    assert header[:8] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00"


def test_a_higher_level_makes_smaller_files() -> None:
    data = [b"".join(b"%d some words of a log line %d\n" % (n, n * n) for n in range(5000))]

    sizes = [sum(map(len, open_codec("gzip", level=level).compress(data))) for level in (1, 9)]

    assert sizes[1] < sizes[0]


@pytest.mark.parametrize(
    ("name", "level", "said"),
    [
        ("lzo", None, "bzip2, deflate, gzip, lz4, none, snappy, zstd"),
        ("gzip", 0, "1 .fastest. to 9"),
        ("gzip", 10, "got 10"),
        ("none", 3, "no compression"),
        ("snappy", 3, "no compression"),
        ("bzip2", 10, "got 10"),
        ("zstd", 23, "got 23"),
    ],
)
def test_an_unknown_codec_or_level_is_told_with_what_there_is(name: str, level: int | None, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        open_codec(name, level=level)
