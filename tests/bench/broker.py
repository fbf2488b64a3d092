"""Suite ``broker``: what the development broker does per second and core, and whether its memory stays.

The clients are those of :mod:`tests.bench.wire`, which leave the broker the machine. Each round runs every case once,
so that whatever else the machine does hits all alike.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.bench.broker_host import BrokerProcess
from tests.bench.figures import Spread, is_flat, per_million, spread, thinned
from tests.bench.programs import Program, ProgramFailedError

__all__ = ["BrokerCase", "BrokerFigures", "BrokerRun", "cases", "measure_broker"]

_SECONDS: Final = 900.0
_BACKLOG: Final = 100_000
_KEPT_SAMPLES: Final = 40
_SHARES: Final = {200: 1, 10_000: 10, 65_536: 64}
"""By bytes of a body: how many times fewer messages there are. The largest is that of a pack."""
_FAN_OUTS: Final = (1, 8, 64)


class BrokerCase(NamedTuple):
    """One thing that a broker does.

    Attributes:
        what: For people.
        size: Bytes of a body.
        durable: Whether the broker keeps its data on disk.
        side: ``publish`` or ``consume``.
        mode: ``persistent`` (acknowledged one by one, as ranges) or ``transacted`` (256 a transaction).
        queues: How many queues get each message.
    """

    what: str
    size: int
    durable: bool
    side: str
    mode: str
    queues: int = 1


class BrokerRun(NamedTuple):
    """One run of a case.

    Attributes:
        messages: Messages that the client published or consumed.
        seconds: How long that took.
        broker_cpu_seconds: What it cost the broker.
    """

    messages: int
    seconds: float
    broker_cpu_seconds: float

    @property
    def rate(self) -> float:
        """Messages per second."""
        return self.messages / self.seconds

    @property
    def cpu(self) -> float:
        """CPU seconds of the broker per million messages."""
        return per_million(self.broker_cpu_seconds, self.messages)

    @property
    def share(self) -> float:
        """Share of one core that the broker used."""
        return self.broker_cpu_seconds / self.seconds


@dataclass(slots=True)
class BrokerFigures:
    """What was measured.

    Attributes:
        runs: All runs by case.
        passed: Messages that passed the broker for its memory.
        resident: Its resident memory while they did, bytes.
    """

    runs: dict[BrokerCase, list[BrokerRun]] = field(default_factory=dict)
    passed: int = 0
    resident: list[int] = field(default_factory=list)

    def of(self, case: BrokerCase, what: Callable[[BrokerRun], float]) -> Spread:
        """Return one figure over all runs of a case."""
        return spread([what(run) for run in self.runs[case]])

    @property
    def flat(self) -> bool:
        """Whether the last tenth of the messages found no more memory in use than the first fifth."""
        samples = len(self.resident)
        early, late = self.resident[: max(1, samples // 5)], self.resident[-max(1, samples // 10) :]
        return is_flat(max(early), max(late))

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain data."""
        found: list[dict[str, Any]] = []
        for case in self.runs:
            rate = self.of(case, lambda run: run.rate)
            found.append(
                {
                    **case._asdict(),
                    "messages_per_second": {"median": rate.median, "low": rate.low, "high": rate.high},
                    "broker_cpu_seconds_per_million": self.of(case, lambda run: run.cpu).median,
                    "broker_share_of_a_core": self.of(case, lambda run: run.share).median,
                }
            )
        memory = {"messages": self.passed, "flat": self.flat, "rss_bytes": thinned(self.resident, _KEPT_SAMPLES)}
        return {"cases": found, "memory": memory}


def cases() -> Iterator[BrokerCase]:
    """Yield what is measured, in the order in which one run fills and empties its queues."""
    for durable in (False, True):
        for size in _SHARES:
            for mode, told in (("persistent", "acknowledged"), ("transacted", "in transactions")):
                yield BrokerCase(f"publish, {told}", size, durable, "publish", mode)
                yield BrokerCase(f"deliver, {told}", size, durable, "consume", mode)
        for queues in _FAN_OUTS[1:]:
            yield BrokerCase(
                f"publish, in transactions, to {queues} queues", 200, durable, "publish", "transacted", queues
            )


def measure_broker(
    workspace: Path, *, messages: int, memory_messages: int, runs: int, tell: Callable[[str], None]
) -> BrokerFigures:
    """Run all cases so many times, in turn, then let many messages pass, and return what was measured.

    Args:
        workspace: An empty directory.
        messages: Small messages of one case and run; of large ones, and with many queues, fewer.
        memory_messages: Messages that pass for the memory.
        runs: How many rounds.
        tell: Called with what is done at the moment.
    """
    found = BrokerFigures()
    for number in range(runs):
        with BrokerProcess() as memory, BrokerProcess(workspace / f"data-{number}") as disk:
            for case in cases():
                tell(f"run {number + 1} of {runs}: {case.what}, {case.size} bytes{', on disk' if case.durable else ''}")
                count = max(256, messages // (case.queues * _SHARES[case.size]))
                run = _run(workspace, disk if case.durable else memory, case, count)
                found.runs.setdefault(case, []).append(run)
    tell(f"{memory_messages:,} messages pass for the memory")
    _pass(workspace, found, memory_messages)
    return found


def _run(workspace: Path, broker: BrokerProcess, case: BrokerCase, count: int) -> BrokerRun:
    names = [f"queue-{case.mode}-{number}" for number in range(case.queues)]
    if case.side == "publish":
        for name in names:
            broker.create_queue(name, f"bench/{case.mode}")
    before = broker.usage().cpu_seconds
    with _client(workspace / "client.log", broker, case.side, case.mode, case.size, count) as program:
        program.wait(_SECONDS)
    used = broker.usage().cpu_seconds - before
    if case.side == "consume" or case.queues > 1:
        for name in names:
            broker.delete_queue(name)
    seconds: float = json.loads((workspace / "client.log").read_text(encoding="utf-8"))
    return BrokerRun(count, seconds, used)


def _client(log: Path, broker: BrokerProcess, side: str, mode: str, size: int, count: int) -> Program:
    where = ["--topic", f"bench/{mode}"] if side == "publish" else ["--queue", f"queue-{mode}-0"]
    arguments = [side, "--host", broker.url, "--mode", mode, "--size", str(size), "--count", str(count), *where]
    return Program("tests.bench.wire", arguments, log)


def _pass(workspace: Path, found: BrokerFigures, count: int) -> None:
    """Let messages pass a broker, so many at a time that its backlog is the same each time, and note its memory."""
    with BrokerProcess() as broker:
        broker.create_queue("queue-transacted-0", "bench/transacted")
        while found.passed < count:
            size = min(_BACKLOG, count - found.passed)
            for side in ("publish", "consume"):
                with _client(workspace / f"{side}.log", broker, side, "transacted", 200, size) as program:
                    program.wait(_SECONDS)
                found.resident.append(broker.usage().rss_bytes)
            if (left := broker.depth("queue-transacted-0").messages) != 0:
                raise ProgramFailedError(f"{left} messages were left behind: figures of it mean nothing.")
            found.passed += size
