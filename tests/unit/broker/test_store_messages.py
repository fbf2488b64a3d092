"""Which messages a broker of the next life finds, in which queues, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flumebeam.broker.store import Store
from flumebeam.smf.assuredctrl import AckRange, AssuredControl, AssuredKind, ReplayFrom, ReplayStart
from flumebeam.smf.subctrl import SubscriptionControl, SubscriptionKind
from tests.unit.broker.durable import durable_state
from tests.unit.broker.lives import reborn
from tests.unit.structured import structured


def test_message_survives_with_its_id_and_bytes_in_all_its_queues(
    make_world: Callable[..., Any], keeper: Any, store: Store
) -> None:
    keeper.engine.create_queue("r", "non-exclusive", ["t/*"])
    peer = keeper.client()
    peer.publish(peer.publisher().flow_id, b"a", b"", bytes(range(256)), ttl_ms=7)
    before = durable_state(keeper.engine)

    after = reborn(make_world, keeper, store)

    assert durable_state(after.engine) == before
    consumer = after.client("other")
    consumer.consume("r")
    assert consumer.bodies() == [b"a", b"", bytes(range(256))]


def test_settled_and_deleted_things_do_not_come_back(make_world: Callable[..., Any], keeper: Any, store: Store) -> None:
    keeper.engine.create_queue("r", "exclusive", ["t/>", "u"])
    peer = keeper.client()
    flow = peer.publisher().flow_id
    peer.publish(flow, b"a", b"b")
    store.commit(keeper.engine.take_journal())
    consumer = peer.consume("q")
    _, second = peer.deliveries()
    peer.ack(consumer, 0, AckRange(0, second.parameters.message_id))
    peer.ask(AssuredControl(kind=AssuredKind.CLOSE_PUBLISHER, flow_id=flow))
    peer.ask(SubscriptionControl(kind=SubscriptionKind.REMOVE_FROM_QUEUE, topic="u", target="r"))
    keeper.engine.delete_queue("q")

    after = reborn(make_world, keeper, store)

    assert durable_state(after.engine) == durable_state(keeper.engine)
    assert [queue.name for queue in after.engine.queues()] == ["r"]
    assert after.engine.queue("r").messages == 2


def test_queue_with_the_name_of_a_deleted_one_begins_empty(
    make_world: Callable[..., Any], keeper: Any, store: Store
) -> None:
    peer = keeper.client()
    flow = peer.publisher().flow_id
    peer.publish(flow, b"old")
    keeper.engine.delete_queue("q")
    keeper.engine.create_queue("q", "non-exclusive", ["t/>"])
    peer.publish(flow, b"new")

    after = reborn(make_world, keeper, store).client("next")
    after.consume("q")

    assert after.bodies() == [b"new"]


def test_temporary_queue_ends_with_the_broker_and_its_messages_elsewhere_do_not(
    make_world: Callable[..., Any], keeper: Any, store: Store
) -> None:
    peer = keeper.client()
    name = "#P2P/QTMP/v:x/1"
    peer.bind(name, durability=2)
    peer.subscribe("t/>", queue=name)
    flow = peer.publisher().flow_id
    peer.publish(flow, b"both")
    peer.publish(flow, b"there", topic=name)

    after = reborn(make_world, keeper, store)

    assert [(queue.name, queue.messages) for queue in after.engine.queues()] == [("q", 1)]


def test_partitions_survive_and_hold_what_they_held(make_world: Callable[..., Any], keeper: Any, store: Store) -> None:
    keeper.engine.create_queue("p", "non-exclusive", ["t/>"], partitions=4)
    peer = keeper.client()
    flow = peer.publisher().flow_id
    for number in range(20):
        payload, options = structured(b"%d" % number, {"JMSXGroupID": f"k{number % 5}"})
        peer.publish(flow, payload, **options)

    def rows(world: Any) -> list[list[int]]:
        return [[entry.message.id for entry in one.row] for one in world.engine.vpn.queues["p"].line.partitions]

    after = reborn(make_world, keeper, store)
    assert rows(after) == rows(keeper)
    assert sum(map(len, rows(after))) == 20


def test_delayed_message_is_as_late_after_a_restart_as_without_one(
    make_world: Callable[..., Any], keeper: Any, store: Store
) -> None:
    keeper.engine.create_queue("late", "exclusive", ["late/>"], delivery_delay_seconds=5)
    writer = keeper.client("writer")
    writer.publish(writer.publisher().flow_id, b"x", topic="late/1")
    again = reborn(make_world, keeper, store)
    peer = again.client("peer")
    peer.consume("late")
    again.tick(4)
    assert peer.deliveries() == []
    again.tick(1.5)

    assert [message.body for message in peer.deliveries()] == [b"x"]


def test_last_value_survives_and_what_came_before_it_goes(
    make_world: Callable[..., Any], keeper: Any, store: Store
) -> None:
    keeper.engine.create_queue("v", "exclusive", ["t/>"], last_value=True)
    reader = keeper.client("reader")
    reader.consume("v")
    peer = keeper.client()
    flow = peer.publisher().flow_id
    peer.publish(flow, b"a")
    reader.leave()
    peer.publish(flow, b"b")
    reader = keeper.client("reader")
    reader.consume("v")
    peer.publish(flow, b"c")
    assert keeper.engine.queue("v").messages == 2

    after = reborn(make_world, keeper, store)
    assert after.engine.queue("v").messages == 1
    again = reborn(make_world, after, store)
    assert durable_state(again.engine) == durable_state(after.engine)
    consumer = again.client("other")
    consumer.consume("v")
    assert consumer.bodies() == [b"c"]


def test_replay_log_survives_with_its_ids_and_times_and_what_it_let_go_stays_gone(
    make_world: Callable[..., Any], keeper: Any, store: Store
) -> None:
    keeper.engine.put_replay_log(4, "kept")
    peer = keeper.client()
    flow = peer.publisher().flow_id
    for body in (b"a", b"bb", b"cc"):
        peer.publish(flow, body)
        keeper.tick(10)
    reader = keeper.client("reader")
    consumer = reader.consume("q")
    got = reader.deliveries()
    reader.ack(consumer, 0, AckRange(0, got[-1].parameters.message_id))

    def kept(world: Any) -> list[tuple[int, float, bytes]]:
        messages = [entry.message for entry in world.engine.vpn.log.ready]
        return [(message.id, message.arrived, message.body) for message in messages]

    after = reborn(make_world, keeper, store)
    assert kept(after) == kept(keeper)
    assert [body for _, _, body in kept(after)] == [b"bb", b"cc"]
    assert (after.engine.vpn.log.log_name, after.engine.vpn.log.settings.max_bytes) == ("kept", 4)
    assert after.engine.queue("q").messages == 0
    after.engine.vpn.remove_log(after.engine.vpn.log)
    assert reborn(make_world, after, store).engine.vpn.log is None


def test_replay_survives_as_if_its_messages_had_never_been_delivered(
    make_world: Callable[..., Any], keeper: Any, store: Store
) -> None:
    keeper.engine.put_replay_log(1_000)
    peer = keeper.client()
    peer.publish(peer.publisher().flow_id, b"a", b"b", b"c")
    reader = keeper.client("reader")
    flow = reader.consume("q")
    got = [message.parameters.message_id for message in reader.deliveries()]
    reader.ack(flow, 0, AckRange(0, got[0]))
    store.commit(keeper.engine.take_journal())
    keeper.engine.start_replay("q", ReplayStart(ReplayFrom.BEGINNING))
    reader.received()
    reader.ack(reader.bind("q").flow_id, window=1)

    after = reborn(make_world, keeper, store)
    assert durable_state(after.engine) == durable_state(keeper.engine)
    consumer = after.client("other")
    consumer.consume("q")
    came = consumer.deliveries()
    assert [message.body for message in came] == [b"a", b"b", b"c"]
    assert [message.parameters.redelivered for message in came] == [True, False, False]
    assert after.engine.vpn.spool.bytes == 3
