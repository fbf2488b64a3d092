"""The vendor's client against the development broker, over loopback."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from solace.messaging.errors.pubsubplus_client_error import PubSubPlusClientError
from solace.messaging.messaging_service import MessagingService

from flumebeam.broker import DevelopmentBroker
from flumebeam.testing import running_broker

_PREFIX = "solace.messaging."
_PROPERTIES = {
    "service.vpn-name": "default",
    "authentication.scheme.basic.username": "default",
    "authentication.scheme.basic.password": "any",
    "transport.reconnection-attempts": 600,
    "transport.reconnection-attempts-wait-interval": 100,
    "transport.connection-attempts-timeout": 60_000,
    # A broker that stands still for some seconds, as all here does on a busy machine, is not gone.
    "transport.keep-alive-interval": 20_000,
}


@pytest.fixture
def broker() -> Iterator[DevelopmentBroker]:
    """Run a broker with an exclusive queue ``q`` that gets ``t/>``."""
    with running_broker() as running:
        running.create_queue("q", subscriptions=["t/>"])
        yield running


@pytest.fixture
def connect() -> Iterator[Callable[..., Any]]:
    """Return a function that connects the vendor's client to a broker; all are disconnected after the test."""
    services: list[Any] = []

    def make(broker: DevelopmentBroker, name: str = "app", **properties: Any) -> Any:
        given = {key.replace("__", ".").replace("_", "-"): value for key, value in properties.items()}
        merged = _PROPERTIES | {"transport.host": broker.url} | given
        service = MessagingService.builder().from_properties({_PREFIX + k: v for k, v in merged.items()}).build(name)
        services.append(service)
        service.connect()
        return service

    yield make
    for service in services:
        with contextlib.suppress(PubSubPlusClientError):
            service.disconnect()


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Return a function that waits until a condition holds, and fails after its deadline."""

    def wait(condition: Callable[[], bool], seconds: float = 250.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail("The condition did not come true in time.")
            time.sleep(0.005)

    return wait
