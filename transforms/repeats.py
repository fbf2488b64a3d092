"""Messages that were published more than once, recognised by their application message id."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

import pyarrow as pa

from flumebeam.batch import EventBatch
from flumebeam.errors import ConfigurationError
from flumebeam.ids import id_list
from flumebeam.solace.packing import PACKED_HEADER

__all__ = ["RepeatWindow"]

_ID_HEADER: Final = "solace.application-message-id"


class RepeatWindow:
    """The last application message ids of a source in this process. Safe for threads.

    A repeat has the id of another *delivery* that is durable, or may become so. What the broker delivers again is under
    its old delivery id and no repeat. What is given back is forgotten: where it ends as a dead message, and is
    published anew, it passes. So the first message of an id stays on the broker until it is durable, and dropping the
    others loses nothing.

    Messages without an id pass. So do packed ones: theirs is the id of their first event and says nothing of the rest.

    Args:
        size: Ids to remember, at least 1.

    Raises:
        ConfigurationError: The size is not positive.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ConfigurationError(f"deduplicate must be at least 1, got {size}.")
        self._size = size
        self._first: OrderedDict[str, bytes] = OrderedDict()
        """By application message id: the delivery that had it first."""
        self._lock = threading.Lock()

    def split(self, batch: EventBatch, waiting: dict[bytes, str]) -> tuple[EventBatch, pa.FixedSizeBinaryArray | None]:
        """Return what of a batch is no repeat, and the delivery ids of what is; ``None`` if nothing is.

        Args:
            batch: What was received.
            waiting: Gets the deliveries that are no repeats, with their ids, to be forgotten if they are given back.
        """
        names = batch.header_names
        if batch.provenance is None or _ID_HEADER not in names or PACKED_HEADER in names:
            return batch, None
        own = batch.header(_ID_HEADER).to_pylist()
        deliveries = batch.provenance.ids
        with self._lock:
            fresh = [
                self._is_first(id_, delivery, waiting) for id_, delivery in zip(own, id_list(deliveries), strict=True)
            ]
        if all(fresh):
            return batch, None
        kept = pa.array(fresh)
        return batch.filter(kept), deliveries.filter(pa.array([not first for first in fresh]))

    def forget(self, waiting: dict[bytes, str]) -> None:
        """Forget deliveries that were not acknowledged, and are given back."""
        with self._lock:
            for delivery, id_ in tuple(waiting.items()):
                if self._first.get(id_) == delivery:
                    del self._first[id_]

    def _is_first(self, id_: str | None, delivery: bytes, waiting: dict[bytes, str]) -> bool:
        if not id_:
            return True
        first = self._first.setdefault(id_, delivery)
        if len(self._first) > self._size:
            self._first.popitem(last=False)
        if first != delivery:
            return False
        waiting[delivery] = id_
        return True
