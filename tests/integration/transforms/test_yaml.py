"""A pipeline of Beam YAML with our transforms, run by Beam's own program and by ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flumebeam.batch import EventBatch
from flumebeam.broker import DevelopmentBroker
from flumebeam.event import CAUSE_HEADER
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.session import connect
from flumebeam.transforms.yaml_forms import PROVIDERS
from tests.integration.transforms.contents import stored

PIPELINE = """
pipeline:
  transforms:
    - type: ReadFromSolace
      config: {queue: logs, max_events: 11}
    - type: JsonToRows
      input: ReadFromSolace
      config:
        schema: {type: object, properties: {host: {type: string}, size: {type: integer}}, required: [host]}
        error_handling: {output: invalid}
    - type: Partition
      input: JsonToRows
      config:
        language: python
        by: "'large' if (size or 0) > 5 else 'small'"
        outputs: [large, small]
    - type: Acknowledge
      name: Leave
      input: Partition.small
    - type: RowsToJson
      input: Partition.large
      config: {headers: {machine: host}}
    - type: WriteToSolace
      input: RowsToJson
      config: {topic: "large/%{machine}"}
    - type: Acknowledge
      input: WriteToSolace
    - type: DeadLettersToSolace
      input: JsonToRows.invalid
      config: {topic: dead/logs}
    - type: Acknowledge
      name: AcknowledgeDead
      input: DeadLettersToSolace
"""


def run(place: Path, broker: DevelopmentBroker, text: str, *program: str) -> subprocess.CompletedProcess[str]:
    (place / "pipeline.yaml").write_text(text, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", *program],
        cwd=place,
        env={**os.environ, "SOLACE_HOST": broker.url},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("by", ["beam", "flumebeam"])
def test_json_is_parted_written_and_refused_by_row_and_everything_is_acknowledged(
    broker: DevelopmentBroker, connection: SolaceOptions, tmp_path: Path, by: str
) -> None:
    broker.create_queue("large", subscriptions=["large/>"])
    broker.create_queue("dead", subscriptions=["dead/>"])
    with connect(connection) as opened:
        session = opened.transacted_session()
        rows = [b'{"host": "h1", "size": %d}' % size for size in range(10)]
        session.publish(EventBatch.from_bodies([*rows, b"no JSON"], {"tried": "1"}), "logs/app")
        assert session.commit().committed

    listing = f"providers: [{{include: {json.dumps(str(PROVIDERS))}}}]\n"
    if by == "beam":
        program = ["apache_beam.yaml.main", "--yaml_pipeline_file=pipeline.yaml", "--runner=FnApiRunner"]
        done = run(tmp_path, broker, PIPELINE + listing, *program)
    else:
        done = run(tmp_path, broker, PIPELINE, "flumebeam", "yaml", "pipeline.yaml")

    assert done.returncode == 0, done.stderr
    large = stored(connection, "large")
    assert [json.loads(event.body) for event in large] == [{"size": size} for size in range(6, 10)]
    assert {(event.headers["solace.topic"], event.headers["machine"]) for event in large} == {("large/h1", "h1")}
    (dead,) = stored(connection, "dead")
    assert (dead.body, dead.headers["tried"], dead.headers["flumebeam.origin"]) == (b"no JSON", "1", "logs")
    assert "Expecting value" in dead.headers[CAUSE_HEADER]
    assert broker.queue("logs").messages == 0


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("pipeline: {", "is no YAML pipeline"),
        ("options: {}", "has no 'pipeline'"),
        (
            "pipeline: {type: chain, transforms: [{type: ReadFromSolace, config: {queue: q, qos: 1}}]}",
            "no option 'qos'",
        ),
        (PIPELINE.partition("    - type: DeadLettersToSolace")[0], "JsonToRows.invalid must be used"),
    ],
)
def test_a_mistake_is_one_line_and_a_status(broker: DevelopmentBroker, tmp_path: Path, text: str, why: str) -> None:
    done = run(tmp_path, broker, text, "flumebeam", "yaml", "pipeline.yaml")

    assert done.returncode == 2
    assert why in done.stderr
    assert len(done.stderr.splitlines()) == 1
