from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import Timestamp

from flumebeam.batch import EventBatch
from flumebeam.channel.memory import Failure, MemoryChannel, MemoryQueue
from flumebeam.channel.topics import topic_function
from flumebeam.errors import ConfigurationError, PublishRefusedError, StorageError
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.fields import MessageFields
from flumebeam.solace.packing import Packing
from flumebeam.testing.memory_queue import MemoryQueue as SourceQueue
from flumebeam.testing.memory_queue import MemoryReceiverFactory
from flumebeam.transforms.acknowledge import Acknowledge
from flumebeam.transforms.broker_position import BrokerPosition
from flumebeam.transforms.deadletter import DeadLettersToFiles
from flumebeam.transforms.metrics import LineageNote
from flumebeam.transforms.read_options import BundleLimits, ReadLimits
from flumebeam.transforms.receiver_read import ReadFromReceivers
from flumebeam.transforms.running import run_pipeline
from flumebeam.transforms.solace_write import PublishFn, WriteToSolace, open_publisher

TARGETS: dict[str, MemoryQueue] = {}
"""Where channels of a test put events, by the test's name: the in-process runner runs them in this process."""


class SpoilBody(beam.DoFn):
    """Gives one event a header that no client can send."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def process(self, batch: EventBatch) -> Iterator[EventBatch]:
        yield EventBatch.from_events(
            event if event.body != self._body else type(event)(event.body, {"h": "\0"}, event.provenance)
            for event in batch.events()
        )


POSITION = BrokerPosition(queue="p", connection=SolaceOptions())


def open_memory(name: str, plan: tuple[Failure, ...], limit: int) -> MemoryChannel:
    return MemoryChannel(TARGETS[name], max_transaction_messages=limit, plan=plan)


@pytest.fixture
def target(request: pytest.FixtureRequest) -> Iterator[str]:
    name: str = request.node.nodeid
    TARGETS[name] = MemoryQueue()
    yield name
    del TARGETS[name]


def numbers(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def ingest(
    source: SourceQueue, target: str, *, spoil: bytes = b"", plan: tuple[Failure, ...] = (), **options: Any
) -> Any:
    write = WriteToSolace("logs/a", max_transaction_messages=10, **options)
    write._open = partial(open_publisher, partial(open_memory, target, plan, 10), write._limits)
    pipeline = beam.Pipeline(runner="FnApiRunner")
    result = (
        pipeline
        | ReadFromReceivers(
            MemoryReceiverFactory(source.name),
            limits=ReadLimits(until_empty=True, idle_seconds=0),
            bundle=BundleLimits(events=45),
        )
        | beam.ParDo(SpoilBody(spoil))
        | write
    )
    result.written | "Told" >> Acknowledge()
    if "dead_letters" in options:
        result.dead_letters | "ToldOfLetters" >> Acknowledge()
    return run_pipeline(pipeline)


def counters(result: Any) -> dict[str, int]:
    return {found.key.metric.name: found.committed for found in result.metrics().query()["counters"]}


def bodies(target: str) -> list[bytes]:
    return [message.body for message in TARGETS[target].take(10_000, 0)]


def test_everything_is_published_in_transactions_and_the_source_is_told(queue: SourceQueue, target: str) -> None:
    queue.put(numbers(100))

    result = ingest(queue, target)

    assert numbers(100) == bodies(target) == queue.acknowledged
    assert counters(result)["transactions_committed"] == 5 + 5 + 1
    assert counters(result)["events_committed"] == counters(result)["events_acknowledged"] == 100


def test_a_refused_event_fails_the_run_with_the_reason_and_stays_with_its_source(
    queue: SourceQueue, target: str
) -> None:
    queue.put(numbers(20))

    with pytest.raises(PublishRefusedError, match=r"topic 'logs/a' was refused.*dead_letters"):
        ingest(queue, target, spoil=b"13")

    assert bodies(target) == queue.acknowledged == numbers(13)


def test_a_refused_event_becomes_a_dead_letter_and_is_told_once_it_is_kept(
    queue: SourceQueue, target: str, tmp_path: Path
) -> None:
    queue.put(numbers(20))

    result = ingest(queue, target, spoil=b"13", dead_letters=DeadLettersToFiles(str(tmp_path / "letters")))

    assert bodies(target) == [body for body in numbers(20) if body != b"13"]
    assert sorted(queue.acknowledged) == sorted(numbers(20))
    assert counters(result)["dead_letters"] == 1
    (file,) = (tmp_path / "letters").iterdir()
    (line,) = file.read_text().splitlines()
    letter = json.loads(line)
    assert (letter["target"], b64decode(letter["body"]), letter["headers"]) == ("logs/a", b"13", {"h": "\0"})
    assert letter["cause"]


def test_dead_letters_that_cannot_be_kept_fail_the_run_and_stay_with_their_source(
    queue: SourceQueue, target: str, tmp_path: Path
) -> None:
    queue.put(numbers(5))
    (tmp_path / "file").touch()

    with pytest.raises(StorageError, match="Dead letters cannot be kept"):
        ingest(queue, target, spoil=b"3", dead_letters=DeadLettersToFiles(str(tmp_path / "file")))
    assert b"3" not in queue.acknowledged


def test_unknown_and_rolled_back_commits_are_repeated_and_counted(queue: SourceQueue, target: str) -> None:
    queue.put(numbers(20))

    result = ingest(queue, target, plan=(Failure.COMMIT_UNKNOWN_APPLIED, Failure.COMMIT_ROLLED_BACK))

    assert bodies(target) == numbers(10) + numbers(20)
    assert queue.acknowledged == numbers(20)
    assert counters(result)["transactions_unknown"] == counters(result)["transactions_rolled_back"] == 1


def test_an_instance_that_is_used_again_after_a_failed_bundle_forgets_what_it_held(target: str) -> None:
    opened = partial(open_memory, target, (), 10)
    limits = {"max_messages": 10, "retry_seconds": 1}
    write = PublishFn(
        partial(open_publisher, opened, limits),
        topic_function("logs/a"),
        keeps_dead_letters=False,
        lineage=LineageNote("memory", target, sink=True),
    )
    for bundle in (b"failed", b"good"):
        write.start_bundle()
        list(write.process(EventBatch.from_bodies([bundle]), Timestamp(0), GlobalWindow()))

    list(write.finish_bundle())
    write.teardown()

    assert bodies(target) == [b"good"]


@pytest.mark.parametrize("options", [{"max_transaction_messages": 0}, {"retry_seconds": -1}, {"topic": "a//b"}])
def test_options_that_cannot_work_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        WriteToSolace(**{"topic": "logs/a", **options})


def test_the_password_is_not_shown() -> None:
    write = WriteToSolace("logs/a", connection=SolaceOptions(password="hush"))

    assert "hush" not in repr(write.display_data())


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"mode": "fast"}, "mode is 'fast'; it must be one of transacted, persistent, direct"),
        ({"on_unknown": "hope"}, "on_unknown is 'hope'; it must be one of retry, dead-letter, stop"),
        ({"on_over_quota": "drop"}, "on_over_quota is 'drop'"),
        ({"on_unknown": "dead-letter"}, "somebody who takes them"),
        ({"packing": Packing(), "fields": MessageFields(partition_key="x")}, "share its fields"),
        ({"packing": Packing(), "mode": "direct"}, "need transactions"),
        ({"position": POSITION, "mode": "persistent"}, "need transactions"),
        ({"position": POSITION, "dead_letters": beam.Map(str)}, "passes over nothing"),
        ({"position": replace(POSITION, connection=SolaceOptions(host="other"))}, "the broker that gets them"),
    ],
)
def test_what_cannot_work_is_refused_when_the_graph_is_built(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        WriteToSolace("logs/a", connection=SolaceOptions(), **options)


def test_packing_with_a_position_needs_one_fixed_topic() -> None:
    WriteToSolace("logs/a", connection=SolaceOptions(), position=POSITION, packing=Packing())
    with pytest.raises(ConfigurationError, match="fixed topic"):
        WriteToSolace("logs/%{x}", connection=SolaceOptions(), position=POSITION, packing=Packing())
