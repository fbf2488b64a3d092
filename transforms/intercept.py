"""Interceptors in Beam."""

from __future__ import annotations

from collections.abc import Iterator

import apache_beam as beam

from flumebeam.batch import EventBatch
from flumebeam.errors import ConfigurationError
from flumebeam.interceptors import Chain, Interceptor
from flumebeam.transforms import metrics
from flumebeam.transforms.element_types import taken

__all__ = ["Intercept"]


class _InterceptFn(beam.DoFn):
    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._passed = metrics.counter("events_intercepted")

    def process(self, batch: EventBatch) -> Iterator[EventBatch]:
        passed = self._chain(batch)
        if len(passed) != len(batch):
            raise ConfigurationError(
                f"An interceptor made {len(passed)} events of {len(batch)}: an event that vanishes is never "
                "acknowledged, so its source would stand still. Let interceptors only change events."
            )
        self._passed.inc(len(passed))
        yield passed


class Intercept(beam.PTransform):
    """Passes batches through interceptors, the first one first.

    Input and output: a PCollection of :class:`~flumebeam.batch.EventBatch`.

    Unit of parallelism: the batch. What repeats: whatever the source repeats. What is never lost: interceptors change
    events and drop none; one that does stops the bundle with
    :class:`~flumebeam.errors.ConfigurationError`.

    Args:
        interceptors: In order; pickled.
    """

    def __init__(self, *interceptors: Interceptor) -> None:
        super().__init__()
        self._chain = Chain(interceptors)

    def expand(self, batches: beam.PCollection[EventBatch]) -> beam.PCollection[EventBatch]:
        """Add the interceptors behind a source."""
        known = taken(batches, EventBatch, "Intercept")
        return known | "Intercept" >> beam.ParDo(_InterceptFn(self._chain)).with_output_types(EventBatch)
