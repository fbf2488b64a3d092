"""Faults of whole connections, hostile and slow peers."""

from __future__ import annotations

import logging
import random
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from solace.messaging.errors.pubsubplus_client_error import (
    PubSubPlusClientError,
    TransactionError,
    UnknownTransactionStateError,
)
from solace.messaging.resources.queue import Queue
from solace.messaging.resources.topic import Topic

from flumebeam.broker import (
    AcceptUnknownSession,
    Crash,
    CutConnections,
    CutInFrame,
    DelayAnswer,
    DevelopmentBroker,
    FailCommit,
    FreezeConnections,
    RefuseLogins,
    Restart,
    SlowConnections,
    running_broker,
)
from flumebeam.errors import ConfigurationError
from flumebeam.smf.assuredctrl import AssuredControl, AssuredKind
from flumebeam.smf.clientctrl import ClientControl
from flumebeam.smf.header import Frame
from flumebeam.smf.messages import AnyMessage, KeepAlive, decode_frame
from flumebeam.smf.stream import FrameReader


class RawClient:
    """A client of our own that says what it wants."""

    def __init__(self, broker: DevelopmentBroker, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(60)
        try:
            self.socket.connect(("127.0.0.1", broker.port))
        except OSError:
            self.socket.close()
            raise
        self._reader = FrameReader(20_000_000)
        self._frames: list[Frame] = []

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *messages: AnyMessage) -> None:
        self.socket.sendall(b"".join(message.encode() for message in messages))

    def next(self) -> AnyMessage:
        while not self._frames:
            data = self.socket.recv(65_536)
            if not data:
                raise EOFError
            self._frames = list(self._reader.receive(data))
        return decode_frame(self._frames.pop(0))

    def read_to_the_end(self) -> None:
        while True:
            self.next()

    def login(self, name: str = "raw") -> None:
        self.send(ClientControl(username="default", client_name=name, vpn="default", keepalive_seconds=3))
        self.next()


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\x03\x8c\0\0\0\0\0\x0c\xff\xff\xff\xff", b"\0" * 100])
def test_hostile_bytes_close_the_connection_and_nothing_else(broker: DevelopmentBroker, data: bytes) -> None:
    with RawClient(broker) as good, RawClient(broker) as bad:
        good.login()
        bad.socket.sendall(data)
        assert bad.socket.recv(100) == b""
        good.send(KeepAlive())

        assert good.next() == KeepAlive()


def test_connection_that_never_logs_in_is_closed() -> None:
    with running_broker(login_timeout_seconds=0.2) as broker, RawClient(broker) as silent:
        assert silent.socket.recv(100) == b""


def test_refused_connections_come_back_on_the_same_port(broker: DevelopmentBroker) -> None:
    broker.refuse_connections()
    with pytest.raises(ConnectionRefusedError):
        RawClient(broker)
    broker.accept_connections()
    broker.accept_connections()
    with RawClient(broker) as client:
        client.login()


def test_port_that_refuses_connections_is_kept_until_the_broker_stops(broker: DevelopmentBroker) -> None:
    port = broker.port
    broker.refuse_connections()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))
    broker.stop()

    with socket.socket() as other:
        other.bind(("127.0.0.1", port))


def test_frozen_broker_says_nothing_and_goes_on_where_it_was(broker: DevelopmentBroker) -> None:
    with RawClient(broker) as client:
        client.login()
        broker.freeze()
        client.send(KeepAlive())
        with RawClient(broker) as late:
            late.send(KeepAlive())
            client.socket.settimeout(0.2)
            with pytest.raises(TimeoutError):
                client.next()
            broker.thaw()
            broker.thaw()
            client.socket.settimeout(60)

            assert client.next() == KeepAlive()
            assert late.next() == KeepAlive()


def test_frozen_broker_stops_at_once(broker: DevelopmentBroker) -> None:
    with RawClient(broker) as client:
        client.login()
        broker.freeze()
        broker.stop()
        assert not client.socket.recv(100)


