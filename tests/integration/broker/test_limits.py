"""Limits of a message VPN, set over SEMP, in the words that the vendor's client understands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from solace.messaging.config.missing_resources_creation_configuration import MissingResourcesCreationStrategy
from solace.messaging.errors.pubsubplus_client_error import PubSubPlusClientError, TransactionRollbackError
from solace.messaging.resources.queue import Queue
from solace.messaging.resources.topic import Topic
from solace.messaging.resources.topic_subscription import TopicSubscription

from flumebeam.broker import DevelopmentBroker, running_broker


@pytest.fixture
def managed() -> Iterator[DevelopmentBroker]:
    with running_broker(semp_port=0) as broker:
        broker.create_queue("q", "non-exclusive", ["t/>"])
        yield broker


def limit(broker: DevelopmentBroker, **limits: int) -> None:
    url = f"{broker.semp_url}/SEMP/v2/config/msgVpns/default"
    reply = requests.patch(url, json=limits, auth=("admin", "admin"), timeout=60)
    assert limits.items() <= reply.json()["data"].items()


def bind(service: Any) -> None:
    service.create_persistent_message_receiver_builder().build(Queue.durable_non_exclusive_queue("q")).start()


def subscribe(service: Any) -> None:
    topics = [TopicSubscription.of(topic) for topic in ("a", "b", "c", "d")]
    service.create_direct_message_receiver_builder().with_subscriptions(topics).build().start()


def create(service: Any) -> None:
    strategy = MissingResourcesCreationStrategy.CREATE_ON_START
    builder = service.create_persistent_message_receiver_builder().with_missing_resources_creation_strategy(strategy)
    builder.build(Queue.durable_exclusive_queue("made")).start()


def open_session(service: Any) -> Any:
    session = service.create_transactional_service_builder().build()
    session.connect()
    return session


@pytest.mark.parametrize(
    ("attribute", "most", "exceed", "named"),
    [
        ("maxEgressFlowCount", 1, lambda service: (bind(service), bind(service)), "Max Flows Exceeded"),
        ("maxSubscriptionCount", 3, subscribe, "SUBSCRIPTION_TOO_MANY"),
        ("maxEndpointCount", 1, create, "CONTROL_OTHER"),
        (
            "maxTransactedSessionCount",
            1,
            lambda service: (open_session(service), open_session(service)),
            "Max Transacted Sessions Exceeded",
        ),
    ],
)
def test_client_that_wants_more_is_told_by_name(
    managed: DevelopmentBroker,
    connect: Callable[..., Any],
    attribute: str,
    most: int,
    exceed: Callable[[Any], Any],
    named: str,
) -> None:
    limit(managed, **{attribute: most})
    with pytest.raises(PubSubPlusClientError, match=named):
        exceed(connect(managed))


@pytest.mark.parametrize(
    ("attribute", "most", "named"),
    [
        ("maxConnectionCount", 1, "TOO_MANY_CLIENTS"),
        ("serviceSmfMaxConnectionCount", 1, "TOO_MANY_CLIENTS"),
        # A client opens its publisher flow when it connects.
        ("maxIngressFlowCount", 1, "Max Flows Exceeded"),
    ],
)
def test_client_beyond_a_limit_cannot_connect_until_another_leaves(
    managed: DevelopmentBroker,
    connect: Callable[..., Any],
    eventually: Callable[..., None],
    attribute: str,
    most: int,
    named: str,
) -> None:
    limit(managed, **{attribute: most})
    first = connect(managed, "first")
    with pytest.raises(PubSubPlusClientError, match=named):
        connect(managed, "second", transport__reconnection_attempts=0)

    first.disconnect()
    eventually(lambda: managed.clients() == ())
    connect(managed, "third")


def test_transaction_beyond_the_limit_is_rolled_back_by_name(
    managed: DevelopmentBroker, connect: Callable[..., Any]
) -> None:
    limit(managed, maxTransactionCount=1)
    service = connect(managed)
    first, second = open_session(service), open_session(service)
    for session in (first, second):
        publisher = session.create_transactional_message_publisher_builder().build()
        publisher.start()
        publisher.publish(service.message_builder().build(bytearray(b"x")), Topic.of("t/1"))
    with pytest.raises(TransactionRollbackError, match="Max Transactions Exceeded"):
        second.commit()

    first.commit()
    assert managed.queue("q").messages == 1
