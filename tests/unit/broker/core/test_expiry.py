from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from flumebeam.broker.core.administration import QueueSetup, configure_queue
from flumebeam.broker.core.expiry import Lifetimes
from flumebeam.smf.assuredctrl import AckRange, Outcome
from tests.unit.broker.durable import durable_state


def broker(make_world: Callable[..., Any], **settings: Any) -> Any:
    """Return a broker whose queue ``q`` respects times to live, and has ``dead`` for its dead messages."""
    world = make_world()
    world.engine.create_queue("dead", "exclusive", [])
    world.engine.create_queue(
        "q", "exclusive", ["t/>"], **({"respect_ttl": True, "dead_message_queue": "dead"} | settings)
    )
    return world


def publish(world: Any, *bodies: bytes, **options: Any) -> None:
    client = world.client("publisher")
    client.publish(client.publisher().flow_id, *bodies, **options)


def held(world: Any, queue: str = "q") -> int:
    count: int = world.engine.queue(queue).messages
    return count


def test_message_expires_at_the_end_of_its_time_and_moves(make_world: Callable[..., Any]) -> None:
    world = broker(make_world)
    publish(world, b"short", ttl_ms=2_000)
    publish(world, b"none")
    world.tick(1.9)
    assert held(world) == 2

    world.tick(0.2)
    assert (held(world), held(world, "dead")) == (1, 1)
    assert world.engine.queue("q").counts == {"maxTtlExpiredToDmqMsgCount": 1}
    reader = world.client("reader")
    reader.consume()
    assert [message.body for message in reader.deliveries()] == [b"none"]
    durable_state(world.engine)


@pytest.mark.parametrize(
    ("ttl_ms", "max_ttl", "seconds"), [(5_000, 3, 3), (3_000, 5, 3), (None, 3, 3), (0, 3, 3)], ids=str
)
def test_lesser_of_what_publisher_and_queue_allow_counts(
    make_world: Callable[..., Any], ttl_ms: int | None, max_ttl: int, seconds: int
) -> None:
    world = broker(make_world, max_ttl_seconds=max_ttl)
    publish(world, b"m", ttl_ms=ttl_ms)
    world.tick(seconds - 0.1)
    assert held(world) == 1
    world.tick(0.2)
    assert held(world) == 0


def test_queue_that_does_not_respect_it_keeps_messages(make_world: Callable[..., Any]) -> None:
    world = broker(make_world, respect_ttl=False, max_ttl_seconds=1)
    publish(world, b"m", ttl_ms=1)
    world.tick(100)
    reader = world.client("reader")
    flow = reader.consume()
    (message,) = reader.deliveries()
    reader.ack(flow, 0, AckRange(0, message.parameters.message_id, Outcome.FAILED))

    assert held(world) == 1


def test_delivered_message_expires_only_when_it_comes_back(make_world: Callable[..., Any]) -> None:
    world = broker(make_world)
    publish(world, b"late", b"in time", ttl_ms=1_000)
    publish(world, b"longer", ttl_ms=100_000)
    reader = world.client("reader")
    flow = reader.consume()
    first, second, _ = (message.parameters.message_id for message in reader.deliveries())
    world.tick(5)
    assert held(world) == 3
    reader.ack(flow, 0, AckRange(second, second))
    reader.ack(flow, 0, AckRange(first, first, Outcome.FAILED))

    assert reader.deliveries() == []
    assert (held(world), held(world, "dead")) == (1, 1)
    reader.leave()
    assert held(world) == 1
    world.tick(100)
    assert held(world) == 0


def test_consumed_messages_leave_nothing_behind(make_world: Callable[..., Any]) -> None:
    world = broker(make_world, max_ttl_seconds=3_600)
    reader = world.client("reader")
    flow = reader.consume()
    for _ in range(20):
        publish(world, *[b"m"] * 20)
        last = reader.deliveries()[-1].parameters.message_id
        reader.ack(flow, last, AckRange(0, last))

    assert len(world.engine.vpn.queues["q"]._lifetimes._heap) < 100
    world.tick(4_000)
    assert not world.engine.vpn.queues["q"]._lifetimes
    assert world.engine.queue("q").counts == {}


def test_expired_messages_leave_nothing_behind(make_world: Callable[..., Any]) -> None:
    world = broker(make_world, max_ttl_seconds=1)
    publish(world, *[b"m"] * 300)
    world.tick(2)

    assert not world.engine.vpn.queues["q"].ready
    assert held(world, "dead") == 300
    assert world.engine.vpn.spool.bytes == 300


def test_changed_settings_count_for_the_messages_that_are_there(make_world: Callable[..., Any]) -> None:
    world = broker(make_world)
    publish(world, b"delivered", b"waiting")
    reader = world.client("reader")
    reader.bind(window=1)
    world.tick(10)
    queue, vpn = world.engine.vpn.queues["q"], world.engine.vpn
    setup = QueueSetup.of(queue)
    configure_queue(vpn, queue, replace(setup, settings=replace(setup.settings, max_ttl_seconds=5)))
    world.tick(0.1)
    assert held(world) == 1
    reader.leave()
    assert held(world) == 0

    publish(world, b"more")
    configure_queue(vpn, queue, replace(setup, settings=replace(setup.settings, respect_ttl=False)))
    world.tick(100)
    assert held(world) == 1


def test_no_more_expire_at_once_than_clients_can_wait_for(
    make_world: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flumebeam.broker.core.vpn._MAX_EXPIRED", 5)
    world = broker(make_world)
    world.engine.create_queue("r", "exclusive", ["t/>"], respect_ttl=True)
    publish(world, *[b"m"] * 4, ttl_ms=1)
    world.tick(1)
    assert held(world) + held(world, "r") == 3
    world.tick(1)
    assert held(world) + held(world, "r") == 0


def test_time_goes_on_while_the_broker_is_away(make_world: Callable[..., Any]) -> None:
    world = broker(make_world)
    first = make_world()
    first.engine.restore([], first.now)
    first.engine.create_queue("q", "exclusive", ["t/>"], respect_ttl=True)
    publish(first, b"short", ttl_ms=5_000)
    publish(first, b"long", ttl_ms=500_000)
    records = first.engine.take_journal()

    second = make_world()
    second.now = 5.0
    second.engine.host.clock_offset += 101
    second.engine.restore(records, second.now)
    second.tick(0.1)
    assert held(second) == 1
    assert held(world) == 0


def test_lifetimes_of_nothing_are_over_never() -> None:
    assert Lifetimes().over(1e12, 10) == []