def test_cut_of_one_client_leaves_the_others(
    broker: DevelopmentBroker, connect: Callable[..., Any], eventually: Callable[..., None]
) -> None:
    with RawClient(broker) as one, RawClient(broker) as two:
        one.login("one")
        two.login("two")
        assert broker.cut_connections("one") == 1
        assert broker.cut_connections("nobody") == 0
        with pytest.raises((EOFError, ConnectionResetError)):
            one.next()
        two.send(KeepAlive())

        assert two.next() == KeepAlive()
        assert broker.clients() == ("two",)


def test_one_client_is_frozen_and_the_others_are_not(broker: DevelopmentBroker) -> None:
    with RawClient(broker) as one, RawClient(broker) as two:
        one.login("one")
        two.login("two")
        broker.freeze("one")
        for client in (one, two):
            client.send(KeepAlive())
        assert two.next() == KeepAlive()
        one.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            one.next()
        broker.thaw("one")
        one.socket.settimeout(60)

        assert one.next() == KeepAlive()


def test_slow_client_gets_its_bytes_in_time_and_in_order(broker: DevelopmentBroker) -> None:
    count = 20
    with RawClient(broker) as slow, RawClient(broker) as fast:
        slow.login("slow")
        fast.login("fast")
        broker.slow(2_000, "slow")
        began = time.monotonic()
        for client in (slow, fast):
            client.send(*(AssuredControl(kind=AssuredKind.CREATE, correlation=n, queue=f"{n}") for n in range(count)))
        assert [fast.next().correlation for _ in range(count)] == list(range(count))
        early = time.monotonic() - began
        assert [slow.next().correlation for _ in range(count)] == list(range(count))
        # About 650 bytes each way, which at this speed take a third of a second each, and neither waits for the other.
        assert time.monotonic() - began > 0.25
        broker.thaw("slow")
        slow.send(KeepAlive())

        assert slow.next() == KeepAlive()
    assert early < time.monotonic() - began


def test_slow_broker_serves_new_connections_slowly_and_closes_them_in_the_end(broker: DevelopmentBroker) -> None:
    broker.slow(5_000)
    with RawClient(broker) as client:
        client.send(ClientControl(username="nobody", client_name="x", vpn="default"))
        answer = client.next()
        assert isinstance(answer, ClientControl)
        assert answer.response is not None
        assert answer.response.code == 401
        assert client.socket.recv(100) == b""
    with pytest.raises(ConfigurationError, match="above 0"):
        broker.slow(0)


def test_faults_of_a_plan_strike_one_after_the_other(
    broker: DevelopmentBroker, connect: Callable[..., Any], eventually: Callable[..., None]
) -> None:
    with RawClient(broker) as one, RawClient(broker) as two:
        one.login("one")
        two.login("two")
        broker.fault(
            RefuseLogins(code=503, reason="Too Many Clients"),
            CutConnections(client="one"),
            FreezeConnections(client="two", seconds=0.05),
            SlowConnections(client="two", bytes_per_second=100_000, seconds=0.05),
            FailCommit(),
        )
        with RawClient(broker) as three:
            three.login("three")
            with pytest.raises((EOFError, ConnectionResetError)):
                three.next()
        with pytest.raises((EOFError, ConnectionResetError)):
            one.next()
        assert broker.pending_faults() == 1
        two.send(KeepAlive())
        assert two.next() == KeepAlive()
        broker.forget_faults()
        assert broker.pending_faults() == 0


@pytest.mark.parametrize("sent", [False, True])
def test_connection_breaks_inside_a_frame(broker: DevelopmentBroker, sent: bool) -> None:
    with RawClient(broker) as client:
        client.login()
        broker.fault(CutInFrame(after_bytes=len(KeepAlive().encode()) + 5, sent=sent))
        client.send(KeepAlive(), KeepAlive(), KeepAlive())
        if sent:
            assert client.next() == KeepAlive()
        with pytest.raises((EOFError, ConnectionResetError)):
            client.read_to_the_end()


