from __future__ import annotations

import pyarrow as pa
import pytest
from apache_beam import coders
from hypothesis import given
from hypothesis import strategies as st

from flumebeam.batch import EventBatch
from flumebeam.deliveries import Durable
from flumebeam.errors import FormatError
from flumebeam.event import Event, Provenance
from flumebeam.ids import DeliveryId, delivery_ids
from flumebeam.transforms.coders import DurableCoder, EventBatchCoder, EventCoder

U64 = st.integers(0, 2**64 - 1)
PROVENANCE = st.builds(Provenance, st.text(), st.text(), st.builds(DeliveryId, U64, U64), st.booleans())
EVENT = st.builds(Event, st.binary(), st.dictionaries(st.text(), st.text()), st.none() | PROVENANCE)


@pytest.mark.parametrize(
    ("kind", "coder"), [(EventBatch, EventBatchCoder), (Event, EventCoder), (Durable, DurableCoder)]
)
def test_every_element_has_a_registered_deterministic_coder(kind: type, coder: type) -> None:
    found = coders.registry.get_coder(kind)

    assert isinstance(found, coder)
    assert found.is_deterministic()
    assert found.to_type_hint() is kind
    assert found == coder()


@given(EVENT)
def test_an_event_comes_back_as_it_was(event: Event) -> None:
    assert EventCoder().decode(EventCoder().encode(event)) == event


def test_equal_events_give_equal_bytes_whatever_the_order_of_their_headers() -> None:
    one, other = Event(b"x", {"a": "1", "b": "2"}), Event(b"x", {"b": "2", "a": "1"})

    assert EventCoder().encode(one) == EventCoder().encode(other)


def test_a_batch_comes_back_as_it_was() -> None:
    batch = EventBatch.from_bodies([b"", b"\xff"], {"host": "h"}, {"file": ["f", None]})

    assert EventBatchCoder().decode(EventBatchCoder().encode(batch)) == batch


def test_how_large_a_batch_is_gets_told_without_encoding_it(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = EventBatch.from_bodies([b"ab", b"\xff"], {"host": "h"}, {"file": ["f", None]})
    monkeypatch.delattr(EventBatch, "to_ipc")

    assert EventBatchCoder().estimate_size(batch) == 4


@pytest.mark.parametrize("count", [0, 1, 3])
def test_durable_deliveries_come_back_as_they_were_even_from_a_slice(count: int) -> None:
    ids = delivery_ids(DeliveryId(7, number) for number in range(5)).slice(1, count)

    back = DurableCoder().decode(DurableCoder().encode(Durable("réceiver", ids)))

    assert back.receiver == "réceiver"
    assert back.ids.equals(ids)


@pytest.mark.parametrize("coder", [EventCoder(), DurableCoder(), EventBatchCoder()])
@pytest.mark.parametrize("data", [b"", b"\0\0", b"\0\0\0\x09abc", b"\0\0\0\x01\xffx"])
def test_foreign_bytes_are_a_format_error(coder: coders.Coder, data: bytes) -> None:
    with pytest.raises(FormatError):
        coder.decode(data)


def test_no_ids_are_durable_deliveries_too() -> None:
    assert len(DurableCoder().decode(DurableCoder().encode(Durable("r", pa.array([], pa.binary(16))))).ids) == 0
