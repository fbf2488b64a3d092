"""What the broker's core tells its journal, a store keeps, and a broker of the next life finds."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flumebeam.broker.core.access import all_setup, drop_setup, put_setup
from flumebeam.broker.core.acl import AclProfile, Rule, TopicException
from flumebeam.broker.core.administration import QueueSetup, configure_queue
from flumebeam.broker.core.broker_settings import (
    Administrator,
    ClientAuthority,
    DomainAuthority,
    ServerCertificate,
)
from flumebeam.broker.core.journal import (
    Configured,
    Delivered,
    DeliveredAgain,
    InVpn,
    Issued,
    PublisherMoved,
    QueueDeleted,
    Record,
    Removed,
    Renumbered,
    Stored,
    Subscribed,
    VpnSet,
)
from flumebeam.broker.core.profiles import ClientProfile, ClientUsername
from flumebeam.broker.core.queue_settings import Permission, QueueSettings
from flumebeam.broker.core.templates import QueueTemplate, TopicEndpointTemplate
from flumebeam.broker.core.vpn import VpnSettings
from flumebeam.broker.core.vpns import configure_vpn
from flumebeam.broker.store import FILE_NAME, Store
from flumebeam.broker.store_schema import _STEPS, VERSION
from flumebeam.errors import ConfigurationError, StorageError, StorageFullError
from flumebeam.smf.assuredctrl import (
    AckRange,
    AssuredControl,
    AssuredKind,
    ConsumerAck,
    Outcome,
    ReplayFrom,
    ReplayStart,
    SessionState,
)
from flumebeam.smf.clientctrl import ClientControl, ClientControlKind
from flumebeam.smf.pubmsg import MessageTemplate
from flumebeam.smf.subctrl import SubscriptionControl, SubscriptionKind
from tests.unit.broker.conftest import Peer
from tests.unit.broker.durable import durable_state, whole_state
from tests.unit.structured import structured

SPOOLER = 1 << 60


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path, "default", SPOOLER)
    yield opened
    opened.close()


@pytest.fixture
def keeper(make_world: Callable[..., Any]) -> Any:
    """A broker that keeps a journal, with a queue ``q`` that gets ``t/>``."""
    return keeping(make_world)


def keeping(make_world: Callable[..., Any], records: Any = ()) -> Any:
    world = make_world()
    world.engine.restore(records, world.now)
    if not records:
        world.engine.create_queue("q", "exclusive", ["t/>"])
    return world


def reborn(make_world: Callable[..., Any], world: Any, store: Store) -> Any:
    """The next life of a broker that is killed when all is durable."""
    store.commit(world.engine.take_journal())
    return keeping(make_world, list(store.records()))


def transacted(world: Any, **login: Any) -> tuple[Any, int]:
    peer = world.client("app", **login)
    session = peer.session().session_id
    return peer, peer.publisher(session_id=session).flow_id


def bodies(peer: Any) -> list[bytes]:
    return [message.body for message in peer.deliveries()]


# What survives


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
    assert bodies(consumer) == [b"a", b"", bytes(range(256))]


def test_body_is_stored_once_for_many_queues(keeper: Any, store: Store, tmp_path: Path) -> None:
    for number in range(8):
        keeper.engine.create_queue(f"r{number}", "exclusive", ["t/>"])
    peer = keeper.client()
    peer.publish(peer.publisher().flow_id, bytes(1_000_000))
    store.commit(keeper.engine.take_journal())
    store.close()

    assert (tmp_path / FILE_NAME).stat().st_size < 1_500_000


def test_large_body_is_kept_in_few_pages(store: Store, tmp_path: Path) -> None:
    store.close()
    connection = sqlite3.connect(tmp_path / FILE_NAME)

    assert connection.execute("PRAGMA page_size").fetchone() == (16_384,)
    connection.close()


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


def test_delivery_of_a_backlog_is_noted_ahead_and_never_behind(
    make_world: Callable[..., Any], keeper: Any, store: Store
) -> None:
    peer = keeper.client()
    peer.publish(peer.publisher().flow_id, *[b""] * 2_000)
    reader = keeper.client("reader")
    store.commit(keeper.engine.take_journal())
    flow = reader.consume("q")
    notes: list[int] = []
    got: list[int] = []
    while len(got) < 2_000:
        got += [message.parameters.message_id for message in reader.deliveries()]
        records = keeper.engine.take_journal()
        notes += [record.message_id for record in records if isinstance(record, Delivered)]
        assert got[-1] <= notes[-1]
        store.commit(records)
        if len(got) == 510:
            after = keeping(make_world, list(store.records()))
            waiting = after.engine.vpn.queues["q"].waiting()
            assert sum(entry.deliveries for entry in waiting) == 1_255
        reader.ack(flow, got[-1], AckRange(got[-1], got[-1]))

    assert [got.index(note) for note in notes] == [1_255, 1_274, 1_529, 1_784, 1_999]


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

    assert bodies(after) == [b"new"]


def test_changed_set_up_survives(make_world: Callable[..., Any], keeper: Any, store: Store) -> None:
    vpn = keeper.engine.vpn
    queue = vpn.queues["q"]
    former = QueueSetup.of(queue)
    configure_queue(
        vpn, queue, QueueSetup(access=former.access, owner="x", permission=former.permission, settings=former.settings)
    )
    peer = keeper.client()
    peer.publish(peer.publisher().flow_id, b"a")

    after = reborn(make_world, keeper, store)

    assert after.engine.vpn.queues["q"].owner == "x"
    assert durable_state(after.engine) == durable_state(keeper.engine)


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
    assert bodies(consumer) == [b"c"]


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


def test_publisher_goes_on_where_it_was(make_world: Callable[..., Any], keeper: Any, store: Store) -> None:
    peer = keeper.client()
    opened = peer.publisher()
    peer.publish(opened.flow_id, b"a", b"b")

    after = reborn(make_world, keeper, store).client()
    again = after.publisher(flow_name=opened.flow_name, last_acked=1, last_sent=3)
    assert (again.response.code, again.last_sent) == (200, 2)
    after.send(*(after.message(again.flow_id, number, number - 1, b"%d" % number) for number in (5, 2, 3)))

    after.consume("q")
    assert bodies(after) == [b"a", b"b", b"3"]


def test_outcome_of_the_last_transaction_survives(make_world: Callable[..., Any], keeper: Any, store: Store) -> None:
    peer, flow = transacted(keeper)
    opened_name = next(iter(durable_state(keeper.engine)["sessions"]))
    peer.publish(flow, b"a")
    peer.commit(flow)

    after = reborn(make_world, keeper, store).client("app")

    assert after.session(session_name=opened_name, transaction=(1, 2)).session_state == SessionState.COMMITTED
    assert after.session(session_name=opened_name, transaction=(2, 3)).session_state == SessionState.NEW


def test_what_a_renamed_client_may_resume_survives(make_world: Callable[..., Any], keeper: Any, store: Store) -> None:
    peer, flow = transacted(keeper)
    peer.publish(flow, b"a")
    peer.commit(flow)
    plain = peer.publisher()
    peer.publish(plain.flow_id, b"b")
    peer.ask(ClientControl(kind=ClientControlKind.UPDATE, client_name="new"))
    before = durable_state(keeper.engine)

    after = reborn(make_world, keeper, store)

    assert durable_state(after.engine) == before
    assert after.client("new").publisher(flow_name=plain.flow_name).last_sent == 1


def test_transaction_that_was_open_is_rolled_back_whatever_its_client_counts(
    make_world: Callable[..., Any], keeper: Any, store: Store
) -> None:
    peer, flow = transacted(keeper)
    session_name = next(iter(durable_state(keeper.engine)["sessions"]))
    flow_name = next(iter(durable_state(keeper.engine)["publishers"]))
    peer.publish(flow, b"1")
    peer.commit(flow)
    peer.publish(flow, b"2", b"3")

    after = reborn(make_world, keeper, store).client("app")
    after.session(session_name=session_name, transaction=(1, 2))
    again = after.publisher(flow_name=flow_name, session_id=after.session_id)
    after.ids[again.flow_id], after.transaction = 3, 1
    after.publish(again.flow_id, b"4")
    refused = after.commit(again.flow_id)
    after.publish(again.flow_id, b"5")
    taken = after.commit(again.flow_id)

    assert (refused.response.code, taken.response.code) == (503, 200)
    after.consume("q")
    assert bodies(after) == [b"1", b"5"]


def test_ids_and_handles_start_above_all_that_were_given_out(
    make_world: Callable[..., Any], keeper: Any, store: Store
) -> None:
    peer = keeper.client()
    flow = peer.publisher().flow_id
    peer.publish(flow, b"a")
    vpn = keeper.engine.vpn

    again = reborn(make_world, keeper, store).engine.vpn

    assert again.host.ids.last > vpn.host.ids.last
    assert again.host.last_handle > vpn.host.last_handle


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


def test_who_made_a_subscription_survives(make_world: Callable[..., Any], keeper: Any, store: Store) -> None:
    keeper.engine.create_queue("made", "exclusive", ["of/management"])
    keeper.client().subscribe("of/client", queue="made")

    after = reborn(make_world, keeper, store)

    assert after.engine.vpn.queues["made"].subscriptions == {"of/management": True, "of/client": False}


def test_largest_message_id_of_a_client_survives(make_world: Callable[..., Any], keeper: Any, store: Store) -> None:
    peer = keeper.client()
    opened = peer.publisher()
    peer.send(peer.message(opened.flow_id, (1 << 64) - 1, 0, b"a"))

    assert reborn(make_world, keeper, store).engine.vpn.publishers[opened.flow_name].last_id == (1 << 64) - 1


def test_message_vpns_survive_each_with_its_own(make_world: Callable[..., Any], keeper: Any, store: Store) -> None:
    engine = keeper.engine
    engine.create_vpn("more", {"default": None})
    engine.create_vpn("gone", {"default": None})
    for name in ("more", "gone"):
        engine.create_queue("q", "exclusive", ["t/>"], vpn=name)
        peer, flow = transacted(keeper, vpn=name)
        peer.publish(flow, name.encode())
        peer.commit(flow)
        peer.consume("q")
    store.commit(engine.take_journal())
    engine.delete_vpn("gone")
    configure_vpn(engine.host.vpns["more"], replace(engine.vpn.settings, max_queues=1))
    before = whole_state(engine)

    after = reborn(make_world, keeper, store)

    assert whole_state(after.engine) == before
    assert list(after.engine.host.vpns) == ["default", "more"]
    assert after.engine.host.vpns["more"].settings.max_queues == 1
    assert store._connection.execute("SELECT count(*) FROM sessions").fetchone() == (1,)


def test_usernames_and_profiles_survive(make_world: Callable[..., Any], keeper: Any, store: Store) -> None:
    vpn = keeper.engine.vpn
    rules = AclProfile(
        name="p", connect=Rule(True, ("10.0.0.0/8",)), publish=Rule(False, (TopicException("mqtt", "a/#"),))
    )
    limits = replace(ClientProfile.limited("p", keeper.config), transact=True, kept={"tcpKeepaliveCount": 3})
    for value in (rules, limits, ClientUsername("ann", "pw", acl_profile="p", client_profile="p")):
        put_setup(vpn, value)
    put_setup(vpn, ClientUsername("gone", None))
    put_setup(vpn, replace(vpn.users["default"], password="pw"))
    store.commit(keeper.engine.take_journal())
    drop_setup(vpn, vpn.users["gone"])

    after = reborn(make_world, keeper, store).engine.vpn

    assert list(all_setup(after)) == list(all_setup(vpn))
    assert after.acl_profiles["p"] == rules
    assert after.client_profiles["p"] == limits
    assert list(after.users) == ["default", "ann"]


def test_templates_survive(make_world: Callable[..., Any], keeper: Any, store: Store) -> None:
    vpn = keeper.engine.vpn
    settings = replace(vpn.default_settings(), max_ttl_seconds=3, kept={"a": 1})
    for kind in (QueueTemplate, TopicEndpointTemplate):
        put_setup(vpn, kind(name="t", name_filter="a/>", permission=Permission.CONSUME, settings=settings))
    again = reborn(make_world, keeper, store).engine.vpn

    assert again.queue_templates == vpn.queue_templates
    assert again.endpoint_templates == vpn.endpoint_templates
    assert again.queue_templates["t"].permission is Permission.CONSUME


def test_what_the_broker_as_a_whole_is_set_up_with_survives(
    make_world: Callable[..., Any], keeper: Any, store: Store
) -> None:
    host = keeper.engine.host
    ann = Administrator(name="ann", password="a", vpn_access="read-only", exceptions={"v": "none"})
    gone = ClientAuthority(name="gone")
    for value in (
        ann,
        gone,
        ClientAuthority(name="ca", content="c", kept={"crlUrl": "u"}),
        DomainAuthority(name="ca", content="d"),
        ServerCertificate(content="pem", password="p"),
        replace(host.settings.administrators["admin"], password="other"),
    ):
        host.put_setting(value)
    host.drop_setting(gone)

    again = reborn(make_world, keeper, store).engine.host
    wanted = {(type(value), value.name): value for value in host.settings.all()}
    # The configuration's password is that after each start.
    wanted[Administrator, "admin"] = Administrator(name="admin", password="admin", access="admin")
    assert {(type(value), value.name): value for value in again.settings.all()} == wanted


def test_broker_that_forgets_its_state_goes_on_with_its_administrators(
    make_world: Callable[..., Any], keeper: Any
) -> None:
    keeper.engine.host.put_setting(Administrator(name="ann", password="a"))
    keeper.engine.host.put_setting(DomainAuthority(name="ca"))
    fresh = make_world()
    fresh.engine.copy_setup(keeper.engine)
    fresh.engine.host.drop_setting(DomainAuthority(name="ca"))

    assert set(fresh.engine.host.settings.administrators) == {"admin", "ann"}
    assert not fresh.engine.host.settings.domain_authorities


def test_password_of_the_configuration_is_that_after_each_start_and_the_rest_is_kept(
    make_world: Callable[..., Any], keeper: Any, store: Store
) -> None:
    vpn = keeper.engine.vpn
    put_setup(vpn, ClientUsername("ann", "old", enabled=False))
    put_setup(vpn, ClientUsername("default", "kept"))
    store.commit(keeper.engine.take_journal())
    world = make_world(users={"default": None, "ann": "new"})
    world.engine.restore(list(store.records()), world.now)

    assert world.engine.vpn.users["ann"] == ClientUsername("ann", "new", enabled=False)
    assert world.engine.vpn.users["default"].password == "kept"
    store.commit(world.engine.take_journal())
    assert Configured(ClientUsername("ann", "new", enabled=False)) in list(store.records())


def test_message_vpns_of_the_configuration_are_kept_once(make_world: Callable[..., Any], store: Store) -> None:
    for settings_kept in (VpnSettings.of(make_world().config), None):
        world = make_world(more_vpns={"more": {"ann": "pw"}})
        world.engine.restore(list(store.records()), world.now)
        vpn = world.engine.host.vpns["more"]
        assert list(vpn.users) == ["ann"]
        if settings_kept is None:
            assert vpn.settings.max_queues == 7
            assert not any(isinstance(record, VpnSet) for record in world.engine.take_journal())
        else:
            configure_vpn(vpn, replace(settings_kept, max_queues=7))
            store.commit(world.engine.take_journal())


def test_database_of_the_first_version_is_read_and_goes_on(make_world: Callable[..., Any], tmp_path: Path) -> None:
    older = make_world()
    older.engine.create_queue("q", "exclusive", ["t/>", "u"])
    settings = json.dumps(asdict(older.engine.vpn.queues["q"].settings))
    head = MessageTemplate(Peer.message(1, 1, 0, b"old").encode()[:-3]).head()
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.executescript(_STEPS[0])
        connection.execute("INSERT INTO identity VALUES (?, 'default', 1000, 50)", (SPOOLER,))
        connection.execute("INSERT INTO queues VALUES (3, 'q', 1, NULL, 4, ?, 7)", (settings,))
        connection.execute("INSERT INTO subscriptions VALUES (1, 'q', 't/>'), (2, 'q', 'u')")
        connection.execute("INSERT INTO messages VALUES (7, ?, x'', x'6f6c64')", (head,))
        connection.execute("INSERT INTO entries VALUES (7, 3, 9)")
        connection.execute("INSERT INTO publishers VALUES ('f', 4, 'app', NULL, 1, '5')")
        connection.execute("INSERT INTO sessions VALUES ('s', 5, 'app', 1, 2, 1)")
        connection.execute("PRAGMA user_version = 1")
        connection.execute(f"PRAGMA application_id = {0x666C756D}")
    connection.close()
    store = Store.open(tmp_path, "default", 5)
    world = keeping(make_world, list(store.records()))
    before = whole_state(world.engine)
    peer = world.client("app")
    peer.publish(peer.publisher().flow_id, b"new")

    assert store.spooler_id == SPOOLER
    assert world.engine.queue("q").subscriptions == ("t/>", "u")
    assert before["default"][1]["positions"] == {"f": 5}
    assert before["default"][1]["sessions"] == {"s": (5, "app", (1, 2), SessionState.COMMITTED)}
    again = reborn(make_world, world, store)
    consumer = again.client("next")
    consumer.consume("q")
    assert bodies(consumer) == [b"old", b"new"]
    store.close()
    again_open = Store.open(tmp_path, "default", 5)
    again_open.close()


def test_what_a_row_for_each_message_said_is_known_after_the_upgrade(tmp_path: Path) -> None:
    head = MessageTemplate(Peer.message(1, 1, 0, b"old").encode()[:-3]).head()
    settings = json.dumps(asdict(QueueSettings(max_bytes=9, max_unacked=9, max_consumers=1)))
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        for step in _STEPS[:6]:
            connection.executescript(step)
        connection.execute("INSERT INTO identity VALUES (?, 'default', 1000, 50)", (SPOOLER,))
        connection.execute("INSERT INTO vpns VALUES (1, 'default', NULL)")
        connection.execute("INSERT INTO queues VALUES (3, 1, 'q', 1, NULL, 4, ?, 7)", (settings,))
        connection.executemany("INSERT INTO messages VALUES (?, ?, x'', x'6f6c64', 1.5)", [(7, head), (8, head)])
        connection.execute("INSERT INTO entries VALUES (7, 3, 9, 2), (8, 3, NULL, NULL)")
        connection.execute("PRAGMA user_version = 6")
        connection.execute(f"PRAGMA application_id = {0x666C756D}")
    connection.close()

    for _ in range(2):
        store = Store.open(tmp_path, "default", 5)
        records = list(store.records())
        store.close()
        (stored,) = (record for record in records if isinstance(record, Stored))
        assert [(message.id, message.body, message.arrived) for message in stored.messages] == [
            (7, b"old", 1.5),
            (8, b"old", 1.5),
        ]
        assert [record for record in records if isinstance(record, Renumbered)] == [Renumbered("q", [(7, 9)])]
        assert [record for record in records if isinstance(record, DeliveredAgain)] == [DeliveredAgain("q", [(7, 2)])]


def test_nothing_is_noted_without_a_store(world: Any) -> None:
    peer = world.client()
    peer.publish(peer.publisher().flow_id, b"a")
    peer.consume("q")

    assert world.engine.take_journal() == []


def test_records_of_what_has_gone_are_no_state(make_world: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match="not part of a state"):
        make_world().engine.restore([QueueDeleted("q")], 0.0)


# Any prefix


OPERATIONS = (
    *("publish", "stage", "commit", "rollback", "take", "settle", "refuse", "queue", "vpn", "cut", "expire"),
    *("select", "partition", "value", "log", "replay", "many"),
)


class Script:
    """Clients that do what a list of words says, on a broker with a journal."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.batches: list[list[Record]] = []
        self.states: list[dict[str, Any]] = []
        self.queues = 0
        self.vpns = self.selected = self.logs = 0
        self._connect()

    def _connect(self) -> None:
        self.plain = self.world.client("plain")
        self.plain_flow = self.plain.publisher().flow_id
        self.app, self.app_flow = transacted(self.world)
        self.app_consumer = self.app.consume("q", session_id=self.app.session_id)
        self.consumer = self.world.client("consumer")
        self.consumer_flow = self.consumer.consume("r")

    def run(self, words: list[str]) -> None:
        self._note()
        for word in words:
            getattr(self, f"_{word}")()
            self._note()

    def _note(self) -> None:
        self.batches.append(self.world.engine.take_journal())
        self.states.append(whole_state(self.world.engine))

    def _publish(self) -> None:
        self.plain.publish(self.plain_flow, b"plain", topic="t/1")
        self.plain.publish(self.plain_flow, b"direct", topic="u")

    def _stage(self) -> None:
        self.app.publish(self.app_flow, b"x", b"yy", topic="t/2")

    def _many(self) -> None:
        for number in range(6):
            self.app.publish(self.app_flow, b"m", b"%d" % number, topic=("t/2", "u")[number % 2])
        self.app.commit(self.app_flow)

    def _commit(self) -> None:
        ids = [message.parameters.message_id for message in self.app.deliveries()]
        consumed = (ConsumerAck(self.app_consumer, ids[0], ids[-1], len(ids), ids[-1], 255),) if ids else ()
        self.app.commit(self.app_flow, *consumed)

    def _rollback(self) -> None:
        self.app.rollback()

    def _take(self) -> None:
        self.consumer.ack(self.consumer_flow)

    def _settle(self) -> None:
        for message in self.consumer.deliveries()[:2]:
            number = message.parameters.message_id
            self.consumer.ack(self.consumer_flow, 0, AckRange(number, number))

    def _refuse(self) -> None:
        for message in self.consumer.deliveries()[:1]:
            number = message.parameters.message_id
            self.consumer.ack(self.consumer_flow, 0, AckRange(number, number, Outcome.FAILED))

    def _queue(self) -> None:
        name = f"extra-{self.queues // 2}"
        if self.queues % 2:
            self.world.engine.delete_queue(name)
        else:
            self.world.engine.create_queue(name, "exclusive", ["t/>"])
        self.queues += 1

    def _select(self) -> None:
        if self.selected % 2:
            self.picker.leave()
        else:
            self.picker = self.world.client("picker")
            self.picker.consume("r", selector="JMSDestination = 'u'")
        self.selected += 1

    def _partition(self) -> None:
        vpn = self.world.engine.vpn
        queue = vpn.queues["r"]
        setup = QueueSetup.of(queue)
        settings = replace(setup.settings, partitions=0 if queue.settings.partitions else 3)
        configure_queue(vpn, queue, replace(setup, settings=settings))
        vpn.settle()
        self.consumer_flow = self.consumer.consume("r")

    def _value(self) -> None:
        self.world.engine.create_queue("v", "exclusive", ["u"], last_value=True)

    def _log(self) -> None:
        vpn = self.world.engine.vpn
        if self.logs % 3 == 2:
            vpn.remove_log(vpn.log)
        else:
            self.world.engine.put_replay_log(20 if self.logs % 3 else 5)
        self.logs += 1

    def _replay(self) -> None:
        if self.logs % 3:
            self.world.engine.start_replay("r", ReplayStart(ReplayFrom.BEGINNING))
            self.consumer_flow = self.consumer.consume("r")

    def _vpn(self) -> None:
        engine = self.world.engine
        if self.vpns % 3 == 0:
            engine.create_vpn("more", {"default": None})
            engine.create_queue("q", "exclusive", ["t/>"], vpn="more")
        elif self.vpns % 3 == 1:
            peer = self.world.client("plain", vpn="more")
            peer.publish(peer.publisher().flow_id, b"there")
            transacted(self.world, vpn="more")
        else:
            engine.delete_vpn("more")
        self.vpns += 1

    def _cut(self) -> None:
        for peer in (self.plain, self.app, self.consumer):
            peer.leave()
        self._connect()

    def _expire(self) -> None:
        self.world.tick(2.0)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(OPERATIONS), max_size=25), st.data())
