"""Guaranteed and direct messages of the vendor's client."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from solace.messaging.config.message_acknowledgement_configuration import Outcome
from solace.messaging.config.missing_resources_creation_configuration import MissingResourcesCreationStrategy
from solace.messaging.config.receiver_activation_passivation_configuration import (
    ReceiverState,
    ReceiverStateChangeListener,
)
from solace.messaging.config.solace_properties.receiver_properties import PERSISTENT_NO_LOCAL_PUBLISHED_MESSAGES
from solace.messaging.errors.pubsubplus_client_error import (
    MessageDestinationDoesNotExistError,
    PubSubPlusClientError,
)
from solace.messaging.resources.queue import Queue
from solace.messaging.resources.topic import Topic
from solace.messaging.resources.topic_subscription import TopicSubscription

from flumebeam.broker import DevelopmentBroker, LosePublishAck, NackPublishes, running_broker


def publisher(service: Any) -> Any:
    made = service.create_persistent_message_publisher_builder().build()
    made.start()
    return made


def receiver(service: Any, queue: Any = None, **options: Any) -> Any:
    builder = service.create_persistent_message_receiver_builder()
    for name, value in options.items():
        getattr(builder, name)(value)
    made = builder.build(queue or Queue.durable_exclusive_queue("q"))
    made.start()
    return made


def take(made: Any, count: int) -> list[Any]:
    messages = [made.receive_message(60_000) for _ in range(count)]
    assert all(messages)
    return messages


def drain(made: Any) -> list[Any]:
    """Take what is there now, or comes in a moment."""
    messages = []
    while (message := made.receive_message(50)) is not None:
        messages.append(message)
    return messages


def payloads(messages: list[Any]) -> list[bytes]:
    return [bytes(message.get_payload_as_bytes()) for message in messages]


def send(service: Any, *bodies: bytes, topic: str = "t/1") -> None:
    made = publisher(service)
    for body in bodies:
        made.publish_await_acknowledgement(bytearray(body), Topic.of(topic), 60_000)
    made.terminate(1000)


def test_message_arrives_as_it_was_sent(broker: DevelopmentBroker, connect: Callable[..., Any]) -> None:
    service = connect(broker)
    body = bytes(range(256)) * 40
    message = (
        service.message_builder()
        .with_priority(9)
        .with_application_message_id("id-1")
        .with_property("kind", "ä")
        .from_properties({"solace.messaging.message.persistent.time-to-live": 1_000_000})
        .build(bytearray(body))
    )
    publisher(service).publish_await_acknowledgement(message, Topic.of("t/ö"), 60_000)
    (got,) = take(receiver(service), 1)

    assert bytes(got.get_payload_as_bytes()) == body
    assert got.get_priority() == 9
    assert got.get_application_message_id() == "id-1"
    assert got.get_property("kind") == "ä"
    assert got.get_destination_name() == "t/ö"
    assert not got.is_redelivered()


@pytest.mark.parametrize("size", [0, 1, 253, 254, 65_536, 1_000_000, 9_900_000])
def test_body_of_any_size_arrives(broker: DevelopmentBroker, connect: Callable[..., Any], size: int) -> None:
    service = connect(broker)
    send(service, b"\xfe" * size)
    (got,) = take(receiver(service), 1)

    assert bytes(got.get_payload_as_bytes() or b"") == b"\xfe" * size


def test_receiver_creates_its_queue_and_subscribes_it(broker: DevelopmentBroker, connect: Callable[..., Any]) -> None:
    service = connect(broker)
    made = receiver(
        service,
        Queue.durable_non_exclusive_queue("new"),
        with_missing_resources_creation_strategy=MissingResourcesCreationStrategy.CREATE_ON_START,
    )
    made.add_subscription(TopicSubscription.of("a/*/c"))
    send(service, b"no", topic="a/c")
    send(service, b"yes", topic="a/b/c")

    assert payloads(take(made, 1)) == [b"yes"]
    assert broker.queue("new").subscriptions == ("a/*/c",)
    made.remove_subscription(TopicSubscription.of("a/*/c"))
    assert broker.queue("new").subscriptions == ()


def test_acknowledged_messages_leave_the_queue_and_others_come_again(
    broker: DevelopmentBroker, connect: Callable[..., Any], eventually: Callable[..., None]
) -> None:
    service = connect(broker)
    send(service, *(b"%d" % number for number in range(300)))
    made = receiver(service)
    messages = take(made, 300)
    for message in messages[:200] + messages[250:]:
        made.ack(message)
    eventually(lambda: broker.queue("q").messages == 50)
    made.terminate(100)
    again = take(receiver(service), 50)

    assert payloads(again) == [b"%d" % number for number in range(200, 250)]
    assert all(message.is_redelivered() for message in again)


def test_message_failed_by_the_application_comes_again_and_a_rejected_one_does_not(
    broker: DevelopmentBroker, connect: Callable[..., Any], eventually: Callable[..., None]
) -> None:
    service = connect(broker)
    send(service, b"a", b"b")
    builder = service.create_persistent_message_receiver_builder()
    builder.with_required_message_outcome_support(Outcome.FAILED, Outcome.REJECTED)
    made = builder.build(Queue.durable_exclusive_queue("q"))
    made.start()
    first, second = take(made, 2)
    made.settle(first, Outcome.FAILED)
    made.settle(second, Outcome.REJECTED)
    (again,) = take(made, 1)

    assert (payloads([again]), again.is_redelivered()) == ([b"a"], True)
    assert str(again.get_replication_group_message_id()) == str(first.get_replication_group_message_id())
    made.settle(again, Outcome.ACCEPTED)
    eventually(lambda: broker.queue("q").messages == 0)


def test_unknown_queue_and_selector_are_refused_by_clear_errors(
    broker: DevelopmentBroker, connect: Callable[..., Any]
) -> None:
    service = connect(broker)
    with pytest.raises(PubSubPlusClientError, match="Unknown Queue"):
        receiver(service, Queue.durable_exclusive_queue("nowhere"))
    with pytest.raises(PubSubPlusClientError, match="Invalid Selector"):
        receiver(service, with_message_selector="a = ")


def test_permission_is_refused_by_a_clear_error(broker: DevelopmentBroker, connect: Callable[..., Any]) -> None:
    broker.create_queue("private", owner="ann", permission="no-access")
    with pytest.raises(PubSubPlusClientError, match="Permission Not Allowed"):
        receiver(connect(broker), Queue.durable_exclusive_queue("private"))


def test_refused_publishes_raise_and_later_ones_succeed(connect: Callable[..., Any]) -> None:
    with running_broker(reject_on_no_match=True, max_queue_messages=1) as broker:
        broker.create_queue("q", subscriptions=["t/>"])
        service = connect(broker)
        with pytest.raises(MessageDestinationDoesNotExistError, match="No Subscription Match"):
            send(service, b"x", topic="nobody")
        send(service, b"x")
        with pytest.raises(PubSubPlusClientError, match="Spool Over Quota"):
            send(service, b"x")
        broker.create_queue("other", subscriptions=["u"])
        send(service, b"x", topic="u")

        assert broker.queue("other").messages == 1


def test_planned_refusal_and_lost_acknowledgement_reach_the_client(
    broker: DevelopmentBroker, connect: Callable[..., Any]
) -> None:
    service = connect(broker)
    broker.fault(NackPublishes(reason="Queue Shutdown"), LosePublishAck())
    with pytest.raises(PubSubPlusClientError, match="Queue Shutdown"):
        send(service, b"refused")
    # The refused message's position is acknowledged again by the end of its read: that is the answer that is lost.
    send(service, b"a", b"b")

    assert broker.pending_faults() == 0
    assert broker.queue("q").messages == 2


class States(ReceiverStateChangeListener):  # type: ignore[misc]
    """Remembers what a receiver is told about itself."""

    def __init__(self) -> None:
        self.seen: list[ReceiverState] = []
        self.active = threading.Event()

    def on_change(self, old_state: ReceiverState, new_state: ReceiverState, change_time_stamp: float) -> None:
        self.seen.append(new_state)
        if new_state is ReceiverState.ACTIVE:
            self.active.set()


def test_exclusive_queue_is_handed_over_and_the_successor_is_told(
    broker: DevelopmentBroker, connect: Callable[..., Any], eventually: Callable[..., None]
) -> None:
    first, second = connect(broker, "first"), connect(broker, "second")
    send(first, b"a", b"b")
    holder = receiver(first)
    take(holder, 2)
    states = States()
    standby = receiver(second, with_activation_passivation_support=states)
    assert standby.receive_message(50) is None
    assert not states.active.is_set()
    first.disconnect()
    assert states.active.wait(60)
    again = take(standby, 2)

    assert payloads(again) == [b"a", b"b"]
    assert all(message.is_redelivered() for message in again)


def test_non_exclusive_queue_serves_all_its_receivers(broker: DevelopmentBroker, connect: Callable[..., Any]) -> None:
    broker.create_queue("n", "non-exclusive", ["n"])
    services = [connect(broker, str(number)) for number in range(2)]
    receivers = [receiver(service, Queue.durable_non_exclusive_queue("n")) for service in services]
    shares: list[list[bytes]] = [[], []]
    sent = 0
    # A receiver opens its window some time after it has started; until then the other one gets all.
    while not all(shares):
        send(services[0], *(b"%d" % number for number in range(sent, sent + 20)), topic="n")
        sent += 20
        while sum(map(len, shares)) < sent:
            for made, share in zip(receivers, shares, strict=True):
                share += payloads(drain(made))

    assert sorted(int(body) for share in shares for body in share) == list(range(sent))


def test_receiver_without_local_messages_gets_those_of_others_only(connect: Callable[..., Any]) -> None:
    with running_broker() as broker:
        broker.create_queue("q", subscriptions=["t/>"], reject_on_discard="never")
        own, other = connect(broker, "own"), connect(broker, "other")
        made = receiver(own, from_properties={PERSISTENT_NO_LOCAL_PUBLISHED_MESSAGES: True})
        send(own, b"mine")
        send(other, b"theirs")

        assert payloads(take(made, 1)) == [b"theirs"]
        assert broker.queue("q").counts == {"noLocalDeliveryDiscardedMsgCount": 1}


def test_browser_leaves_messages_in_the_queue(broker: DevelopmentBroker, connect: Callable[..., Any]) -> None:
    service = connect(broker)
    send(service, b"a", b"b", b"c")
    browser = service.create_message_queue_browser_builder().build(Queue.durable_exclusive_queue("q"))
    browser.start()
    shown = take(browser, 3)
    browser.remove(shown[1])
    browser.terminate()

    assert payloads(shown) == [b"a", b"b", b"c"]
    assert payloads(take(receiver(service), 2)) == [b"a", b"c"]


def test_temporary_queue_lives_as_long_as_its_receiver(
    broker: DevelopmentBroker, connect: Callable[..., Any], eventually: Callable[..., None]
) -> None:
    service = connect(broker)
    made = receiver(service, Queue.non_durable_exclusive_queue())
    made.add_subscription(TopicSubscription.of("x"))
    send(service, b"a", topic="x")
    assert payloads(take(made, 1)) == [b"a"]
    made.terminate(100)

    eventually(lambda: [status.name for status in broker.queues()] == ["q"])


def test_direct_messages_and_request_reply_work(broker: DevelopmentBroker, connect: Callable[..., Any]) -> None:
    service, other = connect(broker), connect(broker, "other")
    listener = other.create_direct_message_receiver_builder().with_subscriptions([TopicSubscription.of("d/*")]).build()
    listener.start()
    sender = service.create_direct_message_publisher_builder().build()
    sender.start()
    sender.publish(bytearray(b"hi"), Topic.of("d/1"))
    assert payloads(take(listener, 1)) == [b"hi"]
    # A guaranteed message for the same topic arrives as a direct one.
    send(service, b"kept", topic="d/2")
    assert payloads(take(listener, 1)) == [b"kept"]

    answering = other.request_reply().create_request_reply_message_receiver_builder().build(TopicSubscription.of("ask"))
    answering.start()
    asking = service.request_reply().create_request_reply_message_publisher_builder().build()
    asking.start()
    question = service.message_builder().build("question")
    pending = asking.publish(request_message=question, request_destination=Topic.of("ask"), reply_timeout=60_000)
    request, replier = answering.receive_message(60_000)
    assert request.get_payload_as_string() == "question"
    replier.reply(other.message_builder().build("answer"))

    assert pending.result(60).get_payload_as_string() == "answer"
