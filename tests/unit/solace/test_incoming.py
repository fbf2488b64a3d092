"""What becomes of a message, whatever its producer: an event with headers that say all of it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flumebeam.batch import EventBatch
from flumebeam.event import EVENT_ID_HEADER
from flumebeam.ids import DeliveryId
from flumebeam.solace.incoming import (
    FIELD_HEADERS,
    Destination,
    ReceivedMessage,
    events_of_messages,
    header_text,
    json_body,
)


def message(number: int = 1, *, redelivered: bool = False, **fields: object) -> ReceivedMessage:
    values: dict[str, object] = {"body": b"", "properties": {}, "topic": None, **fields}
    return ReceivedMessage(delivery=DeliveryId(5, number).pack(), redelivered=redelivered, **values)  # type: ignore[arg-type]


def batch_of(*messages: ReceivedMessage, fence: bool = False) -> EventBatch:
    return events_of_messages(messages, receiver="r1", queue="q1", fence=fence)


def headers_of(batch: EventBatch) -> list[dict[str, str]]:
    return [dict(event.headers) for event in batch.events()]


def test_no_messages_make_an_empty_batch() -> None:
    assert len(batch_of()) == 0


def test_an_event_has_the_bodys_bytes_and_the_properties_as_headers() -> None:
    batch = batch_of(message(body=b"\x00\xff", properties={"a": "1", "b": "ü"}))

    assert next(batch.events()).body == b"\x00\xff"
    assert headers_of(batch) == [{"a": "1", "b": "ü", "solace.payload": "bytes"}]


def test_headers_that_all_messages_have_alike_are_shared() -> None:
    batch = batch_of(message(1, properties={"a": "x", "b": "1"}), message(2, properties={"a": "x", "b": "2"}))

    assert batch.shared["a"] == "x"
    assert batch.columns["b"].to_pylist() == ["1", "2"]


def test_a_header_that_some_messages_lack_is_no_header_of_theirs() -> None:
    batch = batch_of(message(1, properties={"a": "x"}), message(2), message(3, properties={"b": "y"}))

    assert [{k: v for k, v in h.items() if k in "ab"} for h in headers_of(batch)] == [{"a": "x"}, {}, {"b": "y"}]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("", ""),
        (True, "true"),
        (False, "false"),
        (-42, "-42"),
        (2**64 - 1, "18446744073709551615"),
        (1.5, "1.5"),
        (float("nan"), "NaN"),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
        (None, "null"),
        (b"\x00\xff", "AP8="),
        (bytearray(b"ab"), "YWI="),
        (Destination("a/b"), "a/b"),
        ({"b": [1, None, b"\x01"], "a": {"x": "ü"}}, '{"a":{"x":"ü"},"b":[1,null,"AQ=="]}'),
        ([], "[]"),
        (object, "<class 'object'>"),
    ],
)
def test_a_property_of_any_type_becomes_text(value: object, text: str) -> None:
    assert header_text(value) == text
    assert headers_of(batch_of(message(properties={"p": value})))[0]["p"] == text


def test_a_null_property_is_a_header_and_an_absent_one_is_none() -> None:
    batch = batch_of(message(1, properties={"p": None}), message(2))

    assert [headers.get("p") for headers in headers_of(batch)] == ["null", None]


def test_values_that_only_compare_equal_are_not_shared() -> None:
    batch = batch_of(message(1, properties={"p": True}), message(2, properties={"p": 1}))

    assert [headers["p"] for headers in headers_of(batch)] == ["true", "1"]


def test_a_foreign_property_cannot_pass_for_a_field_of_the_message() -> None:
    batch = batch_of(message(topic="real", properties={"solace.topic": "forged"}))

    assert headers_of(batch)[0]["solace.topic"] == "real"
    assert headers_of(batch)[0]["property.solace.topic"] == "forged"


def test_topic_levels_are_headers_of_their_own() -> None:
    same = batch_of(message(1, topic="logs/web"), message(2, topic="logs/web"))
    mixed = batch_of(message(1, topic="logs/web/7"), message(2, topic="logs"), message(3))

    assert {n: v for n, v in same.shared.items() if "topic" in n} == {
        "solace.topic": "logs/web",
        "solace.topic.1": "logs",
        "solace.topic.2": "web",
    }
    assert [{n: v for n, v in h.items() if "topic" in n} for h in headers_of(mixed)] == [
        {"solace.topic": "logs/web/7", "solace.topic.1": "logs", "solace.topic.2": "web", "solace.topic.3": "7"},
        {"solace.topic": "logs", "solace.topic.1": "logs"},
        {},
    ]


def test_every_field_has_its_header_and_only_if_the_message_has_it() -> None:
    names = ReceivedMessage._fields[5:]
    full = {name: (number if number % 2 else f"v{number}") for number, name in enumerate(names)}

    batch = batch_of(message(1, **full), message(2))

    assert len(names) == len(FIELD_HEADERS)
    assert headers_of(batch)[0] == {header: str(full[name]) for header, name in zip(FIELD_HEADERS, names, strict=True)}
    assert headers_of(batch)[1] == {"solace.payload": "bytes"}


def test_a_redelivered_message_is_marked_and_asks_for_a_fence() -> None:
    fresh = batch_of(message(1))
    batch = batch_of(message(1, redelivered=True), message(2))

    assert [headers.get("solace.redelivered") for headers in headers_of(batch)] == ["true", None]
    assert batch.provenance is not None
    assert batch.provenance.fence
    assert fresh.provenance is not None
    assert not fresh.provenance.fence
    assert batch_of(message(1), fence=True).provenance.fence  # type: ignore[union-attr]


def test_a_batch_knows_its_receiver_queue_and_ids() -> None:
    events = list(batch_of(message(3), message(4, redelivered=True)).events())

    assert [event.provenance.delivery for event in events if event.provenance] == [DeliveryId(5, 3), DeliveryId(5, 4)]
    assert events[1].provenance is not None
    assert (events[1].provenance.receiver, events[1].provenance.queue) == ("r1", "q1")
    assert events[1].provenance.redelivered


JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSONISH) | st.lists(JSONISH))
def test_any_map_or_stream_becomes_json_that_says_the_same_twice(value: dict[str, object] | list[object]) -> None:
    body = json_body(value)

    assert body == json_body(value)
    json.loads(body)


ID, OTHER = str(DeliveryId(7, 1)), str(DeliveryId(7, 2))


@pytest.mark.parametrize(
    ("property_", "field", "header"),
    [
        (None, ID, ID),
        (None, "order 17", None),
        (None, ID + "0", None),
        (None, None, None),
        ("own", ID, "own"),
        ("own", "order 17", "own"),
    ],
)
@pytest.mark.parametrize("others", [[], [(None, OTHER, OTHER)], [(None, "order 18", None)], [("b", OTHER, "b")]])
def test_an_application_message_id_in_the_form_of_an_id_is_one(
    property_: str | None,
    field: str | None,
    header: str | None,
    others: list[tuple[str | None, str | None, str | None]],
) -> None:
    rows = [(property_, field, header), *others]
    batch = batch_of(
        *(
            message(properties={EVENT_ID_HEADER: own} if own else {}, application_message_id=identity)
            for own, identity, _ in rows
        )
    )

    assert [headers.get(EVENT_ID_HEADER) for headers in headers_of(batch)] == [expected for *_, expected in rows]
    assert [headers.get("solace.application-message-id") for headers in headers_of(batch)] == [
        one for _, one, _ in rows
    ]