def test_every_prefix_of_the_journal_is_the_state_that_the_broker_had_then(
    make_world: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory, words: list[str], data: st.DataObject
) -> None:
    world = make_world(session_retention_seconds=1.0, publisher_retention_seconds=1.0)
    world.engine.restore((), world.now)
    world.engine.create_queue("q", "exclusive", ["t/>"])
    world.engine.create_queue("r", "non-exclusive", ["t/>", "u"])
    script = Script(world)
    script.run(words)
    end = data.draw(st.integers(1, len(script.batches)))
    middle = data.draw(st.integers(0, end))
    store = Store.open(tmp_path_factory.mktemp("data"), "default", SPOOLER)
    try:
        for group in (script.batches[:middle], script.batches[middle:end]):
            store.commit([record for batch in group for record in batch])
        restored = make_world()
        restored.engine.restore(store.records(), restored.now)
    finally:
        store.close()

    assert whole_state(restored.engine) == script.states[end - 1]


# The database


def test_commit_is_all_or_nothing(make_world: Callable[..., Any], keeper: Any, store: Store) -> None:
    peer = keeper.client()
    peer.publish(peer.publisher().flow_id, b"a")
    records = keeper.engine.take_journal()
    store.commit(records)
    before = list(store.records())
    (stored,) = (record for record in records if isinstance(record, Stored))

    with pytest.raises(StorageError, match="cannot write"):
        store.commit([Removed("q", [stored.messages[0].id]), QueueDeleted("q"), *records])

    assert [record for record in store.records() if not isinstance(record, Stored)] == [
        record for record in before if not isinstance(record, Stored)
    ]
    store.commit([PublisherMoved("nobody", 1)])


