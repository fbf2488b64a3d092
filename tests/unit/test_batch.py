from __future__ import annotations

import pickle
from collections.abc import Sequence

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flumebeam.batch import BatchProvenance, EventBatch, has_nul
from flumebeam.errors import FormatError
from flumebeam.event import Event, Provenance
from flumebeam.ids import DeliveryId, delivery_ids

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
EVENTS = st.lists(st.builds(Event, st.binary(max_size=20), st.dictionaries(TEXT, TEXT, max_size=3)), max_size=6)


def provenance(*numbers: int, receiver: str = "r", fence: bool = False) -> BatchProvenance:
    return BatchProvenance(
        receiver,
        "q",
        delivery_ids([DeliveryId(7, number) for number in numbers]),
        pa.array([number % 2 == 1 for number in numbers], type=pa.bool_()),
        fence,
    )


def bodies(batch: EventBatch) -> Sequence[bytes]:
    return [event.body for event in batch.events()]


@given(EVENTS)
def test_events_come_out_of_a_batch_as_they_went_in(events: list[Event]) -> None:
    assert list(EventBatch.from_events(events).events()) == events


@given(EVENTS)
def test_a_batch_survives_its_bytes(events: list[Event]) -> None:
    batch = EventBatch.from_events(events)

    assert list(EventBatch.from_ipc(batch.to_ipc()).events()) == events


def test_provenance_survives_bytes_and_pickle_of_a_slice() -> None:
    batch = EventBatch.from_bodies([b"a", b"b", b"c"], provenance=provenance(1, 2, 3, fence=True)).slice(1)

    for copy in (EventBatch.from_ipc(batch.to_ipc()), pickle.loads(pickle.dumps(batch))):  # noqa: S301
        assert copy.provenance is not None
        assert copy.provenance.fence
        assert list(copy.events()) == [
            Event(b"b", {}, Provenance("r", "q", DeliveryId(7, 2), redelivered=False)),
            Event(b"c", {}, Provenance("r", "q", DeliveryId(7, 3), redelivered=True)),
        ]


def test_equal_content_gives_equal_bytes_whatever_the_order_of_headers_or_the_slice() -> None:
    one = EventBatch.from_bodies([b"a"], {"x": "1", "y": "2"}, {"p": ["3"], "q": ["4"]})
    two = EventBatch.from_bodies([b"-", b"a"], {"y": "2", "x": "1"}, {"q": ["-", "4"], "p": ["-", "3"]}).slice(1)

    assert one == two
    assert one.to_ipc() == two.to_ipc()


def test_the_bytes_of_a_slice_hold_the_slice_only() -> None:
    batch = EventBatch.from_bodies([b"x" * 10_000] * 100)

    assert len(batch.slice(99).to_ipc()) < 12_000


def test_a_header_that_all_share_is_stored_once() -> None:
    batch = EventBatch.from_events([Event(b"1", {"host": "h", "n": "1"}), Event(b"2", {"host": "h", "n": "2"})])

    assert batch.shared == {"host": "h"}
    assert set(batch.columns) == {"n"}


def test_a_header_that_one_event_lacks_is_not_shared() -> None:
    batch = EventBatch.from_events([Event(b"1", {"host": "h"}), Event(b"2")])

    assert batch.shared == {}
    assert batch.header("host").to_pylist() == ["h", None]


def test_any_header_can_be_had_as_a_column() -> None:
    batch = EventBatch.from_bodies([b"1", b"2"], {"host": "h"})

    assert batch.header("host").to_pylist() == ["h", "h"]
    assert batch.header("none").to_pylist() == [None, None]


def test_concatenation_keeps_order_shared_headers_and_ids() -> None:
    one = EventBatch.from_bodies([b"1"], {"host": "h", "file": "a"}, provenance=provenance(1))
    two = EventBatch.from_bodies([b"2"], {"host": "h", "file": "b"}, provenance=provenance(2, fence=True))
    three = EventBatch.from_bodies([b"3"], {"host": "h"}, provenance=provenance(3))
    joined = EventBatch.concat([EventBatch.empty(), one, two, three])

    assert bodies(joined) == [b"1", b"2", b"3"]
    assert joined.shared == {"host": "h"}
    assert joined.header("file").to_pylist() == ["a", "b", None]
    assert joined.provenance is not None
    assert joined.provenance.fence
    assert [event.provenance.delivery.number for event in joined.events() if event.provenance] == [1, 2, 3]


