from __future__ import annotations

from collections.abc import Iterator

import pytest

from flumebeam.solace.config import ReconnectPolicy, SolaceOptions
from flumebeam.solace.flows import FlowOptions
from flumebeam.testing.broker import DevelopmentBroker, running_broker

PATIENT = ReconnectPolicy(
    attempts=60,
    wait_seconds=0.1,
    connect_timeout_seconds=2.0,
    keepalive_seconds=0.5,
    request_timeout_seconds=2.0,
    request_tries=2,
)


@pytest.fixture
def broker() -> Iterator[DevelopmentBroker]:
    with running_broker() as broker:
        broker.create_queue("q", subscriptions=["logs/>"])
        yield broker


@pytest.fixture(params=["native", "wrapper"])
def options(broker: DevelopmentBroker, request: pytest.FixtureRequest) -> SolaceOptions:
    """Options that ride over some seconds without a broker, on each lane."""
    return SolaceOptions(host=broker.url, reconnect=PATIENT, lane=request.param)


@pytest.fixture(
    params=[FlowOptions(), FlowOptions(transaction_messages=256)], ids=["acknowledged by id", "in transactions"]
)
def how(request: pytest.FixtureRequest) -> FlowOptions:
    """Both ways to take."""
    options: FlowOptions = request.param
    return options
