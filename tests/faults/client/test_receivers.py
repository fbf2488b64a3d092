"""What a receiver delivers when the connection or the broker fails: nothing lost, nothing twice within its life."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from time import monotonic

import pytest

from flumebeam.batch import EventBatch
from flumebeam.broker.faults import LoseCommitResponse
from flumebeam.deliveries import Receiver
from flumebeam.errors import ConnectionFailedError, QueueError
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.flows import FlowOptions
from flumebeam.solace.session import VendorConnection, connect
from flumebeam.testing.broker import DevelopmentBroker
from tests.failures import Counted
from tests.faults.client.patience import HASTY, asking_for
from tests.integration.client.helpers import acknowledge, bodies, drink, fill
from tests.waiting import eventually

IN_TRANSACTIONS = FlowOptions(transaction_messages=256)


@pytest.fixture
def connection(options: SolaceOptions) -> Iterator[VendorConnection]:
    with connect(options) as connection:
        yield connection


def numbers(batch: EventBatch) -> list[int]:
    return [int(body) for body in bodies(batch)]


def fill_anew(options: SolaceOptions, *wanted: int) -> None:
    """Publish on a connection of its own, which no fault has met."""
    with connect(options) as other:
        fill(other, *wanted)


def settle(broker: DevelopmentBroker, receiver: Receiver, *batches: EventBatch) -> None:
    """Acknowledge what was received, and see that this is all there was."""
    for batch in batches:
        acknowledge(receiver, batch)

    def is_empty() -> bool:
        # What was in a transaction that a cut ended is taken once more, by whoever receives, and not delivered.
        assert bodies(receiver.receive(1, 0.1)) == []
        return broker.queue("q").messages == 0

    eventually(is_empty)


def acknowledged(connection: VendorConnection, how: FlowOptions) -> Receiver:
    """Return a receiver whose one event has been acknowledged."""
    fill(connection, 1)
    receiver = connection.receiver("q", flow=how)
    acknowledge(receiver, drink(receiver, 1))
    return receiver


def fence(batch: EventBatch) -> bool:
    return batch.provenance is not None and batch.provenance.fence


def test_what_comes_after_a_reconnect_asks_for_a_fence_and_nothing_comes_twice(
    broker: DevelopmentBroker, options: SolaceOptions, connection: VendorConnection, how: FlowOptions
) -> None:
    fill(connection, *range(5))
    receiver = connection.receiver("q", flow=how)
    first = drink(receiver, 5)
    assert numbers(first) == list(range(5))

    broker.cut_connections()
    fill_anew(options, 5, 6)
    second = drink(receiver, 2)

    assert numbers(second) == [5, 6]
    assert fence(second)
    assert len(receiver.receive(10, 0.3)) == 0
    settle(broker, receiver, first, second)


@pytest.mark.failure("session rebuilt with the same queue")
def test_what_lay_unread_when_the_connection_broke_is_delivered_once(
    broker: DevelopmentBroker,
    options: SolaceOptions,
    connection: VendorConnection,
    how: FlowOptions,
    counted: Counted,
) -> None:
    fill(connection, *range(50))
    receiver = connection.receiver("q", flow=how)
    eventually(lambda: broker.queue("q").unacknowledged == 50)

    broker.cut_connections()
    fill_anew(options, 50)
    batch = drink(receiver, 51)

    assert numbers(batch) == list(range(51))
    assert fence(batch)
    settle(broker, receiver, batch)
    counted(range(51), numbers(batch), kept=broker.queue("q").messages)


@pytest.mark.failure("acknowledgement lost")
def test_an_acknowledgement_that_a_cut_swallowed_is_repeated_and_its_message_not_delivered_again(
    broker: DevelopmentBroker,
    options: SolaceOptions,
    connection: VendorConnection,
    counted: Counted,
) -> None:
    fill(connection, *range(20))
    receiver = connection.receiver("q")
    batch = drink(receiver, 20)
    broker.freeze()
    acknowledge(receiver, batch)  # goes nowhere
    broker.cut_connections()
    broker.thaw()

    fill_anew(options, 20)
    last = drink(receiver, 1)

    assert numbers(last) == [20]
    settle(broker, receiver, last)
    counted(range(21), [*numbers(batch), *numbers(last)], kept=broker.queue("q").messages)


def test_a_broker_that_is_away_for_a_while_is_survived(
    broker: DevelopmentBroker, options: SolaceOptions, how: FlowOptions
) -> None:
    with connect(options) as connection:
        fill(connection, *range(10))
        receiver = connection.receiver("q", flow=how)
        seen = numbers(drink(receiver, 10).slice(0, 10))
        broker.restart(keep_state=True, down_seconds=2.0)
        fill_anew(options, 10)
        seen += numbers(drink(receiver, 1))

    assert seen == list(range(11))
    eventually(lambda: broker.queue("q").unacknowledged == 0)
    with connect(options) as connection:
        assert numbers(drink(connection.receiver("q", flow=how), 11)) == list(range(11))


def test_a_broker_that_stays_away_ends_receiving_in_seconds(broker: DevelopmentBroker, how: FlowOptions) -> None:
    with connect(SolaceOptions(host=broker.url, reconnect=HASTY)) as connection:
        fill(connection, 1)
        receiver = connection.receiver("q", flow=how)
        batch = drink(receiver, 1)
        broker.refuse_connections()
        broker.cut_connections()
        begun = monotonic()

        with pytest.raises(ConnectionFailedError, match=r"tcp://.* was lost"):
            receiver.receive(1, 100)

        assert monotonic() - begun < 90
        with pytest.raises(ConnectionFailedError):
            acknowledge(receiver, batch)
        assert not connection.alive
        begun = monotonic()
    assert monotonic() - begun < 60


def test_a_receiver_can_be_closed_while_another_thread_receives(connection: VendorConnection, how: FlowOptions) -> None:
    receiver = connection.receiver("q", flow=how)
    caught: list[BaseException] = []

    def receive() -> None:
        try:
            receiver.receive(1, 50)
        except ConnectionFailedError as error:
            caught.append(error)

    blocked = threading.Thread(target=receive)
    blocked.start()
    receiver.close()
    blocked.join(60)

    assert not blocked.is_alive()
    assert len(caught) == 1


def test_closing_ends_in_time_while_the_broker_is_frozen(
    broker: DevelopmentBroker, options: SolaceOptions, how: FlowOptions
) -> None:
    connection = connect(options)
    _receiver = acknowledged(connection, how)
    connection.transacted_session(queue=None)
    broker.freeze()
    begun = monotonic()

    assert not connection.close()

    assert monotonic() - begun < 60
    broker.thaw()


@pytest.mark.parametrize("attempts", [0, 60])
def test_closing_proves_nothing_if_the_connection_breaks_before_the_broker_has_answered(
    broker: DevelopmentBroker, options: SolaceOptions, attempts: int, how: FlowOptions
) -> None:
    for _ in range(10):
        connection = connect(replace(options, reconnect=replace(options.reconnect, attempts=attempts)))
        if not broker.queue("q").messages:
            fill(connection, 1)
        receiver = connection.receiver("q", flow=how)
        acknowledge(receiver, drink(receiver, 1))
        broker.freeze()
        receiver.close()
        closing = threading.Thread(target=broker.cut_connections)
        closing.start()

        assert not connection.close()

        closing.join()
        broker.thaw()


def test_closing_proves_nothing_after_a_reconnect(
    broker: DevelopmentBroker, options: SolaceOptions, how: FlowOptions
) -> None:
    connection = connect(options)
    _receiver = acknowledged(connection, how)
    broker.cut_connections()
    eventually(lambda: connection._losses > 0 and not connection.away)

    assert not connection.close()


def test_closing_proves_nothing_if_the_queue_was_taken_away(
    broker: DevelopmentBroker, options: SolaceOptions, how: FlowOptions
) -> None:
    connection = connect(options)
    receiver = acknowledged(connection, how)
    broker.delete_queue("q")
    with pytest.raises(QueueError):
        receiver.receive(1, 60)

    assert connection.close() is bool(how.transaction_messages)  # what is committed is


def test_whatever_is_cut_every_event_is_delivered_once_in_order(
    broker: DevelopmentBroker, options: SolaceOptions, how: FlowOptions
) -> None:
    total = 3000
    fill_anew(options, *range(total))
    stop = threading.Event()

    def saw() -> None:
        goal = 0
        # Only after it came further: where a login takes longer than the time between two cuts, none would succeed.
        # And not for ever: the rest is to come in any case.
        while not stop.wait(0.01) and monotonic() < begun + 20:
            if len(got) >= goal:
                goal = len(got) + 150
                broker.cut_connections()

    got: list[int] = []
    begun = monotonic()
    sawing = threading.Thread(target=saw)
    with connect(asking_for(2.0, options)) as connection:
        receiver = connection.receiver("q", flow=how)
        sawing.start()
        while len(got) < total and monotonic() < begun + 250:
            batch = receiver.receive(40, 0.5)
            if len(batch):
                got += numbers(batch)
                acknowledge(receiver, batch)
            stop.wait(0.005)
        stop.set()
        sawing.join()

        assert got == list(range(total))
        settle(broker, receiver)


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("cut", [True, False])
def test_a_commit_whose_answer_is_lost_loses_nothing_and_delivers_nothing_twice(
    broker: DevelopmentBroker, options: SolaceOptions, applied: bool, cut: bool
) -> None:
    fill_anew(options, *range(20))
    with connect(asking_for(2.0, options)) as connection:
        receiver = connection.receiver("q", flow=IN_TRANSACTIONS)
        batch = drink(receiver, 20)
        broker.fault(LoseCommitResponse(applied=applied, cut=cut))
        acknowledge(receiver, batch)

        fill_anew(options, 20)
        last = drink(receiver, 1)

        assert numbers(last) == [20]
        settle(broker, receiver, last)


def test_a_transaction_that_a_cut_ended_is_committed_when_what_is_still_to_be_acknowledged_is(
    broker: DevelopmentBroker, options: SolaceOptions, connection: VendorConnection
) -> None:
    fill(connection, *range(20))
    receiver = connection.receiver("q", flow=IN_TRANSACTIONS)
    batch = drink(receiver, 20)
    acknowledge(receiver, batch.slice(0, 10))
    broker.cut_connections()
    fill_anew(options, 20)

    last = drink(receiver, 1)
    acknowledge(receiver, last)
    assert broker.queue("q").messages >= 11  # what is acknowledged may have been taken again, and committed
    settle(broker, receiver, batch)

    assert numbers(last) == [20]
    assert receiver.close()


def test_what_is_acknowledged_between_a_transaction_that_was_given_up_and_the_next_is_not_delivered_again(
    broker: DevelopmentBroker, options: SolaceOptions, connection: VendorConnection
) -> None:
    fill(connection, *range(20))
    receiver = connection.receiver("q", flow=IN_TRANSACTIONS)
    batch = drink(receiver, 20)
    broker.cut_connections()
    eventually(lambda: broker.queue("q").consumers == 1)
    assert len(receiver.receive(1, 0)) == 0

    settle(broker, receiver, batch)


def test_a_broker_that_lost_its_state_within_a_transaction_is_survived(
    broker: DevelopmentBroker, options: SolaceOptions, connection: VendorConnection
) -> None:
    fill(connection, *range(10))
    receiver = connection.receiver("q", flow=IN_TRANSACTIONS)
    batch = drink(receiver, 10)
    broker.restart(keep_state=False)
    broker.create_queue("q", subscriptions=["logs/>"])
    acknowledge(receiver, batch)
    fill_anew(options, 10)

    last = drink(receiver, 1)

    assert numbers(last) == [10]
    assert fence(last)
    settle(broker, receiver, last)
