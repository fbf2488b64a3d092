"""Transacted sessions of the vendor's client, with and without faults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from solace.messaging.errors.pubsubplus_client_error import (
    PubSubPlusClientError,
    TransactionRollbackError,
    UnknownTransactionStateError,
)
from solace.messaging.resources.queue import Queue
from solace.messaging.resources.topic import Topic

from flumebeam.broker import DevelopmentBroker, FailCommit, LoseCommitResponse
from flumebeam.broker.client import Client
from flumebeam.testing import running_broker


class Transacted:
    """A transacted session of the vendor's client with its publisher."""

    def __init__(self, service: Any) -> None:
        self.session = service.create_transactional_service_builder().build()
        self.session.connect()
        self._publisher = self.session.create_transactional_message_publisher_builder().build()
        self._publisher.start()
        self._builder = service.message_builder()

    def publish(self, *bodies: bytes, topic: str = "t/1") -> None:
        for body in bodies:
            self._publisher.publish(self._builder.build(bytearray(body)), Topic.of(topic))

    def receiver(self, queue: str = "q") -> Any:
        made = self.session.create_transactional_message_receiver_builder().build(Queue.durable_exclusive_queue(queue))
        made.start()
        return made

    def commit(self) -> None:
        self.session.commit()

    def rollback(self) -> None:
        self.session.rollback()


def take(receiver: Any, count: int) -> list[bytes]:
    messages = [receiver.receive_message(60_000) for _ in range(count)]
    return [bytes(message.get_payload_as_bytes()) for message in messages]


def numbers(first: int, last: int) -> list[bytes]:
    return [b"%d" % number for number in range(first, last)]


@pytest.fixture
def transacted(broker: DevelopmentBroker, connect: Callable[..., Any]) -> Transacted:
    return Transacted(connect(broker))


def test_commit_shows_and_rollback_drops(broker: DevelopmentBroker, transacted: Transacted) -> None:
    transacted.publish(*numbers(0, 256))
    assert broker.queue("q").messages == 0
    transacted.commit()
    assert broker.queue("q").messages == 256
    transacted.publish(b"never")
    transacted.rollback()
    transacted.commit()

    assert broker.queue("q").messages == 256


def test_rolled_back_messages_come_again_in_order_also_with_a_full_window(
    broker: DevelopmentBroker, transacted: Transacted
) -> None:
    for first in (0, 200):
        transacted.publish(*numbers(first, first + 200))
        transacted.commit()
    receiver = transacted.receiver()
    for _ in range(3):
        assert take(receiver, 150) == numbers(0, 150)
        transacted.rollback()
    assert take(receiver, 256) == numbers(0, 256)
    transacted.commit()
    assert take(receiver, 144) == numbers(256, 400)
    transacted.commit()

    assert broker.queue("q").messages == 0


@pytest.mark.parametrize("reason", ["Transaction Failure", "Spool Over Quota", "Something Else"])
def test_failed_commit_rolls_back_and_the_session_goes_on(
    broker: DevelopmentBroker, transacted: Transacted, reason: str
) -> None:
    broker.fault(FailCommit(reason=reason))
    transacted.publish(b"a")
    with pytest.raises(TransactionRollbackError, match=reason):
        transacted.commit()
    transacted.publish(b"b")
    transacted.commit()

    assert take(transacted.receiver(), 1) == [b"b"]


def test_transaction_beyond_the_limit_is_rolled_back(broker: DevelopmentBroker, transacted: Transacted) -> None:
    transacted.publish(*numbers(0, 257))
    with pytest.raises(TransactionRollbackError, match="Transaction Failure"):
        transacted.commit()

    assert broker.queue("q").messages == 0


def test_lost_answer_of_an_applied_commit_is_found_by_the_client(
    broker: DevelopmentBroker, transacted: Transacted
) -> None:
    for _ in range(3):
        broker.fault(LoseCommitResponse(applied=True))
        transacted.publish(b"a")
        transacted.commit()
        transacted.publish(b"b")
        transacted.commit()

    assert broker.queue("q").messages == 6


def test_commit_that_never_arrived_is_unknown_and_not_committed(
    broker: DevelopmentBroker, transacted: Transacted
) -> None:
    broker.fault(LoseCommitResponse(applied=False))
    transacted.publish(b"lost")
    with pytest.raises(UnknownTransactionStateError):
        transacted.commit()
    transacted.publish(b"a")
    transacted.commit()

    assert take(transacted.receiver(), 1) == [b"a"]
    assert broker.queue("q").messages == 1


def test_open_transaction_survives_a_cut(
    broker: DevelopmentBroker, transacted: Transacted, eventually: Callable[..., None]
) -> None:
    transacted.publish(b"a", b"b")
    broker.cut_connections("app")
    eventually(lambda: broker.clients() == ("app",))
    transacted.publish(b"c")
    transacted.commit()

    assert take(transacted.receiver(), 3) == [b"a", b"b", b"c"]


def test_transaction_of_a_broker_that_lost_its_state_never_commits(
    broker: DevelopmentBroker, connect: Callable[..., Any], transacted: Transacted
) -> None:
    transacted.publish(b"a")
    broker.restart(keep_state=False)
    with pytest.raises(PubSubPlusClientError):  # noqa: PT012 - which of the two calls fails is a matter of timing
        transacted.publish(b"b")
        transacted.commit()

    assert broker.queue("q").messages == 0
    again = Transacted(connect(broker, "again"))
    again.publish(b"c")
    again.commit()
    assert broker.queue("q").messages == 1


def test_ids_never_start_again_after_a_restart_without_state(
    broker: DevelopmentBroker, connect: Callable[..., Any]
) -> None:
    ids = []
    for number in range(2):
        session = Transacted(connect(broker, str(number)))
        session.publish(b"a")
        session.commit()
        message = session.receiver().receive_message(60_000)
        ids.append(str(message.get_replication_group_message_id()))
        session.commit()
        broker.restart(keep_state=False)

    assert ids[0].split("-")[0] != ids[1].split("-")[0]
    assert ids[0].split("-")[2:] < ids[1].split("-")[2:]


def test_restart_that_keeps_state_keeps_messages_and_open_transactions(
    broker: DevelopmentBroker, transacted: Transacted
) -> None:
    transacted.publish(b"a")
    transacted.commit()
    transacted.publish(b"b")
    broker.restart(keep_state=True, down_seconds=0.2)
    transacted.publish(b"c")
    transacted.commit()

    assert take(transacted.receiver(), 3) == [b"a", b"b", b"c"]


def test_only_a_transaction_of_many_messages_is_left_to_gather(
    connect: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    hold = Client._hold

    def noted(client: Client) -> None:
        held.append(client._connection.staged)
        hold(client)

    monkeypatch.setattr(Client, "_hold", noted)
    with running_broker(max_transaction_messages=600) as broker:
        broker.create_queue("q", subscriptions=["t/>"])
        transacted = Transacted(connect(broker))
        for _ in range(3):
            transacted.publish(*numbers(0, 256))
            transacted.commit()
        assert not held

        # More than is read at once, so that part of it is here before the commit is.
        transacted.publish(*[body * 1_000 for body in numbers(0, 600)])
        transacted.commit()
        assert held
        assert min(held) > 256
        assert len(take(transacted.receiver(), 256)) == 256