def test_delayed_answer_comes_after_its_time_and_only_to_those_who_are_still_there(
    broker: DevelopmentBroker, eventually: Callable[..., None]
) -> None:
    with RawClient(broker) as client, RawClient(broker) as gone:
        client.login()
        gone.login("gone")
        bind = AssuredControl(kind=AssuredKind.BIND, correlation=7, queue="q", window=0)
        broker.fault(DelayAnswer(answer="bind", seconds=0.2), DelayAnswer(answer="bind", seconds=0.1))
        client.send(bind)
        client.send(KeepAlive())
        assert client.next() == KeepAlive()
        gone.send(bind)
        eventually(lambda: broker.pending_faults() == 0)
        gone.socket.close()
        answer = client.next()

        assert isinstance(answer, AssuredControl)
        assert answer.correlation == 7


def test_restart_in_a_plan_cuts_everybody_and_goes_on_with_the_plan(
    broker: DevelopmentBroker, eventually: Callable[..., None]
) -> None:
    with RawClient(broker) as client:
        client.login()
        broker.fault(Restart(keep_state=False), CutConnections(), FailCommit())
        with pytest.raises((EOFError, ConnectionResetError)):
            client.next()
    eventually(lambda: broker.pending_faults() == 1)
    with RawClient(broker) as client:
        client.login()


def test_crash_needs_a_broker_that_keeps_its_data(broker: DevelopmentBroker) -> None:
    with pytest.raises(ConfigurationError, match="give it a directory"):
        broker.fault(Crash(point="after-store"))


@pytest.mark.parametrize(("point", "outcome"), [("before-store", "unknown"), ("after-store", "committed")])
def test_crash_around_the_store_leaves_a_transaction_whole_and_the_client_informed(
    tmp_path: Path, connect: Callable[..., Any], point: str, outcome: str
) -> None:
    with running_broker(data=str(tmp_path)) as broker:
        broker.create_queue("q", subscriptions=["t/>"])
        service = connect(broker)
        session = service.create_transactional_service_builder().build()
        session.connect()
        publisher = session.create_transactional_message_publisher_builder().build()
        publisher.start()
        publisher.publish(service.message_builder().build(bytearray(b"x")), Topic.of("t/1"))
        broker.fault(Crash(point=point, down_seconds=0.1))
        if outcome == "unknown":
            with pytest.raises(UnknownTransactionStateError):
                session.commit()
        else:
            session.commit()

        assert broker.queue("q").messages == (outcome == "committed")


def test_unknown_session_accepted_as_new_loses_in_silence_what_was_published_before(
    broker: DevelopmentBroker, connect: Callable[..., Any], eventually: Callable[..., None]
) -> None:
    # What a broker must not do; programs that have to survive it can be tried on it.
    service = connect(broker)
    session = service.create_transactional_service_builder().build()
    session.connect()
    publisher = session.create_transactional_message_publisher_builder().build()
    publisher.start()
    publish = service.message_builder().build
    publisher.publish(publish(bytearray(b"1")), Topic.of("t/1"))
    broker.fault(Restart(keep_state=False), AcceptUnknownSession())
    eventually(lambda: broker.pending_faults() == 0)
    publisher.publish(publish(bytearray(b"2")), Topic.of("t/1"))
    session.commit()

    assert broker.queue("q").messages == 1


def test_slow_consumer_costs_bounded_memory_and_gets_everything_later(
    broker: DevelopmentBroker, connect: Callable[..., Any]
) -> None:
    publisher = connect(broker).create_persistent_message_publisher_builder().build()
    publisher.start()
    for _ in range(200):
        publisher.publish_await_acknowledgement(bytearray(b"x" * 100_000), Topic.of("t/1"), 60_000)
    with RawClient(broker, receive_buffer=4096) as slow:
        slow.login()
        slow.send(AssuredControl(kind=AssuredKind.BIND, correlation=1, queue="q", window=255, durability=1))
        slow.send(KeepAlive())
        slow.next()
        # It holds one batch at most beyond what the sockets take, not the 20 MB that its window allows.
        assert broker.queue("q").unacknowledged < 120
        got = 0
        while got < 200:
            got += not isinstance(slow.next(), KeepAlive)

        assert broker.queue("q").unacknowledged == 200


