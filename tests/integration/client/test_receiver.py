from __future__ import annotations

from time import monotonic

import pytest

from flumebeam.errors import ConfigurationError, ConnectionFailedError, QueueError
from flumebeam.ids import DeliveryId, delivery_ids
from flumebeam.solace import _receiver
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.fields import MessageFields
from flumebeam.solace.flows import FlowOptions, GiveBack
from flumebeam.solace.session import VendorConnection, connect
from flumebeam.testing.broker import DevelopmentBroker
from tests.integration.client.helpers import acknowledge, bodies, drink, fill, numbered
from tests.waiting import eventually


def test_what_is_acknowledged_leaves_the_queue_and_the_rest_comes_again(
    broker: DevelopmentBroker, connection: VendorConnection
) -> None:
    fill(connection, *range(10))
    receiver = connection.receiver("q")
    batch = drink(receiver, 10)
    assert receiver.unacknowledged == 10

    acknowledge(receiver, batch.slice(0, 3))
    acknowledge(receiver, batch.slice(5, 2))

    assert receiver.unacknowledged == 5
    receiver.close()
    eventually(lambda: broker.queue("q").messages == 5)
    again = drink(connection.receiver("q"), 5)
    assert bodies(again) == [b"3", b"4", b"7", b"8", b"9"]
    assert again.shared["solace.redelivered"] == "true"


def test_acknowledging_twice_or_what_was_never_delivered_changes_nothing(
    broker: DevelopmentBroker, connection: VendorConnection
) -> None:
    fill(connection, 1, 2)
    receiver = connection.receiver("q")
    batch = drink(receiver, 2)

    acknowledge(receiver, batch.slice(0, 1))
    acknowledge(receiver, batch.slice(0, 1))
    receiver.acknowledge(delivery_ids([DeliveryId(1, 2)]))
    receiver.close()

    eventually(lambda: broker.queue("q").messages == 1)


def test_a_receiver_is_named_before_its_flow_is_bound(
    broker: DevelopmentBroker, connection: VendorConnection, how: FlowOptions
) -> None:
    seen: list[tuple[str, int]] = []

    receiver = connection.receiver(
        "q", flow=how, before_bind=lambda name: seen.append((name, broker.queue("q").consumers))
    )

    assert seen == [(receiver.receiver_id, 0)]
    assert broker.queue("q").consumers == 1
    receiver.close()
    other = connection.receiver("q", flow=how)
    assert other.receiver_id != receiver.receiver_id
    assert other.receiver_id.isalnum()


def test_only_the_first_batch_after_a_bind_asks_for_a_fence(connection: VendorConnection, how: FlowOptions) -> None:
    fill(connection, 1, 2)
    receiver = connection.receiver("q", flow=how)
    assert len(receiver.receive(1, 0)) <= 1
    fences = []
    receiver.close()
    receiver = connection.receiver("q", flow=how)
    for _ in range(2):
        batch = drink(receiver, 1)
        assert batch.provenance is not None
        fences.append(batch.provenance.fence)

    assert fences[0]


def test_the_batches_of_one_bind_are_fenced_once(connection: VendorConnection, how: FlowOptions) -> None:
    fill(connection, 1, 2, 3)
    receiver = connection.receiver("q", flow=how)

    batches = [drink(receiver, 1) for _ in range(3)]

    assert [batch.provenance is not None and batch.provenance.fence for batch in batches] == [True, False, False]


def test_receiving_nothing_takes_the_timeout_and_no_longer(connection: VendorConnection, how: FlowOptions) -> None:
    receiver = connection.receiver("q", flow=how)
    begun = monotonic()

    assert len(receiver.receive(10, 0.2)) == 0
    assert 0.15 < monotonic() - begun < 30
    begun = monotonic()
    assert len(receiver.receive(10, 0)) == 0
    assert monotonic() - begun < 30


def test_a_full_buffer_stops_the_flow_and_a_drained_one_starts_it(
    connection: VendorConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_receiver, "_MAX_BUFFERED_MESSAGES", 100)
    fill(connection, *range(2000))
    receiver = connection.receiver("q")

    eventually(lambda: receiver._stopped)

    assert len(receiver._buffer) < 1000
    assert [int(body) for body in bodies(drink(receiver, 2000))] == list(range(2000))


