"""Says when events were read."""

from __future__ import annotations

from dataclasses import dataclass, field

from flumebeam.batch import EventBatch
from flumebeam.clock import Clock, SystemClock
from flumebeam.event import TIMESTAMP_HEADER
from flumebeam.interceptors.base import with_header

__all__ = ["TimestampInterceptor"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TimestampInterceptor:
    """Sets the header ``timestamp`` to now, milliseconds since 1970 UTC; one value for a whole batch.

    Attributes:
        header: Name of the header.
        preserve_existing: Leave events alone that have the header.
        clock: Says what time it is.
    """

    header: str = TIMESTAMP_HEADER
    preserve_existing: bool = False
    clock: Clock = field(default_factory=SystemClock)

    def __call__(self, batch: EventBatch) -> EventBatch:
        """Return the batch with the header."""
        return with_header(batch, self.header, str(self.clock.epoch_ms()), preserve_existing=self.preserve_existing)
