from __future__ import annotations

import io

import pyarrow as pa
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from flumebeam.batch import EventBatch
from flumebeam.errors import ConfigurationError, FormatError, PublishRefusedError
from flumebeam.ids import MAX_PACKED_EVENTS, DeliveryId, delivery_ids, id_pairs, packed_ids, packed_places
from flumebeam.solace.fields import MessageFields
from flumebeam.solace.incoming import ReceivedMessage
from flumebeam.solace.outgoing import OutgoingEvents
from flumebeam.solace.packing import (
    COUNT_PROPERTY,
    PACK_TYPE,
    PACKED_HEADER,
    Packing,
    Span,
    claimed_events,
    decode_pack,
    encode_packs,
    events_of,
    message_count,
    messages_in,
    outgoing_messages,
)

BATCH = EventBatch.from_bodies(
    [b"one", b"", b"\0\xff"], {"host": "web1"}, {"severity": ["info", None, "warn"], "flumebeam.id": ["a", "b", "c"]}
)


def received(number: int, message: OutgoingEvents, *, redelivered: bool = False) -> ReceivedMessage:
    """Return a message as it comes back from the broker."""
    (event,) = message.events
    return ReceivedMessage(
        DeliveryId(7, number).pack(),
        redelivered,
        event.body,
        {**message.shared, **event.headers},
        event.topic,
        application_message_id=event.application_message_id,
        content_type=message.content_type,
        content_encoding=message.content_encoding,
    )


def taken(*messages: ReceivedMessage) -> EventBatch:
    return events_of(messages, receiver="r", queue="q", fence=False)


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_events_come_out_of_a_pack_as_they_went_in(codec: str) -> None:
    (message,) = outgoing_messages(BATCH, "logs/web", Packing(codec=codec))

    batch = taken(received(5, message))

    assert [event.body for event in batch.events()] == [b"one", b"", b"\0\xff"]
    assert [event.headers.get("severity") for event in batch.events()] == ["info", None, "warn"]
    assert batch.shared["host"] == "web1"
    assert batch.header("flumebeam.id").to_pylist() == ["a", "b", "c"]
    assert batch.shared["solace.topic.1"] == "logs"
    assert batch.shared[PACKED_HEADER] == "true"


IDS = [str(DeliveryId(7, 1)), None, str(DeliveryId(7, 2))]


def test_each_event_of_a_pack_has_its_own_id_or_none() -> None:
    (message,) = outgoing_messages(EventBatch.from_bodies([b""] * 3, None, {"flumebeam.id": IDS}), "t", Packing())

    assert taken(received(5, message)).header("flumebeam.id").to_pylist() == IDS


def test_a_packs_application_message_id_is_no_id_of_its_events() -> None:
    own = EventBatch.from_bodies([b""] * 3, None, {"own": IDS})
    (message,) = outgoing_messages(own, "t", Packing(), MessageFields(application_message_id="own"))

    batch = taken(received(5, message))

    assert "flumebeam.id" not in batch.header_names
    assert batch.shared["solace.application-message-id"] == IDS[0]


def test_a_pack_says_what_it_is_to_those_who_do_not_look_inside() -> None:
    (message,) = outgoing_messages(BATCH, "t", Packing(codec="zstd"))

    assert message.content_type == PACK_TYPE
    assert message.content_encoding == "zstd"
    assert message.shared == {"host": "web1"}
    assert message.columns[COUNT_PROPERTY].to_pylist() == ["3"]
    assert next(message.events).application_message_id == "a"


def test_an_events_headers_do_not_speak_of_its_pack() -> None:
    (message,) = outgoing_messages(BATCH, "t", Packing())

    names = taken(received(1, message)).header_names

    assert not {COUNT_PROPERTY, "solace.content-type", "solace.content-encoding"} & set(names)


def pack_of(batch: EventBatch, packing: Packing) -> bytes:
    """Return the payload that packs all of a batch."""
    (payload,) = encode_packs(batch, [Span(0, len(batch), batch.nbytes)], packing).to_pylist()
    return bytes(payload)


def test_any_arrow_library_reads_a_pack() -> None:
    table = pa.ipc.open_stream(pack_of(BATCH, Packing())).read_all()

    assert table.column_names == ["body", "severity", "flumebeam.id"]
    assert table.schema.metadata == {b"host": b"web1"}


