"""Which events of packed messages are acknowledged: a message is, when all of its events are."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flumebeam.batch import EventBatch
from flumebeam.ids import id_list, id_pairs, packed_places
from flumebeam.solace.packing import packed_pairs

__all__ = ["OpenPacks"]


class OpenPacks:
    """Packed messages of one receiver that were handed out and are not wholly acknowledged. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[bytes, npt.NDArray[np.bool_]] = {}
        """By message: for each of its events whether it still waits for its acknowledgement."""
        self._origins: set[int] = set()

    def add(self, batch: EventBatch) -> None:
        """Note that messages have been unpacked; those that could not be are left out.

        Args:
            batch: All of their events.
        """
        pairs = packed_pairs(batch)
        with self._lock:
            for message, places in packed_places(pairs):
                self._waiting[message] = np.ones(len(places), np.bool_)
            self._origins.update(map(int, np.unique(pairs[:, 0])))

    @property
    def surplus(self) -> int:
        """Events that wait, beyond one for each message."""
        with self._lock:
            return sum(int(events.sum()) - 1 for events in self._waiting.values())

    def forget(self, messages: Iterable[bytes]) -> None:
        """Drop messages that are given back whole, whatever of their events has been acknowledged."""
        with self._lock:
            for message in messages:
                self._waiting.pop(message, None)

    def completed_by(self, ids: pa.FixedSizeBinaryArray) -> list[bytes]:
        """Take acknowledged events, and return the ids of messages that are acknowledged by that.

        Args:
            ids: Delivery ids, of whole messages too, which are returned as they are.
        """
        if not self._origins:
            return id_list(ids)
        pairs = id_pairs(ids)
        packed = np.isin(pairs[:, 0], np.array(sorted(self._origins), np.uint64))
        whole = id_list(ids.filter(pa.array(~packed)))
        with self._lock:
            for message, places in packed_places(pairs[packed]):
                waiting = self._waiting.get(message)
                if waiting is None:
                    continue
                waiting[places[places < len(waiting)].astype(np.int64)] = False
                if not waiting.any():
                    del self._waiting[message]
                    whole.append(message)
        return whole
