"""A batch made by columns is the batch that is made message by message."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flumebeam.batch import EventBatch
from flumebeam.ids import DeliveryId
from flumebeam.solace import _taken_events
from flumebeam.solace._frames import FrameReader
from flumebeam.solace._placed_frames import PlacedFrame, Taken, TakenMessages, message_id
from flumebeam.solace._taken_events import events_of_taken
from flumebeam.solace.incoming import ReceivedMessage
from flumebeam.solace.packing import events_of
from tests.unit.solace.test_frames import frame, item, metadata, text

TEXTS = st.one_of(
    st.sampled_from([text("info"), text("error"), text("ü"), text(""), text("a\0b"), item(7, b"\xff\0")]),
    st.text(max_size=4).map(text),
)
NUMBERS = st.integers(0, 3).map(lambda number: item(2, number.to_bytes(8, "big")))
OTHERS = st.sampled_from([item(1, b"\x01"), item(0, b""), item(6, b"a\0"), item(2, b"\xff")])
IDS = st.sampled_from(
    [text(str(DeliveryId(1, 2))), text(str(DeliveryId(1, 3))), text(str(DeliveryId(1, 3))[:-1] + "g")]
)
FIELDS = st.fixed_dictionaries(
    {}, optional={"mi": st.one_of(TEXTS, IDS), "si": TEXTS, "ci": TEXTS, "ts": NUMBERS, "ex": NUMBERS, "sn": NUMBERS}
)
PROPERTIES = st.fixed_dictionaries(
    {}, optional={"host": TEXTS, "severity": TEXTS, "n": OTHERS, "solace.topic": TEXTS, "flumebeam.id": TEXTS}
)
BEHIND = st.builds(metadata, FIELDS, PROPERTIES)
FRAMES = st.builds(
    frame,
    st.binary(max_size=3),
    st.one_of(st.just(b""), BEHIND),
    st.integers(1, 2**64 - 1),
    redelivered=st.booleans(),
    permanent=st.one_of(st.none(), st.integers(1, 9)),
    topic=st.sampled_from([b"a/b", b"a", b"a/b/c", b"#P2P/QUE/q"]),
)


@pytest.fixture(autouse=True, scope="module")
def columns_also_of_few() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_taken_events, "_FEW", 0)
        yield


def placed(*frames: bytes) -> list[Taken]:
    reader = FrameReader()
    found = [reader.place(one) for one in frames]
    return [one for one in found if one is not None]


def by_columns(taken: Sequence[Taken], *, fence: bool = False) -> EventBatch:
    return events_of_taken(TakenMessages.of(taken), receiver="r", queue="q", fence=fence)


def one_by_one(taken: Sequence[Taken], *, fence: bool = False) -> EventBatch:
    messages = [one.message() if isinstance(one, PlacedFrame) else one for one in taken]
    return events_of(messages, receiver="r", queue="q", fence=fence)


def assert_same(taken: Sequence[Taken], *, fence: bool = False) -> None:
    columns, single = by_columns(taken, fence=fence), one_by_one(taken, fence=fence)
    assert columns == single
    assert (columns.provenance is None) == (single.provenance is None)
    if columns.provenance is not None and single.provenance is not None:
        assert columns.provenance.fence == single.provenance.fence
        assert columns.provenance.ids.equals(single.provenance.ids)


@given(st.lists(FRAMES, max_size=12), st.booleans())
def test_messages_of_any_kinds_make_the_same_batch_either_way(frames: list[bytes], fence: bool) -> None:
    assert_same(placed(*frames), fence=fence)


@given(st.lists(FRAMES, min_size=1, max_size=3))
def test_many_messages_of_few_layouts_keep_their_order(kinds: list[bytes]) -> None:
    assert_same(placed(*(kinds * 20)))


@given(st.lists(st.tuples(st.binary(max_size=3), st.text("abü\0", min_size=2, max_size=2), st.integers(0, 2))))
def test_values_of_one_layout_are_not_mixed_up(rows: list[tuple[bytes, str, int]]) -> None:
    frames = [
        frame(
            body,
            metadata({"ts": item(2, stamp.to_bytes(8, "big"))}, {"x": item(7, word.encode()[:2] + b"\0")}),
            number,
            redelivered=stamp == 1,
        )
        for number, (body, word, stamp) in enumerate(rows, 1)
    ]

    assert_same(placed(*frames))


def test_a_message_that_was_read_may_stand_among_them() -> None:
    taken = placed(frame(number=1), frame(behind=metadata({"ct": text("a/b")}, {}), number=2), frame(number=3))
    assert [type(one) for one in taken] == [PlacedFrame, ReceivedMessage, PlacedFrame]

    batch = by_columns(taken)

    assert [event.headers.get("solace.content-type") for event in batch.events()] == [None, "a/b", None]


def test_nothing_makes_an_empty_batch() -> None:
    assert len(by_columns([])) == 0


@pytest.mark.parametrize("delivery", [bytes(16), bytes(range(16)), b"\xff" * 16])
def test_an_id_is_printed_as_the_broker_prints_it(delivery: bytes) -> None:
    one = placed(frame(number=1))[0]
    assert isinstance(one, PlacedFrame)
    (event,) = by_columns([one._replace(delivery=delivery)]).events()

    digits = delivery.hex()
    assert message_id(delivery) == f"rmid1:{digits[:5]}-{digits[5:16]}-{digits[16:24]}-{digits[24:]}"
    assert event.headers["solace.message-id"] == message_id(delivery)
