"""Direct messages of the vendor's client: shared subscriptions, request and reply, limits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from solace.messaging.errors.pubsubplus_client_error import PubSubPlusClientError
from solace.messaging.resources.queue import Queue
from solace.messaging.resources.share_name import ShareName
from solace.messaging.resources.topic import Topic
from solace.messaging.resources.topic_subscription import TopicSubscription

from flumebeam.broker import ClientProfile, ClientUsername, DevelopmentBroker
from flumebeam.testing import running_broker

_PATIENCE_MS = 60_000


def receiver_of(service: Any, topic: str, share: str | None = None) -> Any:
    builder = service.create_direct_message_receiver_builder().with_subscriptions([TopicSubscription.of(topic)])
    receiver = builder.build() if share is None else builder.build(ShareName.of(share))
    receiver.start()
    return receiver


def send(service: Any, topic: str, *bodies: bytes) -> None:
    publisher = service.create_direct_message_publisher_builder().build()
    publisher.start()
    for body in bodies:
        publisher.publish(service.message_builder().build(bytearray(body)), Topic.of(topic))
    publisher.terminate()


def bodies(receiver: Any, count: int) -> list[bytes]:
    return [bytes(receiver.receive_message(_PATIENCE_MS).get_payload_as_bytes()) for _ in range(count)]


def test_receivers_of_a_share_name_get_messages_in_turn(broker: DevelopmentBroker, connect: Callable[..., Any]) -> None:
    receivers = [receiver_of(connect(broker, name), "s/>", "group") for name in ("a", "b", "c")]
    sent = [b"%d" % number for number in range(9)]
    send(connect(broker, "sender"), "s/1", *sent)

    got = [bodies(receiver, 3) for receiver in receivers]
    assert sorted(body for part in got for body in part) == sent


def test_queues_share_a_subscription(broker: DevelopmentBroker, connect: Callable[..., Any]) -> None:
    service = connect(broker)
    for name in ("one", "two"):
        broker.create_queue(name)
        receiver = service.create_persistent_message_receiver_builder().build(Queue.durable_exclusive_queue(name))
        receiver.start().add_subscription(TopicSubscription.of("#share/g/s/>"))
    publisher = service.create_persistent_message_publisher_builder().build()
    publisher.start()
    for _ in range(4):
        message = service.message_builder().build(bytearray(b"x"))
        publisher.publish_await_acknowledgement(message, Topic.of("s/1"), _PATIENCE_MS)

    assert [broker.queue(name).received for name in ("one", "two")] == [2, 2]


def test_request_gets_its_reply(broker: DevelopmentBroker, connect: Callable[..., Any]) -> None:
    replier, asker = connect(broker, "replier"), connect(broker, "asker")
    receiver = (
        replier.request_reply().create_request_reply_message_receiver_builder().build(TopicSubscription.of("r/>"))
    )
    receiver.start()

    def serve() -> None:
        request, answer = receiver.receive_message(_PATIENCE_MS)
        answer.reply(replier.message_builder().build(bytearray(b"re: " + request.get_payload_as_bytes())))

    server = threading.Thread(target=serve)
    server.start()
    publisher = asker.request_reply().create_request_reply_message_publisher_builder().build()
    publisher.start()
    request = asker.message_builder().build(bytearray(b"who"))
    reply = publisher.publish_await_response(request, Topic.of("r/1"), _PATIENCE_MS)
    server.join()

    assert bytes(reply.get_payload_as_bytes()) == b"re: who"


def test_subscription_that_is_not_exported_works_as_others(
    broker: DevelopmentBroker, connect: Callable[..., Any]
) -> None:
    service = connect(broker)
    receiver = receiver_of(service, "#noexport/n/>")
    send(service, "n/1", b"x")

    assert bodies(receiver, 1) == [b"x"]


def test_subscriptions_beyond_the_limit_and_shared_ones_without_permission_are_refused(
    broker: DevelopmentBroker, connect: Callable[..., Any]
) -> None:
    few = ClientProfile(name="few", max_subscriptions=1)
    broker.configure(few, ClientUsername("default", None, client_profile="few"))
    service = connect(broker)
    receiver = receiver_of(service, "a")

    with pytest.raises(PubSubPlusClientError, match="SUBSCRIPTION_TOO_MANY"):
        receiver.add_subscription(TopicSubscription.of("b"))
    with pytest.raises(PubSubPlusClientError, match="Shared"):
        receiver_of(service, "c", "group")


def test_client_that_misses_messages_is_told_with_the_next_one_and_its_guaranteed_ones_wait(
    connect: Callable[..., Any], eventually: Callable[..., None]
) -> None:
    with running_broker(delivery_batch_bytes=2_000) as broker:
        broker.create_queue("q", subscriptions=["d/>"])
        slow = connect(broker, "slow")
        receiver = receiver_of(slow, "d/>")
        sender = connect(broker, "sender")
        publisher = sender.create_direct_message_publisher_builder().on_back_pressure_reject(0).build()
        publisher.start()
        # The broker reads many at once when it goes on, more than the receiver's share.
        broker.freeze()
        for _ in range(50):
            publisher.publish(sender.message_builder().build(bytearray(1_000)), Topic.of("d/1"))
        broker.thaw()
        eventually(lambda: broker.queue("q").received == 50)
        got: list[Any] = []
        more = 0
        # One that comes before the receiver has read the others is missed as well.
        while not any(one.get_payload_as_bytes() == b"last" for one in got):
            publisher.publish(sender.message_builder().build(bytearray(b"last")), Topic.of("d/1"))
            more += 1
            while (message := receiver.receive_message(1_000)) is not None:
                got.append(message)

        assert len([one for one in got if one.get_payload_as_bytes() != b"last"]) < 50
        assert any(one.get_message_discard_notification().has_broker_discard_indication() for one in got)
        eventually(lambda: broker.queue("q").messages == 50 + more)