def test_client_that_reads_nothing_is_closed_before_its_answers_fill_the_memory(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with (
        caplog.at_level(logging.WARNING, "flumebeam.broker"),
        running_broker(max_unsent_bytes=200_000) as broker,
        RawClient(broker, receive_buffer=4096) as deaf,
    ):
        deaf.login()
        flood = AssuredControl(kind=AssuredKind.CREATE, queue="n" * 200, durability=1).encode() * 1000
        with pytest.raises(ConnectionError):  # noqa: PT012 - it takes some rounds until the sockets are full
            for _ in range(1000):
                deaf.socket.sendall(flood)
    assert "does not read" in caplog.text


def test_plain_publisher_and_receiver_ride_over_cuts_without_loss(
    broker: DevelopmentBroker, connect: Callable[..., Any]
) -> None:
    service, consumer = connect(broker, "p"), connect(broker, "c")
    publisher = service.create_persistent_message_publisher_builder().build()
    publisher.start()
    receiver = consumer.create_persistent_message_receiver_builder().build(Queue.durable_exclusive_queue("q"))
    receiver.start()
    got: list[bytes] = []
    for number in range(600):
        publisher.publish(bytearray(b"%d" % number), Topic.of("t/1"))
        if number % 100 == 50:
            broker.cut_connections()
        if number % 100 == 75:
            message = receiver.receive_message(60_000)
            got.append(bytes(message.get_payload_as_bytes()))
            receiver.ack(message)
    while len(got) < 600:
        message = receiver.receive_message(60_000)
        assert message is not None
        got.append(bytes(message.get_payload_as_bytes()))
        receiver.ack(message)

    assert got == [b"%d" % number for number in range(600)]


def test_consume_transform_publish_moves_everything_exactly_once_over_random_cuts(
    broker: DevelopmentBroker, connect: Callable[..., Any]
) -> None:
    chance = random.Random(4)
    total = 300
    broker.create_queue("out", subscriptions=["out"])
    service = connect(broker)
    feeder = service.create_persistent_message_publisher_builder().build()
    feeder.start()
    for number in range(total):
        feeder.publish_await_acknowledgement(bytearray(b"%d" % number), Topic.of("t/1"), 60_000)
    session = service.create_transactional_service_builder().build()
    session.connect()
    publisher = session.create_transactional_message_publisher_builder().build()
    publisher.start()
    receiver = session.create_transactional_message_receiver_builder().build(Queue.durable_exclusive_queue("q"))
    receiver.start()
    builder = service.message_builder()
    timer = threading.Timer(0, lambda: None)
    while broker.queue("q").messages:
        # Not each time: a commit that takes longer than the time until a cut must succeed now and then.
        if not timer.is_alive() and chance.random() < 0.5:
            timer = threading.Timer(chance.uniform(0.001, 0.05), broker.cut_connections)
            timer.start()
        try:
            for _ in range(chance.randint(1, 8)):
                message = receiver.receive_message(200)
                if message is None:
                    break
                publisher.publish(builder.build(bytearray(message.get_payload_as_bytes())), Topic.of("out"))
            session.commit()
        except TransactionError:
            with_rollback(session)
    timer.join()
    consumer = connect(broker, "reader")
    reader = consumer.create_persistent_message_receiver_builder().build(Queue.durable_exclusive_queue("out"))
    reader.start()
    moved = [int(reader.receive_message(60_000).get_payload_as_bytes()) for _ in range(broker.queue("out").messages)]

    assert moved == list(range(total))


def with_rollback(session: Any) -> None:
    """Start the next transaction clean; a session that just rolled back has nothing to roll back, which is fine."""
    try:
        session.rollback()
    except PubSubPlusClientError:
        return
