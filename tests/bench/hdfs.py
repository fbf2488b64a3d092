"""Suite ``hdfs``: the drain into a real HDFS, and a Java client that writes files of the same sizes there, in turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flumebeam.errors import StorageError
from flumebeam.hdfs.cluster import LocalHdfs
from flumebeam.hdfs.filesystem import FileStat
from flumebeam.hdfs.hadoop_jars import fetch_jars
from flumebeam.hdfs.options import HdfsOptions
from flumebeam.hdfs.webhdfs import WebHdfsFileSystem
from tests.bench.broker_host import BrokerProcess
from tests.bench.figures import Spread, spread
from tests.bench.passage import Passage, drained, filled
from tests.bench.programs import Program, ProgramFailedError
from tests.bench.workload import write_lines
from tests.java import compile_java

__all__ = ["HDFS_LANES", "HdfsFigures", "HdfsRun", "measure_hdfs"]

HDFS_LANES: Final = {"beam": "drain, one event a message", "packed": "drain, packed"}
"""The lanes, and what tables call them."""
_PACKED_EVENTS: Final = 5
"""How many times more events are packed: they would be over before they are warm."""
_CLIENT: Final = Path(__file__).with_name("java") / "WriteFiles.java"


@dataclass(frozen=True, slots=True)
class HdfsRun:
    """One drain, and the Java client after it.

    Attributes:
        passage: The drain, from the first message to the last acknowledgement.
        sizes: Bytes of the files that it made.
        java_seconds: What the Java client took for files of these sizes.
    """

    passage: Passage
    sizes: tuple[int, ...]
    java_seconds: float

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.passage.rate

    @property
    def megabytes(self) -> float:
        """Megabytes (10^6 bytes) per second of the drain."""
        return sum(self.sizes) / 1e6 / self.passage.seconds

    @property
    def java_megabytes(self) -> float:
        """The same of the Java client."""
        return sum(self.sizes) / 1e6 / self.java_seconds


@dataclass(frozen=True, slots=True)
class HdfsFigures:
    """What all runs gave.

    Attributes:
        size: Bytes of a line.
        runs: By lane.
    """

    size: int
    runs: dict[str, list[HdfsRun]]

    def of(self, lane: str, what: Callable[[HdfsRun], float]) -> Spread:
        """Return one figure over all runs."""
        return spread([what(run) for run in self.runs[lane]])

    def to_json(self) -> dict[str, Any]:
        """Return figures and single runs as plain data."""
        found: dict[str, Any] = {"line_bytes": self.size}
        for lane, runs in self.runs.items():
            rate = self.of(lane, lambda run: run.rate)
            found[lane] = {
                "meaning": HDFS_LANES[lane],
                "events_per_second": {"median": rate.median, "low": rate.low, "high": rate.high},
                "megabytes_per_second": self.of(lane, lambda run: run.megabytes).median,
                "java_megabytes_per_second": self.of(lane, lambda run: run.java_megabytes).median,
                "ratio_to_java": self.of(lane, lambda run: run.megabytes / run.java_megabytes).median,
                "cpu_seconds_per_million": self.of(lane, lambda run: run.passage.program_cpu).median,
                "files": len(runs[-1].sizes),
                "runs_events_per_second": [run.rate for run in runs],
            }
        return found


def measure_hdfs(workspace: Path, *, events: int, size: int, runs: int, tell: Callable[[str], None]) -> HdfsFigures:
    """Run both lanes so many times, in turn, each followed by the Java client.

    Args:
        workspace: An empty directory.
        events: Events of one drain; packed five times as many.
        size: Bytes of a line.
        runs: How many rounds.
        tell: Called with what is done at the moment.

    Raises:
        ConfigurationError: Java is missing, or Hadoop or the compiler cannot be fetched.
    """
    tell("starting HDFS")
    found: dict[str, list[HdfsRun]] = {lane: [] for lane in HDFS_LANES}
    with LocalHdfs(workspace / "hdfs") as cluster, BrokerProcess() as broker:
        # A directory that Hadoop's programs find classes in.
        compile_java([_CLIENT], cluster.home.configuration("namenode"), sorted(fetch_jars().glob("*.jar")))
        for run in range(runs):
            for lane, meaning in HDFS_LANES.items():
                tell(f"run {run + 1} of {runs}, {meaning}")
                count = events * (_PACKED_EVENTS if lane == "packed" else 1)
                found[lane].append(_run(workspace, f"{lane}-{run}", cluster, broker, lane == "packed", count, size))
    return HdfsFigures(size, found)


def _run(
    workspace: Path, name: str, cluster: LocalHdfs, broker: BrokerProcess, packed: bool, events: int, size: int
) -> HdfsRun:
    place = workspace / name
    place.mkdir()
    source = write_lines(place / "input.log", events, size)
    broker.create_queue(name, f"bench/{name}")
    arguments = ["--input", str(source), "--topic", f"bench/{name}", "--tracker_dir", str(place / "positions")]
    arguments += ["--solace_host", broker.url, *(["--pack"] if packed else [])]
    with Program("flumebeam", ["run", "ingest", *arguments], place / "ingest.log") as program:
        filled(broker, name, program, events, packed=packed)
    target = f"{cluster.webhdfs_url.replace('http', 'webhdfs', 1)}/bench/{name}"
    # Each transaction a file: what the drain commits, and what the Java client closes, is then the same.
    limits = ["--queue", name, "--max_events", str(events), "--target", target, "--roll", "transaction"]
    with Program(
        "flumebeam", ["run", "drain_to_hdfs", *limits, "--solace_host", broker.url], place / "drain.log"
    ) as program:
        passage = drained(broker, name, program, events)
    broker.delete_queue(name)
    sizes = tuple(status.length for status in _visible(cluster, f"/bench/{name}"))
    if sum(sizes) != events * (size + 1):
        raise ProgramFailedError(
            f"The drain wrote {sum(sizes)} bytes of {events * (size + 1)}: its figures mean nothing."
        )
    try:
        seconds = float(
            cluster.home.run("namenode", "WriteFiles", f"{cluster.hdfs_url}/bench/{name}-java", *map(str, sizes))
        )
    except StorageError as error:
        raise ProgramFailedError(f"The Java client failed: {error}") from error
    return HdfsRun(passage, sizes, seconds)


def _visible(cluster: LocalHdfs, directory: str) -> list[FileStat]:
    filesystem = WebHdfsFileSystem(HdfsOptions(webhdfs_urls=(cluster.webhdfs_url,)))
    try:
        return [found for found in filesystem.list(directory) if found.name[0] not in "._"]
    finally:
        filesystem.close()
