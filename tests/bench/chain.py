"""Suites ``chain`` and ``flume``: lines of a file to closed files on a local disk, by ingest and drain at once.

Ours is ``flumebeam run ingest`` and ``flumebeam run drain_to_hdfs`` on a broker that keeps its data on disk. A chain is
measured from the first event that its channel got to the last one that its sink wrote, so that starting interpreters,
JVMs and connections is outside for all alike. Its files are then compared with its input.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import Any, Final

from tests.bench.broker_host import BrokerProcess
from tests.bench.delay import Delay
from tests.bench.figures import Spread, per_million, spread
from tests.bench.procfs import Usage
from tests.bench.programs import Command, Program, ProgramFailedError
from tests.bench.targets import LocalTarget, Target, TargetOf
from tests.bench.workload import digest, visible_files, write_lines

__all__ = [
    "FILE_BYTES",
    "TRANSACTION",
    "Chain",
    "ChainRun",
    "Lane",
    "Line",
    "chain_lanes",
    "measure_chains",
    "our_chain",
    "until",
    "watch",
    "wrapper_lane",
]

FILE_BYTES: Final = 16 << 20
"""Where files end, the same for every chain: several end within a run."""
TRANSACTION: Final = 5_000
"""Messages of a transaction where one carries one event: the broker is started with that limit."""
_POLL_SECONDS: Final = 0.05
_START_SECONDS: Final = 120.0
_PATIENCE_SECONDS: Final = 900.0


@dataclass(frozen=True, slots=True)
class ChainRun:
    """One run of a chain.

    Attributes:
        events: Events that went through.
        seconds: From the first event in the channel to the last one in a file.
        cpu_seconds: What each process used meanwhile, children included.
        peak_rss_bytes: Most resident memory that each was seen with.
    """

    events: int
    seconds: float
    cpu_seconds: dict[str, float]
    peak_rss_bytes: dict[str, int]

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.seconds

    @property
    def cpu(self) -> float:
        """CPU seconds of all processes together, per million events."""
        return per_million(sum(self.cpu_seconds.values()), self.events)


@dataclass(frozen=True, slots=True)
class Lane:
    """A chain that is measured.

    Attributes:
        meaning: What tables call it.
        run: Sends a file of so many lines through it in an empty directory; its files are in ``files`` below.
        share: Events of one run, as a multiple of what was asked for: a fast chain needs more for the same time.
    """

    meaning: str
    run: Callable[[Path, Path, int], ChainRun]
    share: int = 1


@dataclass(frozen=True, slots=True)
class Chain:
    """What all runs gave.

    Attributes:
        size: Bytes of a line.
        meanings: What tables call the lanes.
        runs: One for each round, by lane.
    """

    size: int
    meanings: dict[str, str]
    runs: dict[str, list[ChainRun]]

    def of(self, lane: str, what: Callable[[ChainRun], float]) -> Spread:
        """Return one figure over all runs."""
        return spread([what(run) for run in self.runs[lane]])

    def cpu(self, lane: str) -> dict[str, float]:
        """Return CPU seconds per million events of each process, medians."""
        return {
            name: self.of(lane, lambda run, name=name: per_million(run.cpu_seconds[name], run.events)).median  # type: ignore[misc]
            for name in self.runs[lane][0].cpu_seconds
        }

    def shares(self, lane: str) -> dict[str, float]:
        """Return how much of one core each process used, medians."""
        return {
            name: self.of(lane, lambda run, name=name: run.cpu_seconds[name] / run.seconds).median  # type: ignore[misc]
            for name in self.runs[lane][0].cpu_seconds
        }

    def bottleneck(self, lane: str) -> str:
        """Return the process that used most of a core."""
        shares = self.shares(lane)
        return max(shares, key=shares.__getitem__)

    def to_json(self) -> dict[str, Any]:
        """Return figures, single runs and the ratios of medians to each of Flume's lanes as plain data."""
        found: dict[str, Any] = {"line_bytes": self.size}
        for lane, runs in self.runs.items():
            rate = self.of(lane, _rate)
            found[lane] = {
                "meaning": self.meanings[lane],
                "events": runs[0].events,
                "events_per_second": {"median": rate.median, "low": rate.low, "high": rate.high},
                "megabytes_per_second": rate.median * self.size / 1e6,
                "cpu_seconds_per_million": {**self.cpu(lane), "all": self.of(lane, _cpu).median},
                "cpu_shares": self.shares(lane),
                "bottleneck": self.bottleneck(lane),
                "peak_rss_bytes": {name: max(run.peak_rss_bytes[name] for run in runs) for name in runs[0].cpu_seconds},
                "runs_events_per_second": [run.rate for run in runs],
                "ratios": {
                    peer: {
                        "rate": rate.ratio_to(self.of(peer, _rate)),
                        "cpu": self.of(lane, _cpu).ratio_to(self.of(peer, _cpu)),
                    }
                    for peer in self.runs
                    if peer != lane
                },
            }
        return found