def test_full_disk_is_told_from_other_failures_and_changes_nothing(
    make_world: Callable[..., Any], keeper: Any, store: Store
) -> None:
    store.commit(keeper.engine.take_journal())
    (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    peer = keeper.client()
    peer.publish(peer.publisher().flow_id, bytes(100_000))

    with pytest.raises(StorageFullError, match="make room"):
        store.commit(keeper.engine.take_journal())

    assert not any(isinstance(record, Stored) for record in store.records())


def test_erased_store_is_empty_and_has_another_identity(
    make_world: Callable[..., Any], keeper: Any, store: Store, tmp_path: Path
) -> None:
    store.commit(keeper.engine.take_journal())
    store.replace(SPOOLER + 1, ())
    store.close()
    again = Store.open(tmp_path, "default", SPOOLER)

    assert again.spooler_id == SPOOLER + 1
    assert {type(record) for record in again.records()} == {Issued, InVpn}
    again.close()


def test_store_takes_another_state_with_another_identity_or_stays_as_it_is(
    make_world: Callable[..., Any], keeper: Any, store: Store, tmp_path: Path
) -> None:
    peer = keeper.client()
    peer.publish(peer.publisher().flow_id, b"a")
    store.commit(keeper.engine.take_journal())
    other = keeping(make_world)
    other.engine.create_vpn("more", {"default": None})
    other.engine.create_queue("new", "exclusive", ["n"], vpn="more")
    records = other.engine.take_journal()
    with pytest.raises(StorageError, match="cannot replace its data"):
        store.replace(SPOOLER + 1, [*records, Subscribed("new", "n", False), Subscribed("new", "n", False)])
    assert (store.spooler_id, keeping(make_world, list(store.records())).engine.queue("q").messages) == (SPOOLER, 1)

    store.replace(SPOOLER + 1, records)
    store.close()
    again = Store.open(tmp_path, "default", SPOOLER)
    found = keeping(make_world, list(again.records())).engine
    assert (again.spooler_id, found.queue("q").messages, found.queue("new", "more").messages) == (SPOOLER + 1, 0, 0)
    again.close()


def test_store_keeps_its_spooler_id(store: Store, tmp_path: Path) -> None:
    store.close()
    again = Store.open(tmp_path, "default", 5)

    assert again.spooler_id == SPOOLER
    again.close()


def test_second_broker_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="in use by another broker"):
        Store.open(tmp_path, "default", SPOOLER)


