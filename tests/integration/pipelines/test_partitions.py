"""Partitions of a drain of a real queue: told when they are complete, and when files come later."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from pathlib import Path

import apache_beam as beam

from flumebeam.batch import EventBatch
from flumebeam.broker import DevelopmentBroker
from flumebeam.commitlog.partition_options import PartitionOptions
from flumebeam.demo.proof import files_below
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.session import connect
from flumebeam.transforms import Acknowledge, ReadFromSolace, WriteToHdfs, run_pipeline
from tests.integration.pipelines.helpers import start
from tests.waiting import eventually

_APPEND = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read())"


def put(broker: DevelopmentBroker, *bodies: bytes, **headers: str) -> None:
    with connect(SolaceOptions(host=broker.url)) as connection:
        session = connection.transacted_session()
        session.publish(EventBatch.from_bodies(list(bodies), headers), "logs/a")
        assert session.commit().committed


def test_a_drain_tells_a_command_of_complete_hours_and_of_late_files(broker: DevelopmentBroker, tmp_path: Path) -> None:
    told, target = tmp_path / "told", tmp_path / "target"
    hook = shlex.join([sys.executable, "-c", _APPEND, str(told)])
    arguments = [
        "--queue=batch",
        f"--target={target}",
        "--path=dt=%Y-%m-%d/hour=%H",
        "--success_file=_DONE",
        f"--on_partition_complete=command:{hook}",
    ]
    put(broker, b"1", b"2", timestamp="1704067200000")
    process = start(broker, "drain_to_hdfs", *arguments)
    try:
        eventually(lambda: told.exists())
        assert (target / "dt=2024-01-01" / "hour=00" / "_DONE").exists()
        assert len(files_below(target)) == 1
        put(broker, b"3", timestamp="1704067300000")
        eventually(lambda: len(told.read_text().splitlines()) == 2)
    finally:
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=200)

    assert process.returncode == 0, output
    events = [json.loads(line) for line in told.read_text().splitlines()]
    assert [event["event"] for event in events] == ["complete", "late"]
    assert {event["location"] for event in events} == {f"{target}/dt=2024-01-01/hour=00"}
    assert events[0]["end"] == "2024-01-01T01:00:00.000Z"
    assert sorted(path.read_bytes() for path in files_below(target)) == [b"1\n2\n", b"3\n"]


def test_the_silence_of_a_queue_completes_the_last_partition(broker: DevelopmentBroker, tmp_path: Path) -> None:
    put(broker, b"1")
    pipeline = beam.Pipeline(runner="FnApiRunner")
    (
        pipeline
        | ReadFromSolace("batch", until_empty=True, idle_seconds=1.5, watermark_idle_seconds=0.1)
        | WriteToHdfs(str(tmp_path), path="%Y%m%d/%H%M%S", partitions=PartitionOptions(delay_seconds=0), queue="batch")
        | Acknowledge()
    )

    run_pipeline(pipeline)

    (file,) = files_below(tmp_path)
    assert (file.parent / "_SUCCESS").exists()
