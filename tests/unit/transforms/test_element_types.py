from __future__ import annotations

from typing import Any

import apache_beam as beam
import pytest

from flumebeam.batch import EventBatch
from flumebeam.deliveries import Durable
from flumebeam.errors import ConfigurationError
from flumebeam.event import Event
from flumebeam.transforms import (
    Acknowledge,
    AcknowledgeBatches,
    DeadLettersToFiles,
    DeadLettersToSolace,
    FromEvents,
    Intercept,
    JsonToRows,
    ToEvents,
    ToRows,
    WriteToHdfs,
    WriteToSolace,
    WriteWindowsToFiles,
)
from flumebeam.transforms.element_types import taken

EVENT = Event(b"one")
NOTED: list[bytes] = []
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


def note(event: Event) -> None:
    NOTED.append(event.body)


def transforms(directory: str) -> list[Any]:
    return [
        Acknowledge(),
        AcknowledgeBatches(),
        DeadLettersToFiles(directory),
        DeadLettersToSolace("letters"),
        FromEvents(),
        Intercept([]),
        JsonToRows(SCHEMA),
        ToEvents(),
        ToRows(),
        WriteToHdfs(directory, queue="q"),
        WriteToSolace("a/b"),
        WriteWindowsToFiles(directory),
    ]


@pytest.fixture(autouse=True)
def _a_broker_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOLACE_HOST", "tcp://broker.example.com:55555")


@pytest.mark.parametrize("which", range(12))
def test_elements_of_a_wrong_type_are_refused_when_the_graph_is_built(which: int, tmp_path: Any) -> None:
    transform = transforms(str(tmp_path))[which]

    with pytest.raises(ConfigurationError, match=rf"^{type(transform).__name__} takes elements of the type .* int\. "):
        _ = beam.Pipeline("FnApiRunner") | beam.Create([1]) | transform


def test_several_outputs_at_once_are_refused_with_their_names() -> None:
    written = beam.Pipeline("FnApiRunner") | beam.Create([EVENT]) | FromEvents() | WriteToSolace("a/b")

    with pytest.raises(ConfigurationError, match=r"name one of its outputs: \.written, \.dead_letters\.$"):
        _ = written | Acknowledge()


def test_elements_of_an_unknown_type_are_looked_at_one_by_one() -> None:
    pipeline = beam.Pipeline("FnApiRunner")
    _ = pipeline | beam.Create([EVENT]) | beam.Map(lambda event: event).with_output_types(Any) | ToEvents()

    with pytest.raises(Exception, match="ToEvents takes elements of the type EventBatch and is given Event"):
        pipeline.run()


def test_elements_of_the_right_type_pass_without_a_step() -> None:
    pipeline = beam.Pipeline("FnApiRunner")
    known = pipeline | beam.Create([EVENT]) | FromEvents()

    assert taken(known, EventBatch, "Any") is known
    with pytest.raises(ConfigurationError):
        taken(known, Durable, "Any")


def test_bytes_and_text_become_events() -> None:
    NOTED.clear()
    with beam.Pipeline("FnApiRunner") as pipeline:
        events = pipeline | beam.Create(["gr\u00fcn", b"\xff", EVENT]) | FromEvents() | ToEvents()
        _ = events | beam.Map(note)

    assert sorted(NOTED) == sorted(["gr\u00fcn".encode(), b"\xff", b"one"])


def test_what_is_no_event_and_no_body_is_refused_on_its_way() -> None:
    pipeline = beam.Pipeline("FnApiRunner")
    _ = pipeline | beam.Create([1]) | beam.Map(lambda number: number).with_output_types(Any) | FromEvents()

    with pytest.raises(Exception, match="FromEvents takes elements of the type Event and is given int"):
        pipeline.run()
