from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.metrics.metric import Lineage

from flumebeam.batch import EventBatch
from flumebeam.broker import DevelopmentBroker, FailCommit
from flumebeam.event import Event
from flumebeam.interceptors.host import HostInterceptor
from flumebeam.solace.config import SolaceOptions
from flumebeam.transforms import (
    Acknowledge,
    DeadLetter,
    DeadLettersToFiles,
    Intercept,
    JsonToRows,
    MoveOnSolace,
    ReadFromFiles,
    ReadFromSolace,
    WriteResult,
    WriteToHdfs,
    WriteToSolace,
    WriteWindowsToFiles,
    run_pipeline,
)

Publish = Callable[[Sequence[bytes]], None]


def told(result: Any) -> dict[str, Any]:
    """Return counts by name, and of distributions what they are."""
    found = result.metrics().query()
    return {metric.key.metric.name: metric.committed for kind in found.values() for metric in kind}


def places(result: Any) -> tuple[set[str], set[str]]:
    return Lineage.query(result.metrics(), Lineage.SOURCE), Lineage.query(result.metrics(), Lineage.SINK)


def run(*steps: Any) -> Any:
    pipeline = beam.Pipeline(runner="FnApiRunner")
    collection: Any = pipeline
    for step in steps:
        collection = (collection.written if isinstance(collection, WriteResult) else collection) | step
    return run_pipeline(pipeline)


def test_a_drain_tells_what_it_read_changed_committed_and_acknowledged(
    connection: SolaceOptions, publish: Publish, tmp_path: Path
) -> None:
    publish([b"%d" % number for number in range(300)])
    read = ReadFromSolace("logs", connection=connection, until_empty=True, idle_seconds=1, bundle_events=100)

    result = run(read, Intercept(HostInterceptor()), WriteToHdfs(str(tmp_path), max_events=100), Acknowledge())

    found = told(result)
    names = ("received", "intercepted", "written", "acknowledged")
    assert {name: found[f"events_{name}"] for name in names} == dict.fromkeys(names, 300)
    assert found["transactions_committed"] == found["commit_ms"].count == found["transaction_events"].count
    assert found["transaction_events"].sum == 300
    assert found["acknowledge_latency_ms"].count >= 3
    assert found["events_unacknowledged"].value == 0
    host = f"`{connection.host}`"
    assert places(result) == ({f"solace:{host}.default.logs"}, {f"filesystem:localhost.{tmp_path}"})


@pytest.mark.parametrize("mode", ["transacted", "persistent", "direct"])
def test_a_publisher_tells_how_long_publishing_and_commits_took_and_how_large_they_were(
    connection: SolaceOptions, tmp_path: Path, mode: str
) -> None:
    lines = tmp_path / "a.log"
    lines.write_bytes(b"line\n" * 1_000)

    result = run(ReadFromFiles(str(lines)), WriteToSolace("logs/a", connection=connection, mode=mode), Acknowledge())

    found = told(result)
    assert found["events_committed"] == found["transaction_events"].sum == 1_000
    assert found["transactions_committed"] == found["publish_ms"].count == found["transaction_events"].count == 4
    assert found["transaction_events"].max == 256
    assert found["commit_ms"].count == 4 if mode != "direct" else "commit_ms" not in found
    host = f"`{connection.host}`"
    assert places(result) == ({f"filesystem:localhost.`{lines}`"}, {f"solace:{host}.default.logs/a"})


def test_a_move_tells_its_transactions_how_each_ended_and_where_they_went(
    broker: DevelopmentBroker, connection: SolaceOptions, publish: Publish
) -> None:
    broker.create_queue("moved", subscriptions=["moved"])
    publish([b"%d" % number for number in range(200)])
    broker.fault(FailCommit(reason="Server Is Busy"))

    result = run(MoveOnSolace("logs", "moved", connection=connection, until_empty=True, idle_seconds=1))

    found = told(result)
    assert found["events_moved"] == found["transaction_events"].sum == 200
    assert found["transactions_rolled_back"] == 1
    assert found["transactions_committed"] == found["transaction_events"].count
    assert found["publish_ms"].count == found["commit_ms"].count == found["transactions_committed"] + 1
    host = f"`{connection.host}`"
    assert places(result) == ({f"solace:{host}.default.logs"}, {f"solace:{host}.default.moved"})


def test_bodies_that_are_no_rows_are_counted() -> None:
    pipeline = beam.Pipeline(runner="FnApiRunner")
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    batches = pipeline | beam.Create([EventBatch.from_bodies([b'{"n": 1}', b"none", b"[]"])], reshuffle=False)
    batches | JsonToRows(schema, invalid=True)

    assert told(run_pipeline(pipeline))["dead_letters"] == 2


def test_dead_letters_that_were_kept_are_counted(tmp_path: Path) -> None:
    letter = DeadLetter(Event(b"x"), "logs/a", "refused")

    result = run(beam.Create([letter], reshuffle=False), DeadLettersToFiles(str(tmp_path)))

    assert told(result)["dead_letters_kept"] == 1


def test_files_of_windows_are_measured_and_their_target_is_told(tmp_path: Path) -> None:
    batch = EventBatch.from_bodies([b"1", b"2"])

    result = run(
        beam.Create([batch], reshuffle=False),
        WriteWindowsToFiles(str(tmp_path)),
    )

    found = told(result)
    assert found["events_written"] == found["transaction_events"].sum == 2
    assert found["files_written"] == found["commit_ms"].count == 1
    assert places(result)[1] == {f"filesystem:localhost.{tmp_path}"}
