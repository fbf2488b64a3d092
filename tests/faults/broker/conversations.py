"""What clients do while the broker is killed, and the books that they keep about it."""

from __future__ import annotations

import random
import threading
from abc import ABC, abstractmethod
from typing import Any

from solace.messaging.errors.pubsubplus_client_error import (
    PubSubPlusClientError,
    TransactionRollbackError,
    UnknownTransactionStateError,
)
from solace.messaging.messaging_service import MessagingService
from solace.messaging.publisher.persistent_message_publisher import MessagePublishReceiptListener
from solace.messaging.resources.queue import Queue
from solace.messaging.resources.topic import Topic

__all__ = ["Conversation", "PlainPublisher", "TransactedPublisher", "Transform", "connected", "drained", "mark_end"]

_PROPERTIES = {
    "service.vpn-name": "default",
    "authentication.scheme.basic.username": "default",
    "authentication.scheme.basic.password": "any",
    "transport.host": "",
    "transport.reconnection-attempts": 2_000,
    "transport.reconnection-attempts-wait-interval": 50,
    "transport.connection-attempts-timeout": 5_000,
}
_WAIT_MS = 200
_LARGEST = 20
"""Messages of one transaction."""
_END = 0
"""The number that nobody has, and that is published last."""
_PATIENCE_MS = 60_000
_QUIET_MS = 1_000


def connected(url: str, name: str) -> Any:
    """Return a connected service of the vendor's client."""
    properties = {f"solace.messaging.{key}": value for key, value in (_PROPERTIES | {"transport.host": url}).items()}
    service = MessagingService.builder().from_properties(properties).build(name)
    service.connect()
    return service


class Conversation(ABC):
    """One client, in a thread of its own.

    Args:
        url: Where the broker is.
        name: Client name.
        seed: Of what it does.
    """

    def __init__(self, url: str, name: str, seed: str) -> None:
        self.service = connected(url, name)
        self.random = random.Random(f"{seed} {name}")
        self.failure: Exception | None = None
        self.ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self.ending.is_set():
                self.step()
        except Exception as error:  # noqa: BLE001 - the test reports it
            self.failure = error

    @abstractmethod
    def step(self) -> None:
        """Do one thing, and note what became of it."""

    def end(self, seconds: float = 60.0) -> None:
        """End it after its present step and raise what stopped it, if something did."""
        self.ending.set()
        self._thread.join(seconds)
        stuck = self._thread.is_alive()
        self.service.disconnect()
        if stuck:
            raise AssertionError(f"{self._thread.name} hangs")
        if self.failure is not None:
            raise self.failure

    def message(self, number: int) -> Any:
        return self.service.message_builder().build(bytearray(b"%d" % number) + bytes(self.random.randrange(300)))


class PlainPublisher(Conversation, MessagePublishReceiptListener):
    """Publishes outside transactions as fast as acknowledgements come, and notes what is acknowledged."""

    def __init__(self, url: str, seed: str) -> None:
        super().__init__(url, "plain", seed)
        self.published = 0
        self.acknowledged: set[int] = set()
        self.refused: set[int] = set()
        self._publisher = (
            self.service.create_persistent_message_publisher_builder().on_back_pressure_wait(_LARGEST).build()
        )
        self._publisher.start()
        self._publisher.set_message_publish_receipt_listener(self)

    def on_publish_receipt(self, publish_receipt: Any) -> None:
        kept = self.acknowledged if publish_receipt.exception is None else self.refused
        kept.add(publish_receipt.user_context)

    def step(self) -> None:
        self.published += 1
        self._publisher.publish(self.message(self.published), Topic.of("plain/x"), user_context=self.published)
        self.ending.wait(self.random.choice((0, 0, 0.002)))

    def settled(self) -> bool:
        return len(self.acknowledged) + len(self.refused) == self.published


class _Transactions(Conversation):
    """One transacted session, whose transactions end in one of three ways."""

    def __init__(self, url: str, name: str, seed: str) -> None:
        super().__init__(url, name, seed)
        self.outcomes = {"committed": 0, "rolled back": 0, "unknown": 0}
        self.session = self.service.create_transactional_service_builder().build()
        self.session.connect()
        self.publisher = self.session.create_transactional_message_publisher_builder().build()
        self.publisher.start()

    def commit(self) -> str:
        outcome = "committed"
        try:
            self.session.commit()
        except TransactionRollbackError:
            outcome = "rolled back"
        except UnknownTransactionStateError:
            outcome = "unknown"
        self.outcomes[outcome] += 1
        return outcome


class TransactedPublisher(_Transactions):
    """Publishes in transactions, and notes what became of each."""

    def __init__(self, url: str, seed: str) -> None:
        super().__init__(url, "transacted", seed)
        self._next = 1
        self.transactions: list[tuple[range, str]] = []

    def step(self) -> None:
        numbers = range(self._next, self._next + self.random.randint(1, _LARGEST))
        self._next = numbers.stop
        for number in numbers:
            self.publisher.publish(self.message(number), Topic.of("transacted/x"))
        self.transactions.append((numbers, self.commit()))
        self.ending.wait(self.random.choice((0, 0, 0.002)))


class Transform(_Transactions):
    """Takes messages, and publishes one for each in the transaction that takes them."""

    def __init__(self, url: str, seed: str) -> None:
        super().__init__(url, "transform", seed)
        builder = self.session.create_transactional_message_receiver_builder()
        self._receiver = builder.build(Queue.durable_exclusive_queue("in"))
        self._receiver.start()

    def step(self) -> None:
        for _ in range(self.random.randint(1, _LARGEST)):
            message = self._receiver.receive_message(_WAIT_MS)
            if message is None:
                break
            self.publisher.publish(self.message(number_of(message)), Topic.of("out/x"))
        self.commit()


def number_of(message: Any) -> int:
    """Return the number that a message carries."""
    return int(bytes(message.get_payload_as_bytes()).rstrip(b"\0"))


def mark_end(url: str, topic: str) -> None:
    """Publish what comes behind everything, now that nobody else publishes to the topic any more."""
    service = connected(url, "mark")
    publisher = service.create_persistent_message_publisher_builder().build()
    publisher.start()
    message = service.message_builder().build(bytearray(b"%d" % _END))
    publisher.publish_await_acknowledgement(message, Topic.of(topic), _PATIENCE_MS)
    publisher.terminate()
    service.disconnect()


def drained(url: str, queue: str) -> list[int]:
    """Take the numbers out of a queue: up to the mark, and then until nothing more comes for a while."""
    service = connected(url, f"audit-{queue}")
    receiver = service.create_persistent_message_receiver_builder().build(Queue.durable_exclusive_queue(queue))
    receiver.start()
    numbers: list[int] = []
    marked = False
    try:
        while True:
            message = receiver.receive_message(_QUIET_MS if marked else _PATIENCE_MS)
            if message is None:
                break
            number = number_of(message)
            marked = marked or number == _END
            if number != _END:
                numbers.append(number)
            receiver.ack(message)
    except PubSubPlusClientError as error:
        raise AssertionError(f"The audit of queue {queue} failed: {error}") from error
    finally:
        receiver.terminate(0)
        service.disconnect()
    assert marked, f"What was published last never came out of queue {queue}."
    return numbers
