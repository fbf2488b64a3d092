"""Batches to rows and back, by what each body is."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest

from flumebeam.batch import BatchProvenance, EventBatch
from flumebeam.deliveries import DeadLetter, Durable
from flumebeam.errors import ConfigurationError, FormatError
from flumebeam.event import Event
from flumebeam.ids import DELIVERY_ID_TYPE, DeliveryId
from flumebeam.transforms.rows import FromRows, JsonToRows, RowsToDurables, RowsToJson, ToRows
from flumebeam.transforms.running import unwrap

SCHEMA = {
    "type": "object",
    "properties": {
        "host": {"type": "string"},
        "size": {"type": "integer"},
        "load": {"type": "number"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "at": {"type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}}, "required": ["x"]},
    },
    "required": ["host"],
}
KEPT: list[Any] = []


@pytest.fixture(autouse=True)
def _nothing_kept() -> None:
    KEPT.clear()


def keep(element: Any) -> None:
    KEPT.append(element)


def batch(*bodies: bytes, **headers: str) -> EventBatch:
    count = len(bodies)
    ids = pa.array([DeliveryId(7, number).pack() for number in range(count)], DELIVERY_ID_TYPE)
    redelivered = pa.array([number == 1 for number in range(count)])
    return EventBatch.from_bodies(bodies, headers, None, BatchProvenance("r1", "my queue", ids, redelivered))


def passed(batches: Sequence[EventBatch], steps: Callable[[Any], Any]) -> list[Any]:
    with beam.Pipeline("FnApiRunner") as pipeline:
        steps(pipeline | beam.Create(list(batches), reshuffle=False)) | beam.Map(keep)
    return KEPT


def events(batches: Sequence[EventBatch]) -> list[Event]:
    return [event for each in batches for event in each.events()]


def test_what_goes_through_rows_comes_out_with_body_headers_and_origin() -> None:
    sent = batch(b"a", b"\xff\0", b"", host="h1")

    got = passed([sent], lambda found: found | ToRows() | FromRows())

    assert events(got) == events([sent])
    assert events(got)[1].provenance == next(batch(b"a", b"b").slice(1).events()).provenance


def test_json_goes_through_rows_by_a_schema_and_fields_become_headers() -> None:
    sent = batch(
        b'{"host": "a", "size": 3, "load": 1, "tags": ["x", "\xc3\xa4"], "at": {"x": 1, "y": null}}',
        b'{"host": "b", "size": null, "more": true}',
        zone="z",
    )

    def steps(found: Any) -> Any:
        return (
            found | JsonToRows(SCHEMA, headers={"zone": "zone"}) | "rows" >> _Rows() | RowsToJson(headers={"h": "host"})
        )

    got = events(passed([sent], steps))

    assert [json.loads(event.body) for event in got] == [
        {"size": 3, "load": 1, "tags": ["x", "ä"], "at": {"x": 1}, "zone": "z"},
        {"zone": "z"},
    ]
    assert [event.headers["h"] for event in got] == ["a", "b"]
    assert [event.provenance for event in got] == [event.provenance for event in sent.events()]


class _Rows(beam.PTransform):
    def expand(self, parsed: Any) -> Any:
        return parsed.rows


class _Invalid(beam.PTransform):
    def expand(self, parsed: Any) -> Any:
        return parsed.invalid


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "Expecting value"),
        (b"\xff", "can't decode"),
        (b"[1]", "is not of type 'object'"),
        (b'{"size": 1}', "'host' is a required property"),
        (b'{"host": null}', "'host' is a required property"),
        (b'{"host": "a", "size": "3"}', "is not of type 'integer'"),
        (b'{"host": "a", "size": 99999999999999999999}', "out of the encodable range"),
        (b'{"host": "\\ud800"}', "surrogates not allowed"),
        (b'{"host": "a", "load": NaN}', "NaN is no JSON"),
        (b'{"host": "a", "at": {"y": 1}}', "'x' is a required property"),
        (b"[" * 100_000, "recursion"),
    ],
)
def test_a_body_that_is_no_row_is_a_dead_letter_with_its_cause_or_stops_the_run(body: bytes, why: str) -> None:
    (letter,) = passed([batch(body, zone="z")], lambda found: found | JsonToRows(SCHEMA, invalid=True) | _Invalid())

    assert isinstance(letter, DeadLetter)
    assert why in letter.cause
    assert letter.event == next(batch(body, zone="z").events())
    with pytest.raises(Exception, match="An event of 'my queue' cannot be a row") as raised:
        passed([batch(body)], lambda found: found | JsonToRows(SCHEMA) | _Rows())
    assert isinstance(unwrap(raised.value), FormatError)
    assert why in str(raised.value)


def test_rows_that_passed_a_sink_are_reported_as_durable() -> None:
    (durable,) = passed([batch(b"a", b"b", b"c")], lambda found: found | ToRows() | RowsToDurables())

    assert isinstance(durable, Durable)
    assert durable.receiver == "r1"
    assert durable.ids.to_pylist() == [DeliveryId(7, number).pack() for number in range(3)]


def test_rows_that_lost_their_origin_are_refused_unless_that_is_meant() -> None:
    def without_origin(found: Any) -> Any:
        return found | ToRows() | beam.Select("body", "headers")

    for step in (FromRows(), RowsToJson(), RowsToDurables()):
        with pytest.raises(ConfigurationError, match="have lost their field flumebeam_origin"):
            passed([batch(b"a")], lambda found, step=step: without_origin(found) | step)  # type: ignore[misc]
    (got,) = events(passed([batch(b"a", h="1")], lambda found: without_origin(found) | FromRows(origin=False)))
    assert got == Event(b"a", {"h": "1"})


def test_text_is_a_body_too() -> None:
    (got,) = passed([batch(b"")], lambda found: found | beam.Map(lambda _: beam.Row(body="ä")) | FromRows(origin=False))

    assert list(got.events()) == [Event("ä".encode())]


def test_what_json_cannot_hold_stops_the_run() -> None:
    def steps(found: Any) -> Any:
        return found | ToRows() | RowsToJson()

    with pytest.raises(Exception, match="cannot be JSON: b'a' is bytes"):
        passed([batch(b"a")], steps)


@pytest.mark.parametrize(
    ("step", "why"),
    [
        (lambda: JsonToRows({"type": "array"}), "cannot be one of rows: Expected object"),
        (lambda: JsonToRows({"type": "object", "properties": {"a": {"type": ["integer", "null"]}}}), "cannot be one"),
        (lambda: JsonToRows(SCHEMA, headers={"host": "h"}), "'host' is a field of the schema and of a header"),
        (lambda: ToRows() | RowsToJson(headers={"h": "nowhere"}), "no field 'nowhere' for a header"),
        (lambda: ToRows() | beam.Select("headers") | FromRows(origin=False), "need a field 'body'"),
        (FromRows, "are no rows but"),
    ],
)
def test_what_cannot_work_is_refused_when_the_graph_is_built(step: Callable[[], Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        passed([batch(b"a")], lambda found: found | step())
