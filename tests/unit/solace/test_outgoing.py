"""What the broker is sent for events, and what is refused before anything is sent."""

from __future__ import annotations

import pyarrow as pa
import pytest

from flumebeam.batch import BatchProvenance, EventBatch
from flumebeam.errors import ConfigurationError, PublishRefusedError
from flumebeam.event import EVENT_ID_HEADER, Event
from flumebeam.ids import DeliveryId, delivery_ids
from flumebeam.solace.fields import MessageFields
from flumebeam.solace.outgoing import messages_of_events


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
