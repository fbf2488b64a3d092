from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flumebeam.errors import FormatError
from flumebeam.sources.lines import LineSplitter

STREAM = b"one\n\ntwo\r\n\xff\x00three\nno end"
BODIES = [b"one", b"", b"two\r", b"\xff\x00three", b"no end"]
ENDS = [4, 5, 10, 18, 24]


def split(stream: bytes, size: int, start: int = 0, limit: int = 1000) -> tuple[list[bytes], list[int]]:
    splitter = LineSplitter(start, limit)
    parts = [splitter.feed(stream[at : at + size]) for at in range(0, len(stream), size)]
    parts.append(splitter.finish())
    for part in parts:
        part.bodies.validate(full=True)
        assert part.bodies.type == pa.binary()
        assert part.ends.dtype == np.uint64
    return [body for part in parts for body in part.bodies.to_pylist()], [
        int(end) for part in parts for end in part.ends
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
def test_lines_are_the_same_however_the_stream_is_cut_into_blocks(size: int) -> None:
    assert split(STREAM, size) == (BODIES, ENDS)


def test_ends_are_offsets_in_the_whole_stream() -> None:
    assert split(b"a\nbc\n", 1, start=100)[1] == [102, 105]


def test_an_empty_stream_has_no_lines() -> None:
    assert split(b"", 1) == ([], [])


def test_a_stream_that_ends_with_a_newline_has_no_further_line() -> None:
    assert split(b"a\n", 10) == ([b"a"], [2])


@given(st.binary(max_size=200), st.integers(1, 50))
def test_lines_joined_by_newlines_are_the_stream(stream: bytes, size: int) -> None:
    bodies, ends = split(stream, size)

    assert b"\n".join(bodies) == (stream[:-1] if stream.endswith(b"\n") else stream)
    assert all(
        (stream + b"\n")[:end].endswith(body) or stream[:end].endswith(body + b"\n")
        for body, end in zip(bodies, ends, strict=True)
    )


@pytest.mark.parametrize("size", [3, 1000])
def test_a_line_beyond_the_limit_is_refused_with_its_offset_and_never_cut(size: int) -> None:
    with pytest.raises(FormatError, match=r"offset 107 is longer than 10 bytes"):
        split(b"a\n1234\n" + b"x" * 11 + b"\nb\n", size, start=100, limit=10)


def test_a_line_at_the_limit_passes() -> None:
    assert split(b"x" * 10 + b"\n", 4, limit=10)[0] == [b"x" * 10]


def test_an_endless_line_is_refused_before_it_fills_the_memory() -> None:
    splitter = LineSplitter(0, 10)
    splitter.feed(b"x" * 8)

    with pytest.raises(FormatError, match="offset 0"):
        splitter.feed(b"x" * 8)
