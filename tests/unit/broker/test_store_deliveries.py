"""What a broker of the next life knows of deliveries: who may have got what, how often, and under which number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from flumebeam.broker.core.journal import Delivered
from flumebeam.broker.store import Store
from flumebeam.smf.assuredctrl import AckRange, Outcome
from flumebeam.smf.messages import KeepAlive
from tests.unit.broker.durable import durable_state
from tests.unit.broker.lives import keeping, reborn
from tests.unit.structured import structured


def test_only_what_was_delivered_is_marked_redelivered(
    make_world: Callable[..., Any], keeper: Any, store: Store
) -> None:
    peer = keeper.client()
    flow = peer.publisher().flow_id
    peer.publish(flow, b"a", b"b")
    peer.consume("q")
    peer.leave()
    late = keeper.client("late")
    late.publish(late.publisher().flow_id, b"c")

    after = reborn(make_world, keeper, store).client("next")
    after.consume("q")

    assert [message.parameters.redelivered for message in after.deliveries()] == [True, True, False]


def test_only_what_was_delivered_of_a_partitioned_queue_is_marked_redelivered(
    make_world: Callable[..., Any], keeper: Any, store: Store
) -> None:
    keeper.engine.create_queue("p", "non-exclusive", ["t/>"], partitions=4)
    peer = keeper.client()
    flow = peer.publisher().flow_id
    for number in range(20):
        payload, options = structured(b"", {"JMSXGroupID": f"k{number}"})
        peer.publish(flow, payload, **options)
    reader = keeper.client("reader")
    reader.ack(reader.bind("p").flow_id, window=7)
    parameters = [message.parameters for message in reader.deliveries()]
    delivered = {one.stable_id or one.message_id for one in parameters}

    after = reborn(make_world, keeper, store).client("next")
    after.consume("p")
    again = {one.parameters.stable_id for one in after.deliveries() if one.parameters.redelivered}
    assert parameters[0].stable_id is None
    assert (len(delivered), again) == (7, delivered)


def test_only_what_was_delivered_of_a_queue_by_priority_is_marked_redelivered_and_the_order_stays(
    make_world: Callable[..., Any], keeper: Any, store: Store
) -> None:
    keeper.engine.create_queue("urgent", "exclusive", ["u/>"], respect_priority=True)
    writer = keeper.client("writer")
    flow = writer.publisher().flow_id
    for number, priority in enumerate((1, 9, 5)):
        message = writer.message(flow, number + 1, number, b"%d" % priority, "u/1")
        writer.send(replace(message, parameters=replace(message.parameters, priority=priority)))
    reader = keeper.client("reader")
    reader.ack(reader.bind("urgent").flow_id, window=1)
    again = reborn(make_world, keeper, store)
    peer = again.client("peer")
    peer.consume("urgent")

    got = [(message.body, bool(message.parameters.redelivered)) for message in peer.deliveries()]
    assert got == [(b"9", True), (b"5", False), (b"1", False)]


def test_delivery_of_a_backlog_is_noted_ahead_and_never_behind(
    make_world: Callable[..., Any], keeper: Any, store: Store
) -> None:
    peer = keeper.client()
    peer.publish(peer.publisher().flow_id, *[b""] * 6_500)
    reader = keeper.client("reader")
    store.commit(keeper.engine.take_journal())
    flow = reader.consume("q")
    notes: list[int] = []
    got: list[int] = []
    while len(got) < 6_500:
        got += [message.parameters.message_id for message in reader.deliveries()]
        records = keeper.engine.take_journal()
        notes += [record.message_id for record in records if isinstance(record, Delivered)]
        assert got[-1] <= notes[-1]
        store.commit(records)
        if len(got) == 510:
            after = keeping(make_world, list(store.records()))
            waiting = after.engine.vpn.queues["q"].waiting()
            assert sum(entry.deliveries for entry in waiting) == 5_255
        reader.ack(flow, got[-1], AckRange(got[-1], got[-1]))

    assert [got.index(note) for note in notes] == [5_255, 6_499]


def test_delivery_that_is_noted_waits_for_its_note_and_for_nothing_behind_it(keeper: Any) -> None:
    peer = keeper.client()
    publisher = peer.publisher().flow_id
    peer.publish(publisher, *[b""] * 2_000)
    reader = keeper.client("reader")
    flow = reader.consume("q")
    last = reader.deliveries()[-1].parameters.message_id
    noted = keeper.engine.host.portions.current
    keeper.engine.take_journal()
    peer.send(peer.message(publisher, 2_001, 2_000, b"later", "t/1"))
    keeper.engine.take_journal()

    reader.ack(flow, last, AckRange(1, 1))
    assert reader.connection.portion == noted
    assert keeper.engine.take_journal() == []
    assert reader.deliveries()


@pytest.mark.parametrize("how", ["again", "not noted", "behind an answer"])
def test_delivery_that_tells_of_anything_new_waits_for_all_that_happened(keeper: Any, how: str) -> None:
    peer = keeper.client()
    peer.publish(peer.publisher().flow_id, *[b""] * (300 if how == "not noted" else 2_000))
    reader = keeper.client("reader")
    flow = reader.consume("q")
    last = reader.deliveries()[-1].parameters.message_id
    if how == "again":
        reader.leave()
        reader, last = keeper.client("second"), 0
        flow = reader.bind("q").flow_id
    keeper.engine.take_journal()
    if how == "behind an answer":
        reader.send(KeepAlive())
    reader.ack(flow, last)

    assert reader.connection.portion == keeper.engine.host.portions.current
    assert reader.deliveries()


def test_message_that_comes_behind_younger_ones_waits_for_its_own_record(keeper: Any) -> None:
    peer = keeper.client()
    peer.publish(peer.publisher().flow_id, b"a", b"b")
    keeper.client("reader").consume("q")
    keeper.engine.take_journal()
    queue = keeper.engine.vpn.queues["q"]
    held = next(iter(queue.flows[0].unacked.values()))

    queue.extend((held.message,), held.message.size)
    assert queue.noted_in == keeper.engine.host.portions.current


@pytest.mark.parametrize("counting", [{"max_redeliveries": 9}, {"redelivery_enabled": False}], ids=str)
def test_delivery_is_noted_to_the_message_where_deliveries_are_limited(keeper: Any, counting: dict[str, Any]) -> None:
    keeper.engine.create_queue("exact", "exclusive", ["e/>"], **counting)
    peer = keeper.client()
    peer.publish(peer.publisher().flow_id, *[b""] * 1_500, topic="e/1")
    reader = keeper.client("reader")
    reader.consume("exact")

    (noted,) = (record for record in keeper.engine.take_journal() if isinstance(record, Delivered))
    assert noted.message_id == reader.deliveries()[-1].parameters.message_id


def test_renumbered_delivery_keeps_its_number_because_the_client_acknowledges_by_it(
    make_world: Callable[..., Any], keeper: Any, store: Store
) -> None:
    peer = keeper.client()
    peer.publish(peer.publisher().flow_id, b"a", b"b")
    flow = peer.consume("q")
    first, _ = peer.deliveries()
    number = first.parameters.message_id
    peer.ack(flow, 0, AckRange(number, number, Outcome.FAILED))
    (again,) = peer.deliveries()

    after = reborn(make_world, keeper, store).client("next")
    flow = after.consume("q")
    came = after.deliveries()
    assert [message.parameters.message_id for message in came] == [
        again.parameters.message_id,
        came[1].parameters.message_id,
    ]
    assert again.parameters.message_id > number
    after.ack(flow, 0, AckRange(again.parameters.message_id, again.parameters.message_id))
    assert after.world.engine.queue("q").messages == 1


def test_deliveries_are_counted_over_lives_and_what_exceeds_them_moves(
    make_world: Callable[..., Any], keeper: Any, store: Store
) -> None:
    keeper.engine.create_queue("dead", "exclusive", [])
    keeper.engine.create_queue("few", "exclusive", ["t/>"], max_redeliveries=2, dead_message_queue="dead")
    peer = keeper.client()
    peer.publish(peer.publisher().flow_id, b"a", b"b")
    flow = peer.consume("few")
    first, second = (message.parameters.message_id for message in peer.deliveries())
    peer.ack(flow, second, AckRange(first, first, Outcome.FAILED))
    peer.received()
    world = reborn(make_world, keeper, store)
    assert world.engine.queue("few").messages == 2
    world.client().consume("few")
    before = durable_state(world.engine)

    store.commit(world.engine.take_journal())
    after = keeping(make_world, list(store.records()))
    assert [entry[2] for entry in before["queues"]["few"][-1]] == [3, 2]
    assert [entry[2] for entry in durable_state(after.engine)["queues"]["few"][-1]] == [2]
    assert after.engine.queue("dead").messages == 1
    store.commit(after.engine.take_journal())
    assert durable_state(keeping(make_world, list(store.records())).engine) == durable_state(after.engine)
