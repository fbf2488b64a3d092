from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.transforms.window import FixedWindows, TimestampedValue

from flumebeam.batch import EventBatch
from flumebeam.errors import ConfigurationError
from flumebeam.event import Event, Provenance
from flumebeam.ids import DeliveryId
from flumebeam.transforms.events import FromEvents, ToEvents

NOTED: list[Event] = []
GOT: list[tuple[list[bytes], Any, float]] = []


def note(event: Event) -> None:
    NOTED.append(event)


class Note(beam.DoFn):
    def process(
        self, batch: EventBatch, stamp: Any = beam.DoFn.TimestampParam, window: Any = beam.DoFn.WindowParam
    ) -> Iterator[EventBatch]:
        GOT.append((batch.bodies.to_pylist(), window, float(stamp)))
        yield batch


def gather(events: list[tuple[Event, float]], max_events: int = 1_000) -> list[tuple[list[bytes], Any, float]]:
    GOT.clear()
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        _ = (
            pipeline
            | beam.Create([0])
            | beam.FlatMap(lambda _: [TimestampedValue(event, stamp) for event, stamp in events])
            | beam.WindowInto(FixedWindows(10))
            | FromEvents(max_events)
            | beam.ParDo(Note())
        )
    return GOT


def event(body: bytes, receiver: str = "") -> Event:
    return Event(body, {}, Provenance(receiver, "q", DeliveryId(0, 0)) if receiver else None)


def test_a_batch_ends_where_the_receiver_changes() -> None:
    events = [(event(b"a", "r1"), 0), (event(b"b", "r1"), 0), (event(b"c", "r2"), 0), (event(b"d"), 0)]

    assert [bodies for bodies, _, _ in gather(events)] == [[b"a", b"b"], [b"c"], [b"d"]]


def test_a_batch_ends_where_the_window_changes_and_stays_in_its_own() -> None:
    found = gather([(event(b"a"), 1), (event(b"b"), 9), (event(b"c"), 11)])

    assert [bodies for bodies, _, _ in found] == [[b"a", b"b"], [b"c"]]
    assert [(int(window.start), stamp) for _, window, stamp in found] == [(0, 1.0), (10, 11.0)]


def test_a_batch_holds_no_more_than_max_events() -> None:
    assert [len(bodies) for bodies, _, _ in gather([(event(b"x"), 0)] * 7, max_events=3)] == [3, 3, 1]


def test_a_batch_holds_at_least_one_event() -> None:
    with pytest.raises(ConfigurationError):
        FromEvents(0)


def test_batches_come_apart_into_events_with_their_headers() -> None:
    NOTED.clear()
    batch = EventBatch.from_bodies([b"a", b"b"], {"h": "1"}, {"n": ["1", None]})
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        _ = pipeline | beam.Create([batch]) | ToEvents() | beam.Map(note)

    assert [Event(b"a", {"h": "1", "n": "1"}), Event(b"b", {"h": "1"})] == NOTED
