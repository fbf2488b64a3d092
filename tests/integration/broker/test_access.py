"""Usernames, ACL profiles and client profiles, as the vendor's client meets them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from solace.messaging.errors.pubsubplus_client_error import (
    MessageRejectedByBrokerError,
    PubSubPlusClientError,
    PubSubPlusCoreClientError,
    TransactionRollbackError,
)
from solace.messaging.resources.queue import Queue
from solace.messaging.resources.topic import Topic
from solace.messaging.resources.topic_subscription import TopicSubscription

from flumebeam.broker import (
    AclProfile,
    ClientProfile,
    ClientUsername,
    DevelopmentBroker,
    Rule,
    everything_but,
    nothing_but,
)
from flumebeam.testing import running_broker

_PROFILE = ClientProfile(name="p", send_guaranteed=True, receive_guaranteed=True, transact=True)
_RULES = AclProfile(name="p", connect=Rule(True), publish=nothing_but("t/$client-username/>"), subscribe=nothing_but())


@pytest.fixture
def as_ann(connect: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that connects a client of username ``ann``."""
    login = {"authentication__scheme__basic__username": "ann", "authentication__scheme__basic__password": "pw"}
    return lambda broker, name="ann": connect(broker, name, **login)


def configure(broker: DevelopmentBroker, rules: AclProfile = _RULES, profile: ClientProfile = _PROFILE) -> None:
    broker.configure(rules, profile, ClientUsername("ann", "pw", acl_profile="p", client_profile="p"))


def publish(service: Any, topic: str) -> None:
    publisher = service.create_persistent_message_publisher_builder().build()
    publisher.start()
    message = service.message_builder().build(bytearray(b"x"))
    publisher.publish_await_acknowledgement(message, Topic.of(topic), 60_000)


def test_publisher_is_told_that_it_must_not_publish(broker: DevelopmentBroker, as_ann: Callable[..., Any]) -> None:
    configure(broker)
    service = as_ann(broker)
    publish(service, "t/ann/1")
    with pytest.raises(MessageRejectedByBrokerError, match="PUBLISH_ACL_DENIED"):
        publish(service, "t/bob/1")
    transacted = service.create_transactional_service_builder().build()
    transacted.connect()
    publisher = transacted.create_transactional_message_publisher_builder().build()
    publisher.start()
    for topic in ("t/ann/2", "t/bob/2"):
        publisher.publish(service.message_builder().build(bytearray(b"x")), Topic.of(topic))
    with pytest.raises(TransactionRollbackError, match="Publish ACL Denied"):
        transacted.commit()

    assert broker.queue("q").messages == 1


def test_subscriber_is_told_that_it_must_not_subscribe(broker: DevelopmentBroker, as_ann: Callable[..., Any]) -> None:
    configure(broker, replace(_RULES, subscribe=everything_but("secret/>")))
    service = as_ann(broker)
    receiver = service.create_persistent_message_receiver_builder().build(Queue.durable_exclusive_queue("q"))
    with pytest.raises(PubSubPlusClientError, match="SUBSCRIPTION_ACL_DENIED"):
        receiver.start().add_subscription(TopicSubscription.of("secret/1"))
    receiver.add_subscription(TopicSubscription.of("open/1"))

    assert broker.queue("q").subscriptions == ("t/>", "open/1")


def test_client_from_a_denied_address_is_told_so(broker: DevelopmentBroker, as_ann: Callable[..., Any]) -> None:
    configure(broker, replace(_RULES, connect=Rule(True, ("127.0.0.0/8",))))

    with pytest.raises(PubSubPlusCoreClientError, match="CLIENT_ACL_DENIED"):
        as_ann(broker)


def test_client_is_told_that_it_must_not_consume_or_transact(
    broker: DevelopmentBroker, as_ann: Callable[..., Any]
) -> None:
    configure(broker, profile=ClientProfile(name="p"))
    service = as_ann(broker)

    with pytest.raises(PubSubPlusClientError, match="Flow Create is not supported"):
        service.create_persistent_message_receiver_builder().build(Queue.durable_exclusive_queue("q")).start()
    with pytest.raises(PubSubPlusClientError, match="No transaction permission"):
        service.create_transactional_service_builder().build().connect()


def test_usernames_and_profiles_are_there_after_a_kill(as_ann: Callable[..., Any], tmp_path: Path) -> None:
    with running_broker(data=str(tmp_path)) as broker:
        broker.create_queue("q", subscriptions=["t/>"])
        configure(broker)
        broker.restart(keep_state=True)
        service = as_ann(broker)

        with pytest.raises(MessageRejectedByBrokerError):
            publish(service, "t/bob/1")
