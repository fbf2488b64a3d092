"""The commit step: tells sources what sinks have made durable.

It stands behind the sink, in the same fused stage, so that source, sink and commit step run in one process. It needs
no bundle finalizer, so it works alike on every runner, streaming or not.
"""

from __future__ import annotations

from collections.abc import Iterator

import apache_beam as beam

from flumebeam.batch import EventBatch
from flumebeam.deliveries import Durable
from flumebeam.errors import ConfigurationError
from flumebeam.transforms import metrics
from flumebeam.transforms.element_types import taken
from flumebeam.transforms.receivers import RECEIVERS

__all__ = ["Acknowledge", "AcknowledgeBatches", "durable_of"]


def durable_of(batch: EventBatch) -> Durable:
    """Return the deliveries of a batch, for a sink that has made all its events durable.

    Raises:
        ConfigurationError: The batch was made by a program: there is nobody to tell.
    """
    if batch.provenance is None:
        raise ConfigurationError(
            "A batch without provenance cannot be acknowledged: let transforms between source and sink keep it."
        )
    return Durable(batch.provenance.receiver, batch.provenance.ids)


class _AcknowledgeFn(beam.DoFn):
    """Tells the receivers at once: a bundle may be a whole run, and a source delivers only so much without answer."""

    def __init__(self) -> None:
        self._acknowledged = metrics.counter("events_acknowledged")
        self._latency = metrics.distribution("acknowledge_latency_ms")

    def process(self, durable: Durable) -> Iterator[None]:
        if len(durable.ids):
            waited = RECEIVERS.acknowledge(durable.receiver, durable.ids)
            if waited is not None:
                self._latency.update(round(waited * 1000))
            self._acknowledged.inc(len(durable.ids))
        return iter(())


class Acknowledge(beam.PTransform):
    """Acknowledges what a sink reports as durable.

    Input: a PCollection of :class:`~flumebeam.deliveries.Durable`, from ``WriteToHdfs``, ``WriteToSolace`` or a sink of
    one's own. Output: an empty PCollection, to be ignored.

    Promise: nothing is acknowledged before the sink has reported it. What repeats: deliveries whose acknowledgement
    did not reach the source. If a receiver is not open in this process, because a shuffle stands between source and
    commit step, the bundle fails with :class:`~flumebeam.errors.ReceiverLostError` and the source delivers again.
    """

    def expand(self, durables: beam.PCollection[Durable]) -> beam.PCollection[None]:
        """Add the commit step behind a sink."""
        return taken(durables, Durable, "Acknowledge") | "Acknowledge" >> beam.ParDo(
            _AcknowledgeFn()
        ).with_output_types(type(None))


class AcknowledgeBatches(beam.PTransform):
    """Acknowledges batches that a sink of one's own passes on once all their events are durable.

    Input: a PCollection of :class:`~flumebeam.batch.EventBatch` with the provenance they were read with. Output and
    promise: as for :class:`Acknowledge`.

    A sink that makes events durable in ``finish_bundle`` emits its batches there, not in ``process``.
    """

    def expand(self, batches: beam.PCollection[EventBatch]) -> beam.PCollection[None]:
        """Add the commit step behind a sink."""
        known = taken(batches, EventBatch, "AcknowledgeBatches")
        return known | "Durable" >> beam.Map(durable_of).with_output_types(Durable) | Acknowledge()
