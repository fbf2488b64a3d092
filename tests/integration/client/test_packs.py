"""Packed messages through the vendor's client and the broker, on every lane."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flumebeam.batch import EventBatch
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.flows import FlowOptions, GiveBack
from flumebeam.solace.packing import PACKED_HEADER, Packing
from flumebeam.solace.session import VendorConnection, connect
from flumebeam.testing.broker import DevelopmentBroker
from tests.integration.client.helpers import acknowledge, bodies, drink, fill, numbered
from tests.waiting import eventually

PACKS_OF_FOUR = Packing(max_events=4)


def fill_packed(connection: VendorConnection, *numbers: int, packing: Packing = PACKS_OF_FOUR) -> None:
    session = connection.transacted_session()
    session.publish(numbered(*numbers), "logs/x", packing)
    assert session.commit().committed
    session.close()


@pytest.mark.parametrize("codec", ["none", "zstd"])
@pytest.mark.parametrize("lane", ["native", "wrapper", "plain"])
def test_packed_events_pass_on_every_lane(
    broker: DevelopmentBroker, options: SolaceOptions, lane: str, codec: str
) -> None:
    batch = EventBatch.from_bodies([b"a", b"", b"c\0"], {"host": "w"}, {"level": ["x", None, "z"]})
    with connect(replace(options, lane=lane)) as connection:
        session = connection.transacted_session(queue="q")
        session.publish(batch, "logs/x", Packing(codec=codec))
        session.publish(batch.slice(0, 1), "logs/x")
        assert session.commit().committed
        assert broker.queue("q").messages == 2

        found = EventBatch.concat([session.receive(1, 60), session.receive(1, 60)])

        assert bodies(found) == [b"a", b"", b"c\0", b"a"]
        assert found.header("level").to_pylist() == ["x", None, "z", "x"]
        assert found.header(PACKED_HEADER).to_pylist() == ["true"] * 3 + [None]
        assert session.commit().committed
        eventually(lambda: broker.queue("q").messages == 0)


def test_a_packed_message_is_acknowledged_when_all_of_its_events_are(
    broker: DevelopmentBroker, connection: VendorConnection
) -> None:
    fill_packed(connection, *range(10))
    receiver = connection.receiver("q")
    batch = drink(receiver, 10)
    assert receiver.unacknowledged == 10

    acknowledge(receiver, batch.slice(0, 3))
    acknowledge(receiver, batch.slice(0, 3))
    acknowledge(receiver, batch.slice(4, 6))

    assert receiver.unacknowledged == 1
    eventually(lambda: broker.queue("q").messages == 1)
    acknowledge(receiver, batch.slice(3, 1))
    assert receiver.unacknowledged == 0
    eventually(lambda: broker.queue("q").messages == 0)


def test_what_of_a_pack_was_not_acknowledged_comes_again_whole_under_the_same_ids(
    broker: DevelopmentBroker, connection: VendorConnection
) -> None:
    fill_packed(connection, *range(8))
    receiver = connection.receiver("q")
    first = drink(receiver, 8)
    acknowledge(receiver, first.slice(0, 6))
    receiver.close()

    again = drink(connection.receiver("q"), 4)

    assert bodies(again) == [b"4", b"5", b"6", b"7"]
    assert again.provenance is not None
    assert first.provenance is not None
    assert again.provenance.ids.equals(first.provenance.ids.slice(4))
    assert again.provenance.fence


def test_a_pack_is_handed_out_in_pieces_of_the_size_asked_for(connection: VendorConnection, how: FlowOptions) -> None:
    fill_packed(connection, *range(4))
    fill(connection, 4, 5)
    receiver = connection.receiver("q", flow=how)

    pieces: list[EventBatch] = []
    while sum(map(len, pieces)) < 6:
        pieces.append(receiver.receive(3, 5))

    assert bodies(EventBatch.concat(pieces)) == [b"0", b"1", b"2", b"3", b"4", b"5"]
    assert max(map(len, pieces)) == 3


def test_packs_that_have_come_are_taken_together_as_far_as_they_fit(
    broker: DevelopmentBroker, connection: VendorConnection
) -> None:
    fill_packed(connection, *range(20))
    receiver = connection.receiver("q")
    first = receiver.receive(4, 60)
    eventually(lambda: len(receiver._buffer) == 4)

    pieces = [receiver.receive(10, 5), receiver.receive(100, 5)]

    assert [len(first), *map(len, pieces)] == [4, 8, 8]
    assert receiver.unacknowledged == 20
    acknowledge(receiver, EventBatch.concat(pieces))
    eventually(lambda: broker.queue("q").messages == 1)


def test_a_rolled_back_pack_comes_again(broker: DevelopmentBroker, options: SolaceOptions) -> None:
    with connect(options) as connection:
        fill_packed(connection, *range(4))
        session = connection.transacted_session(queue="q")
        assert bodies(session.receive(1, 60)) == [b"0", b"1", b"2", b"3"]

        session.rollback()

        assert bodies(session.receive(1, 60)) == [b"0", b"1", b"2", b"3"]
        assert session.commit().committed


def test_a_pack_of_which_some_events_failed_is_given_back_whole(
    broker: DevelopmentBroker, connection: VendorConnection
) -> None:
    session = connection.transacted_session()
    session.publish(numbered(*range(10)), "logs/x", Packing(max_events=10))
    assert session.commit().committed
    receiver = connection.receiver("q", flow=FlowOptions(give_back=GiveBack.FAILED))
    part = drink(receiver, 7)
    acknowledge(receiver, part.slice(0, 5))

    assert receiver.give_back() == 1
    assert receiver.unacknowledged == 0
    acknowledge(receiver, part)  # too late
    again = drink(receiver, 10)

    assert bodies(again) == [b"%d" % number for number in range(10)]
    acknowledge(receiver, again)
    eventually(lambda: broker.queue("q").messages == 0)
