"""Rates of queues: counters sampled once a second, so that messages cost nothing more."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from flumebeam.broker.core.queues import Queue

__all__ = ["Rates"]

_WINDOW: Final = 60
_NAMES: Final = ("RxMsgRate", "RxByteRate", "TxMsgRate", "TxByteRate")


class Rates:
    """Messages and bytes per second, of the last second and on average over a minute."""

    def __init__(self) -> None:
        self._samples: dict[Queue, deque[tuple[float, int, int, int, int]]] = {}

    def sample(self, now: float, queues: Iterable[Queue]) -> None:
        """Note the counters of all queues, and forget queues that are gone.

        Args:
            now: Time, seconds of any clock.
            queues: All queues.
        """
        present = set(queues)
        for gone in self._samples.keys() - present:
            del self._samples[gone]
        for queue in present:
            samples = self._samples.setdefault(queue, deque(maxlen=_WINDOW + 1))
            samples.append((now, queue.received, queue.received_bytes, queue.delivered, queue.delivered_bytes))

    def of(self, queues: Iterable[Queue]) -> dict[str, int]:
        """Return the rates of queues together, by the vendor's names."""
        totals = dict.fromkeys((*(f"average{name}" for name in _NAMES), *map(_short, _NAMES)), 0.0)
        for queue in queues:
            samples = self._samples.get(queue)
            if samples is None or len(samples) == 1:
                continue
            last = samples[-1]
            for position, name in enumerate(_NAMES, start=1):
                for key, first in ((f"average{name}", samples[0]), (_short(name), samples[-2])):
                    totals[key] += (last[position] - first[position]) / max(last[0] - first[0], 0.001)
        return {name: round(total) for name, total in totals.items()}


def _short(name: str) -> str:
    return name[0].lower() + name[1:]