def _rate(run: ChainRun) -> float:
    return run.rate


def _cpu(run: ChainRun) -> float:
    return run.cpu


def measure_chains(
    workspace: Path, lanes: Mapping[str, Lane], *, events: int, size: int, runs: int, tell: Callable[[str], None]
) -> Chain:
    """Run all chains so many times, in turn, and compare what each wrote with what it was given.

    Args:
        workspace: An empty directory.
        lanes: The chains.
        events: Events of one run of a chain whose share is 1.
        size: Bytes of a line.
        runs: How many rounds.
        tell: Called with what is done at the moment.
    """
    found: dict[str, list[ChainRun]] = {name: [] for name in lanes}
    inputs: dict[int, tuple[Path, tuple[int, int]]] = {}
    for run in range(runs):
        for name, lane in lanes.items():
            count = events * lane.share
            if count not in inputs:
                tell(f"writes {count:,} lines")
                source = write_lines(workspace / f"{count}.log", count, size)
                inputs[count] = source, digest([source])
            source, expected = inputs[count]
            tell(f"run {run + 1} of {runs}, {lane.meaning}")
            place = workspace / f"{name}-{run}"
            place.mkdir()
            found[name].append(lane.run(place, source, count))
            if (written := digest(visible_files(place / "files"))) != expected:
                raise ProgramFailedError(
                    f"{lane.meaning} wrote {written[0]} lines of {count}, or others: figures of it mean nothing."
                )
            rmtree(place)
    return Chain(size, {name: lane.meaning for name, lane in lanes.items()}, found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """How programs reach the broker.

    Attributes:
        round_trip_ms: What a round trip takes beside loopback's own time.
        compression_level: Of the vendor's client; 0 for none.
        settings: Further options of the broker.
    """

    round_trip_ms: float = 0.0
    compression_level: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)

    @contextmanager
    def reaching(self, broker: BrokerProcess) -> Iterator[str]:
        """Return where programs find the broker."""
        url = broker.compressed_url if self.compression_level else broker.url
        if not self.round_trip_ms:
            yield url
            return
        with Delay(url, self.round_trip_ms) as delay:
            yield delay.url


def our_chain(
    place: Path,
    source: Path | Sequence[Path],
    events: int,
    *,
    ingest: Sequence[str] = (),
    drain: Sequence[str] = (),
    line: Line | None = None,
    queues: int = 1,
    target: Target | None = None,
) -> ChainRun:
    """Send lines through ingest, a broker with its data on disk, and drain.

    Args:
        place: An empty directory; the files are in ``files`` below.
        source: A file, or several of one directory.
        events: Lines in it.
        ingest: Further options of the ingest.
        drain: Further options of the drain.
        line: How both reach the broker; by default over loopback.
        queues: How many queues get the events; one of them is drained.
        target: Where the files go; by default there.
    """
    line = line or Line()
    target = target or LocalTarget(place)
    nbytes = source.stat().st_size if isinstance(source, Path) else sum(file.stat().st_size for file in source)
    pattern = str(source if isinstance(source, Path) else source[0].parent / "*")
    with ExitStack() as stack:
        broker = stack.enter_context(BrokerProcess(place / "broker", line.settings))
        for name in ("chain", *(f"other-{number}" for number in range(1, queues))):
            broker.create_queue(name, "bench/chain")
        host = ["--solace_host", stack.enter_context(line.reaching(broker))]
        level = {"SOLACE_COMPRESSION_LEVEL": str(line.compression_level)}
        writing = ["--queue", "chain", "--max_events", str(events), "--target", target.url, *drain, *host]
        writing += ["--roll_bytes", str(FILE_BYTES)]
        reading = ["--input", pattern, "--topic", "bench/chain", "--tracker_dir", str(place / "positions"), *host]
        reading.append("--interceptors=")  # as its peers, which add no headers
        programs = {
            "drain": stack.enter_context(
                Program("flumebeam", ["run", "drain_to_hdfs", *writing], place / "drain.log", level)
            )
        }
        until("the drain had bound the queue", lambda: broker.depth("chain").consumers > 0, programs.values())
        programs["ingest"] = stack.enter_context(
            Program("flumebeam", ["run", "ingest", *reading, *ingest], place / "ingest.log", level)
        )
        found = watch(
            events,
            {**{name: program.usage for name, program in programs.items()}, "broker": broker.usage, **target.usages()},
            begun=lambda: broker.depth("chain").messages > 0 or target.nbytes() > 0,
            over=lambda: (
                # The files first: the broker is asked only when it has nothing else to do.
                not programs["drain"].running() or (target.nbytes() >= nbytes and broker.depth("chain").messages == 0)
            ),
            programs=programs.values(),
        )
        for program in programs.values():
            program.wait(_START_SECONDS)
    target.bring()
    return found


