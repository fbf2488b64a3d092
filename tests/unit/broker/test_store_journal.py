"""Any prefix of what the broker's core tells its journal is a state that the broker had."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flumebeam.broker.core.administration import QueueSetup, configure_queue
from flumebeam.broker.core.journal import QueueDeleted, Record
from flumebeam.broker.store import Store
from flumebeam.smf.assuredctrl import AckRange, ConsumerAck, Outcome, ReplayFrom, ReplayStart
from tests.unit.broker.conftest import SPOOLER
from tests.unit.broker.durable import whole_state

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
        self.app, self.app_flow = self.world.transacted()
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
            self.world.transacted(vpn="more")
        else:
            engine.delete_vpn("more")
        self.vpns += 1

    def _cut(self) -> None:
        for peer in (self.plain, self.app, self.consumer):
            peer.leave()
        self._connect()

    def _expire(self) -> None:
        self.world.tick(2.0)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
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


def test_nothing_is_noted_without_a_store(world: Any) -> None:
    peer = world.client()
    peer.publish(peer.publisher().flow_id, b"a")
    peer.consume("q")

    assert world.engine.take_journal() == []


def test_records_of_what_has_gone_are_no_state(make_world: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match="not part of a state"):
        make_world().engine.restore([QueueDeleted("q")], 0.0)
