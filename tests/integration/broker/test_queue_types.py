"""Partitioned and last-value queues, selectors and browsers, with the vendor's client."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import requests
from solace.messaging.config.missing_resources_creation_configuration import MissingResourcesCreationStrategy
from solace.messaging.errors.pubsubplus_client_error import PubSubPlusClientError
from solace.messaging.resources.queue import Queue
from solace.messaging.resources.topic import Topic

from flumebeam.broker import DevelopmentBroker, running_broker

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
        publisher.publish_await_acknowledgement(message, Topic.of("p/1"), 60_000)
    publisher.terminate(1000)


def settle(receiver: Any, count: int) -> list[tuple[str, int]]:
    """Take and acknowledge messages; return key and number of each."""
    taken = []
    for _ in range(count):
        message = receiver.receive_message(60_000)
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

    # What is not acknowledged when partitions move comes again: the client sends acknowledgements within a second.
    eventually(lambda: broker.queue("p").messages == 0)
    second = consumer(connect(broker, "second"), "p")
    eventually(lambda: broker.queue("p").partitions_served == {"first": 4, "second": 4})
    publish(writer, 40, 20)
    came: dict[str, list[tuple[str, int]]] = {"first": [], "second": []}
    while sum(map(len, came.values())) < 40:
        for name, receiver in (("first", first), ("second", second)):
            while (message := receiver.receive_message(50)) is not None:
                came[name].append((message.get_property(KEY), int(bytes(message.get_payload_as_bytes()))))
                receiver.ack(message)
    keys = {name: {key for key, _ in messages} for name, messages in came.items()}
    assert not keys["first"] & keys["second"]
    assert keys["first"]
    assert keys["second"]
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


def numbered(service: Any, count: int) -> None:
    publisher = service.create_persistent_message_publisher_builder().build()
    publisher.start()
    for number in range(count):
        message = (
            service.message_builder()
            .with_property("n", number)
            .with_property("kind", "odd" if number % 2 else "even")
            .with_priority(number % 10)
            .with_application_message_id(f"id-{number}")
            .with_application_message_type("test")
            .with_sequence_number(number)
            .build(bytearray(b"%d" % number))
        )
        publisher.publish_await_acknowledgement(message, Topic.of("t/1"), 60_000)
    publisher.terminate(1000)


def numbers(receiver: Any, count: int) -> list[int]:
    messages = [receiver.receive_message(60_000) for _ in range(count)]
    assert all(messages)
    assert receiver.receive_message(100) is None
    return [int(bytes(message.get_payload_as_bytes())) for message in messages]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("kind = 'odd' AND n BETWEEN 3 AND 7", [3, 5, 7]),
        ("JMSPriority >= 8", [8, 9]),
        ("JMSMessageID IN ('id-2', 'id-4')", [2, 4]),
        ("JMSType = 'test' AND sn = 6 AND JMSDestination LIKE 't/%' AND JMSDeliveryMode = 'PERSISTENT'", [6]),
        ("missing IS NULL AND NOT (n < 9)", [9]),
    ],
)
def test_consumer_gets_what_its_selector_matches(
    broker: DevelopmentBroker, connect: Callable[..., Any], selector: str, expected: list[int]
) -> None:
    service = connect(broker)
    numbered(service, 10)
    builder = service.create_persistent_message_receiver_builder().with_message_selector(selector)
    receiver = builder.build(Queue.durable_exclusive_queue("q"))
    receiver.start()

    assert numbers(receiver, len(expected)) == expected
    assert broker.queue("q").messages == 10


def test_bad_selector_is_refused_in_the_vendors_words(broker: DevelopmentBroker, connect: Callable[..., Any]) -> None:
    builder = connect(broker).create_persistent_message_receiver_builder().with_message_selector("n = ")
    receiver = builder.build(Queue.durable_exclusive_queue("q"))

    with pytest.raises(PubSubPlusClientError, match="INVALID_SELECTOR"):
        receiver.start()


def test_selector_on_a_partitioned_queue_is_refused(broker: DevelopmentBroker, connect: Callable[..., Any]) -> None:
    broker.create_queue("p", "non-exclusive", partitions=2)
    builder = connect(broker).create_persistent_message_receiver_builder().with_message_selector("n = 1")
    receiver = builder.build(Queue.durable_non_exclusive_queue("p"))

    with pytest.raises(PubSubPlusClientError, match="SELECTORS_NOT_SUPPORTED_ON_PARTITIONED_QUEUE"):
        receiver.start()


def test_browser_with_a_selector_removes_what_it_shows_and_goes_on_with_what_comes(
    broker: DevelopmentBroker, connect: Callable[..., Any], eventually: Callable[..., None]
) -> None:
    service = connect(broker)
    numbered(service, 10)
    builder = service.create_message_queue_browser_builder().with_message_selector("kind = 'odd'")
    browser = builder.build(Queue.durable_exclusive_queue("q"))
    browser.start()
    shown = [browser.receive_message(60_000) for _ in range(5)]
    assert [message.get_property("n") for message in shown] == [1, 3, 5, 7, 9]
    browser.remove(shown[1])
    eventually(lambda: broker.queue("q").messages == 9)
    numbered(service, 2)

    assert browser.receive_message(60_000).get_property("n") == 1
    browser.terminate()


def test_urgent_messages_come_first_from_a_queue_that_respects_priority(
    broker: DevelopmentBroker, connect: Callable[..., Any]
) -> None:
    broker.create_queue("urgent", subscriptions=["urgent/>"], respect_priority=True)
    service = connect(broker)
    publisher = service.create_persistent_message_publisher_builder().build()
    publisher.start()
    builder = service.message_builder()
    for body, priority in ((b"a", 1), (b"b", 9), (b"c", 4), (b"d", 9), (b"e", 0)):
        message = builder.with_priority(priority).build(bytearray(body))
        publisher.publish_await_acknowledgement(message, Topic.of("urgent/1"), 60_000)
    receiver = service.create_persistent_message_receiver_builder().build(Queue.durable_exclusive_queue("urgent"))
    receiver.start()
    got = [receiver.receive_message(60_000) for _ in range(5)]

    assert [bytes(message.get_payload_as_bytes()) for message in got] == [b"b", b"d", b"c", b"a", b"e"]
    assert [message.get_priority() for message in got] == [9, 9, 4, 1, 0]


def test_queue_with_a_delay_keeps_what_came_for_so_long(broker: DevelopmentBroker, connect: Callable[..., Any]) -> None:
    broker.create_queue("late", subscriptions=["late/>"], delivery_delay_seconds=1)
    service = connect(broker)
    receiver = service.create_persistent_message_receiver_builder().build(Queue.durable_exclusive_queue("late"))
    receiver.start()
    publisher = service.create_persistent_message_publisher_builder().build()
    publisher.start()
    began = time.monotonic()
    publisher.publish_await_acknowledgement(bytearray(b"x"), Topic.of("late/1"), 60_000)
    assert broker.queue("late").messages == 1
    message = receiver.receive_message(60_000)

    assert bytes(message.get_payload_as_bytes()) == b"x"
    assert time.monotonic() - began > 0.9


def test_queue_that_a_client_makes_begins_with_the_template_of_its_name(connect: Callable[..., Any]) -> None:
    template = {
        "queueTemplateName": "t",
        "queueNameFilter": "app/>",
        "maxMsgSpoolUsage": 15,
        "permission": "consume",
        "respectTtlEnabled": True,
        "maxTtl": 60,
    }
    with running_broker(semp_port=0) as broker:
        vpn = f"{broker.semp_url}/SEMP/v2/config/msgVpns/default"
        made = requests.post(f"{vpn}/queueTemplates", json=template, auth=("admin", "admin"), timeout=60)
        assert made.status_code == 200
        builder = connect(broker).create_persistent_message_receiver_builder()
        builder.with_missing_resources_creation_strategy(MissingResourcesCreationStrategy.CREATE_ON_START)
        builder.build(Queue.durable_non_exclusive_queue("app/in")).start()
        shown = requests.get(f"{vpn}/queues/app%2Fin", auth=("admin", "admin"), timeout=60).json()["data"]

        assert {name: shown[name] for name in ("maxMsgSpoolUsage", "permission", "respectTtlEnabled", "maxTtl")} == {
            "maxMsgSpoolUsage": 15,
            "permission": "consume",
            "respectTtlEnabled": True,
            "maxTtl": 60,
        }
        # The client has said that it wants this one.
        assert (shown["accessType"], shown["owner"]) == ("non-exclusive", "default")
