"""The replay log, and replays out of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flumebeam.broker.core.administration import delete_messages
from flumebeam.broker.core.replay_ids import parse_message_id
from flumebeam.broker.core.replaying import cancel_replay, replay_active, start_replay
from flumebeam.broker.core.vpns import create_vpn, delete_vpn
from flumebeam.errors import ConfigurationError, QueueError
from flumebeam.smf.assuredctrl import (
    AckRange,
    AssuredKind,
    ConsumerAck,
    FlowType,
    ReplayFrom,
    ReplayStart,
)
from flumebeam.smf.values import Response
from tests.unit.broker.conftest import bodies

SPOOLER = 1 << 60
EPOCH = 1_700_000_000
BEGINNING = ReplayStart(ReplayFrom.BEGINNING)
OK = Response(200, "OK")


@pytest.fixture
def logged(world: Any) -> Any:
    """A broker with a queue ``q`` that gets ``t/>``, and a replay log."""
    world.engine.put_replay_log(1_000)
    return world


def publish(world: Any, *bodies: bytes, topic: str = "t/1") -> None:
    peer = world.client("filler")
    peer.publish(peer.publisher().flow_id, *bodies, topic=topic)
    peer.leave()


def ids(messages: list[Any]) -> list[int]:
    return [message.parameters.message_id for message in messages]


def log(world: Any) -> list[bytes]:
    return [entry.message.body for entry in world.engine.vpn.log.ready]


def queue(world: Any, name: str = "q") -> Any:
    return world.engine.vpn.queues[name]


def consume(world: Any, name: str = "app", **options: Any) -> tuple[Any, int, list[bytes]]:
    """Bind, take all, settle all."""
    peer = world.client(name)
    flow = peer.consume(**options)
    got = peer.deliveries()
    if got:
        peer.ack(flow, ids(got)[-1], AckRange(0, ids(got)[-1]))
    return peer, flow, bodies(got)


# The log


def test_log_keeps_what_is_published_whoever_wants_it_once_for_all(logged: Any) -> None:
    publish(logged, b"a", b"b")
    publish(logged, b"nobody's", topic="x")
    publish(logged, b"addressed", topic="#P2P/QUE/q")
    consume(logged)

    assert log(logged) == [b"a", b"b", b"nobody's", b"addressed"]
    assert logged.engine.vpn.spool.bytes == sum(map(len, log(logged)))


def test_log_keeps_what_a_transaction_has_committed(logged: Any) -> None:
    peer = logged.client()
    peer.session()
    flow = peer.publisher(session_id=peer.session_id).flow_id
    peer.publish(flow, b"rolled back")
    peer.rollback()
    peer.publish(flow, b"a")
    peer.publish(flow, b"b", topic="x")
    peer.commit(flow)

    assert log(logged) == [b"a", b"b"]


def test_log_does_not_keep_direct_messages_that_nobody_spools_or_what_is_for_a_temporary_queue(logged: Any) -> None:
    peer = logged.client()
    peer.bind("#P2P/QTMP/v:x/1", durability=2)
    peer.direct(b"direct", topic="x")
    publish(logged, b"temporary", topic="#P2P/QTMP/v:x/1")
    assert log(logged) == []
    peer.direct(b"promoted", topic="t/1")

    assert log(logged) == [b"promoted"]


def test_oldest_go_when_there_is_too_much(make_world: Callable[..., Any]) -> None:
    world = make_world(max_queue_messages=5)
    world.engine.put_replay_log(10)
    publish(world, *(b"%d" % number for number in range(9)), topic="x")
    assert log(world) == [b"4", b"5", b"6", b"7", b"8"]
    publish(world, b"1234567", topic="x")
    assert log(world) == [b"6", b"7", b"8", b"1234567"]
    world.engine.put_replay_log(8)

    assert log(world) == [b"8", b"1234567"]
    assert world.engine.vpn.spool.bytes == 8


def test_log_counts_against_the_spool_and_takes_nothing_while_the_disk_is_full(make_world: Callable[..., Any]) -> None:
    world = make_world(max_spool_bytes=10)
    world.engine.put_replay_log(1_000)
    world.engine.create_queue("q", "exclusive", ["t/>"])
    world.engine.refuse_storage(True)
    publish(world, b"a", topic="x")
    assert log(world) == []
    world.engine.refuse_storage(False)
    publish(world, b"12345678", topic="x")
    publish(world, b"123")

    assert world.engine.queue("q").messages == 0


def test_log_that_is_shut_keeps_nothing(logged: Any) -> None:
    vpn = logged.engine.vpn
    publish(logged, b"a")
    vpn.put_log("replay", queue(logged).settings.changed({"ingress_enabled": False}))
    publish(logged, b"b")

    assert log(logged) == [b"a"]


def test_trimming_lets_go_of_what_is_old(logged: Any) -> None:
    publish(logged, b"a")
    logged.tick(10)
    publish(logged, b"b")

    assert logged.engine.vpn.log.trim(EPOCH + 5) == 1
    assert log(logged) == [b"b"]


def test_deleted_log_is_empty_and_what_was_replayed_stays(logged: Any) -> None:
    publish(logged, b"a")
    logged.engine.start_replay("q", BEGINNING)
    vpn = logged.engine.vpn
    vpn.remove_log(vpn.log)

    assert (logged.engine.queue("q").messages, vpn.spool.bytes) == (1, 1)
    publish(logged, b"b")
    assert start_replay(vpn, queue(logged), BEGINNING).text == "Replay Disabled"


def test_log_goes_with_its_message_vpn(logged: Any) -> None:
    host = logged.engine.host
    other = create_vpn(host, "other", logged.engine.vpn.settings, (), logged.now)
    other.put_log("replay", queue(logged).settings)
    delete_vpn(other)

    assert list(host.vpns) == ["default"]


def test_no_queue_can_have_the_name_of_a_log(logged: Any) -> None:
    with pytest.raises(ConfigurationError):
        logged.engine.create_queue("#REPLAY_LOG/replay", "exclusive", [])


# Replays


def test_queue_gets_all_it_ever_had_under_the_same_ids_and_then_what_comes(logged: Any) -> None:
    publish(logged, b"a", b"b")
    publish(logged, b"other", topic="x")
    peer = logged.client()
    flow = peer.consume()
    first = peer.deliveries()
    peer.ack(flow, ids(first)[-1], AckRange(0, ids(first)[0]))
    logged.engine.start_replay("q", BEGINNING)
    (unbound,) = peer.received()
    publish(logged, b"c")
    again = logged.client("again")
    again.consume()
    came = again.deliveries()

    assert (unbound.kind, unbound.response) == (AssuredKind.UNBIND, Response(503, "Replay Started"))
    assert bodies(came) == [b"a", b"b", b"c"]
    assert ids(came)[:2] == ids(first)
    assert not any(message.parameters.redelivered for message in came)


def test_client_that_has_seen_higher_ids_gets_the_messages_under_new_ones_and_their_permanent_ones(logged: Any) -> None:
    publish(logged, b"a", b"b")
    peer = logged.client()
    bound = peer.bind()
    peer.ack(bound.flow_id)
    first = peer.deliveries()
    peer.leave()
    logged.engine.start_replay("q", BEGINNING)
    peer = logged.client()
    flow = peer.bind(endpoint_error_id=bound.endpoint_error_id, last_received=ids(first)[-1]).flow_id
    peer.ack(flow, ids(first)[-1])
    again = peer.deliveries()

    assert bodies(again) == [b"a", b"b"]
    assert min(ids(again)) > ids(first)[-1]
    assert [message.parameters.stable_id for message in again] == ids(first)


def test_replay_begins_at_a_time_or_behind_a_message(logged: Any) -> None:
    for number in range(4):
        publish(logged, b"%d" % number)
        logged.tick(10)
    peer, _, _ = consume(logged)
    peer.leave()
    third = logged.engine.vpn.log.ready[2].message.id

    def replayed(start: ReplayStart) -> list[bytes]:
        peer = logged.client()
        bound = peer.bind(start_replay=start)
        assert bound.response == OK
        peer.ack(bound.flow_id)
        got = peer.bodies()
        peer.leave()
        return got

    assert replayed(ReplayStart(ReplayFrom.TIME, time_ns=(EPOCH + 15) * 10**9)) == [b"2", b"3"]
    assert replayed(ReplayStart(ReplayFrom.TIME, time_ns=(EPOCH + 20) * 10**9)) == [b"2", b"3"]
    assert replayed(ReplayStart(ReplayFrom.TIME, time_ns=0)) == [b"0", b"1", b"2", b"3"]
    assert replayed(ReplayStart(ReplayFrom.MESSAGE, spooler_id=SPOOLER, message_id=third)) == [b"3"]
    assert replayed(BEGINNING) == [b"0", b"1", b"2", b"3"]


def test_replay_of_nothing_empties_the_queue(logged: Any) -> None:
    publish(logged, b"a")
    last = logged.engine.vpn.log.ready[0].message.id
    logged.engine.start_replay("q", ReplayStart(ReplayFrom.MESSAGE, spooler_id=SPOOLER, message_id=last))

    assert logged.engine.queue("q").messages == 0
    assert not replay_active(queue(logged))


@pytest.mark.parametrize(
    ("start", "text"),
    [
        (ReplayStart(ReplayFrom.MESSAGE, spooler_id=SPOOLER, message_id=7), "Replay Start Message Unavailable"),
        (ReplayStart(ReplayFrom.MESSAGE, spooler_id=SPOOLER, message_id=2**63), "Replay Start Message Unavailable"),
        (ReplayStart(ReplayFrom.MESSAGE, spooler_id=7, message_id=7), "Replay Start Message Unavailable"),
        (ReplayStart(ReplayFrom.TIME, time_ns=(EPOCH + 1) * 10**9), "Replay Start Time Not Available"),
        (ReplayStart(9), "Unknown Start Location Type"),
    ],
)
def test_start_that_the_log_does_not_have_is_refused_and_changes_nothing(
    logged: Any, start: ReplayStart, text: str
) -> None:
    publish(logged, b"a")
    peer = logged.client()
    bound = peer.bind(start_replay=start)

    assert (bound.response.code, bound.response.text) == (403, text)
    assert queue(logged).flows == []
    assert logged.engine.queue("q").messages == 1
    with pytest.raises(QueueError, match=text):
        logged.engine.start_replay("q", start)


def test_client_may_start_a_replay_of_a_durable_exclusive_queue_as_its_active_consumer_only(logged: Any) -> None:
    logged.engine.create_queue("n", "non-exclusive", ["t/>"])
    peer = logged.client()

    def refusal(name: str, **options: Any) -> str:
        text: str = peer.bind(name, start_replay=BEGINNING, **options).response.text
        return text

    assert refusal("q", flow_type=FlowType.BROWSER) == "Client Initiated Replay from Browser Flow Not Allowed"
    assert refusal("n") == "Client Initiated Replay Not Allowed on Non-Exclusive Queue"
    assert refusal("#P2P/QTMP/v:x/1", durability=2) == "Replay Not Supported on Temporary Queue"
    logged.client("other").bind()
    assert refusal("q") == "Client Initiated Replay from Inactive Flow Not Allowed"


def test_temporary_queue_gets_no_replay(logged: Any) -> None:
    logged.client().bind("#P2P/QTMP/v:x/1", durability=2)

    with pytest.raises(QueueError, match="Temporary"):
        logged.engine.start_replay("#P2P/QTMP/v:x/1", BEGINNING)


def test_topic_endpoint_gets_its_replay_and_refuses_one_in_its_own_words(logged: Any) -> None:
    logged.engine.create_topic_endpoint("e", "exclusive", "t/>")
    logged.engine.create_topic_endpoint("n", "non-exclusive", "t/>")
    publish(logged, b"a")
    vpn = logged.engine.vpn
    delete_messages(vpn, next(queue for queue in vpn.queues.values() if queue.is_topic_endpoint))
    peer = logged.client()
    refused = peer.bind(None, endpoint="n", topic="t/>", start_replay=BEGINNING)
    flow = peer.bind(None, endpoint="e", topic="t/>", start_replay=BEGINNING).flow_id
    peer.ack(flow)

    assert refused.response.text == "Client Initiated Replay Not Allowed on Non-Exclusive Topic Endpoint"
    assert peer.bodies() == [b"a"]


def test_there_is_no_replay_without_a_log_or_out_of_one_that_is_shut(world: Any) -> None:
    assert world.client().bind(start_replay=BEGINNING).response == Response(503, "Replay Disabled")
    vpn = world.engine.vpn
    vpn.put_log("replay", queue(world).settings.changed({"egress_enabled": False}))

    assert start_replay(vpn, queue(world), BEGINNING).text == "Replay Disabled"
    with pytest.raises(QueueError, match="create it first"):
        world.engine.start_replay("nowhere", BEGINNING)
    with pytest.raises(ConfigurationError, match="0 bytes"):
        world.engine.put_replay_log(0)


def test_queue_that_is_shut_for_publishers_gets_its_replay(logged: Any) -> None:
    publish(logged, b"a")
    queue(logged).settings = queue(logged).settings.changed({"ingress_enabled": False})
    logged.engine.vpn.routes.forget()
    consume(logged)[0].leave()
    logged.engine.start_replay("q", BEGINNING)

    assert logged.engine.queue("q").messages == 1


def test_partitioned_queue_gets_its_replay_from_an_administrator(logged: Any) -> None:
    logged.engine.create_queue("p", "non-exclusive", ["t/>"], partitions=3)
    publish(logged, b"a", b"b")
    logged.engine.start_replay("p", BEGINNING)
    peer = logged.client()
    peer.consume("p")

    assert peer.bodies() == [b"a", b"b"]


def test_queue_with_a_shared_subscription_gets_all_that_it_may_have_had(logged: Any) -> None:
    for name in ("one", "two"):
        logged.engine.create_queue(name, "exclusive", ["#share/group/s/>"])
    publish(logged, b"a", b"b", topic="s/1")
    assert [logged.engine.queue(name).messages for name in ("one", "two")] == [1, 1]
    logged.engine.start_replay("one", BEGINNING)

    assert [logged.engine.queue(name).messages for name in ("one", "two")] == [2, 1]


def test_commit_that_counts_on_what_was_there_before_a_replay_fails(logged: Any) -> None:
    publish(logged, b"a")
    peer = logged.client()
    peer.session()
    sending = peer.publisher(session_id=peer.session_id).flow_id
    flow = peer.consume(session_id=peer.session_id)
    (number,) = ids(peer.deliveries())
    logged.engine.start_replay("q", BEGINNING)
    peer.received()

    assert peer.commit(sending, ConsumerAck(flow, 0, number, 1, number, 255)).response.code == 503


def test_replay_is_active_until_its_last_message_is_settled(logged: Any) -> None:
    publish(logged, b"a", b"b")
    logged.engine.start_replay("q", BEGINNING)
    publish(logged, b"c")
    peer = logged.client()
    flow = peer.consume()
    got = ids(peer.deliveries())
    peer.ack(flow, got[-1], AckRange(got[0], got[0]))
    assert replay_active(queue(logged))
    peer.ack(flow, got[-1], AckRange(got[1], got[1]))

    assert not replay_active(queue(logged))
    assert not cancel_replay(logged.engine.vpn, queue(logged))


def test_cancelled_replay_leaves_what_came_after_it(logged: Any) -> None:
    publish(logged, b"a", b"b")
    peer = logged.client()
    peer.ack(peer.bind().flow_id, window=1)
    logged.engine.start_replay("q", BEGINNING)
    peer.received()
    peer.ack(peer.bind().flow_id, window=1)
    peer.received()
    publish(logged, b"c")
    assert cancel_replay(logged.engine.vpn, queue(logged))
    logged.engine.settle()

    assert peer.received()[-1].response == Response(503, "Replay Cancelled")
    assert consume(logged, "next")[2] == [b"c"]


def test_restart_without_state_keeps_the_log_empty(logged: Any, make_world: Callable[..., Any]) -> None:
    publish(logged, b"a")
    after = make_world()
    after.engine.copy_setup(logged.engine)
    assert log(after) == []
    publish(after, b"b")

    assert log(after) == [b"b"]


# Ids


def test_message_id_of_a_client_is_understood() -> None:
    assert parse_message_id("rmid1:11223-34455667788-00000000-0000000A") == ReplayStart(
        ReplayFrom.MESSAGE, spooler_id=0x1122334455667788, message_id=10
    )


@pytest.mark.parametrize("text", ["", "rmid1:", "rmid2:11223-34455667788-00000000-00000001", "7"])
def test_text_that_is_no_message_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="replication group"):
        parse_message_id(text)
