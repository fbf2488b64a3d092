"""Partitioned and last-value queues, with the vendor's client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from solace.messaging.errors.pubsubplus_client_error import PubSubPlusClientError
from solace.messaging.resources.queue import Queue
from solace.messaging.resources.topic import Topic

from flumebeam.broker import DevelopmentBroker

KEY = "JMSXGroupID"


def consumer(service: Any, name: str) -> Any:
    made = service.create_persistent_message_receiver_builder().build(Queue.durable_non_exclusive_queue(name))
    made.start()
    return made


def publish(service: Any, count: int, keys: int) -> None:
    publisher = service.create_persistent_message_publisher_builder().build()
    publisher.start()
    for number in range(count):
        message = service.message_builder().with_property(KEY, f"k{number % keys}").build(bytearray(b"%d" % number))
        publisher.publish_await_acknowledgement(message, Topic.of("p/1"), 5000)
    publisher.terminate(1000)


def settle(receiver: Any, count: int) -> list[tuple[str, int]]:
    """Take and acknowledge messages; return key and number of each."""
    taken = []
    for _ in range(count):
        message = receiver.receive_message(5000)
        assert message is not None
        taken.append((message.get_property(KEY), int(bytes(message.get_payload_as_bytes()))))
        receiver.ack(message)
    return taken


def test_keys_stay_with_one_consumer_in_order_and_move_when_a_second_comes(
    broker: DevelopmentBroker, connect: Callable[..., Any], eventually: Callable[..., None]
) -> None:
    broker.create_queue("p", "non-exclusive", ["p/>"], partitions=8, rebalance_delay_seconds=1)
    first = consumer(connect(broker, "first"), "p")
    writer = connect(broker, "writer")
    publish(writer, 40, 20)
    taken = settle(first, 40)
    assert all(
        [number for key, number in taken if key == f"k{wanted}"] == [wanted, wanted + 20] for wanted in range(20)
    )

    second = consumer(connect(broker, "second"), "p")
    eventually(lambda: broker.queue("p").partitions_served == {"first": 4, "second": 4})
    publish(writer, 40, 20)
    came = {}
    for name, receiver in (("first", first), ("second", second)):
        came[name] = []
        while (message := receiver.receive_message(500)) is not None:
            came[name].append((message.get_property(KEY), int(bytes(message.get_payload_as_bytes()))))
            receiver.ack(message)
    keys = {name: {key for key, _ in messages} for name, messages in came.items()}
    assert not keys["first"] & keys["second"]
    assert keys["first"]
    assert keys["second"]
    assert sum(map(len, came.values())) == 40
    for messages in came.values():
        for key in {key for key, _ in messages}:
            numbers = [number for one, number in messages if one == key]
            assert numbers == sorted(numbers)


def test_partitions_of_a_consumer_that_dies_are_redelivered_to_the_other(
    broker: DevelopmentBroker, connect: Callable[..., Any], eventually: Callable[..., None]
) -> None:
    broker.create_queue("p", "non-exclusive", ["p/>"], partitions=4, rebalance_delay_seconds=0)
    dying = connect(broker, "dying", transport__reconnection_attempts=0)
    consumer(dying, "p")
    staying = consumer(connect(broker, "staying"), "p")
    eventually(lambda: broker.queue("p").partitions_served == {"dying": 2, "staying": 2})
    publish(connect(broker, "writer"), 20, 20)
    broker.cut_connections("dying")
    taken = settle(staying, 20)

    assert sorted(number for _, number in taken) == list(range(20))
    eventually(lambda: broker.queue("p").messages == 0)


def test_browser_of_a_partitioned_queue_is_refused_in_the_vendors_words(
    broker: DevelopmentBroker, connect: Callable[..., Any]
) -> None:
    broker.create_queue("p", "non-exclusive", partitions=2)
    browser = connect(broker).create_message_queue_browser_builder().build(Queue.durable_non_exclusive_queue("p"))

    with pytest.raises(PubSubPlusClientError, match="BROWSING_NOT_SUPPORTED_ON_PARTITIONED_QUEUE"):
        browser.start()


def test_last_value_queue_gives_the_newest_message(broker: DevelopmentBroker, connect: Callable[..., Any]) -> None:
    broker.create_queue("v", subscriptions=["p/>"], last_value=True)
    service = connect(broker)
    publish(service, 10, 1)
    receiver = service.create_persistent_message_receiver_builder().build(Queue.durable_exclusive_queue("v"))
    receiver.start()

    assert settle(receiver, 1) == [("k0", 9)]
