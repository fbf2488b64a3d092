"""Clients at work, a broker that is killed, and the audit after it."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.faults.broker.conversations import PlainPublisher, TransactedPublisher, Transform, drained, mark_end
from tests.faults.broker.host import KilledBroker
from tests.waiting import eventually

__all__ = ["Sums", "killed_scene"]

_PATIENCE = 60.0
_LONGEST = 1.2
"""Seconds between two kills at most: a start takes about half of it, and is to be hit, too."""


@dataclass
class Sums:
    """What came of it. ``lost``, ``repeated`` and ``uncommitted`` are to be 0."""

    kills: int = 0
    acknowledged: int = 0
    committed: int = 0
    rolled_back: int = 0
    unknown: int = 0
    transformed: int = 0
    lost: int = 0
    repeated: int = 0
    uncommitted: int = 0

    def __add__(self, other: Sums) -> Sums:
        return Sums(**{name: value + getattr(other, name) for name, value in asdict(self).items()})

    @property
    def clean(self) -> bool:
        """Whether nothing was lost, repeated or uncommitted."""
        return not (self.lost or self.repeated or self.uncommitted)


def killed_scene(data: Path, kills: int, seed: str) -> Sums:
    """Kill a broker under load a number of times, and count what it kept.

    Args:
        data: The broker's directory; new.
        kills: How often it is killed, at random moments, its starts included.
        seed: Of the moments and of what the clients do.

    Returns:
        The sums.
    """
    broker, moments = KilledBroker(data), random.Random(seed)
    broker.start()
    broker.wait()
    try:
        plain, transacted = PlainPublisher(broker.url, seed), TransactedPublisher(broker.url, seed)
        transform = Transform(broker.url, seed)
        conversations = (plain, transacted, transform)
        for conversation in conversations:
            conversation.start()
        # A machine may be so busy that no broker comes up between two kills: these have had their turn.
        eventually(lambda: bool(plain.acknowledged and transacted.outcomes["committed"]))
        for _ in range(kills):
            time.sleep(moments.uniform(0.0, _LONGEST))
            broker.kill()
            broker.start()
        broker.wait()
        transacted.end()
        plain.ending.set()
        deadline = time.monotonic() + _PATIENCE
        while not plain.settled() and time.monotonic() < deadline:
            time.sleep(0.05)
        plain.end()
        # Through both queues that it feeds, and through the transform.
        mark_end(broker.url, "plain/x")
        out = drained(broker.url, "out")
        transform.end()
        stored = drained(broker.url, "plain")
        mark_end(broker.url, "transacted/x")
        kept = drained(broker.url, "transacted")
        return _audit(plain, transacted, stored, out, kept, kills)
    finally:
        broker.kill()


def _audit(
    plain: PlainPublisher,
    transacted: TransactedPublisher,
    stored: list[int],
    out: list[int],
    kept: list[int],
    kills: int,
) -> Sums:
    sums = Sums(kills=kills, acknowledged=len(plain.acknowledged), transformed=len(out))
    sums.lost += len(plain.acknowledged - set(stored)) + len(plain.acknowledged - set(out))
    sums.uncommitted += len(set(out) - set(stored)) + len(plain.refused & set(stored))
    found = set(kept)
    for numbers, outcome in transacted.transactions:
        there = len(found.intersection(numbers))
        if outcome == "committed":
            sums.committed += 1
            sums.lost += len(numbers) - there
        elif outcome == "rolled back":
            sums.rolled_back += 1
            sums.uncommitted += there
        else:
            sums.unknown += 1
            sums.uncommitted += there % len(numbers)  # all or nothing
    for numbers in (stored, out, kept):
        sums.repeated += sum(count - 1 for count in Counter(numbers).values())
    return sums