def test_data_of_another_vpn_is_refused(store: Store, tmp_path: Path) -> None:
    store.close()

    with pytest.raises(ConfigurationError, match="belongs to the message VPN default"):
        Store.open(tmp_path, "prod", SPOOLER)


def test_newer_format_is_refused_and_left_alone(store: Store, tmp_path: Path) -> None:
    store.close()
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()

    with pytest.raises(ConfigurationError, match="newer flumebeam"):
        Store.open(tmp_path, "default", SPOOLER)


def test_foreign_database_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()

    with pytest.raises(ConfigurationError, match="not a broker's database"):
        Store.open(tmp_path, "default", SPOOLER)


@pytest.mark.parametrize("offset", [0, 30_000])
def test_damaged_database_is_one_clear_error(keeper: Any, store: Store, tmp_path: Path, offset: int) -> None:
    peer = keeper.client()
    flow = peer.publisher().flow_id
    for _ in range(50):
        peer.publish(flow, bytes(1_000))
    store.commit(keeper.engine.take_journal())
    store.close()
    with (tmp_path / FILE_NAME).open("r+b") as file:
        file.seek(offset)
        file.write(b"\xa5" * 8_000)

    with pytest.raises(ConfigurationError, match="is damaged"):
        Store.open(tmp_path, "default", SPOOLER)


def test_records_that_make_no_sense_are_damage(keeper: Any, store: Store) -> None:
    peer = keeper.client()
    peer.publish(peer.publisher().flow_id, b"a")
    store.commit(keeper.engine.take_journal())
    store._connection.execute("UPDATE messages SET head = x'00'")

    with pytest.raises(ConfigurationError, match="is damaged"):
        list(store.records())


def test_directory_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigurationError, match="choose a directory that it may write to"):
        Store.open(tmp_path / "file" / "data", "default", SPOOLER)


def test_lost_directory_is_noticed(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "data", "default", SPOOLER)
    store.close()
    for file in (tmp_path / "data").iterdir():
        file.unlink()
    (tmp_path / "data").rmdir()

    with pytest.raises(StorageError, match="is lost"):
        store.free_bytes()
