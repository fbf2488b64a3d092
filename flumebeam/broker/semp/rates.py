"""Rates of queues and clients: counters sampled once a second, so that messages cost nothing more."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final, Protocol

__all__ = ["Counted", "Rates"]

_WINDOW: Final = 60
_NAMES: Final = ("RxMsgRate", "RxByteRate", "TxMsgRate", "TxByteRate")


class Counted(Protocol):
    """What messages pass through: a queue, or the traffic of a client."""

    received: int
    received_bytes: int
    delivered: int
    delivered_bytes: int


class Rates:
    """Messages and bytes per second, of the last second and on average over a minute."""

    def __init__(self) -> None:
        self._samples: dict[Counted, deque[tuple[float, int, int, int, int]]] = {}

    def sample(self, now: float, counted: Iterable[Counted]) -> None:
        """Note all counters, and forget those that are gone.

        Args:
            now: Time, seconds of any clock.
            counted: All there are.
        """
        present = set(counted)
        for gone in self._samples.keys() - present:
            del self._samples[gone]
        for one in present:
            samples = self._samples.setdefault(one, deque(maxlen=_WINDOW + 1))
            samples.append((now, one.received, one.received_bytes, one.delivered, one.delivered_bytes))

    def of(self, counted: Iterable[Counted]) -> dict[str, int]:
        """Return the rates of several together, by the vendor's names."""
        totals = dict.fromkeys((*(f"average{name}" for name in _NAMES), *map(_short, _NAMES)), 0.0)
        for one in counted:
            samples = self._samples.get(one)
            if samples is None or len(samples) == 1:
                continue
            last = samples[-1]
            for position, name in enumerate(_NAMES, start=1):
                for key, first in ((f"average{name}", samples[0]), (_short(name), samples[-2])):
                    totals[key] += (last[position] - first[position]) / max(last[0] - first[0], 0.001)
        return {name: max(round(total), 0) for name, total in totals.items()}


def _short(name: str) -> str:
    return name[0].lower() + name[1:]
