"""The vendor's client over reconnects: what it holds, what it has not seen, and what it takes for a duplicate."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from solace.messaging.config.message_acknowledgement_configuration import Outcome
from solace.messaging.errors.pubsubplus_client_error import PubSubPlusClientError, UnknownTransactionStateError
from solace.messaging.resources.queue import Queue
from solace.messaging.resources.topic import Topic

from flumebeam.broker import DevelopmentBroker, LoseCommitResponse, running_broker

_PATIENCE_MS = 60_000
_QUIET_MS = 300


def publish(service: Any, *bodies: bytes) -> None:
    publisher = service.create_persistent_message_publisher_builder().build()
    publisher.start()
    for body in bodies:
        publisher.publish_await_acknowledgement(bytearray(body), Topic.of("t/1"), _PATIENCE_MS)
    publisher.terminate(_PATIENCE_MS)


def taken(receiver: Any, count: int, wait_ms: int = _PATIENCE_MS) -> list[Any]:
    found = [receiver.receive_message(wait_ms) for _ in range(count)]
    return [message for message in found if message is not None]


def bodies(messages: list[Any]) -> list[bytes]:
    return [bytes(message.get_payload_as_bytes()) for message in messages]


class Session:
    """A transacted session that reads ``q``."""

    def __init__(self, service: Any) -> None:
        self.service = service.create_transactional_service_builder().build()
        self.service.connect()
        builder = self.service.create_transactional_message_receiver_builder()
        self.receiver = builder.build(Queue.durable_exclusive_queue("q"))
        self.receiver.start()


def test_message_that_was_never_delivered_comes_after_a_reconnect_behind_younger_ids(
    connect: Callable[..., Any],
) -> None:
    with running_broker(max_delivered_unacked=3) as broker:
        broker.create_queue("q", subscriptions=["t/>"])
        service = connect(broker)
        publish(service, *(b"%d" % number for number in range(6)))
        session = Session(service)
        taken(session.receiver, 3)
        session.service.rollback()
        assert bodies(taken(session.receiver, 3)) == [b"0", b"1", b"2"]
        # Their ids are above those of the three that wait.
        broker.fault(LoseCommitResponse(applied=True))
        session.service.commit()

        assert bodies(taken(session.receiver, 3)) == [b"3", b"4", b"5"]
        session.service.commit()
        assert broker.queue("q").messages == 0


def test_open_transaction_goes_on_over_two_cuts_and_nothing_comes_twice(
    broker: DevelopmentBroker, connect: Callable[..., Any], eventually: Callable[..., None]
) -> None:
    service = connect(broker)
    publish(service, b"0", b"1", b"2")
    session = Session(service)
    for number in range(3):
        assert bodies(taken(session.receiver, 1)) == [b"%d" % number]
        broker.cut_connections()
    eventually(lambda: broker.queue("q").unacknowledged == 3)
    assert taken(session.receiver, 1, _QUIET_MS) == []
    session.service.commit()

    assert broker.queue("q").messages == 0


def test_rollback_after_a_reconnect_brings_everything_again(
    broker: DevelopmentBroker, connect: Callable[..., Any]
) -> None:
    service = connect(broker)
    publish(service, b"0", b"1", b"2")
    session = Session(service)
    taken(session.receiver, 2)
    broker.cut_connections()
    session.service.rollback()
    again = taken(session.receiver, 3)

    assert bodies(again) == [b"0", b"1", b"2"]
    assert all(message.is_redelivered() for message in again[:2])


def test_transaction_of_unknown_fate_brings_everything_again_if_it_was_not_applied(
    broker: DevelopmentBroker, connect: Callable[..., Any]
) -> None:
    service = connect(broker)
    publish(service, b"0", b"1", b"2")
    session = Session(service)
    taken(session.receiver, 2)
    broker.fault(LoseCommitResponse(applied=False))
    with pytest.raises(UnknownTransactionStateError):
        session.service.commit()
    again: list[Any] = []
    while len(again) < 3:
        again += taken(session.receiver, 1, _QUIET_MS)

    assert bodies(again) == [b"0", b"1", b"2"]
    session.service.commit()
    assert broker.queue("q").messages == 0


def test_receiver_settles_after_a_reconnect_what_it_got_before(
    broker: DevelopmentBroker, connect: Callable[..., Any], eventually: Callable[..., None]
) -> None:
    service = connect(broker)
    publish(service, b"0", b"1", b"2")
    builder = service.create_persistent_message_receiver_builder().with_required_message_outcome_support(Outcome.FAILED)
    receiver = builder.build(Queue.durable_exclusive_queue("q"))
    receiver.start()
    zero, one, two = taken(receiver, 3)
    broker.cut_connections()
    # What is settled before the client has noticed goes to the dead connection.
    eventually(lambda: broker.queue("q").unacknowledged == 3)
    receiver.settle(one, Outcome.FAILED)
    (again,) = taken(receiver, 1)
    assert (bodies([again]), again.is_redelivered()) == ([b"1"], True)
    broker.cut_connections()
    eventually(lambda: broker.queue("q").unacknowledged == 3)
    for message in (again, two, zero):
        receiver.ack(message)
    eventually(lambda: broker.queue("q").messages == 0)

    assert taken(receiver, 1, _QUIET_MS) == []
    with contextlib.suppress(PubSubPlusClientError):
        receiver.terminate(0)
