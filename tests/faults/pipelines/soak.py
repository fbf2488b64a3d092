"""A long run through Beam with its connections cut all the time: ``make soak-beam``.

``python -m tests.faults.pipelines.soak``: a file of 1,000,000 lines goes by ``flumebeam run ingest``, with its position
in the broker, into a queue, and out of it by ``drain_to_hdfs`` into files, both at once. Every few seconds all
connections to the broker break. In the end each line must stand in the files exactly once, nothing may be left in the
queue, and neither program may have grown.

Exit status 1 if an event was lost, repeated or invented, or if memory grew.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.bench.broker_host import BrokerProcess
from tests.bench.programs import Program
from tests.bench.workload import visible_files

__all__ = ["Result", "main", "soak"]

_LOOK_SECONDS: Final = 0.25
_SETTLE_SECONDS: Final = 5.0
_GROWTH: Final = 1.1
_GROWTH_BYTES: Final = 20 << 20


@dataclass(kw_only=True)
class Result:
    """What came of a run.

    Attributes:
        events: Lines that were sent.
        once: Lines that stand in the files exactly once.
        repeated: Lines too many.
        invented: Lines in the files that nobody has sent.
        left: Messages in the queue at the end.
        cuts: How often connections were cut, and how many of them in all.
        connections: See ``cuts``.
        seconds: How long it took.
        memory: Resident bytes over time, by program.
    """

    events: int
    once: int = 0
    repeated: int = 0
    invented: int = 0
    left: int = 0
    cuts: int = 0
    connections: int = 0
    seconds: float = 0.0
    memory: dict[str, list[int]] = field(default_factory=dict)

    @property
    def exact(self) -> bool:
        """Whether every line is there once, and nothing else is."""
        return self.once == self.events and not (self.repeated or self.invented or self.left)

    @property
    def flat(self) -> bool:
        """Whether no program had more memory in its last half than 10 % or 20 MB above what it had before."""
        return all(
            max(sizes[len(sizes) // 2 :])
            <= max(_GROWTH * (early := max(sizes[: len(sizes) // 2])), early + _GROWTH_BYTES)
            for sizes in self.memory.values()
            if len(sizes) > 1
        )

    def __str__(self) -> str:
        peaks = ", ".join(
            f"{name} {max(sizes[: len(sizes) // 2 or 1]) >> 20} then {max(sizes[len(sizes) // 2 :]) >> 20} MB"
            for name, sizes in self.memory.items()
        )
        return (
            f"{self.events} events, {self.once} exactly once, {self.repeated} repeated, {self.invented} invented, "
            f"{self.left} left in the queue; {self.cuts} cuts of {self.connections} connections; {self.seconds:.0f} s; "
            f"peak memory in the first and in the second half: {peaks}"
        )


def soak(
    place: Path,
    *,
    events: int,
    seed: str,
    cut_seconds: tuple[float, float] = (2.0, 5.0),
    packed: bool = False,
    tell: Callable[[str], object] = lambda line: None,
) -> Result:
    """Run the chain once and count every line.

    Args:
        place: An empty directory.
        events: Lines to send.
        seed: Of the times between cuts.
        cut_seconds: Shortest and longest time between two cuts.
        packed: Whether many events share a message.
        tell: Called now and then with how far it is.
    """
    chance = random.Random(seed)
    result = Result(events=events, memory={"ingest": [], "drain": []})
    source = place / "input.log"
    with source.open("w", encoding="ascii") as lines:
        lines.writelines(f"{number:010d} {'x' * 188}\n" for number in range(events))
    began = time.monotonic()
    with BrokerProcess() as broker:
        broker.create_queue("soak", "soak")
        common = ["--solace_host", broker.url]
        ingest = ["run", "ingest", "--input", str(source), "--topic", "soak", "--position_queue", "position"]
        ingest += ["--tracker_dir", str(place / "positions"), *(["--pack"] if packed else [])]
        drain = ["run", "drain_to_hdfs", "--queue", "soak", "--target", str(place / "files")]
        with (
            Program("flumebeam", [*drain, *common], place / "drain.log") as reader,
            Program("flumebeam", [*ingest, *common], place / "ingest.log") as writer,
        ):
            programs = {"ingest": writer, "drain": reader}
            next_cut = _first_connected(broker)
            received = settled = 0
            told = quiet_since = time.monotonic()
            while True:
                now = time.monotonic()
                for name, program in programs.items():
                    if program.running():
                        result.memory[name].append(program.usage().rss_bytes)
                depth = broker.depth("soak")
                done = depth.received - depth.messages
                # Only what came further: where a login takes longer than the time between two cuts, nothing would.
                came_further = (depth.received > received or not writer.running()) and (
                    done > settled or not depth.messages
                )
                if now >= next_cut and came_further:
                    received, settled = depth.received, done
                    result.cuts += 1
                    result.connections += broker.cut_connections()
                    next_cut = now + chance.uniform(*cut_seconds)
                if writer.running() or depth.messages:
                    quiet_since = now
                if now - quiet_since > _SETTLE_SECONDS:
                    break
                if now - told > 15:
                    told = now
                    tell(f"{now - began:.0f} s, {result.cuts} cuts, {depth.messages} messages wait, {_peaks(result)}")
                time.sleep(_LOOK_SECONDS)
            os.kill(reader.pid, signal.SIGTERM)  # a clean stop; SIGINT may be ignored where this runs
            reader.wait(120)
            result.left = broker.depth("soak").messages
    result.seconds = time.monotonic() - began
    _count(place / "files", result)
    return result


def _first_connected(broker: BrokerProcess) -> float:
    """Wait until the drain is there; return when the first cut may come."""
    deadline = time.monotonic() + 60
    while not broker.depth("soak").consumers and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
    return time.monotonic() + 1.0


def _peaks(result: Result) -> str:
    return ", ".join(f"{name} {max(sizes) >> 20} MB" for name, sizes in result.memory.items() if sizes)


def _count(files: Path, result: Result) -> None:
    seen = bytearray(result.events)
    for path in visible_files(files):
        with path.open("rb") as lines:
            for line in lines:
                number = int(line[:10]) if line[:10].isdigit() and len(line) == 200 else -1
                if not 0 <= number < result.events:
                    result.invented += 1
                elif seen[number]:
                    result.repeated += 1
                else:
                    seen[number] = 1
    result.once = sum(seen)


def main(arguments: list[str] | None = None) -> int:
    """Run the soak and return the exit status."""
    parser = argparse.ArgumentParser(prog="soak", description="Ingest and drain through Beam while connections break.")
    parser.add_argument("--events", type=int, default=1_000_000, help="lines to send [1000000]")
    parser.add_argument("--seed", default="1", help="of the times between cuts [1]")
    parser.add_argument("--packed", action="store_true", help="many events in a message [one]")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="flumebeam-soak-") as directory:
        result = soak(Path(directory), events=options.events, seed=options.seed, packed=options.packed, tell=_tell)
    _tell(f"{'clean' if result.exact and result.flat else 'NOT CLEAN'}: {result}")
    return 0 if result.exact and result.flat else 1


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
