"""Time that is missing, or goes back: at the sender and on the machine that reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apache_beam as beam
import pytest

from flumebeam.batch import EventBatch
from flumebeam.broker import DevelopmentBroker
from flumebeam.clock import SystemClock
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.session import connect
from flumebeam.testing import running_broker
from flumebeam.transforms.acknowledge import Acknowledge, AcknowledgeBatches
from flumebeam.transforms.hdfs_write import WriteToHdfs
from flumebeam.transforms.read_options import ReadLimits
from flumebeam.transforms.receiver_read import ReadFromReceivers
from flumebeam.transforms.receivers import RECEIVERS
from flumebeam.transforms.running import run_pipeline
from flumebeam.transforms.solace_read import ReadFromSolace, SolaceReceiverFactory, sender_time_ms
from flumebeam.transforms.stopping import forget_stop
from tests.failures import Counted

NUMBERS = [b"%d" % number for number in range(200)]
DAY_MS = 86_400_000
START_MS = 1_600_000_000_000

SEEN: list[bytes] = []


@pytest.fixture
def broker() -> Iterator[DevelopmentBroker]:
    SEEN.clear()
    with running_broker() as made:
        made.create_queue("logs", subscriptions=["logs/>"])
        yield made
    forget_stop()
    assert not RECEIVERS.in_use, "a source was not torn down"


def fill(broker: DevelopmentBroker, times: list[str | None]) -> None:
    with connect(SolaceOptions(host=broker.url)) as connection:
        session = connection.transacted_session()
        session.publish(EventBatch.from_bodies(NUMBERS, {}, {"timestamp": times}), "logs/a")
        assert session.commit().committed


def drained(broker: DevelopmentBroker, target: Path) -> dict[str, list[bytes]]:
    """Drain the queue into files by day, with the time of the header; return what each day holds."""
    pipeline = beam.Pipeline(runner="FnApiRunner")
    source = ReadFromSolace(
        "logs",
        connection=SolaceOptions(host=broker.url),
        event_time="header:timestamp",
        max_events=len(NUMBERS),
        bundle_events=50,
    )
    pipeline | source | WriteToHdfs(str(target), path="%Y-%m-%d") | Acknowledge()
    run_pipeline(pipeline)
    days: dict[str, list[bytes]] = {}
    for path in sorted(target.glob("[0-9]*/[!._]*")):
        days.setdefault(path.parent.name, []).extend(path.read_bytes().splitlines())
    return days


@pytest.mark.failure("no timestamp header")
def test_events_without_a_timestamp_are_filed_by_what_is_known_of_their_time(
    broker: DevelopmentBroker, tmp_path: Path, counted: Counted
) -> None:
    fill(broker, [str(START_MS) if number % 2 else None for number in range(len(NUMBERS))])

    days = drained(broker, tmp_path / "target")

    assert sorted(days.pop("2020-09-13")) == sorted(NUMBERS[1::2])
    by_sender = [body for bodies in days.values() for body in bodies]
    assert sorted(by_sender) == sorted(NUMBERS[::2])
    counted(NUMBERS, [*NUMBERS[1::2], *by_sender], kept=broker.queue("logs").messages)


@pytest.mark.failure("clock set back")
def test_events_of_a_sender_whose_clock_goes_back_are_all_there_each_in_its_day(
    broker: DevelopmentBroker, tmp_path: Path, counted: Counted
) -> None:
    fill(broker, [str(START_MS - number * DAY_MS) for number in range(len(NUMBERS))])

    days = drained(broker, tmp_path / "target")

    assert len(days) == len(NUMBERS)
    counted(NUMBERS, [body for bodies in days.values() for body in bodies], kept=broker.queue("logs").messages)


class SetBack(SystemClock):
    """The computer's clock, which is set back by a day when the first event has been seen."""

    def epoch_ms(self) -> int:
        return super().epoch_ms() - (DAY_MS if SEEN else 0)


class See(beam.DoFn):
    def process(self, batch: EventBatch) -> Iterator[EventBatch]:
        SEEN.extend(batch.bodies.to_pylist())
        yield batch


@pytest.mark.failure("clock set back")
@pytest.mark.parametrize("limits", [ReadLimits(until_empty=True, idle_seconds=0.5), ReadLimits(max_seconds=2)])
def test_a_read_whose_machine_is_set_back_ends_when_it_is_to_end(
    broker: DevelopmentBroker, limits: ReadLimits, counted: Counted
) -> None:
    fill(broker, [None] * len(NUMBERS))
    factory = SolaceReceiverFactory(source="logs", connection=SolaceOptions(host=broker.url))
    pipeline = beam.Pipeline(runner="FnApiRunner")
    read = ReadFromReceivers(factory, limits=limits, event_time=sender_time_ms, clock=SetBack())
    pipeline | read | beam.ParDo(See()) | AcknowledgeBatches()

    run_pipeline(pipeline)

    counted(NUMBERS, SEEN, kept=broker.queue("logs").messages)
