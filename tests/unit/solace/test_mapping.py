from __future__ import annotations

import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flumebeam.batch import BatchProvenance, EventBatch
from flumebeam.errors import ConfigurationError, PublishRefusedError
from flumebeam.event import EVENT_ID_HEADER, Event
from flumebeam.ids import DeliveryId, delivery_ids
from flumebeam.solace.fields import MessageFields
from flumebeam.solace.mapping import (
    FIELD_HEADERS,
    Destination,
    ReceivedMessage,
    events_of_messages,
    header_text,
    json_body,
    messages_of_events,
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


# -- out ---------------------------------------------------------------------------------------------------------------


def test_the_headers_of_all_go_once_and_the_others_with_their_event() -> None:
    batch = EventBatch.from_bodies([b"1", b"2"], {"all": "x"}, {"own": ["y", None]})

    outgoing = messages_of_events(batch, "t/1")

    assert outgoing.shared == {"all": "x"}
    assert [tuple(event) for event in outgoing.events] == [
        (b"1", {"own": "y"}, "t/1", None),
        (b"2", {}, "t/1", None),
    ]


def test_each_event_may_have_its_own_topic() -> None:
    batch = EventBatch.from_bodies([b"1", b"2"])

    events = messages_of_events(batch, pa.array(["a", "b"])).events

    assert [event.topic for event in events] == ["a", "b"]


def test_reserved_headers_are_not_published() -> None:
    batch = EventBatch.from_bodies([b"1"], {"solace.topic": "t", "a": "1"}, {"solace.priority": ["4"]})

    outgoing = messages_of_events(batch, "t")

    assert outgoing.shared == {"a": "1"}
    assert next(outgoing.events).headers == {}


ID, OTHER = str(DeliveryId(7, 1)), str(DeliveryId(7, 2))


@pytest.mark.parametrize("ids", [[ID, OTHER], [ID, None], [ID], [ID, ID]])
def test_an_id_as_sources_make_them_travels_once(ids: list[str | None]) -> None:
    batch = EventBatch.from_events([Event(b"", {EVENT_ID_HEADER: one} if one else {}) for one in ids])

    outgoing = messages_of_events(batch, "t")

    assert [event.application_message_id for event in outgoing.events] == ids
    assert EVENT_ID_HEADER not in outgoing.shared
    assert EVENT_ID_HEADER not in outgoing.columns


def test_an_id_travels_as_a_header_where_the_field_is_another_headers() -> None:
    batch = EventBatch.from_bodies([b""], {EVENT_ID_HEADER: ID, "own": "x"})

    outgoing = messages_of_events(batch, "t", MessageFields(application_message_id="own"))

    assert outgoing.shared == {EVENT_ID_HEADER: ID, "own": "x"}


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


@pytest.mark.parametrize("column", [True, False])
def test_the_events_identity_is_also_the_application_message_id(*, column: bool) -> None:
    batch = EventBatch.from_events([Event(b"", {EVENT_ID_HEADER: "i1"})])
    if column:
        batch = EventBatch.from_events([*batch.events(), Event(b"", {EVENT_ID_HEADER: "i2"}), Event(b"")])

    outgoing = messages_of_events(batch, "t")
    events = list(outgoing.events)

    assert [event.application_message_id for event in events] == (["i1", "i2", None] if column else ["i1"])
    assert {**outgoing.shared, **events[0].headers}[EVENT_ID_HEADER] == "i1"


@pytest.mark.parametrize(
    ("batch", "told"),
    [
        (EventBatch.from_bodies([b""], {"a": "x\0y"}), "value of header 'a' holds a NUL"),
        (EventBatch.from_bodies([b""], {"a\0b": "x"}), "name of header 'a\\x00b' holds a NUL"),
        (EventBatch.from_bodies([b""], {"": "x"}), "empty name"),
        (EventBatch.from_bodies([b""], {"a": "\ud800"}), "no valid Unicode"),
        (EventBatch.from_bodies([b""], columns={"": ["x"]}), "empty name"),
        (EventBatch.from_bodies([b"", b""], columns={"a": ["x", "y\0"]}), "Event 1 of the batch cannot"),
        (
            EventBatch.from_bodies([b"", b""], columns={"a": ["x", "\0"], EVENT_ID_HEADER: ["i1", "i2"]}),
            r"Event 1 of the batch \(flumebeam.id i2\)",
        ),
    ],
)
def test_what_the_client_would_cut_in_silence_is_refused_by_name(batch: EventBatch, told: str) -> None:
    with pytest.raises(PublishRefusedError, match=told.replace("\\x00", r"\\x00")):
        messages_of_events(batch, "t")


@pytest.mark.parametrize("topic", ["", "a\0b", "t" * 251, "ü" * 126, "/".join(["l"] * 129)])
def test_a_topic_that_the_broker_would_refuse_is_refused_before_anything_is_sent(topic: str) -> None:
    batch = EventBatch.from_bodies([b"1", b"2"])

    with pytest.raises(PublishRefusedError, match="Event 0 "):
        messages_of_events(batch, topic)
    with pytest.raises(PublishRefusedError, match="Event 1 "):
        messages_of_events(batch, pa.array(["fine", topic]))


@pytest.mark.parametrize("topics", [pa.array(["only one"]), pa.array(["a", None])])
def test_every_event_needs_a_topic(topics: pa.StringArray) -> None:
    with pytest.raises(PublishRefusedError):
        messages_of_events(EventBatch.from_bodies([b"1", b"2"]), topics)


def test_fields_come_from_headers_and_are_as_they_were_given() -> None:
    batch = EventBatch.from_bodies(
        [b"a", b"b"], {"host": "web1", "own-id": "x"}, {"n": ["7", None], "solace.correlation-id": [None, "c"]}
    )
    fields = MessageFields(
        partition_key="host",
        correlation_id="solace.correlation-id",
        application_message_id="own-id",
        priority="n",
        time_to_live_seconds=1.5,
        dmq_eligible=False,
    )

    made = messages_of_events(batch, "t", fields)

    assert made.shared["JMSXGroupID"] == "web1"
    assert made.correlation_ids is not None
    assert made.correlation_ids.to_pylist() == [None, "c"]
    assert made.application_message_ids is not None
    assert made.application_message_ids.to_pylist() == ["x", "x"]
    assert (made.priorities, made.time_to_live_ms, made.dmq_eligible) == ([7, None], 1500, False)
    assert "solace.correlation-id" not in made.columns


def test_a_header_that_no_event_has_gives_no_field() -> None:
    fields = MessageFields(partition_key="x", correlation_id="x", priority="x")
    made = messages_of_events(EventBatch.from_bodies([b"a"]), "t", fields)

    assert (made.shared, made.columns, made.correlation_ids, made.priorities) == ({}, {}, None, None)
    assert messages_of_events(EventBatch.from_bodies([b"a"]), "t", MessageFields(priority=3)).priorities == [3]


def test_a_priority_that_is_none_is_refused_with_the_event() -> None:
    batch = EventBatch.from_bodies([b"a", b"b"], {}, {"n": ["255", "256"]})

    with pytest.raises(PublishRefusedError, match=r"Event 1 of the batch .*'256' and no priority from 0 to 255"):
        messages_of_events(batch, "t", MessageFields(priority="n"))


def test_provenance_is_published_if_asked_for() -> None:
    ids = delivery_ids([DeliveryId(1, 2), DeliveryId(1, 3)])
    origin = BatchProvenance("r", "q", ids, pa.array([False, False]))
    made = messages_of_events(
        EventBatch.from_bodies([b"a", b"b"], provenance=origin), "t", MessageFields(provenance=True)
    )

    assert made.shared == {"flumebeam.origin": "q"}
    assert made.columns["flumebeam.delivery"].to_pylist() == [str(DeliveryId(1, 2)), str(DeliveryId(1, 3))]


@pytest.mark.parametrize("wrong", [{"priority": 256}, {"priority": -1}, {"time_to_live_seconds": -1}])
def test_fields_out_of_their_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError):
        MessageFields(**wrong)  # type: ignore[arg-type]
