"""Watching events pass a queue: how many, how long, and what it cost each process.

Measured at the broker, between the first message and the last one, so that starting an interpreter, importing Beam and
connecting are outside for every lane alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.bench.broker_host import BrokerProcess, Depth
from tests.bench.figures import per_million
from tests.bench.procfs import Usage
from tests.bench.programs import Program, ProgramFailedError

__all__ = ["Passage", "drained", "filled"]

_POLL_SECONDS: Final = 0.02
_PATIENCE_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Passage:
    """What was measured of one way through a queue.

    Attributes:
        events: Events that passed while it was measured.
        seconds: How long that took.
        program_cpu_seconds: What the program used, its children included.
        broker_cpu_seconds: What the broker used.
        peak_rss_bytes: Most resident memory that the program was seen with, its children included.
    """

    events: int
    seconds: float
    program_cpu_seconds: float
    broker_cpu_seconds: float
    peak_rss_bytes: int

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.seconds

    @property
    def program_cpu(self) -> float:
        """CPU seconds of the program per million events."""
        return per_million(self.program_cpu_seconds, self.events)

    @property
    def broker_cpu(self) -> float:
        """CPU seconds of the broker per million events."""
        return per_million(self.broker_cpu_seconds, self.events)


@dataclass(frozen=True, slots=True)
class _Sample:
    time: float
    depth: Depth
    program: Usage
    broker: Usage


def filled(broker: BrokerProcess, queue: str, program: Program, events: int, *, packed: bool = False) -> Passage:
    """Watch a program fill an empty queue with so many events, and wait until it has ended.

    Args:
        broker: Has the queue.
        queue: Its name.
        program: Fills it.
        events: How many events it sends.
        packed: A message holds several, so that only the program's end tells that all are there.
    """
    begin, end, peak = _watch(
        broker,
        queue,
        program,
        begun=lambda depth: depth.messages > 0,
        over=lambda depth, running: not running if packed else depth.messages >= events,
    )
    return _passage(begin, end, peak, events, end.depth.messages)


def drained(broker: BrokerProcess, queue: str, program: Program, events: int) -> Passage:
    """Watch a program empty a queue that holds so many events, and wait until it has ended."""
    messages = broker.depth(queue).messages
    begin, end, peak = _watch(
        broker,
        queue,
        program,
        begun=lambda depth: depth.unacknowledged > 0 or depth.messages < messages,
        over=lambda depth, running: depth.messages == 0,
    )
    return _passage(begin, end, peak, events, messages)


def _watch(
    broker: BrokerProcess,
    queue: str,
    program: Program,
    *,
    begun: Callable[[Depth], bool],
    over: Callable[[Depth, bool], bool],
) -> tuple[_Sample, _Sample, int]:
    """Return what was seen when it began, what was seen at the last change, and the peak of memory, bytes."""
    first: _Sample | None = None
    before: _Sample | None = None
    moved: _Sample | None = None
    peak = 0
    while True:
        running = program.running()  # asked first: what it did before it ended is then in the sample
        sample = _Sample(time.monotonic(), broker.depth(queue), program.usage(), broker.usage())
        peak = max(peak, sample.program.rss_bytes)
        if first is None and begun(sample.depth):
            first = sample
        elif first is None:
            before = sample
        if moved is None or sample.depth != moved.depth:
            moved = sample
        if over(sample.depth, running):
            break
        if not running or sample.time - moved.time > _PATIENCE_SECONDS:
            raise ProgramFailedError(f"A program {'stands still' if running else 'ended'} with {sample.depth}.")
        time.sleep(_POLL_SECONDS)
    program.wait(_PATIENCE_SECONDS)
    if first is None or first is moved:  # all of it within one look: the one before is the beginning
        first = before or moved
    return first, moved, peak


def _passage(begin: _Sample, end: _Sample, peak: int, events: int, messages: int) -> Passage:
    moved = abs(end.depth.messages - begin.depth.messages)
    if not moved:
        raise ProgramFailedError(f"{events} events passed between two looks at the queue: send more of them.")
    return Passage(
        events * moved // messages,
        end.time - begin.time,
        end.program.cpu_seconds - begin.program.cpu_seconds,
        end.broker.cpu_seconds - begin.broker.cpu_seconds,
        peak,
    )
