"""The life of messages that nobody consumes, with the vendor's client."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from solace.messaging.config.message_acknowledgement_configuration import Outcome
from solace.messaging.errors.pubsubplus_client_error import PubSubPlusClientError
from solace.messaging.resources.queue import Queue
from solace.messaging.resources.topic import Topic

from flumebeam.broker import DevelopmentBroker
from flumebeam.testing import running_broker
from tests.integration.broker.test_guaranteed import payloads, publisher, receiver, send, take


def settling(service: Any) -> Any:
    builder = service.create_persistent_message_receiver_builder()
    builder.with_required_message_outcome_support(Outcome.ACCEPTED, Outcome.FAILED, Outcome.REJECTED)
    made = builder.build(Queue.durable_exclusive_queue("q"))
    made.start()
    return made


@pytest.fixture
def broker(broker: DevelopmentBroker) -> DevelopmentBroker:
    """Replace queue ``q`` by one that gives up messages after two redeliveries, to the queue ``dead``."""
    broker.delete_queue("q")
    broker.create_queue("dead")
    broker.create_queue("q", subscriptions=["t/>"], max_redeliveries=2, dead_message_queue="dead")
    return broker


def dead(service: Any, count: int) -> list[Any]:
    return take(receiver(service, Queue.durable_exclusive_queue("dead")), count)


def test_message_that_fails_too_often_is_found_in_the_dead_message_queue(
    broker: DevelopmentBroker, connect: Callable[..., Any], eventually: Callable[..., None]
) -> None:
    service = connect(broker)
    send(service, b"bad", topic="t/original")
    made = settling(service)
    for redelivered in (False, True, True):
        (message,) = take(made, 1)
        assert message.is_redelivered() is redelivered
        made.settle(message, Outcome.FAILED)
    (found,) = dead(service, 1)

    assert bytes(found.get_payload_as_bytes()) == b"bad"
    assert found.get_destination_name() == "t/original"
    assert broker.queue("q").counts == {"maxRedeliveryExceededToDmqMsgCount": 1}
    assert made.receive_message(100) is None


def test_rejected_message_is_found_in_the_dead_message_queue_if_it_is_eligible(
    broker: DevelopmentBroker, connect: Callable[..., Any], eventually: Callable[..., None]
) -> None:
    service = connect(broker)
    sender = publisher(service)
    eligible = {"solace.messaging.message.persistent.dmq-eligible": False}
    plain = service.message_builder().from_properties(eligible).build(bytearray(b"not eligible"))
    sender.publish_await_acknowledgement(plain, Topic.of("t/1"), 60_000)
    send(service, b"eligible")
    made = settling(service)
    for message in take(made, 2):
        made.settle(message, Outcome.REJECTED)

    assert payloads(dead(service, 1)) == [b"eligible"]
    eventually(lambda: broker.queue("q").messages == 0)
    assert broker.queue("q").counts == {"rejectedToDmqMsgCount": 1, "rejectedDiscardedMsgCount": 1}


@pytest.mark.parametrize(
    ("limits", "sub_code"),
    [
        ({"max_bytes": 5}, "SPOOL_OVER_QUOTA"),
        ({"max_message_bytes": 2}, "MESSAGE_TOO_LARGE"),
        (
            {"reject_low_priority": True},
            "DATA_OTHER', 'error_info_sub_code': 28, 'error_info_contents': 'Low Priority Msg",
        ),
        ({"ingress_enabled": False}, "QUEUE_SHUTDOWN"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_publisher_learns_why_its_message_was_not_taken(
    broker: DevelopmentBroker, connect: Callable[..., Any], limits: dict[str, Any], sub_code: str
) -> None:
    broker.create_queue("small", subscriptions=["u"], reject_on_discard="always", **limits)
    service = connect(broker)
    low = service.message_builder().with_priority(1).build(bytearray(b"too much"))

    with pytest.raises(PubSubPlusClientError) as raised:
        publisher(service).publish_await_acknowledgement(low, Topic.of("u"), 60_000)
    assert f"SOLCLIENT_SUBCODE_{sub_code}" in str(raised.value)
    assert sum(broker.queue("small").counts.values()) == 1


def test_publisher_is_acknowledged_by_a_queue_that_discards_in_silence(
    broker: DevelopmentBroker, connect: Callable[..., Any]
) -> None:
    broker.create_queue("small", subscriptions=["t/1"], reject_on_discard="never", max_bytes=5)
    service = connect(broker)
    send(service, b"1", b"too much", b"2")

    assert broker.queue("q").messages == 3
    assert broker.queue("small").messages == 2
    assert broker.queue("small").counts == {"maxMsgSpoolUsageExceededDiscardedMsgCount": 1}


def test_message_that_nobody_consumes_in_time_is_found_in_the_dead_message_queue(
    broker: DevelopmentBroker, connect: Callable[..., Any], eventually: Callable[..., None]
) -> None:
    broker.create_queue("timely", subscriptions=["u"], respect_ttl=True, dead_message_queue="dead")
    service = connect(broker)
    lasting = {"solace.messaging.message.persistent.time-to-live": 600_000}
    short = {"solace.messaging.message.persistent.time-to-live": 1}
    for body, properties in ((b"short", short), (b"lasting", lasting)):
        message = service.message_builder().from_properties(properties).build(bytearray(body))
        publisher(service).publish_await_acknowledgement(message, Topic.of("u"), 60_000)

    assert payloads(dead(service, 1)) == [b"short"]
    assert payloads(take(receiver(service, Queue.durable_exclusive_queue("timely")), 1)) == [b"lasting"]
    eventually(lambda: broker.queue("timely").counts == {"maxTtlExpiredToDmqMsgCount": 1})


def test_settings_and_delivery_counts_survive_a_kill(
    tmp_path: Path, connect: Callable[..., Any], eventually: Callable[..., None]
) -> None:
    with running_broker(data=str(tmp_path)) as broker:
        broker.create_queue("dead")
        broker.create_queue("q", subscriptions=["t/>"], max_redeliveries=2, dead_message_queue="dead")
        service = connect(broker)
        send(service, b"bad")
        made = settling(service)
        for _ in range(2):
            (message,) = take(made, 1)
            made.settle(message, Outcome.FAILED)
        take(made, 1)
        service.disconnect()
        eventually(lambda: broker.queue("dead").messages == 1)
        broker.restart(keep_state=True)

        assert broker.queue("q").messages == 0
        assert payloads(dead(connect(broker, "other"), 1)) == [b"bad"]