def test_a_pack_that_another_library_wrote_is_read() -> None:
    table = pa.table({"body": ["text", "more"], "level": pa.array(["x", None]).dictionary_encode()})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=1)

    batch = decode_pack(zstandard.compress(sink.getvalue()), "zstd")

    assert batch is not None
    assert [(event.body, event.headers) for event in batch.events()] == [(b"text", {"level": "x"}), (b"more", {})]


def test_an_event_that_stands_alone_is_not_packed() -> None:
    (message,) = outgoing_messages(BATCH.slice(0, 1), "t", Packing())

    assert message.content_type is None
    assert next(message.events).body == b"one"


def test_limits_of_events_and_bytes_cut_packs_and_no_event_is_too_large() -> None:
    batch = EventBatch.from_bodies([b"x" * size for size in (10, 10, 10, 500, 60, 60, 1)])

    parts = list(Packing(max_events=2, max_bytes=100).cut(batch))

    assert parts == [(0, 2, 20), (2, 1, 10), (3, 1, 500), (4, 1, 60), (5, 2, 61)]


def test_packs_are_cut_by_what_a_slice_holds_of_bodies_and_own_headers() -> None:
    levels = {"level": ["a", None, "bc", "d"]}
    batch = EventBatch.from_bodies([b"x" * 90, b"1234", b"56", b"789"], {"host": "web1"}, levels)

    parts = list(Packing(max_bytes=8).cut(batch.slice(1)))

    assert parts == [(0, 2, 8), (2, 1, 4)]


def test_packs_of_one_call_are_those_that_each_would_have_been_alone() -> None:
    batch = EventBatch.concat([BATCH, BATCH])
    for codec in ("none", "zstd"):
        packing = Packing(codec=codec)

        packs = encode_packs(batch, [Span(0, 2, 0), Span(2, 1, 0), Span(3, 3, 0)], packing).to_pylist()

        assert packs == [pack_of(part, packing) for part in (batch.slice(0, 2), batch.slice(2, 1), batch.slice(3))]


def test_packs_are_of_one_topic_each_in_the_order_of_its_events() -> None:
    batch = EventBatch.from_bodies([b"1", b"2", b"3", b"4"])
    topics = pa.array(["a", "b", "a", "b"])

    messages = outgoing_messages(batch, topics, Packing())

    assert [message.topics for message in messages] == [["a"], ["b"]]
    assert message_count(batch, topics, Packing()) == 2
    assert [event.body for message in messages for event in taken(received(1, message)).events()] == [
        b"1",
        b"3",
        b"2",
        b"4",
    ]


def test_an_event_without_a_topic_is_refused_packed_or_not() -> None:
    with pytest.raises(PublishRefusedError, match="is missing"):
        outgoing_messages(BATCH, pa.array(["a", None, "a"]), Packing())


def test_each_event_of_a_pack_has_a_delivery_id_of_its_own_that_is_no_messages() -> None:
    (message,) = outgoing_messages(BATCH, "t", Packing())
    (plain,) = outgoing_messages(BATCH.slice(0, 1), "t", None)

    batch = taken(received(5, message), received(6, plain), received(7, message, redelivered=True))

    assert batch.provenance is not None
    assert len(set(batch.provenance.ids.to_pylist())) == 7
    assert batch.provenance.ids[3].as_py() == DeliveryId(7, 6).pack()
    assert batch.provenance.redelivered.to_pylist() == [False] * 4 + [True] * 3
    assert messages_in(batch) == 3
    assert messages_in(batch.slice(1, 4)) == 3


def test_packs_that_are_read_together_give_what_each_gives_alone() -> None:
    others = EventBatch.from_bodies([b"a", b"b"], {"severity": "error"}, {"host": [None, "web2"]})
    packs = [outgoing_messages(batch, "t", Packing())[0] for batch in (BATCH, BATCH.slice(1), others, BATCH)]
    messages = [received(number, pack, redelivered=number == 2) for number, pack in enumerate(packs)]
    messages.insert(2, messages[1]._replace(delivery=DeliveryId(7, 77).pack(), body=b"no arrow"))
    # Of this one the header stands outside only, on the message.
    messages[4] = messages[4]._replace(properties={**messages[4].properties, "host": "outside", "extra": "x"})

    together, alone = taken(*messages), EventBatch.concat([taken(message) for message in messages])

    assert together == alone
    assert together.provenance is not None
    assert together.provenance.fence
    assert together.header("host").to_pylist() == ["web1"] * 6 + [None, "web2"] + ["web1"] * 3


