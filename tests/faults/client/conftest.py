from __future__ import annotations

from collections.abc import Iterator

import pytest

from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.flows import FlowOptions
from flumebeam.testing.broker import DevelopmentBroker, running_broker
from tests.faults.client.patience import PATIENT


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
