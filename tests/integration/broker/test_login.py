"""Logins of the vendor's client."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from solace.messaging.errors.pubsubplus_client_error import AuthenticationError, PubSubPlusCoreClientError
from solace.messaging.resources.queue import Queue
from solace.messaging.resources.topic import Topic

from flumebeam.broker import BrokerConfig, DevelopmentBroker, running_broker
from flumebeam.errors import ConfigurationError


def test_wrong_password_is_an_authentication_error(connect: Callable[..., Any]) -> None:
    with running_broker(users={"ann": "right"}) as broker:
        with pytest.raises(AuthenticationError, match="Unauthorized"):
            connect(
                broker,
                authentication__scheme__basic__username="ann",
                authentication__scheme__basic__password="wrong",
            )
        service = connect(
            broker,
            authentication__scheme__basic__username="ann",
            authentication__scheme__basic__password="right",
        )
        assert service.is_connected


def test_wrong_vpn_is_named(broker: DevelopmentBroker, connect: Callable[..., Any]) -> None:
    with pytest.raises(PubSubPlusCoreClientError, match="Message VPN Not Allowed"):
        connect(broker, service__vpn_name="other")


def test_two_vpns_hold_clients_queues_and_topics_of_one_name(
    connect: Callable[..., Any], eventually: Callable[..., None], tmp_path: Path
) -> None:
    with running_broker(data=str(tmp_path), more_vpns={"early": {"default": None}}) as broker:
        broker.create_vpn("late", {"ann": "pw"})
        for name in broker.vpns():
            broker.create_queue("q", subscriptions=["t/>"], vpn=name)
        services = {name: connect(broker, "app", service__vpn_name=name) for name in ("default", "early")}
        for name, service in services.items():
            publisher = service.create_persistent_message_publisher_builder().build().start()
            message = service.message_builder().build(bytearray(name.encode()))
            publisher.publish_await_acknowledgement(message, Topic.of("t/1"), 60_000)
        with pytest.raises(AuthenticationError):
            connect(broker, "other", service__vpn_name="late")
        broker.restart(keep_state=True)
        eventually(lambda: all(broker.clients(vpn=name) for name in services))
        eventually(lambda: all(service.is_connected for service in services.values()))

        assert broker.vpns() == ("default", "early", "late")
        assert [broker.queue("q", vpn=name).messages for name in broker.vpns()] == [1, 1, 0]
        receiver = (
            services["early"].create_persistent_message_receiver_builder().build(Queue.durable_exclusive_queue("q"))
        )
        receiver.start()
        assert bytes(receiver.receive_message(60_000).get_payload_as_bytes()) == b"early"
        broker.delete_vpn("early")
        assert broker.clients() == ("app",)
        with pytest.raises(ConfigurationError, match="no message VPN early"):
            broker.clients(vpn="early")


def test_client_name_in_use_displaces_the_former_connection(
    broker: DevelopmentBroker, connect: Callable[..., Any], eventually: Callable[..., None]
) -> None:
    former = connect(broker, "same", transport__reconnection_attempts=0)
    connect(broker, "same")

    eventually(lambda: not former.is_connected)
    assert broker.clients() == ("same",)


def test_port_in_use_is_a_mistake_that_says_what_to_do(broker: DevelopmentBroker) -> None:
    second = DevelopmentBroker(BrokerConfig(port=broker.port))
    with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1:{broker.port}"):
        second.start()
    second.stop()


def test_broker_runs_once_and_only_while_it_runs(connect: Callable[..., Any]) -> None:
    broker = DevelopmentBroker(BrokerConfig(port=0))
    with pytest.raises(ConfigurationError, match="not running"):
        broker.queues()
    with pytest.raises(ConfigurationError, match="not running"):
        _ = broker.port
    with broker:
        assert connect(broker).is_connected
        with pytest.raises(ConfigurationError, match="make a new one"):
            broker.start()
    broker.stop()
    with pytest.raises(ConfigurationError, match="not running"):
        broker.queue("q")


def test_queue_that_is_deleted_is_gone(broker: DevelopmentBroker) -> None:
    broker.delete_queue("q")

    assert broker.queues() == ()
    assert broker.config.vpn == "default"


def test_broker_logs_a_line_for_each_thing_that_happens(
    connect: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "flumebeam.broker"), running_broker() as broker:
        broker.create_queue("q", subscriptions=["t"])
        service = connect(broker)
        receiver = service.create_persistent_message_receiver_builder().build(Queue.durable_exclusive_queue("q"))
        receiver.start()
        receiver.terminate(100)
        service.disconnect()
        with pytest.raises(PubSubPlusCoreClientError):
            connect(broker, "other", service__vpn_name="nowhere")
    lines = [record.getMessage() for record in caplog.records if record.name == "flumebeam.broker"]

    assert [line.split(" from ")[0] for line in lines if not line.startswith("listening")] == [
        "queue q created, exclusive",
        "queue q subscribed to t",
        "app logged in as default",
        "app bound a consumer to queue q",
        "app unbound",
        "app left",
        "login of other as default to VPN nowhere refused: 403 Message VPN Not Allowed",
        "stopped",
    ]


def test_waiting_ends_when_another_thread_stops_the_broker() -> None:
    broker = DevelopmentBroker(BrokerConfig(port=0))
    broker.start()
    waiting = threading.Thread(target=broker.wait)
    waiting.start()
    broker.stop()
    waiting.join(60)

    assert not waiting.is_alive()