def test_batches_of_two_receivers_do_not_become_one() -> None:
    one = EventBatch.from_bodies([b"1"], provenance=provenance(1))
    two = EventBatch.from_bodies([b"2"], provenance=provenance(2, receiver="other"))

    with pytest.raises(FormatError, match="several receivers"):
        EventBatch.concat([one, two])
    with pytest.raises(FormatError, match="with and without provenance"):
        EventBatch.concat([one, EventBatch.from_bodies([b"2"])])
    with pytest.raises(FormatError, match="several receivers"):
        EventBatch.from_events([*one.events(), *two.events()])


def test_selection_keeps_headers_and_ids_beside_their_bodies() -> None:
    batch = EventBatch.from_bodies([b"0", b"1", b"2"], {}, {"n": ["a", "b", "c"]}, provenance(10, 11, 12))
    kept = batch.filter(pa.array([True, False, True]))
    turned = batch.take(pa.array([2, 0]))

    assert bodies(kept) == [b"0", b"2"]
    assert bodies(turned) == [b"2", b"0"]
    assert turned.header("n").to_pylist() == ["c", "a"]
    assert [event.provenance.delivery.number for event in turned.events() if event.provenance] == [12, 10]


def test_headers_are_set_and_removed_without_touching_the_old_batch() -> None:
    batch = EventBatch.from_bodies([b"0", b"1"], {"a": "1"}, {"b": ["2", "3"]})
    changed = batch.with_shared({"b": "9"}).with_column("a", pa.array(["x", None]))

    assert changed.shared == {"b": "9"}
    assert changed.header("a").to_pylist() == ["x", None]
    assert batch.without(["a", "b"]).header_names == ()
    assert batch.header_names == ("a", "b")
    assert batch.shared == {"a": "1"}


@pytest.mark.parametrize(
    ("columns", "shared", "ids"),
    [({"a": ["1"]}, {}, None), ({"a": ["1", "2"]}, {"a": "3"}, None), ({}, {}, provenance(1))],
)
def test_columns_that_do_not_fit_are_refused(
    columns: dict[str, list[str | None]], shared: dict[str, str], ids: BatchProvenance | None
) -> None:
    with pytest.raises(FormatError):
        EventBatch.from_bodies([b"0", b"1"], shared, columns, ids)
    with pytest.raises(FormatError):
        EventBatch.from_bodies([b"0", b"1"]).with_column("a", pa.array(["1"]))


@given(st.binary(max_size=200))
def test_foreign_bytes_are_a_format_error_and_nothing_else(data: bytes) -> None:
    with pytest.raises(FormatError, match="no event batch"):
        EventBatch.from_ipc(data)


def test_damaged_bytes_are_a_format_error_or_a_batch() -> None:
    whole = EventBatch.from_bodies([b"body"] * 3, {"a": "b"}, {"c": ["1", None, "3"]}, provenance(1, 2, 3)).to_ipc()
    for cut in range(0, len(whole), 7):
        for data in (whole[:cut], whole[:cut] + b"\xff" + whole[cut + 1 :]):
            try:
                EventBatch.from_ipc(data)
            except FormatError:
                continue


def test_a_batch_is_equal_to_its_content_only() -> None:
    assert EventBatch.from_bodies([b"a"]) != EventBatch.from_bodies([b"b"])
    assert EventBatch.from_bodies([b"a"]) != "a"


def test_a_batch_counts_the_bytes_of_its_own_slice() -> None:
    batch = EventBatch.from_bodies([b"four", b"", b"seven77"], {"shared": "free"}, {"n": ["1", None, "333"]})

    assert [batch.slice(start, 1).nbytes for start in range(3)] == [5, 0, 10]
    assert batch.nbytes == 15
    assert EventBatch.empty().nbytes == 0


@given(st.lists(st.none() | st.text(st.sampled_from("a\0"), max_size=2)), st.integers(0, 3))
def test_a_nul_in_a_text_is_found_in_the_slice_that_has_it_and_in_no_other(texts: list[str | None], start: int) -> None:
    column = pa.array(texts, type=pa.string()).slice(start)

    assert has_nul(column) == any("\0" in text for text in texts[start:] if text is not None)
