"""Frames that are cut together are what they are when each is cut by itself."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flumebeam.solace import _frames
from flumebeam.solace._frames import FrameReader
from flumebeam.solace._placed_frames import FrameBlock, PlacedFrame, Taken, TakenMessages
from flumebeam.solace._taken_events import events_of_taken
from tests.unit.solace.test_frames import frame, item, metadata, text
from tests.unit.solace.test_placed_frames import FRAMES

STAMPED = metadata({"mi": text("one id"), "ts": item(2, bytes(8))}, {"host": text("a")})
BOTH = ((STAMPED, b"a/b"), (metadata({}, {"severity": text("info")}), b"a/b/c"))


@pytest.fixture(autouse=True, scope="module")
def together_also_if_few() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_frames, "_MANY", 1)
        yield


def placed(frames: Sequence[bytes]) -> list[Taken | None]:
    reader = FrameReader()
    return [reader.place(one) for one in frames]


def together(frames: Sequence[bytes]) -> TakenMessages:
    return FrameReader().place_all(frames)


def assert_same(frames: Sequence[bytes]) -> TakenMessages:
    taken, single = together(frames), placed(frames)
    known = [one for one in single if one is not None]
    assert len(taken) == len(frames)
    assert taken.one_by_one() == known
    assert taken.nameless == (None in single)
    if len(known) == len(single):
        assert taken.deliveries() == [one.delivery for one in known]
        many = events_of_taken(taken, receiver="r", queue="q", fence=False)
        few = events_of_taken(TakenMessages.of(known), receiver="r", queue="q", fence=False)
        assert many == few
        assert (many.provenance and many.provenance.ids) == (few.provenance and few.provenance.ids)
    return taken


def kinds(taken: TakenMessages) -> list[int]:
    return [len(block.bodies) for _, block in taken.blocks]


def with_length(whole: bytes, length: int) -> bytes:
    return whole[:8] + struct.pack(">I", length) + whole[12:]


@given(st.lists(FRAMES, max_size=12))
def test_messages_of_any_kinds_are_cut_alike(frames: list[bytes]) -> None:
    assert_same(frames)


@given(st.lists(FRAMES, min_size=1, max_size=3), st.randoms(use_true_random=False))
def test_few_kinds_in_any_order_keep_it(some: list[bytes], order: Random) -> None:
    frames = some * 10
    order.shuffle(frames)
    assert_same(frames)


@given(st.lists(st.tuples(st.binary(max_size=300), st.integers(1, 2**64 - 1)), min_size=1))
def test_bodies_of_any_length_are_cut_together(rows: list[tuple[bytes, int]]) -> None:
    taken = assert_same([frame(body, STAMPED, number) for body, number in rows])

    assert kinds(taken) == [len(rows)]


def test_several_kinds_are_found() -> None:
    frames = [frame(b"x" * n, behind, n + 1, topic=topic) for n in range(9) for behind, topic in BOTH]

    assert kinds(assert_same(frames)) == [9, 9]


@given(st.lists(st.tuples(st.integers(0, len(frame(behind=STAMPED)) - 1), st.integers(0, 255)), min_size=1, max_size=9))
def test_a_byte_that_differs_anywhere_is_seen(changes: list[tuple[int, int]]) -> None:
    frames = [frame(behind=STAMPED, number=number) for number in range(1, 11)]
    for row, (at, value) in enumerate(changes):
        frames[row + 1] = frames[row + 1][:at] + bytes([value]) + frames[row + 1][at + 1 :]

    assert_same(frames)


@pytest.mark.parametrize(
    "odd",
    [
        b"",
        b"\x1b",
        frame(behind=STAMPED)[:-1],
        frame(behind=STAMPED) + b"x",
        with_length(frame(behind=STAMPED), 5),
        frame(behind=STAMPED)[:40],
        frame(behind=STAMPED, permanent=3),
        frame(behind=STAMPED, redelivered=True),
        frame(),
    ],
)
def test_what_is_cut_short_or_of_another_kind_is_not_taken_for_it(odd: bytes) -> None:
    frames = [frame(behind=STAMPED, number=number) for number in range(1, 11)]
    frames[4] = odd

    assert kinds(assert_same(frames))[0] == 9


def test_sizes_that_do_not_add_up_are_seen() -> None:
    good = [frame(b"1234", STAMPED, number) for number in range(1, 11)]
    bad = good[3].replace(b"\x25\0\0\0\x04\x45", b"\x25\0\0\0\x05\x45")
    assert bad != good[3]

    assert kinds(assert_same([*good[:3], bad, *good[4:]]))[0] == 9


def test_many_kinds_are_read_one_by_one() -> None:
    frames = [frame(topic=b"t" * (number + 1)) for number in range(40)]

    assert sum(kinds(assert_same(frames))) < 5


def test_what_comes_later_stands_behind() -> None:
    first, second = together([frame(b"1"), frame(b"2", permanent=5)]), together([frame(b"3"), frame(b"4")])
    first.append(second)

    assert [one.body for one in first.one_by_one()] == [b"1", b"2", b"3", b"4"]
    assert len(first) == 4
    assert first.last_single is None
    second.append(together([b"no frame"]))
    assert second.nameless


def test_a_block_gives_its_frames_back() -> None:
    frames = [one for one in placed([frame(b"1", STAMPED, 1), frame(b"", STAMPED, 2)]) if isinstance(one, PlacedFrame)]

    assert list(FrameBlock.of(frames).frames()) == frames
