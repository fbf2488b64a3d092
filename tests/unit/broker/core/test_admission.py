from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from flumebeam.smf.assuredctrl import AssuredControl
from tests.unit.broker.durable import durable_state

LIMITS = {
    "bytes": ({"max_bytes": 5}, 503, "Spool Over Quota", "maxMsgSpoolUsageExceededDiscardedMsgCount"),
    "message": ({"max_message_bytes": 1}, 400, "Document Is Too Large", "maxMsgSizeExceededDiscardedMsgCount"),
    "priority": (
        {"reject_low_priority": True, "low_priority_limit": 2},
        503,
        "Low Priority Msg Congestion",
        "lowPriorityMsgCongestionDiscardedMsgCount",
    ),
    "shut": ({"ingress_enabled": False}, 503, "Queue Shutdown", "disabledDiscardedMsgCount"),
}
"""By limit: what sets it so that the queue does not take the last of ``MESSAGES``, what the publisher is told, what is
counted."""
MESSAGES = (b"1", b"2", b"3333")


def broker(make_world: Callable[..., Any], limits: dict[str, Any], behavior: str) -> Any:
    """Return a broker with a limited queue and one beside it without limits, both for ``t/>``."""
    world = make_world()
    world.engine.create_queue("limited", "exclusive", ["t/>"], reject_on_discard=behavior, **limits)
    world.engine.create_queue("wide", "exclusive", ["t/>"])
    return world


def sent(peer: Any) -> Any:
    """Publish all, the last with low priority, and return the answers that are refusals."""
    flow = peer.publisher().flow_id
    peer.publish(flow, *MESSAGES[:2])
    message = peer.message(flow, 3, 2, MESSAGES[2])
    peer.send(replace(message, parameters=replace(message.parameters, priority=3)))
    return [m.response for m in peer.received() if isinstance(m, AssuredControl) and m.response.code != 200]


@pytest.mark.parametrize("name", LIMITS)
def test_publisher_is_told_and_no_queue_gets_the_message(make_world: Callable[..., Any], name: str) -> None:
    limits, code, text, counter = LIMITS[name]
    world = broker(make_world, limits, "always")
    refusals = sent(world.client())

    assert {(response.code, response.text) for response in refusals} == {(code, text)}
    taken = 0 if name == "shut" else 2
    assert world.engine.queue("limited").messages == world.engine.queue("wide").messages == taken
    assert world.engine.queue("limited").counts == {counter: 3 - taken}
    durable_state(world.engine)


@pytest.mark.parametrize("name", LIMITS)
def test_publisher_is_not_told_and_other_queues_get_the_message(make_world: Callable[..., Any], name: str) -> None:
    limits, _, _, counter = LIMITS[name]
    world = broker(make_world, limits, "never")

    assert sent(world.client()) == []
    taken = 0 if name == "shut" else 2
    assert world.engine.queue("limited").messages == taken
    assert world.engine.queue("wide").messages == 3
    assert world.engine.queue("limited").counts == {counter: 3 - taken}
    durable_state(world.engine)


def commit(peer: Any, *bodies: bytes, topics: tuple[str, ...] = ()) -> Any:
    """Publish in a transaction and return the answer to its commit."""
    session = peer.session().session_id
    flow = peer.publisher(session_id=session).flow_id
    for body, topic in zip(bodies, topics or ("t/1",) * len(bodies), strict=True):
        peer.publish(flow, body, topic=topic)
    return peer.commit(flow).response


@pytest.mark.parametrize(
    ("name", "text"), [("bytes", "Spool Over Quota"), ("message", "Message Publish Failure")], ids=str
)
def test_transaction_fails_where_the_publisher_would_be_told(
    make_world: Callable[..., Any], name: str, text: str
) -> None:
    limits, _, _, counter = LIMITS[name]
    world = broker(make_world, limits, "when-queue-enabled")
    response = commit(world.client(), *MESSAGES)

    assert (response.code, response.text) == (503, text)
    assert world.engine.queue("limited").messages == world.engine.queue("wide").messages == 0
    assert world.engine.queue("limited").counts == {counter: 1}


@pytest.mark.parametrize("name", ["bytes", "message", "shut"])
def test_transaction_goes_on_without_what_a_silent_queue_discards(make_world: Callable[..., Any], name: str) -> None:
    limits, _, _, counter = LIMITS[name]
    world = broker(make_world, limits, "never")
    world.engine.create_queue("other", "exclusive", ["u/>"])
    response = commit(world.client(), *MESSAGES, b"44", b"5", topics=("t/1", "t/1", "t/1", "u/1", "t/1"))

    assert response.code == 200
    reader = world.client("reader")
    reader.consume("wide")
    assert [message.body for message in reader.deliveries()] == [b"1", b"2", b"3333", b"5"]
    assert world.engine.queue("other").messages == 1
    limited = world.engine.queue("limited")
    assert (limited.messages, limited.counts) == ((0, {counter: 4}) if name == "shut" else (3, {counter: 1}))
    durable_state(world.engine)


def test_large_messages_together_are_no_large_message(make_world: Callable[..., Any]) -> None:
    world = broker(make_world, {"max_message_bytes": 4}, "always")

    assert commit(world.client(), *MESSAGES).code == 200
    assert world.engine.queue("limited").messages == 3


def test_direct_messages_are_discarded_by_each_queue_for_itself(make_world: Callable[..., Any]) -> None:
    world = broker(make_world, {"max_message_bytes": 1}, "always")
    client = world.client()
    client.direct(b"12")
    client.direct(b"3")

    assert world.engine.queue("wide").messages == 2
    assert world.engine.queue("limited").messages == 1
    assert world.engine.queue("limited").counts == {"maxMsgSizeExceededDiscardedMsgCount": 1}


def test_nobody_gets_anything_while_the_disk_is_full(make_world: Callable[..., Any]) -> None:
    world = broker(make_world, {}, "never")
    world.engine.refuse_storage(True)
    client = world.client()
    client.direct(b"12")

    assert {response.text for response in sent(client)} == {"Spool Over Quota"}
    assert world.engine.queue("wide").messages == 0


def test_message_for_a_queue_by_its_name_that_is_shut_is_refused_and_counted(make_world: Callable[..., Any]) -> None:
    world = make_world()
    world.engine.create_queue("q", "exclusive", [], ingress_enabled=False)
    client = world.client()
    client.publish(client.publisher().flow_id, b"1", topic="#P2P/QUE/q")

    assert "Queue Shutdown" in [m.response.text for m in client.received() if isinstance(m, AssuredControl)]
    assert world.engine.queue("q").counts == {"disabledDiscardedMsgCount": 1}
