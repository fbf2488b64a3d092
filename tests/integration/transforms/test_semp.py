"""What the broker's management tells of a queue: how many flows it can use, and what it holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pytest

from flumebeam.batch import EventBatch
from flumebeam.broker import BrokerConfig, DevelopmentBroker
from flumebeam.clock import ManualClock
from flumebeam.errors import ConfigurationError, ConnectionFailedError, QueueError
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.secret import Secret
from flumebeam.solace.semp import Backlog, BacklogWatch, SempOptions
from flumebeam.testing import running_broker
from flumebeam.transforms.acknowledge import AcknowledgeBatches
from flumebeam.transforms.receivers import RECEIVERS
from flumebeam.transforms.restriction import Position, Provider, Share
from flumebeam.transforms.running import run_pipeline
from flumebeam.transforms.solace_read import ReadFromSolace
from flumebeam.transforms.stopping import forget_stop
from tests.integration.transforms.test_metrics import told
from tests.waiting import eventually


@pytest.fixture
def broker() -> Iterator[DevelopmentBroker]:
    with running_broker(BrokerConfig(port=0, semp_port=0)) as made:
        made.create_queue("logs", subscriptions=["logs/>"])
        made.create_queue("open/all", access="non-exclusive")
        made.create_queue("parts", access="non-exclusive", partitions=3)
        yield made
    forget_stop()
    assert not RECEIVERS.in_use, "a source was not torn down"


@pytest.fixture
def semp(broker: DevelopmentBroker) -> SempOptions:
    assert broker.semp_url is not None
    return SempOptions(url=broker.semp_url, password=Secret("admin"))


@pytest.fixture
def connection(broker: DevelopmentBroker) -> SolaceOptions:
    return SolaceOptions(host=broker.url)


def flows(queue: str, asked: int, connection: SolaceOptions, semp: SempOptions, **options: Any) -> int:
    read = ReadFromSolace(queue, connection=connection, semp=semp, flows=asked, **options)
    found: int = read._read.display_data()["flows"]
    return found


@pytest.mark.parametrize(
    ("queue", "asked", "bound"),
    [("logs", 0, 1), ("logs", 1, 1), ("open/all", 0, 1), ("open/all", 5, 5), ("parts", 0, 3), ("parts", 2, 2)],
)
def test_a_read_binds_what_the_queue_can_use(
    connection: SolaceOptions, semp: SempOptions, queue: str, asked: int, bound: int
) -> None:
    assert flows(queue, asked, connection, semp) == bound


def test_a_queue_that_is_made_for_the_read_is_made_for_its_flows(connection: SolaceOptions, semp: SempOptions) -> None:
    assert [flows("new", asked, connection, semp, topics=["new/>"]) for asked in (0, 1, 4)] == [1, 1, 4]


@pytest.mark.parametrize(
    ("queue", "options", "why"),
    [
        ("logs", {"asked": 2}, "'logs' lets only one consumer be active, so 2 flows cannot share it"),
        ("parts", {"asked": 4}, "'parts' has 3 partitions, so 4 flows would not all be served"),
        ("parts", {"asked": 1, "replay_from": "beginning"}, "'parts' has partitions, and such queues are not replayed"),
    ],
)
def test_what_the_queue_cannot_do_is_refused_when_the_read_is_built(
    connection: SolaceOptions, semp: SempOptions, queue: str, options: dict[str, Any], why: str
) -> None:
    with pytest.raises(ConfigurationError, match=why):
        flows(queue, connection=connection, semp=semp, **options)


def test_without_management_nobody_chooses_for_a_read(connection: SolaceOptions) -> None:
    with pytest.raises(ConfigurationError, match="at least one flow, got 0"):
        ReadFromSolace("logs", connection=connection, flows=0)


def test_management_that_does_not_tell_is_one_sentence(
    broker: DevelopmentBroker, connection: SolaceOptions, semp: SempOptions
) -> None:
    wrong = SempOptions(url=semp.url, password=Secret("geheim"))
    with pytest.raises(QueueError, match="refuses to tell 'admin' of queue 'logs'") as refused:
        flows("logs", 0, connection, wrong)
    assert "geheim" not in str(refused.value) + repr(wrong)
    for url in ("http://127.0.0.1:1", broker.url.replace("tcp://", "http://")):
        with pytest.raises(ConnectionFailedError, match="check that it is up and that the address is right"):
            flows("logs", 0, connection, SempOptions(url=url, password=Secret("x"), timeout_seconds=2))
    with pytest.raises(ConfigurationError, match="no address of SEMP"):
        SempOptions(url="broker:8080")


class WaitForBacklog(beam.DoFn):
    """Lets a first bundle end only when the backlog has been looked at: the next one tells it."""

    def process(self, batch: EventBatch) -> Iterator[EventBatch]:
        receiver = RECEIVERS._by_id[batch.provenance.receiver].receiver  # type: ignore[union-attr]
        eventually(lambda: receiver.backlog is not None)  # type: ignore[attr-defined]
        yield batch


def test_the_backlog_is_told_to_the_runner_and_counted(
    broker: DevelopmentBroker, connection: SolaceOptions, semp: SempOptions, publish: Any
) -> None:
    publish([b"x" * 100] * 300)
    messages, nbytes = broker.queue("logs").messages, _bytes(connection, semp)
    pipeline = beam.Pipeline(runner="FnApiRunner")
    read = ReadFromSolace("logs", connection=connection, semp=semp, max_events=300, bundle_events=100)
    pipeline | read | beam.ParDo(WaitForBacklog()) | AcknowledgeBatches()

    result = run_pipeline(pipeline)

    found = told(result)
    assert 0 < found["queue_messages"].value <= messages == 300
    assert 0 < found["queue_bytes"].value <= nbytes
    assert (
        Provider(bounded=False).restriction_size(Share((0,), None), Position(backlog_bytes=nbytes)) == nbytes > 30_000
    )


def _bytes(connection: SolaceOptions, semp: SempOptions) -> int:
    facts = semp.look(connection.vpn, "logs")
    assert facts is not None
    return facts.backlog.nbytes


def test_why_a_backlog_is_not_known_is_told_once(
    connection: SolaceOptions, semp: SempOptions, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("SOLACE_SEMP_PASSWORD", raising=False)  # as on a worker that was never given it
    clock = ManualClock()
    watch = BacklogWatch(SempOptions(url=semp.url), connection.vpn, "logs", clock)

    with caplog.at_level("WARNING", "flumebeam.solace.semp"):
        for _ in range(3):
            assert watch.last() is None
            assert watch._looking is not None
            watch._looking.join()
            clock.advance(10)

    assert [record.getMessage().count("SOLACE_SEMP_PASSWORD") for record in caplog.records] == [1]


def test_a_backlog_that_nobody_tells_is_none_and_is_asked_for_again_later(
    broker: DevelopmentBroker, connection: SolaceOptions, semp: SempOptions
) -> None:
    clock = ManualClock()
    watch = BacklogWatch(semp, connection.vpn, "later", clock)
    assert watch.last() is None
    assert watch._looking is not None
    watch._looking.join()
    broker.create_queue("later")
    assert watch.last() is None  # too early
    clock.advance(10)

    watch.last()
    watch._looking.join()

    assert watch.last() == Backlog(0, 0)
