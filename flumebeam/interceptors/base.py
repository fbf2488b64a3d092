"""What an interceptor is, and how several become one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import pyarrow.compute as pc

from flumebeam.batch import EventBatch

__all__ = ["Chain", "Interceptor", "with_header"]


class Interceptor(Protocol):
    """A picklable function from batch to batch.

    It may change bodies and headers; it keeps the number, the order and the provenance of the events, because an event
    that vanished would never be acknowledged.
    """

    def __call__(self, batch: EventBatch) -> EventBatch:
        """Return what goes on; called for every batch, possibly by several threads."""
        ...


@dataclass(frozen=True, slots=True)
class Chain:
    """Several interceptors as one, the first one first.

    Attributes:
        interceptors: In order; none at all changes nothing.
    """

    interceptors: tuple[Interceptor, ...] = ()

    def __call__(self, batch: EventBatch) -> EventBatch:
        """Return what comes out behind the last one."""
        for interceptor in self.interceptors:
            batch = interceptor(batch)
        return batch


def with_header(batch: EventBatch, name: str, value: str, *, preserve_existing: bool) -> EventBatch:
    """Return the batch with one value for a header of all events.

    Args:
        batch: Events.
        name: Header name.
        value: Its value.
        preserve_existing: Leave events alone that have the header.
    """
    if not preserve_existing or name not in batch.header_names:
        return batch.with_shared({name: value})
    if name in batch.shared:
        return batch
    return batch.with_column(name, pc.fill_null(batch.header(name), value))
