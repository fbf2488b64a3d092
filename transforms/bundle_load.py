"""When a bundle of a read has to end: by what it has read and nobody has made durable."""

from __future__ import annotations

from typing import Final

from flumebeam.batch import EventBatch
from flumebeam.solace.packing import messages_in
from flumebeam.transforms.read_options import BundleLimits

__all__ = ["MAX_LOADS", "BundleLoad"]

MAX_LOADS: Final = 4
"""How many times the bytes of its limit a bundle reads at most while its sink keeps up."""


class BundleLoad:
    """How much of what one bundle has read may still wait for its sink."""

    def __init__(self, limits: BundleLimits) -> None:
        self._limits = limits
        self._messages = self._nbytes = self._nbytes_before = 0

    @property
    def room(self) -> int:
        """Messages that the bundle may still read."""
        return self._limits.events - self._messages

    @property
    def full(self) -> bool:
        """Whether the bundle has to end, unless its sink has made durable what it read."""
        return self.room < 1 or self._nbytes >= self._limits.nbytes

    def add(self, batch: EventBatch) -> None:
        """Note what was read."""
        self._messages += messages_in(batch)
        self._nbytes += batch.nbytes

    def lighten(self) -> None:
        """Start anew, since nothing waits any more; in vain once the bundle has read too many bytes in all.

        Steps behind a shuffle may get them only at the end of the bundle, and the runner keeps them until then.
        """
        if self._nbytes_before + self._nbytes < MAX_LOADS * self._limits.nbytes:
            self._nbytes_before += self._nbytes
            self._messages = self._nbytes = 0
