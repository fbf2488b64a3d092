"""The vendor's client and a broker that keeps its data: restarts, full disks, mistakes."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from solace.messaging.errors.pubsubplus_client_error import (
    IncompleteMessageDeliveryError,
    PublisherOverflowError,
    PubSubPlusClientError,
    TransactionRollbackError,
)
from solace.messaging.publisher.persistent_message_publisher import MessagePublishReceiptListener
from solace.messaging.resources.queue import Queue
from solace.messaging.resources.topic import Topic

from flumebeam.broker import DevelopmentBroker, LoseCommitResponse
from flumebeam.broker.store import FILE_NAME
from flumebeam.errors import ConfigurationError, StorageError
from flumebeam.testing import running_broker

_PATIENCE_MS = 60_000


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[DevelopmentBroker]:
    """Run a broker that keeps its data, with an exclusive queue ``q`` that gets ``t/>``."""
    with running_broker(data=str(tmp_path)) as running:
        running.create_queue("q", subscriptions=["t/>"])
        yield running


class Plain:
    """A client outside transactions."""

    def __init__(self, service: Any) -> None:
        self._publisher = service.create_persistent_message_publisher_builder().build()
        self._publisher.start()
        self._service = service

    def publish(self, body: bytes, wait_ms: int = _PATIENCE_MS) -> None:
        message = self._service.message_builder().build(bytearray(body))
        self._publisher.publish_await_acknowledgement(message, Topic.of("t/1"), wait_ms)

    def take(self, count: int, queue: str = "q") -> list[tuple[bytes, bool, str]]:
        builder = self._service.create_persistent_message_receiver_builder()
        receiver = builder.build(Queue.durable_exclusive_queue(queue))
        receiver.start()
        taken = []
        for _ in range(count):
            message = receiver.receive_message(_PATIENCE_MS)
            taken.append(
                (
                    bytes(message.get_payload_as_bytes()),
                    message.is_redelivered(),
                    str(message.get_replication_group_message_id()),
                )
            )
            receiver.ack(message)
        with contextlib.suppress(IncompleteMessageDeliveryError):  # more had come than was asked for
            receiver.terminate(0)
        return taken


class Transacted:
    """A transacted session with its publisher."""

    def __init__(self, service: Any) -> None:
        self.session = service.create_transactional_service_builder().build()
        self.session.connect()
        self._publisher = self.session.create_transactional_message_publisher_builder().build()
        self._publisher.start()
        self._builder = service.message_builder()

    def publish(self, *bodies: bytes) -> None:
        for body in bodies:
            self._publisher.publish(self._builder.build(bytearray(body)), Topic.of("t/1"))


def test_queues_and_messages_are_found_again_by_the_next_broker(tmp_path: Path, connect: Callable[..., Any]) -> None:
    with running_broker(data=str(tmp_path)) as first:
        first.create_queue("q", subscriptions=["t/>"])
        first.create_queue("gone", subscriptions=["t/>"])
        client = Plain(connect(first))
        for number in range(3):
            client.publish(b"%d" % number)
        ((taken, _, _),) = client.take(1)
        first.delete_queue("gone")
    with running_broker(data=str(tmp_path)) as second:
        assert [(queue.name, queue.messages, queue.subscriptions) for queue in second.queues()] == [("q", 2, ("t/>",))]
        bodies = [body for body, _, _ in Plain(connect(second)).take(2)]

        assert [taken, *bodies] == [b"0", b"1", b"2"]


def test_restart_marks_what_was_delivered_and_keeps_its_id(
    durable: DevelopmentBroker, connect: Callable[..., Any]
) -> None:
    service = connect(durable)
    client = Plain(service)
    client.publish(b"a")
    receiver = service.create_persistent_message_receiver_builder().build(Queue.durable_exclusive_queue("q"))
    receiver.start()
    first_id = str(receiver.receive_message(_PATIENCE_MS).get_replication_group_message_id())
    receiver.terminate(0)
    client.publish(b"b")

    durable.restart(keep_state=True)
    first, second = Plain(connect(durable, "other")).take(2)

    assert first == (b"a", True, first_id)
    assert second[:2] == (b"b", False)


def test_consumer_that_reconnects_after_a_restart_gets_what_it_holds_again_under_the_same_ids(
    durable: DevelopmentBroker, connect: Callable[..., Any], eventually: Callable[..., None]
) -> None:
    service = connect(durable)
    client = Plain(service)
    for number in range(3):
        client.publish(b"%d" % number)
    receiver = service.create_persistent_message_receiver_builder().build(Queue.durable_exclusive_queue("q"))
    receiver.start()

    def taken() -> list[tuple[bytes, str]]:
        messages = [receiver.receive_message(_PATIENCE_MS) for _ in range(3)]
        last.extend(messages)
        assert [message.is_redelivered() for message in messages] == [len(last) > 3] * 3
        return [
            (bytes(message.get_payload_as_bytes()), str(message.get_replication_group_message_id()))
            for message in messages
        ]

    last: list[Any] = []
    first = taken()
    for _ in range(3):
        durable.restart(keep_state=True)
        assert taken() == first
    for message in last[-3:]:
        receiver.ack(message)
    eventually(lambda: durable.queue("q").messages == 0)


def test_publisher_goes_on_over_a_restart_without_loss_or_repetition(
    durable: DevelopmentBroker, connect: Callable[..., Any]
) -> None:
    service = connect(durable)
    publisher = service.create_persistent_message_publisher_builder().on_back_pressure_wait(50).build()
    publisher.start()
    for number in range(400):
        if number in (100, 250):
            durable.restart(keep_state=True)
        publisher.publish(service.message_builder().build(bytearray(b"%d" % number)), Topic.of("t/1"))
    publisher.terminate(_PATIENCE_MS)

    assert [int(body) for body, _, _ in Plain(connect(durable, "other")).take(400)] == list(range(400))
    assert durable.queue("q").messages == 0


def test_transaction_that_a_restart_interrupts_is_rolled_back_and_the_session_goes_on(
    durable: DevelopmentBroker, connect: Callable[..., Any], eventually: Callable[..., None]
) -> None:
    client = Transacted(connect(durable))
    client.publish(b"1")
    client.session.commit()
    client.publish(b"2", b"3")
    durable.restart(keep_state=True)
    client.publish(b"4")
    with pytest.raises(TransactionRollbackError):
        client.session.commit()
    client.publish(b"5")
    client.session.commit()

    assert [body for body, _, _ in Plain(connect(durable, "other")).take(2)] == [b"1", b"5"]
    assert durable.queue("q").messages == 0


def test_commit_whose_answer_a_restart_swallowed_is_known_as_committed(
    durable: DevelopmentBroker, connect: Callable[..., Any], eventually: Callable[..., None]
) -> None:
    client = Transacted(connect(durable))
    client.publish(b"a", b"b")
    durable.fault(LoseCommitResponse(applied=True, cut=False))
    failures: list[Exception] = []

    def commit() -> None:
        try:
            client.session.commit()
        except PubSubPlusClientError as error:
            failures.append(error)

    committing = threading.Thread(target=commit)
    committing.start()
    eventually(lambda: durable.queue("q").messages == 2)
    durable.restart(keep_state=True)
    committing.join(60)

    assert not committing.is_alive()
    assert failures == []
    assert durable.queue("q").messages == 2


def test_restart_without_state_erases_all_but_the_queues(tmp_path: Path, connect: Callable[..., Any]) -> None:
    with running_broker(data=str(tmp_path)) as first:
        first.create_queue("q", subscriptions=["t/>"])
        Plain(connect(first)).publish(b"a")
        first.restart(keep_state=False)
        assert first.queue("q").messages == 0
    with running_broker(data=str(tmp_path)) as second:
        assert second.queue("q").messages == 0
        assert second.queue("q").subscriptions == ("t/>",)


def test_nearly_full_disk_refuses_publishers_and_lets_consumers_go_on(
    tmp_path: Path, connect: Callable[..., Any]
) -> None:
    with running_broker(data=str(tmp_path)) as first:
        first.create_queue("q", subscriptions=["t/>"])
        Plain(connect(first)).publish(b"before")
    with running_broker(data=str(tmp_path), min_free_disk_bytes=1 << 60) as full:
        service = connect(full)
        client = Plain(service)
        with pytest.raises(PubSubPlusClientError, match="Spool Over Quota"):
            client.publish(b"refused")
        transacted = Transacted(connect(full, "transacted"))
        transacted.publish(b"refused")
        with pytest.raises(TransactionRollbackError, match="Spool Over Quota"):
            transacted.session.commit()
        assert [body for body, _, _ in client.take(1)] == [b"before"]
        assert full.queue("q").messages == 0


def test_commit_that_finds_no_room_is_undone_and_the_broker_lives_on(
    durable: DevelopmentBroker, connect: Callable[..., Any]
) -> None:
    def limit(pages: int) -> None:
        durable._call(lambda server: server._store._connection.execute(f"PRAGMA max_page_count = {pages}"))

    client = Plain(connect(durable))
    client.publish(b"before")
    limit(1)
    with pytest.raises((PubSubPlusClientError, PublisherOverflowError)):
        client.publish(bytes(1_000_000), wait_ms=1_500)
    assert durable.queue("q").messages == 1
    limit(1_000_000)
    client.publish(b"after")

    taken = [len(body) for body, _, _ in Plain(connect(durable, "other")).take(3)]
    assert taken == [6, 1_000_000, 5]


def test_database_that_fails_stops_the_broker_with_its_reason(tmp_path: Path, connect: Callable[..., Any]) -> None:
    with running_broker(data=str(tmp_path)) as broker:
        broker._call(lambda server: server._store._connection.execute("DROP TABLE queues"))
        with pytest.raises(StorageError, match="cannot write its data"):
            broker.create_queue("q")
        with pytest.raises(StorageError, match="cannot write its data"):
            broker.wait()


def test_broker_that_cannot_listen_leaves_its_directory_to_the_next(durable: DevelopmentBroker, tmp_path: Path) -> None:
    data = str(tmp_path / "other")
    with pytest.raises(ConfigurationError, match="cannot listen"), running_broker(data=data, port=durable.port):
        pass
    with running_broker(data=data) as second:
        assert second.queues() == ()


def test_what_becomes_durable_while_the_broker_is_frozen_is_sent_when_it_thaws(
    durable: DevelopmentBroker, connect: Callable[..., Any], eventually: Callable[..., None]
) -> None:
    service = connect(durable)
    publisher = service.create_persistent_message_publisher_builder().build()
    publisher.start()
    acknowledged = threading.Event()

    class Listener(MessagePublishReceiptListener):
        def on_publish_receipt(self, publish_receipt: Any) -> None:
            acknowledged.set()

    publisher.set_message_publish_receipt_listener(Listener())
    disk = threading.Event()
    durable._call(lambda server: server._commits._worker.submit(disk.wait, 60))
    message = service.message_builder().build(bytearray(b"a"))
    publisher.publish(message, Topic.of("t/1"), user_context="a")
    loop = durable._loop
    eventually(lambda: durable._running()._commits._running is not None)
    loop.call_soon_threadsafe(durable._running().sockets.slow, 0)
    eventually(lambda: not durable._running().sockets.available)
    disk.set()
    durable._call(lambda server: None)
    (shell,) = durable._running().sockets._clients.values()
    assert shell._unsent
    assert not acknowledged.is_set()
    durable.thaw()

    assert acknowledged.wait(60)
    publisher.terminate(1_000)


def test_program_says_in_one_sentence_why_it_cannot_use_a_directory(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"not a database" * 1_000)
    command = [sys.executable, "-m", "flumebeam", "broker", "--port", "0", "--no-semp", "--data", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)

    assert ended.returncode != 0
    assert "is damaged" in ended.stderr
    assert "Traceback" not in ended.stderr
