"""Single events for pipeline authors, and back to batches for our sinks.

Batches are for bulk: a single :class:`~flumebeam.event.Event` costs some microseconds a step. Both directions work on
one bundle, without a shuffle, so the commit step still finds source and sink in one stage.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import apache_beam as beam
from apache_beam.utils.windowed_value import WindowedValue

from flumebeam.batch import EventBatch
from flumebeam.errors import ConfigurationError
from flumebeam.event import Event
from flumebeam.transforms.element_types import refuse, taken, typed

__all__ = ["FromEvents", "ToEvents"]

_TAKEN: Final = (Event, bytes, str)


class ToEvents(beam.PTransform):
    """Takes batches apart into single events, with their provenance and the timestamp of their batch."""

    def expand(self, batches: beam.PCollection[EventBatch]) -> beam.PCollection[Event]:
        """Add the step."""
        known = taken(batches, EventBatch, "ToEvents")
        return known | "ToEvents" >> beam.FlatMap(EventBatch.events).with_output_types(Event)


class FromEvents(beam.PTransform):
    """Gathers single events into batches: of one window, and of one receiver.

    Input: a PCollection of :class:`~flumebeam.event.Event`, or of bytes or text, which become bodies (text in UTF-8);
    output: a PCollection of :class:`~flumebeam.batch.EventBatch`.

    A batch ends at ``max_events``, where the next event has another receiver or window, and with its bundle.

    Args:
        max_events: Events of a batch, at least 1.

    Raises:
        ConfigurationError: ``max_events`` is less than 1.
    """

    def __init__(self, max_events: int = 1_000) -> None:
        super().__init__()
        if max_events < 1:
            raise ConfigurationError(f"A batch holds at least one event, got max_events={max_events}.")
        self._max_events = max_events

    def expand(self, events: beam.PCollection[Event | bytes | str]) -> beam.PCollection[EventBatch]:
        """Add the step.

        Raises:
            ConfigurationError: The elements are known to be something else. When the pipeline runs: one of them is.
        """
        typed(events, _TAKEN, "FromEvents")
        return events | "FromEvents" >> beam.ParDo(_GatherFn(self._max_events)).with_output_types(EventBatch)


def _event_of(body: bytes | str) -> Event:
    if isinstance(body, str):
        return Event(body.encode())
    if isinstance(body, bytes):
        return Event(body)
    raise refuse(type(body).__name__, _TAKEN, "FromEvents")


class _GatherFn(beam.DoFn):
    """Holds the events of the batch in progress, and with what it is to be emitted."""

    def __init__(self, max_events: int) -> None:
        self._max_events = max_events

    def start_bundle(self) -> None:
        self._events: list[Event] = []
        self._key: Any = None
        self._stamp: Any = None

    def process(
        self, element: Event | bytes | str, stamp: Any = beam.DoFn.TimestampParam, window: Any = beam.DoFn.WindowParam
    ) -> Iterator[WindowedValue]:
        event = element if isinstance(element, Event) else _event_of(element)
        key = (window, event.provenance and (event.provenance.receiver, event.provenance.queue))
        if self._events and (key != self._key or len(self._events) >= self._max_events):
            yield self._flush()
        if not self._events:
            self._key, self._stamp = key, stamp
        self._events.append(event)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        if self._events:
            yield self._flush()

    def _flush(self) -> WindowedValue:
        batch = EventBatch.from_events(self._events)
        self._events = []
        return WindowedValue(batch, self._stamp, [self._key[0]])
