"""A copy at another site: what it holds is what the broker held some messages ago."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from flumebeam.broker import replica as replicas
from flumebeam.broker.core.engine import Engine
from flumebeam.broker.fault_plan import FaultPlan
from flumebeam.broker.replica import Replica
from flumebeam.broker.store import Store
from flumebeam.smf.assuredctrl import AckRange
from tests.unit.broker.conftest import EPOCH_MS, SPOOLER, World


class Site(World):
    """A broker with a copy elsewhere."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.replica = Replica(Store.in_memory("default", SPOOLER))
        self.engine.restore((), self.now)
        self.engine.create_queue("q", "exclusive", ["t/>"])
        self.peer = self.client()
        self.flow = self.peer.publisher().flow_id

    def publish(self, *bodies: bytes) -> None:
        self.peer.publish(self.flow, *bodies)
        self.copy()

    def copy(self) -> None:
        self.replica.add(self.engine.take_journal())

    def elsewhere(self, lag: int) -> Engine:
        engine = Engine(self.config, FaultPlan(), SPOOLER + 1, EPOCH_MS + 1, self.lines.append)
        engine.restore(self.replica.state(lag), self.now)
        engine.stop_journal()
        return engine


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.replica.close()


def bodies(engine: Engine) -> list[bytes]:
    return [entry.message.body for entry in engine.vpn.queues["q"].ready]


@pytest.mark.parametrize(("lag", "kept"), [(0, 5), (1, 4), (3, 2), (5, 0), (100, 0)])
def test_last_messages_are_missing_and_the_set_up_is_not(site: Site, lag: int, kept: int) -> None:
    site.publish(b"a", b"b")
    site.publish(b"c")
    site.publish(b"d", b"e")
    engine = site.elsewhere(lag)

    assert bodies(engine) == [b"a", b"b", b"c", b"d", b"e"][:kept]
    assert engine.take_journal() == []


def test_transaction_is_cut_where_the_lag_is(site: Site) -> None:
    site.peer.session()
    flow = site.peer.publisher(session_id=site.peer.session_id).flow_id
    site.peer.publish(flow, *(b"%d" % number for number in range(6)))
    site.peer.commit(flow)
    site.copy()

    assert bodies(site.elsewhere(2)) == [b"0", b"1", b"2", b"3"]


def test_what_was_consumed_within_the_lag_is_there_again(site: Site) -> None:
    site.publish(b"a", b"b")
    consumer = site.client("consumer")
    flow = consumer.consume()
    first, _ = consumer.deliveries()
    consumer.ack(flow, 0, AckRange(first.parameters.message_id, first.parameters.message_id))
    site.publish(b"c")

    assert bodies(site.elsewhere(1)) == [b"b"]
    site.publish(b"x", b"y")
    assert site.engine.queue("q").messages == 4


def test_news_later_than_the_cut_is_not_known(site: Site) -> None:
    site.publish(b"a", b"b")
    site.publish(b"c")
    consumer = site.client("consumer")
    flow = consumer.consume()
    first, *_ = consumer.deliveries()
    consumer.ack(flow, 0, AckRange(first.parameters.message_id, first.parameters.message_id))
    site.copy()

    assert bodies(site.elsewhere(1)) == [b"a", b"b"]


def test_clients_are_strangers_there(site: Site) -> None:
    site.publish(b"a")
    engine = site.elsewhere(0)

    assert engine.vpn.publishers.get(f"flow-{SPOOLER:x}-{site.flow}") is None
    assert bodies(engine) == [b"a"]


def test_copy_holds_back_no_more_than_the_largest_lag(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicas, "MAX_LAG", 3)
    monkeypatch.setattr(replicas, "_APPLIED_AT_ONCE", 2)
    for number in range(10):
        site.publish(b"%d" % number)

    assert len(site.replica._late) <= 5
    assert bodies(site.elsewhere(3)) == [b"%d" % number for number in range(7)]