def test_large_messages_stop_the_flow_by_their_bytes(
    connection: VendorConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flumebeam.batch import EventBatch

    monkeypatch.setattr(_receiver, "_MAX_BUFFERED_BYTES", 1 << 20)
    session = connection.transacted_session()
    for _ in range(10):
        session.publish(EventBatch.from_bodies([b"x" * 100_000] * 10), "logs/x")
        assert session.commit().committed
    session.close()
    receiver = connection.receiver("q")

    eventually(lambda: receiver._stopped)

    drink(receiver, 100)
    assert receiver._buffered_bytes == 0


def test_an_unknown_queue_is_named(connection: VendorConnection) -> None:
    with pytest.raises(QueueError, match=r"'nowhere' in message VPN 'default' at tcp://.* does not exist: create it"):
        connection.receiver("nowhere")
    with pytest.raises(QueueError, match="'nowhere'"):
        connection.transacted_session(queue="nowhere")


def test_a_deleted_queue_ends_receiving(
    broker: DevelopmentBroker, connection: VendorConnection, how: FlowOptions
) -> None:
    receiver = connection.receiver("q", flow=how)
    broker.delete_queue("q")

    with pytest.raises(QueueError, match=r"'q' at tcp://.* ended the flow"):
        receiver.receive(1, 20)


def test_a_closed_receiver_refuses_politely(connection: VendorConnection, how: FlowOptions) -> None:
    fill(connection, 1)
    receiver = connection.receiver("q", flow=how)
    batch = drink(receiver, 1)

    receiver.close()
    receiver.close()

    with pytest.raises(ConnectionFailedError):
        receiver.receive(1, 0)
    with pytest.raises(ConnectionFailedError):
        acknowledge(receiver, batch)


def test_closing_the_connection_sends_what_was_acknowledged(
    broker: DevelopmentBroker, options: SolaceOptions, how: FlowOptions
) -> None:
    with connect(options) as connection:
        fill(connection, *range(100))
        receiver = connection.receiver("q", flow=how)
        acknowledge(receiver, drink(receiver, 100))

    eventually(lambda: broker.queue("q").messages == 0)
    eventually(lambda: broker.clients() == ())


@pytest.mark.parametrize(("acknowledged", "proven"), [(10, True), (9, False), (0, False)])
def test_closing_tells_that_the_broker_got_all_acknowledgements_only_if_there_was_one_for_each_delivery(
    broker: DevelopmentBroker, options: SolaceOptions, acknowledged: int, proven: bool
) -> None:
    with connect(options) as connection:
        fill(connection, *range(20))
        receiver = connection.receiver("q")
        acknowledge(receiver, drink(receiver, 10).slice(0, acknowledged))

        # The flow alone does not know; buffered messages were never handed out.
        assert not receiver.close()
        assert connection.close() is proven
        assert connection.close() is proven

    assert broker.queue("q").messages == 20 - acknowledged


def test_what_is_given_back_as_failed_comes_again_at_once_behind_a_fence(
    broker: DevelopmentBroker, connection: VendorConnection
) -> None:
    fill(connection, *range(10))
    receiver = connection.receiver("q", flow=FlowOptions(give_back=GiveBack.FAILED))
    first = drink(receiver, 10)
    acknowledge(receiver, first.slice(0, 4))

    assert receiver.give_back() == 6
    assert receiver.unacknowledged == 0
    acknowledge(receiver, first)  # too late: they are not open any more
    again = drink(receiver, 6)

    assert sorted(bodies(again)) == [b"4", b"5", b"6", b"7", b"8", b"9"]
    assert all(event.headers["solace.redelivered"] == "true" for event in again.events())
    assert again.provenance is not None
    assert again.provenance.fence
    acknowledge(receiver, again)
    eventually(lambda: broker.queue("q").messages == 0)


@pytest.mark.parametrize(("eligible", "kept"), [(True, 3), (False, 0)])
def test_what_is_given_back_as_rejected_leaves_the_queue_for_that_of_dead_messages_if_it_may(
    broker: DevelopmentBroker, connection: VendorConnection, eligible: bool, kept: int
) -> None:
    broker.create_queue("dead")
    broker.create_queue("strict", subscriptions=["strict"], dead_message_queue="dead")
    session = connection.transacted_session()
    session.publish(numbered(1, 2, 3), "strict", fields=MessageFields(dmq_eligible=eligible))
    assert session.commit().committed
    receiver = connection.receiver("strict", flow=FlowOptions(give_back=GiveBack.REJECTED))
    drink(receiver, 3)

    assert receiver.give_back() == 3

    eventually(lambda: broker.queue("strict").messages == 0)
    assert broker.queue("dead").messages == kept


def test_a_flow_that_is_bound_as_ever_gives_back_by_its_end_only(
    broker: DevelopmentBroker, connection: VendorConnection, how: FlowOptions
) -> None:
    fill(connection, 1, 2)
    receiver = connection.receiver("q", flow=how)
    drink(receiver, 2)

    assert receiver.give_back() == 0
    assert receiver.unacknowledged == 2
    receiver.close()

    assert broker.queue("q").messages == 2


def test_a_flow_that_is_to_share_a_queue_is_refused_where_the_broker_lets_it_stand_by(
    broker: DevelopmentBroker, connection: VendorConnection
) -> None:
    broker.create_queue("open", access="non-exclusive")
    sharing = FlowOptions(shared=True)

    for _ in range(3):
        assert connection.receiver("open", flow=sharing).active
    assert connection.receiver("q", flow=sharing).active
    with pytest.raises(ConfigurationError, match=r"Queue 'q' at .* lets only one consumer be active"):
        connection.receiver("q", flow=sharing)

    assert broker.queue("q").consumers == 1


def test_a_replay_that_the_broker_starts_loses_nothing_and_brings_nothing_twice(
    broker: DevelopmentBroker, connection: VendorConnection, how: FlowOptions
) -> None:
    broker.keep_replay_log()
    fill(connection, *range(20))
    receiver = connection.receiver("q", flow=how)
    seen = drink(receiver, 15)
    acknowledge(receiver, seen.slice(0, 10))
    left = 20 if how.transaction_messages else 10  # nothing is committed before all of it is acknowledged
    eventually(lambda: broker.queue("q").messages == left)

    broker.start_replay("q")
    fill(connection, 20)
    rest = drink(receiver, 6)

    assert bodies(rest) == [b"%d" % number for number in range(15, 21)]
    acknowledge(receiver, seen)
    acknowledge(receiver, rest)
    eventually(lambda: broker.queue("q").messages == 0)
    assert not len(receiver.receive(10, 0.1))
