from __future__ import annotations

import io
from typing import Any

import fastavro
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from flumebeam.batch import EventBatch
from flumebeam.ids import DeliveryId
from flumebeam.solace.incoming import ReceivedMessage
from flumebeam.solace.packing import COUNT_PROPERTY, PACKED_HEADER, events_of, messages_in

BATCH: Any = fastavro.parse_schema(
    # As it stands in Flume 1.11's AvroSourceProtocol, for the argument of appendBatch.
    {
        "type": "array",
        "items": {
            "type": "record",
            "name": "AvroFlumeEvent",
            "namespace": "org.apache.flume.source.avro",
            "fields": [
                {"name": "headers", "type": {"type": "map", "values": "string"}},
                {"name": "body", "type": "bytes"},
            ],
        },
    }
)
EVENTS = [
    {"headers": {"host": "web1", "level": "info"}, "body": b"one"},
    {"headers": {"host": "web1"}, "body": b""},
    {"headers": {"host": "web2", "solace.topic": "forged"}, "body": b"\0\xff"},
]


def payload_of(events: list[dict[str, Any]]) -> bytes:
    sink = io.BytesIO()
    fastavro.schemaless_writer(sink, BATCH, events)
    return sink.getvalue()


def message(payload: bytes, *, count: object = "3", encoding: str | None = None) -> ReceivedMessage:
    properties = {"via": "bus"} if count is None else {"via": "bus", COUNT_PROPERTY: count}
    return ReceivedMessage(
        DeliveryId(7, 5).pack(),
        False,
        payload,
        properties,
        "logs/x",
        content_type="avro/binary",
        content_encoding=encoding,
    )


def taken(*messages: ReceivedMessage) -> EventBatch:
    return events_of(messages, receiver="r", queue="q", fence=False)


@pytest.mark.parametrize("encoding", [None, "zstd"])
def test_a_batch_of_flumes_own_schema_is_unpacked(encoding: str | None) -> None:
    payload = payload_of(EVENTS)

    batch = taken(message(zstandard.compress(payload) if encoding else payload, encoding=encoding))

    assert batch.bodies.to_pylist() == [b"one", b"", b"\0\xff"]
    assert batch.header("host").to_pylist() == ["web1", "web1", "web2"]
    assert batch.header("level").to_pylist() == ["info", None, None]
    assert batch.shared["via"] == "bus"
    assert batch.shared["solace.topic"] == "logs/x"
    assert batch.shared[PACKED_HEADER] == "true"
    assert batch.provenance is not None
    assert len(set(batch.provenance.ids.to_pylist())) == 3
    assert messages_in(batch) == 1


@pytest.mark.parametrize(
    "one",
    [
        message(payload_of(EVENTS), count=None),  # any other Avro of somebody
        message(payload_of(EVENTS), count="2"),
        message(payload_of(EVENTS), count=3),
        message(payload_of(EVENTS) + b"\0"),
        message(payload_of(EVENTS)[:-3]),
        message(payload_of(EVENTS), encoding="zstd"),
        message(payload_of(EVENTS), encoding="br"),
        message(b"\x02\x02\x02\xff\x02x\x00\x00\x00", count="1"),  # a header's name that is no text
        message(b"", count="1"),
    ],
)
def test_what_is_no_such_batch_is_one_event_with_its_payload(one: ReceivedMessage) -> None:
    batch = taken(one)

    assert batch.bodies.to_pylist() == [one.body]
    assert batch.shared["solace.content-type"] == "avro/binary"
    assert batch.provenance is not None
    assert batch.provenance.ids.to_pylist() == [one.delivery]


@given(st.binary(max_size=200), st.integers(1, 5))
def test_any_payload_is_such_a_batch_or_one_event_and_never_an_error(payload: bytes, count: int) -> None:
    assert len(taken(message(payload, count=str(count)))) in (1, count)


@given(st.binary(min_size=1, max_size=3), st.integers(0, 80))
def test_a_damaged_batch_is_read_or_refused_and_never_an_error(damage: bytes, at: int) -> None:
    payload = payload_of(EVENTS)

    assert len(taken(message(payload[:at] + damage + payload[at + len(damage) :]))) in (1, 3)
