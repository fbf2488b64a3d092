"""Suite ``stall``: does a batch layer that hangs slow the speed layer down?

One topic feeds two queues, each with its layer. The batch layer runs normally, its disk hangs, it catches up, and it
runs normally again, all in one run, while the speed layer's latency is taken: from the put to the user's function, by
one clock. The two normal phases show how much the machine alone makes of a difference.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from tests.bench.broker_host import BrokerProcess
from tests.bench.figures import percentile
from tests.bench.latencies import read_latencies
from tests.bench.programs import Program, ProgramFailedError

__all__ = ["Mark", "Phase", "Stall", "measure_stall", "phase_of"]

_TOPIC: Final = "bench/stall"
_START_SECONDS: Final = 60.0
_WARM_UP_SECONDS: Final = 3.0
_CATCH_UP_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.1
_SHORTEST_SECONDS: Final = 1.0
"""A phase needs some events to have a latency."""


@dataclass(frozen=True, slots=True)
class Phase:
    """The speed layer in one phase.

    Attributes:
        name: What the batch layer does meanwhile.
        seconds: How long it lasted.
        events: Events put in it.
        p50_ms: Half of them reached the user's function within so many milliseconds.
        p99_ms: 99 of 100 did.
        worst_ms: All did.
        batch_queue: Messages in the batch layer's queue at the end of the phase.
        cpu_shares: CPU time per second of each process: ``publish``, ``speed``, ``batch`` and ``broker``.
    """

    name: str
    seconds: float
    events: int
    p50_ms: float
    p99_ms: float
    worst_ms: float
    batch_queue: int
    cpu_shares: dict[str, float]


@dataclass(frozen=True, slots=True)
class Mark:
    """The beginning or the end of a phase.

    Attributes:
        time_ns: When it was, nanoseconds since 1970.
        batch_queue: Messages in the batch layer's queue then.
        cpu_seconds: What each process had used by then.
    """

    time_ns: int
    batch_queue: int
    cpu_seconds: dict[str, float]


@dataclass(frozen=True, slots=True)
class Stall:
    """What the run gave.

    Attributes:
        rate: Events per second that were asked of the publisher.
        size: Bytes of a body.
        phases: In order of time.
    """

    rate: int
    size: int
    phases: list[Phase]

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return asdict(self)


def phase_of(name: str, begin: Mark, end: Mark, latencies: list[tuple[int, float]]) -> Phase:
    """Return the figures of the events that were put within a phase.

    Args:
        name: Its name.
        begin: Its beginning.
        end: Its end.
        latencies: When each event was put, and its latency in milliseconds.
    """
    taken = sorted(latency for put, latency in latencies if begin.time_ns <= put < end.time_ns)
    if not taken:
        raise ProgramFailedError(f"No event reached the speed layer while the batch layer was {name}.")
    seconds = (end.time_ns - begin.time_ns) / 1e9
    shares = {who: (spent - begin.cpu_seconds[who]) / seconds for who, spent in end.cpu_seconds.items()}
    p50, p99 = percentile(taken, 0.5), percentile(taken, 0.99)
    return Phase(name, seconds, len(taken), p50, p99, taken[-1], end.batch_queue, shares)


def measure_stall(workspace: Path, *, rate: int, size: int, seconds: float, tell: Callable[[str], None]) -> Stall:
    """Run both layers and return the speed layer's latencies in each phase.

    Args:
        workspace: An empty directory.
        rate: Events per second.
        size: Bytes of a body.
        seconds: How long the batch layer hangs, and half of it runs normally before and after.
        tell: Called with what is done at the moment.
    """
    publishing, stalled, notes = workspace / "publishing", workspace / "stalled", workspace / "latencies"
    publishing.touch()
    marks: list[tuple[str, Mark, Mark]] = []
    with ExitStack() as stack:
        broker = stack.enter_context(BrokerProcess())
        broker.create_queue("batch", _TOPIC)
        broker.create_queue("speed", _TOPIC)

        def start(layer: str, *arguments: str) -> Program:
            command = [layer, "--host", broker.url, *arguments]
            return stack.enter_context(Program("tests.bench.layers", command, workspace / f"{layer}.log"))

        target = str(workspace / "files")
        programs = {
            "speed": start("speed", "--queue", "speed", "--notes", str(notes)),
            "batch": start("batch", "--queue", "batch", "--target", target, "--stall", str(stalled)),
        }

        def mark() -> Mark:
            spent = {name: program.usage().cpu_seconds for name, program in programs.items()}
            spent["broker"] = broker.usage().cpu_seconds
            return Mark(time.time_ns(), broker.depth("batch").messages, spent)

        def until(what: str, true: Callable[[], bool], patience: float) -> None:
            deadline = time.monotonic() + patience
            while not true():
                if time.monotonic() > deadline or not all(program.running() for program in programs.values()):
                    raise ProgramFailedError(f"Waited in vain until {what}.")
                time.sleep(_POLL_SECONDS)

        def phase(name: str, true: Callable[[], bool], patience: float) -> None:
            tell(f"batch layer {name}")
            begin = mark()
            until(f"the batch layer was no longer {name}", true, patience)
            marks.append((name, begin, mark()))

        def lasting(length: float) -> Callable[[], bool]:
            end = time.monotonic() + length
            return lambda: time.monotonic() >= end

        tell("both layers start")
        until(
            "both layers had bound their queues",
            lambda: bool(broker.depth("batch").consumers and broker.depth("speed").consumers),
            _START_SECONDS,
        )
        publisher = programs["publish"] = start(
            "publish", "--topic", _TOPIC, "--rate", str(rate), "--size", str(size), "--run", str(publishing)
        )
        until("events came", lambda: notes.exists() and notes.stat().st_size > 0, _START_SECONDS)
        until("all was warm", lasting(_WARM_UP_SECONDS), _START_SECONDS)
        phase("normal", lasting(seconds / 2), seconds + _START_SECONDS)
        stalled.touch()
        phase("stalled", lasting(seconds), seconds + _START_SECONDS)
        stalled.unlink()
        # Its queue is never empty while events come: what came within the last second or two is always under way.
        normal, at_least = max(rate * 3, marks[-1][2].batch_queue // 10), lasting(_SHORTEST_SECONDS)
        phase(
            "catching up", lambda: at_least() and broker.depth("batch").messages < normal, seconds + _CATCH_UP_SECONDS
        )
        phase("normal again", lasting(seconds / 2), seconds + _START_SECONDS)
        publishing.unlink()
        del programs["publish"]
        publisher.wait(_START_SECONDS)
        until("the speed layer had everything", lambda: broker.depth("speed").messages == 0, _START_SECONDS)
    latencies = read_latencies(notes)
    phases = [phase_of(name, begin, end, latencies) for name, begin, end in marks]
    if phases[1].batch_queue < 0.9 * phases[1].events:
        raise ProgramFailedError(f"The batch layer did not hang: only {phases[1].batch_queue} messages wait for it.")
    return Stall(rate, size, phases)
