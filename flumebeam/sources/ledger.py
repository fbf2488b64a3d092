"""Which records of a stream are durable: the position is the end of the unbroken prefix, whatever order acks take."""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

__all__ = ["Ledger"]


class Ledger:
    """Records handed out and not yet durable, in order of their ends.

    Costs nine bytes per open record and no Python object. Not locked: its owner is.

    Args:
        position: End of what was durable before; 0 for a new stream.
    """

    def __init__(self, position: int) -> None:
        self._position = position
        self._chunks: deque[tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_]]] = deque()
        self._open = 0

    @property
    def position(self) -> int:
        """Offset up to which every record is durable, without a hole."""
        return self._position

    @property
    def unacknowledged(self) -> int:
        """Records handed out and not acknowledged."""
        return self._open

    def hand_out(self, ends: npt.NDArray[np.uint64]) -> None:
        """Note records as handed out.

        Args:
            ends: Offsets behind the records, ascending, all behind what was handed out before.
        """
        if len(ends):
            self._chunks.append((ends, np.zeros(len(ends), dtype=np.bool_)))
            self._open += len(ends)

    def acknowledge(self, ends: npt.NDArray[np.uint64]) -> bool:
        """Note records as durable; those that are not open are ignored.

        Args:
            ends: Offsets behind the records, in any order.

        Returns:
            Whether :attr:`position` moved.
        """
        told = np.sort(ends)
        for chunk, done in self._chunks:
            low, high = told.searchsorted((chunk[0], chunk[-1] + np.uint64(1)))
            if low == high:  # most chunks have none of them
                continue
            part = told[low:high]
            found = chunk.searchsorted(part)
            hits = found[chunk[found] == part]
            before = int(np.count_nonzero(done))
            done[hits] = True
            self._open -= int(np.count_nonzero(done)) - before
        return self._advance()

    def _advance(self) -> bool:
        before = self._position
        while self._chunks:
            chunk, done = self._chunks[0]
            durable = len(done) if done.all() else int(np.argmin(done))
            if durable:
                self._position = int(chunk[durable - 1])
            if durable < len(done):
                self._chunks[0] = (chunk[durable:], done[durable:])
                break
            self._chunks.popleft()
        return self._position != before
