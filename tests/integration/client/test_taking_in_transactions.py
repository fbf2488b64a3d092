"""What is different for a receiver that takes in transactions; what is not is in ``test_receiver.py``."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from flumebeam.batch import EventBatch
from flumebeam.broker.faults import FailCommit
from flumebeam.errors import ConfigurationError, QueueError
from flumebeam.solace import _reader, _transaction_receiver
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.flows import FlowOptions, GiveBack, ReplayStart
from flumebeam.solace.packing import Packing
from flumebeam.solace.session import VendorConnection, connect
from flumebeam.testing.broker import DevelopmentBroker
from tests.failures import Counted
from tests.integration.client.helpers import acknowledge, bodies, drink, fill, numbered
from tests.waiting import eventually

OF_TEN = FlowOptions(transaction_messages=10)


@pytest.mark.parametrize("lane", ["native", "wrapper", "plain"])
def test_what_was_taken_leaves_the_queue_at_once_when_all_of_it_is_acknowledged(
    broker: DevelopmentBroker, options: SolaceOptions, lane: str
) -> None:
    with connect(replace(options, lane=lane)) as connection:
        fill(connection, *range(10))
        receiver = connection.receiver("q", flow=OF_TEN)
        batch = drink(receiver, 10)

        acknowledge(receiver, batch.slice(0, 3))
        acknowledge(receiver, batch.slice(0, 9))

        assert (receiver.unacknowledged, broker.queue("q").messages) == (1, 10)
        assert receiver.oldest_age > 0
        acknowledge(receiver, batch.slice(9))
        assert (receiver.unacknowledged, broker.queue("q").messages) == (0, 0)
        assert receiver.acknowledged_after is not None
        assert receiver.close()


@pytest.mark.parametrize("limit", [0, 1 << 30])
def test_messages_are_the_same_read_together_or_one_by_one(
    connection: VendorConnection, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(_reader, "_TOGETHER_BYTES", limit)
    fill(connection, *range(200))
    receiver = connection.receiver("q", flow=FlowOptions(transaction_messages=256))

    batch = drink(receiver, 200)

    assert bodies(batch) == [b"%d" % number for number in range(200)]
    acknowledge(receiver, batch)
    assert receiver.close()


def test_what_is_acknowledged_in_part_comes_again_whole(
    broker: DevelopmentBroker, connection: VendorConnection
) -> None:
    fill(connection, *range(10))
    receiver = connection.receiver("q", flow=OF_TEN)
    acknowledge(receiver, drink(receiver, 10).slice(0, 9))

    assert not receiver.close()

    again = drink(connection.receiver("q", flow=OF_TEN), 10)
    assert bodies(again) == [b"%d" % number for number in range(10)]
    assert again.shared["solace.redelivered"] == "true"


def test_a_full_transaction_hands_out_nothing_before_it_is_committed(connection: VendorConnection) -> None:
    fill(connection, *range(25))
    receiver = connection.receiver("q", flow=OF_TEN)
    first = drink(receiver, 10)

    assert not len(receiver.receive(100, 0.3))
    acknowledge(receiver, first)
    second = drink(receiver, 10)
    acknowledge(receiver, second)

    assert bodies(second) == [b"%d" % number for number in range(10, 20)]


def test_a_transaction_that_stays_full_is_told_of_once(
    connection: VendorConnection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_transaction_receiver, "_PATIENCE_SECONDS", 0.0)
    fill(connection, *range(20))
    receiver = connection.receiver("q", flow=OF_TEN)
    acknowledge(receiver, drink(receiver, 10).slice(0, 7))

    for _ in range(3):
        assert not len(receiver.receive(10, 0.01))

    told = [record.message for record in caplog.records if "Nothing more is read from queue 'q'" in record.message]
    assert len(told) == 1
    assert "3 events of it are not" in told[0]


def test_an_acknowledgement_is_committed_while_another_thread_waits_for_messages(
    broker: DevelopmentBroker, connection: VendorConnection
) -> None:
    fill(connection, 1)
    receiver = connection.receiver("q", flow=OF_TEN)
    batch = drink(receiver, 1)
    waiting = threading.Thread(target=receiver.receive, args=(1, 1.0))
    waiting.start()

    acknowledge(receiver, batch)

    eventually(lambda: broker.queue("q").messages == 0)
    waiting.join()


@pytest.mark.failure("more than 256 messages in a transaction")
def test_more_than_the_broker_allows_ends_with_the_setting_to_raise_and_loses_nothing(
    broker: DevelopmentBroker,
    connection: VendorConnection,
    counted: Counted,
) -> None:
    fill(connection, *range(300))
    receiver = connection.receiver("q", flow=FlowOptions(transaction_messages=300))
    batch = drink(receiver, 300)

    with pytest.raises(QueueError, match=r"comes again.*maxMsgsPerTransaction.*to 300 or more.*transaction_messages"):
        acknowledge(receiver, batch)

    receiver.close()
    assert broker.queue("q").messages == 300
    counted(range(300), [], kept=broker.queue("q").messages)


@pytest.mark.parametrize("acknowledged", [10, 4])
def test_a_commit_that_was_rolled_back_brings_everything_again_but_hands_out_nothing_twice(
    broker: DevelopmentBroker, connection: VendorConnection, acknowledged: int
) -> None:
    fill(connection, *range(10))
    receiver = connection.receiver("q", flow=OF_TEN)
    batch = drink(receiver, 10)
    broker.fault(FailCommit(reason="Message Consume Failure"))
    acknowledge(receiver, batch.slice(0, acknowledged))
    acknowledge(receiver, batch)

    assert broker.queue("q").messages == 10
    fill(connection, 10)
    last = drink(receiver, 1)

    assert bodies(last) == [b"10"]
    assert last.provenance is not None
    assert last.provenance.fence
    acknowledge(receiver, last)
    assert broker.queue("q").messages == 0
    assert receiver.close()


def test_a_pack_is_taken_whole_and_committed_when_all_of_its_events_are_acknowledged(
    broker: DevelopmentBroker, connection: VendorConnection
) -> None:
    session = connection.transacted_session()
    session.publish(numbered(*range(40)), "logs/x", Packing(max_events=4))
    assert session.commit().committed
    receiver = connection.receiver("q", flow=replace(OF_TEN, transaction_messages=5))
    batch = drink(receiver, 20)

    assert receiver.unacknowledged == 20
    assert not len(receiver.receive(100, 0.1))
    acknowledge(receiver, batch.slice(0, 19))
    assert broker.queue("q").messages == 10
    acknowledge(receiver, batch.slice(19))
    assert broker.queue("q").messages == 5
    acknowledge(receiver, drink(receiver, 20))
    assert broker.queue("q").messages == 0


def test_packs_are_taken_together_only_as_far_as_they_fit_into_what_is_asked_for(connection: VendorConnection) -> None:
    session = connection.transacted_session()
    session.publish(numbered(*range(80)), "logs/x", Packing(max_events=4))
    assert session.commit().committed
    receiver = connection.receiver("q", flow=FlowOptions(transaction_messages=100))
    drink(receiver, 4)

    batch = EventBatch.concat([receiver.receive(9, 5) for _ in range(8)])

    assert bodies(batch) == [b"%d" % number for number in range(4, 4 + len(batch))]
    assert len(receiver._surplus) < 4


def test_only_what_a_selector_matches_is_taken(broker: DevelopmentBroker, connection: VendorConnection) -> None:
    session = connection.transacted_session()
    session.publish(EventBatch.from_bodies([b"a", b"b"], {}, {"kind": ["x", "y"]}), "logs/x")
    assert session.commit().committed
    receiver = connection.receiver("q", flow=replace(OF_TEN, selector="kind = 'y'"))

    batch = drink(receiver, 1)
    acknowledge(receiver, batch)

    assert bodies(batch) == [b"b"]
    assert broker.queue("q").messages == 1


def test_a_flow_that_is_to_share_a_queue_is_refused_where_the_broker_lets_it_stand_by(
    broker: DevelopmentBroker, connection: VendorConnection
) -> None:
    sharing = replace(OF_TEN, shared=True)
    first = connection.receiver("q", flow=sharing)
    assert first.active

    with pytest.raises(ConfigurationError, match=r"Queue 'q' at .* lets only one consumer be active"):
        connection.receiver("q", flow=sharing)
    standby = connection.receiver("q", flow=OF_TEN)

    assert not standby.active
    first.close()
    eventually(lambda: standby.active)


@pytest.mark.parametrize(
    "other",
    [{"browse": True}, {"replay": ReplayStart("BEGINNING")}, {"give_back": GiveBack.FAILED}],
)
def test_what_cannot_be_done_in_transactions_is_refused(other: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="leave out transaction_messages"):
        FlowOptions(transaction_messages=1, **other)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="at least one message, got -1"):
        FlowOptions(transaction_messages=-1)