def chain_lanes(target_of: TargetOf = LocalTarget) -> dict[str, Lane]:
    """Return our chains. The one that packs gets five times the events, since it would be over before it is warm."""

    def packed(place: Path, source: Path, events: int) -> ChainRun:
        return our_chain(place, source, events, ingest=["--pack"], target=target_of(place))

    return {
        "packed": Lane("Beam, packed", packed, share=5),
        "single": Lane("Beam, one event a message", partial(_in_transactions, target_of, "auto")),
    }


def wrapper_lane() -> Lane:
    """Return our chain, one event a message, over the Python layer of the vendor's client."""
    return Lane("Beam, client's Python layer", partial(_in_transactions, LocalTarget, "wrapper"))


def _in_transactions(target_of: TargetOf, lane: str, place: Path, source: Path, events: int) -> ChainRun:
    return our_chain(
        place,
        source,
        events,
        ingest=[f"--max_transaction_messages={TRANSACTION}", f"--solace_lane={lane}"],
        drain=[f"--transaction_messages={TRANSACTION}", f"--solace_lane={lane}"],
        line=Line(settings={"max_transaction_messages": TRANSACTION}),
        target=target_of(place),
    )


def watch(
    events: int,
    usages: Mapping[str, Callable[[], Usage]],
    *,
    begun: Callable[[], bool],
    over: Callable[[], bool],
    programs: Iterable[Command],
) -> ChainRun:
    """Watch a chain from its first event to its last, and return what it cost.

    Args:
        events: How many go through.
        usages: What each process has used so far, by name.
        begun: Tells whether the channel has got something.
        over: Tells whether the sink has written everything.
        programs: They must run, or have ended well.
    """
    until("events came", begun, programs)
    start = time.monotonic()
    before = {name: usage() for name, usage in usages.items()}
    peaks = {name: usage.rss_bytes for name, usage in before.items()}

    def look() -> bool:
        done = over()
        for name, usage in usages.items():
            peaks[name] = max(peaks[name], usage().rss_bytes)
        return done

    until("all events were written", look, programs, _PATIENCE_SECONDS)
    seconds = time.monotonic() - start
    spent = {name: usage().cpu_seconds - before[name].cpu_seconds for name, usage in usages.items()}
    return ChainRun(events, seconds, spent, peaks)


def until(what: str, true: Callable[[], bool], programs: Iterable[Command], patience: float = _START_SECONDS) -> None:
    """Wait until something is true.

    Args:
        what: It, for the message.
        true: Tells.
        programs: They must run, or have ended well.
        patience: How long, seconds.

    Raises:
        ProgramFailedError: It does not become true, or a program ended with an error.
    """
    deadline = time.monotonic() + patience
    while not true():
        for program in programs:
            program.running()
        if time.monotonic() > deadline:
            raise ProgramFailedError(f"Waited {patience:.0f} s in vain until {what}.")
        time.sleep(_POLL_SECONDS)
