from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flumebeam.downloads import cache_directory
from flumebeam.testing.requirements import require
from tests.bench.procfs import usage
from tests.flume import FLUME_VERSION

ROOT = Path(__file__).parents[3]
TINY = (
    "--runs 1 --events 600 --stall-seconds 1 --rate 400 --memory-events 300 900 "
    "--broker-messages 2000 --broker-memory-messages 20000 "
    "--chain-events 600 --format-events 300 --rolled-events 900 300 --growth-events 300 2000 --growth-paths 1 20 "
    "--runner-events 600 --runner-seconds 1 --flows 2 --endurance-seconds 10 "
    "--stage-events 300 --stage-rounds 1 --rates 200 --latency-seconds 1 --condition-events 300 --rtt-ms 5"
).split()


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("suite", "words"),
    [
        (
            "throughput",
            [
                "pipeline on Beam",
                "on Beam, transactions",
                "on Beam, packed",
                "plain loop, our channel",
                "plain loop, vendor's client",
            ],
        ),
        ("lanes", ["native, C functions", "wrapper, own thread", "plain, another thread", "put", "take", "2,000"]),
        ("chain", ["Beam, packed", "Beam, one event a message", "bottleneck"]),
        (
            "formats",
            ["sequence_file_text", "brotli", "typed parquet, 1.0% misfits", "avro bodies, 1.0% misfits", "of body"],
        ),
        ("rolled", ["packed", "one event a message", "MB of a file"]),
        ("growth", ["events", "open paths", "bytes of a body"]),
        ("stall", ["normal", "stalled", "catching up", "p99 ms"]),
        ("broker", ["in memory", "kept on disk", "publish, in transactions", "deliver, acknowledged", "64 queues"]),
        ("memory", ["ingest", "drain", "verdict"]),
        ("stages", ["frames in", "messages to events", "packs to events", "2,000 B"]),
        ("latency", ["put to the user's function", "put to a file that readers see", "p99 ms"]),
        ("conditions", ["5 ms, plain", "5 ms, compressed", "free edition's limit", "packed"]),
        ("scaling", ["one event a message", "packed", "x one flow"]),
        ("flume-hdfs", ["Beam, one event a message", "Flume, file channel", "hdfs"]),
        pytest.param(
            "runners", ["FnApiRunner", "Prism", "Flink [local]", "Spark local", "p99 ms"], marks=pytest.mark.cluster
        ),
        pytest.param(
            "endurance", ["driver", "Prism", "TaskManager", "checkpoint", "MB an hour"], marks=pytest.mark.cluster
        ),
    ],
)
def test_a_suite_runs_to_its_table_and_its_json(tmp_path: Path, suite: str, words: list[str]) -> None:
    if suite == "flume-hdfs":
        require("java")
        if not (cache_directory() / f"flume-{FLUME_VERSION}").exists():
            require("mvn")
    result = subprocess.run(
        [sys.executable, "-m", "tests.bench", suite, *TINY, "--json", str(tmp_path / "figures.json")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=380,
    )

    assert (result.returncode, result.stderr) == (0, "")
    assert [word for word in words if word not in result.stdout] == []
    assert json.loads((tmp_path / "figures.json").read_text())[suite]


def test_the_usage_of_a_process_includes_its_children() -> None:
    # The child burns a fifth of a second of CPU and waits to be looked at.
    child = "import time\nwhile time.process_time() < 0.2: pass\nprint(flush=True)\ninput()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        both, alone = usage(process.pid), usage(os.getpid())
        process.communicate(b"\n")

    assert both is not None
    assert both.cpu_seconds >= 0.2
    assert both.rss_bytes > 8 * 1024 * 1024
    assert alone is not None
    assert alone.rss_bytes > 0
    assert usage(process.pid) is None
