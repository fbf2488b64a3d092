"""Partitioned queues: which messages go where, and which flow serves what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from flumebeam.broker.core.administration import QueueSetup, configure_queue, delete_messages
from flumebeam.broker.core.partitions import Partitions
from flumebeam.errors import ConfigurationError
from flumebeam.smf.assuredctrl import AccessType, AckRange, ConsumerAck, FlowType, Outcome
from flumebeam.smf.values import Response
from tests.unit.structured import structured

DELAY = 5.0
HANDOFF = 3.0


@pytest.fixture
def world(make_world: Callable[..., Any]) -> Any:
    """A broker with a queue ``q`` of 4 partitions that gets ``t/>``."""
    made = make_world()
    made.engine.create_queue("q", "non-exclusive", ["t/>"], partitions=4)
    return made


def publish(world: Any, *keyed: tuple[str | None, bytes]) -> None:
    """Publish messages with keys."""
    peer = world.client("filler")
    flow = peer.publisher().flow_id
    for key, body in keyed:
        payload, options = structured(body, {} if key is None else {"JMSXGroupID": key})
        peer.publish(flow, payload, **options)
    peer.leave()


def series(count: int, keys: int) -> list[tuple[str | None, bytes]]:
    return [(f"k{number % keys}", b"%d" % number) for number in range(count)]


def bodies(messages: list[Any]) -> list[bytes]:
    return [message.body.partition(b"\x01")[0] for message in messages]


def ids(messages: list[Any]) -> list[int]:
    return [message.parameters.message_id for message in messages]


def served(world: Any) -> list[int]:
    """How many partitions each flow serves, in the order in which they bound."""
    queue = world.engine.vpn.queues["q"]
    assert isinstance(queue.line, Partitions)
    return [sum(partition.flow is flow for partition in queue.line.partitions) for flow in queue.flows]


def consumer(world: Any, name: str, **options: Any) -> tuple[Any, int]:
    peer = world.client(name)
    return peer, peer.consume(**options)


def line(world: Any) -> Any:
    return world.engine.vpn.queues["q"].line


def test_messages_of_one_key_come_in_order_to_one_flow(world: Any) -> None:
    (one, _), (two, _) = consumer(world, "one"), consumer(world, "two")
    world.tick(DELAY)
    publish(world, *series(80, 8))
    got = [bodies(one.deliveries()), bodies(two.deliveries())]

    assert sorted(map(int, got[0] + got[1])) == list(range(80))
    for key in range(8):
        mine = [b"%d" % number for number in range(key, 80, 8)]
        assert [body for body in got[0] if body in mine] in ([], mine)
        assert [body for body in got[1] if body in mine] in ([], mine)
    assert all(got)


def test_messages_without_a_key_are_spread(world: Any) -> None:
    publish(world, *((None, b"%d" % number) for number in range(200)))

    assert all(20 < len(partition.row) < 90 for partition in line(world).partitions)


def test_message_whose_properties_cannot_be_read_has_no_key(world: Any) -> None:
    peer = world.client("filler")
    peer.publish(peer.publisher().flow_id, b"\x01\0\0\0\x09", contents_summary=b"\x42\x05")

    assert sum(len(partition.row) for partition in line(world).partitions) == 1


def test_first_flow_serves_all_at_once_and_a_second_gets_its_half_after_the_delay(world: Any) -> None:
    consumer(world, "one")
    assert served(world) == [4]
    consumer(world, "two")
    assert (served(world), line(world).rebalancing) == ([4, 0], True)
    world.tick(DELAY - 0.1)
    assert served(world) == [4, 0]
    world.tick(0.1)

    assert (served(world), line(world).rebalancing) == ([2, 2], False)
    assert world.engine.queue("q").partitions_served == {"one": 2, "two": 2}


def test_flows_beyond_the_number_of_partitions_stand_by_until_one_goes(world: Any) -> None:
    peers = [consumer(world, f"c{number}")[0] for number in range(6)]
    world.tick(DELAY)
    assert served(world) == [1, 1, 1, 1, 0, 0]
    peers[1].leave()
    assert served(world) == [1, 1, 1, 0, 0]
    world.tick(DELAY)

    assert served(world) == [1, 1, 1, 1, 0]


def test_uneven_shares_move_as_few_partitions_as_possible(world: Any) -> None:
    peers = [consumer(world, f"c{number}")[0] for number in range(3)]
    world.tick(DELAY)
    assert sorted(served(world)) == [1, 1, 2]
    before = [partition.flow for partition in line(world).partitions]
    peers[served(world).index(1)].leave()
    world.tick(DELAY)

    kept = [now.flow is then for now, then in zip(line(world).partitions, before, strict=True)]
    assert served(world) == [2, 2]
    assert kept.count(False) == 1


def test_client_that_comes_back_within_the_delay_takes_over_what_it_had(world: Any) -> None:
    consumer(world, "one")
    two, _ = consumer(world, "two")
    world.tick(DELAY)
    ones = [partition.number for partition in line(world).partitions if partition.flow is not None][:2]
    two.leave()
    world.tick(1)
    consumer(world, "two")
    assert served(world) == [2, 0]
    world.tick(DELAY)

    assert served(world) == [2, 2]
    assert [partition.number for partition in line(world).partitions if partition.flow][:2] == ones


def test_moving_partition_waits_for_what_is_unsettled_and_delivers_nothing_meanwhile(world: Any) -> None:
    one, flow = consumer(world, "one")
    publish(world, *series(16, 16))
    got = one.deliveries()
    two, _ = consumer(world, "two")
    world.tick(DELAY)
    publish(world, *series(16, 16))
    stayed = one.deliveries()
    assert (served(world), two.deliveries()) == ([4, 0], [])
    assert 0 < len(stayed) < 16
    one.ack(flow, ids(stayed)[-1], AckRange(0, ids(got)[-1]))
    moved = two.deliveries()

    assert served(world) == [2, 2]
    assert len(stayed) + len(moved) == 16
    assert not any(message.parameters.redelivered for message in moved)


def test_what_is_unsettled_after_the_longest_time_is_redelivered_to_the_new_flow(world: Any) -> None:
    one, flow = consumer(world, "one")
    publish(world, *series(16, 16))
    got = one.deliveries()
    two, _ = consumer(world, "two")
    world.tick(DELAY)
    world.tick(HANDOFF - 0.1)
    assert two.deliveries() == []
    world.tick(0.1)
    again = two.deliveries()
    one.ack(flow, ids(got)[-1], AckRange(0, ids(got)[-1]))

    assert 0 < len(again) < 16
    assert all(message.parameters.redelivered for message in again)
    assert world.engine.queue("q").messages == len(again)


def test_move_that_is_no_longer_needed_ends(world: Any) -> None:
    one, _ = consumer(world, "one")
    publish(world, *series(16, 16))
    one.deliveries()
    two, _ = consumer(world, "two")
    world.tick(DELAY)
    two.leave()
    assert not any(partition.successor for partition in line(world).partitions)
    world.tick(DELAY)
    assert (served(world), line(world).rebalancing) == ([4], False)
    consumer(world, "two")
    world.tick(DELAY)
    assert line(world).rebalancing
    one.leave()

    assert served(world) == [4]


def test_third_flow_takes_over_a_move_under_way(world: Any) -> None:
    one, _ = consumer(world, "one")
    publish(world, *series(16, 16))
    one.deliveries()
    for name in ("two", "three", "four"):
        consumer(world, name)
    world.tick(DELAY)
    world.tick(HANDOFF)

    assert served(world) == [1, 1, 1, 1]


def test_last_flow_that_goes_leaves_nothing_to_do(world: Any) -> None:
    one, _ = consumer(world, "one")
    two, _ = consumer(world, "two")
    two.leave()
    one.leave()

    assert not line(world).rebalancing


def test_one_flow_gets_the_messages_of_its_partitions_in_the_order_in_which_they_came(world: Any) -> None:
    publish(world, *series(64, 16))
    peer = world.client("one")
    flow = peer.bind().flow_id
    peer.ack(flow, 0, window=8)
    first = peer.deliveries()
    peer.ack(flow, ids(first)[-1], window=255)
    rest = peer.deliveries()

    assert len(first) == 8
    assert bodies(first + rest) == [b"%d" % number for number in range(64)]
    assert not any(message.parameters.stable_id for message in first + rest)


def test_full_output_leaves_the_rest_in_its_partitions(make_world: Callable[..., Any]) -> None:
    world = make_world(delivery_batch_bytes=1_000)
    world.engine.create_queue("q", "non-exclusive", ["t/>"], partitions=4)
    publish(world, *((f"k{number}", bytes(300)) for number in range(16)))
    peer = world.client("one")
    flow = peer.consume()
    got = peer.deliveries()
    assert 0 < len(got) < 16
    while not len(got) == 16:
        world.engine.writable(peer.connection, True, world.now)
        got += peer.deliveries()
    peer.ack(flow, ids(got)[-1], AckRange(0, ids(got)[-1]))

    assert ids(got) == sorted(ids(got))
    assert world.engine.queue("q").messages == 0


def test_refused_messages_come_again_at_their_place(world: Any) -> None:
    one, flow = consumer(world, "one")
    publish(world, ("a", b"0"), ("a", b"1"), ("b", b"2"))
    got = one.deliveries()
    one.ack(flow, ids(got)[-1], window=0)
    for message in reversed(got):
        number = message.parameters.message_id
        one.ack(flow, ids(got)[-1], AckRange(number, number, Outcome.FAILED), window=0)
    one.ack(flow, ids(got)[-1])
    again = bodies(one.deliveries())

    assert sorted(again) == [b"0", b"1", b"2"]
    assert again.index(b"0") < again.index(b"1")


def test_commit_that_counts_on_what_has_moved_fails(world: Any) -> None:
    publish(world, *series(16, 16))
    peer = world.client("one")
    peer.session()
    publisher = peer.publisher(session_id=peer.session_id).flow_id
    flow = peer.consume(session_id=peer.session_id)
    last = ids(peer.deliveries())[-1]
    consumer(world, "two")
    world.tick(DELAY)
    world.tick(HANDOFF)
    answer = peer.commit(publisher, ConsumerAck(flow, 0, last, 16, last, 255))

    assert answer.response == Response(503, "Message Consume Failure")


def test_browsers_and_selectors_are_refused(world: Any) -> None:
    peer = world.client()

    assert peer.bind(flow_type=FlowType.BROWSER).response.text == "Browsing Not Supported on Partitioned Queue"
    assert peer.bind(selector="a = 1").response == Response(403, "Selectors Not Supported on Partitioned Queue")


def test_messages_are_lined_up_anew_when_the_number_of_partitions_changes(world: Any) -> None:
    one, flow = consumer(world, "one")
    publish(world, *series(20, 5))
    one.ack(flow, 0, AckRange(0, ids(one.deliveries())[3]), window=0)
    queue = world.engine.vpn.queues["q"]
    setup = QueueSetup.of(queue)
    configure_queue(world.engine.vpn, queue, replace(setup, settings=replace(setup.settings, partitions=7)))

    assert one.received()[-1].response.text == "Endpoint Modified"
    assert len(line(world).partitions) == 7
    configure_queue(world.engine.vpn, queue, replace(setup, access=AccessType.EXCLUSIVE))
    assert queue.line is None
    one.consume()
    again = one.deliveries()
    assert bodies(again) == [b"%d" % number for number in range(4, 20)]
    assert all(message.parameters.redelivered for message in again)


def test_new_times_hold_without_unbinding_anybody(world: Any) -> None:
    consumer(world, "one")
    queue = world.engine.vpn.queues["q"]
    setup = QueueSetup.of(queue)
    configure_queue(
        world.engine.vpn, queue, replace(setup, settings=replace(setup.settings, rebalance_delay_seconds=1))
    )
    consumer(world, "two")
    world.tick(1)

    assert served(world) == [2, 2]


def test_deleted_messages_are_in_no_partition(world: Any) -> None:
    publish(world, *series(20, 5))

    assert delete_messages(world.engine.vpn, world.engine.vpn.queues["q"]) == 20
    assert not any(partition.row for partition in line(world).partitions)


@pytest.mark.parametrize(("access", "count"), [("exclusive", 2), ("non-exclusive", -1), ("non-exclusive", 1_001)])
def test_partitions_that_cannot_be_are_refused(make_world: Callable[..., Any], access: str, count: int) -> None:
    with pytest.raises(ConfigurationError, match="partitions"):
        make_world().engine.create_queue("n", access, [], partitions=count)


def cut_and_back(world: Any, peer: Any, token: int, last: int) -> tuple[Any, int]:
    """Lose the connection and bind again as a client does that has received up to ``last``."""
    peer.leave()
    again = world.client("one")
    flow = again.bind(endpoint_error_id=token, last_received=last).flow_id
    again.ack(flow, last)
    return again, flow


def test_client_that_comes_back_goes_on_with_its_partitions_and_what_it_holds(world: Any) -> None:
    one = world.client("one")
    bound = one.bind()
    one.ack(bound.flow_id)
    two, _ = consumer(world, "two")
    world.tick(DELAY)
    publish(world, *series(16, 16))
    got = one.deliveries()
    moved = two.deliveries()
    assert got
    assert moved
    again, flow = cut_and_back(world, one, bound.endpoint_error_id, ids(got)[-1])
    publish(world, *series(16, 16))
    more = again.deliveries()

    assert served(world) == [2, 2]
    assert sorted(bodies(more)) == sorted(bodies(got))
    again.ack(flow, ids(more)[-1], AckRange(0, ids(got)[-1]))
    assert world.engine.queue("q").messages == len(moved) + 16
    world.tick(DELAY)
    assert served(world) == [2, 2]


def test_client_that_comes_back_keeps_its_larger_share(world: Any) -> None:
    one = world.client("one")
    bound = one.bind()
    one.ack(bound.flow_id)
    for name in ("b", "c"):
        consumer(world, name)
    world.tick(DELAY)
    publish(world, *series(32, 32))
    got = one.deliveries()
    assert served(world) == [2, 1, 1]
    cut_and_back(world, one, bound.endpoint_error_id, ids(got)[-1])
    world.tick(DELAY)

    assert served(world) == [1, 1, 2]
    assert not line(world).rebalancing


def test_client_that_comes_back_as_standby_gives_up_its_partitions_when_it_has_settled(world: Any) -> None:
    one = world.client("one")
    bound = one.bind()
    one.ack(bound.flow_id)
    for name in ("b", "c", "d", "e"):
        consumer(world, name)
    world.tick(DELAY)
    publish(world, *series(16, 16))
    got = one.deliveries()
    again, flow = cut_and_back(world, one, bound.endpoint_error_id, ids(got)[-1])
    world.tick(DELAY)
    assert served(world)[-1] == 1
    again.ack(flow, ids(got)[-1], AckRange(0, ids(got)[-1]))

    assert served(world) == [1, 1, 1, 1, 0]


def test_partition_that_others_have_got_meanwhile_stays_with_them(world: Any) -> None:
    one = world.client("one")
    bound = one.bind()
    one.ack(bound.flow_id)
    publish(world, *series(16, 16))
    got = one.deliveries()
    two = world.client("two")
    two.bind()
    one.leave()
    world.tick(DELAY)
    again = world.client("one")
    flow = again.bind(endpoint_error_id=bound.endpoint_error_id, last_received=ids(got)[-1]).flow_id
    assert served(world) == [4, 0]
    again.ack(flow, ids(got)[-1], AckRange(0, ids(got)[-1]))

    assert world.engine.queue("q").messages == 0
