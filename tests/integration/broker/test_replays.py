"""Replays, with the vendor's client."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from solace.messaging.config.replay_strategy import ReplayStrategy
from solace.messaging.errors.pubsubplus_client_error import MessageReplayError, PubSubPlusClientError
from solace.messaging.resources.queue import Queue
from solace.messaging.resources.topic import Topic

from flumebeam.broker import DevelopmentBroker
from flumebeam.errors import ConfigurationError
from flumebeam.testing import running_broker

QUEUE = Queue.durable_exclusive_queue("q")


def publish(service: Any, *bodies: bytes) -> None:
    publisher = service.create_persistent_message_publisher_builder().build()
    publisher.start()
    for body in bodies:
        publisher.publish_await_acknowledgement(bytearray(body), Topic.of("t/1"), 60_000)
    publisher.terminate(1000)


def receiver(service: Any, strategy: Any = None, queue: Any = QUEUE) -> Any:
    builder = service.create_persistent_message_receiver_builder()
    if strategy is not None:
        builder.with_message_replay(strategy)
    made = builder.build(queue)
    made.start()
    return made


def settle(made: Any, count: int) -> list[Any]:
    messages = []
    for _ in range(count):
        message = made.receive_message(60_000)
        assert message is not None
        made.ack(message)
        messages.append(message)
    return messages


def bodies(messages: list[Any]) -> list[bytes]:
    return [bytes(message.get_payload_as_bytes()) for message in messages]


@pytest.fixture
def logged(broker: DevelopmentBroker) -> DevelopmentBroker:
    """A broker with a queue ``q`` that gets ``t/>``, and a replay log."""
    broker.keep_replay_log()
    return broker


def test_client_replays_from_the_beginning_a_time_and_a_message(
    logged: DevelopmentBroker, connect: Callable[..., Any], eventually: Callable[..., None]
) -> None:
    service = connect(logged)
    publish(service, b"1", b"2")
    # The client asks for whole seconds.
    time.sleep(1.1)
    between = datetime.datetime.now(datetime.UTC)
    publish(service, b"3", b"4")
    first = receiver(service)
    got = settle(first, 4)
    first.terminate(1000)
    eventually(lambda: logged.queue("q").messages == 0)
    third = got[2].get_replication_group_message_id()

    for strategy, expected in (
        (ReplayStrategy.all_messages(), [b"1", b"2", b"3", b"4"]),
        (ReplayStrategy.time_based(between), [b"3", b"4"]),
        (ReplayStrategy.replication_group_message_id_based(third), [b"4"]),
    ):
        made = receiver(service, strategy)
        again = settle(made, len(expected))
        assert bodies(again) == expected
        assert made.receive_message(100) is None
        wanted = [str(message.get_replication_group_message_id()) for message in got[-len(expected) :]]
        assert [str(message.get_replication_group_message_id()) for message in again] == wanted
        made.terminate(1000)
        eventually(lambda: logged.queue("q").messages == 0)


def test_consumer_that_is_bound_when_an_administrator_starts_a_replay_binds_again_and_gets_it(
    logged: DevelopmentBroker, connect: Callable[..., Any]
) -> None:
    service = connect(logged)
    publish(service, b"1", b"2", b"3")
    made = receiver(service)
    got = settle(made, 3)
    logged.start_replay("q")
    assert bodies(settle(made, 3)) == [b"1", b"2", b"3"]
    logged.start_replay("q", after=str(got[1].get_replication_group_message_id()))
    assert bodies(settle(made, 1)) == [b"3"]
    publish(service, b"4")

    assert bodies(settle(made, 1)) == [b"4"]


def test_client_that_was_away_when_the_replay_started_gets_it_when_it_comes_back(
    logged: DevelopmentBroker, connect: Callable[..., Any]
) -> None:
    service = connect(logged, "reader")
    writer = connect(logged, "writer")
    publish(writer, b"1", b"2", b"3")
    made = receiver(service)
    settle(made, 3)
    logged.refuse_connections()
    logged.cut_connections("reader")
    logged.start_replay("q")
    logged.accept_connections()

    assert bodies(settle(made, 3)) == [b"1", b"2", b"3"]


def test_replay_goes_on_over_a_lost_connection(logged: DevelopmentBroker, connect: Callable[..., Any]) -> None:
    service = connect(logged)
    publish(service, *(b"%d" % number for number in range(300)))
    made = receiver(service, ReplayStrategy.all_messages())
    got = bodies(settle(made, 100))
    logged.cut_connections()
    got += bodies(settle(made, 200))

    assert got == [b"%d" % number for number in range(300)]


def test_replay_without_a_log_is_refused_in_the_vendors_words(
    broker: DevelopmentBroker, connect: Callable[..., Any]
) -> None:
    with pytest.raises(MessageReplayError, match="REPLAY_DISABLED"):
        receiver(connect(broker), ReplayStrategy.all_messages())


def test_replay_from_the_future_is_refused(logged: DevelopmentBroker, connect: Callable[..., Any]) -> None:
    future = datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)

    with pytest.raises(PubSubPlusClientError):
        receiver(connect(logged), ReplayStrategy.time_based(future))


def test_replay_of_a_message_that_the_log_does_not_have_is_refused(
    logged: DevelopmentBroker, connect: Callable[..., Any]
) -> None:
    service = connect(logged)
    publish(service, b"1")
    (message,) = settle(receiver(service), 1)
    logged.restart(keep_state=False)
    publish(connect(logged, "again"), b"2")
    strategy = ReplayStrategy.replication_group_message_id_based(message.get_replication_group_message_id())
    logged.create_queue("r")

    with pytest.raises(MessageReplayError, match="REPLAY_START_MESSAGE_UNAVAILABLE"):
        receiver(connect(logged, "reader"), strategy, Queue.durable_exclusive_queue("r"))


def test_log_survives_a_broker_that_keeps_its_data(tmp_path: Path, connect: Callable[..., Any]) -> None:
    with running_broker(data=str(tmp_path)) as broker:
        broker.create_queue("q", subscriptions=["t/>"])
        broker.keep_replay_log()
        service = connect(broker)
        publish(service, b"1", b"2")
        settle(receiver(service), 2)
    with running_broker(data=str(tmp_path)) as broker:
        made = receiver(connect(broker, "next"), ReplayStrategy.all_messages())

        assert bodies(settle(made, 2)) == [b"1", b"2"]


def test_log_of_the_configuration_is_there_from_the_start_and_after_a_restart(
    tmp_path: Path, connect: Callable[..., Any]
) -> None:
    with running_broker(data=str(tmp_path), replay_log_bytes=1_000) as broker:
        broker.create_queue("q", subscriptions=["t/>"])
        publish(connect(broker), b"1")
        broker.restart(keep_state=True)
        publish(connect(broker, "again"), b"2")
        made = receiver(connect(broker, "reader"), ReplayStrategy.all_messages())

        assert bodies(settle(made, 2)) == [b"1", b"2"]


def test_replay_with_two_starts_or_none_that_is_one_is_refused(logged: DevelopmentBroker) -> None:
    with pytest.raises(ConfigurationError, match="one of them"):
        logged.start_replay("q", from_time=1.0, after="x")
    with pytest.raises(ConfigurationError, match="replication group"):
        logged.start_replay("q", after="x")
    logged.start_replay("q", from_time=0.0)