@pytest.mark.parametrize(
    ("properties", "events"),
    [({}, 4096), ({COUNT_PROPERTY: "17"}, 17), ({COUNT_PROPERTY: "0"}, 1), ({COUNT_PROPERTY: "9" * 5000}, 4096)]
    + [({COUNT_PROPERTY: claim}, 4096) for claim in ("", "-1", "\u00b2", 17, None)],
)
def test_what_a_pack_claims_to_hold_is_believed_within_the_limits(properties: dict[str, object], events: int) -> None:
    plain = ReceivedMessage(DeliveryId(7, 1).pack(), False, b"", properties, "t")

    assert claimed_events(plain) == 1
    assert claimed_events(plain._replace(content_type=PACK_TYPE)) == events


def test_packed_ids_lead_back_to_their_message_and_place() -> None:
    first, second = DeliveryId(1, 9), DeliveryId(2, 3)
    ids = packed_ids([first.pack(), second.pack()], [3, 2]).filter(pa.array([True, True, True, False, True]))

    found = [(message, places.tolist()) for message, places in packed_places(id_pairs(ids))]

    assert found == [(first.pack(), [0, 1, 2]), (second.pack(), [1])]
    assert list(packed_places(id_pairs(delivery_ids([])))) == []


@pytest.mark.parametrize(("number", "count"), [(1, MAX_PACKED_EVENTS + 1), (1 << 52, 1)])
def test_what_cannot_be_told_apart_gets_no_ids(number: int, count: int) -> None:
    with pytest.raises(FormatError, match="limit"):
        packed_ids([DeliveryId(1, 1).pack(), DeliveryId(1, number).pack()], [1, count])


def many() -> bytes:
    return pack_of(EventBatch.from_bodies([b""] * (MAX_PACKED_EVENTS + 1)), Packing())


def table_bytes(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("payload", "encoding"),
    [
        (b"", None),
        (b"no arrow", None),
        (pack_of(BATCH, Packing())[:-40], None),
        (pack_of(BATCH, Packing()), "zstd"),
        (pack_of(BATCH, Packing()), "br"),
        (pack_of(BATCH, Packing(codec="zstd"))[:20], "zstd"),
        (zstandard.compress(b"\0" * (65 << 20)), "zstd"),
        (many(), None),
        (table_bytes(pa.table({"line": ["x"]})), None),
        (table_bytes(pa.table({"body": pa.array([], pa.string())})), None),
        (table_bytes(pa.table({"body": ["x", None]})), None),
        (table_bytes(pa.table({"body": [{"a": 1}]})), None),
        (table_bytes(pa.table([pa.array(["x"])] * 3, names=["body", "h", "h"])), None),
    ],
)
def test_what_says_it_is_a_pack_and_is_none_is_one_event_with_its_payload(payload: bytes, encoding: str | None) -> None:
    message = ReceivedMessage(
        DeliveryId(7, 1).pack(), False, payload, {}, "t", content_type=PACK_TYPE, content_encoding=encoding
    )

    batch = taken(message)

    assert [event.body for event in batch.events()] == [payload]
    assert batch.shared["solace.content-type"] == PACK_TYPE
    assert batch.provenance is not None
    assert batch.provenance.ids.to_pylist() == [message.delivery]


def test_fields_of_the_message_cannot_be_forged_from_inside_a_pack() -> None:
    table = pa.table({"body": ["x"], "solace.topic": ["forged"]}).replace_schema_metadata(
        {"solace.message-id": "forged"}
    )
    message = ReceivedMessage(DeliveryId(7, 1).pack(), False, table_bytes(table), {}, "real", content_type=PACK_TYPE)

    batch = taken(message)

    assert batch.shared["solace.topic"] == "real"
    assert "solace.message-id" not in batch.header_names


@given(st.binary(max_size=300))
def test_any_payload_is_a_pack_or_is_not(payload: bytes) -> None:
    assert decode_pack(payload, None) is None


@given(st.binary(min_size=1, max_size=3), st.integers(0, 600))
def test_a_damaged_pack_is_read_or_refused_and_never_an_error(damage: bytes, at: int) -> None:
    payload = pack_of(BATCH, Packing())

    decode_pack(payload[:at] + damage + payload[at + len(damage) :], None)


@pytest.mark.parametrize("options", [{"max_events": 0}, {"max_events": 4097}, {"max_bytes": 0}, {"codec": "gzip"}])
def test_packing_that_cannot_work_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        Packing(**options)  # type: ignore[arg-type]
