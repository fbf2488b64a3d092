from __future__ import annotations

from collections.abc import Iterator

import pytest

from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.flows import FlowOptions
from flumebeam.solace.session import VendorConnection, connect
from flumebeam.testing.broker import DevelopmentBroker, running_broker
from tests.policies import IMPATIENT


@pytest.fixture
def broker() -> Iterator[DevelopmentBroker]:
    with running_broker() as broker:
        broker.create_queue("q", subscriptions=["logs/>"])
        yield broker


@pytest.fixture
def options(broker: DevelopmentBroker) -> SolaceOptions:
    return SolaceOptions(host=broker.url, reconnect=IMPATIENT)


@pytest.fixture
def connection(options: SolaceOptions) -> Iterator[VendorConnection]:
    with connect(options) as connection:
        yield connection


@pytest.fixture(
    params=[FlowOptions(), FlowOptions(transaction_messages=256)], ids=["acknowledged by id", "in transactions"]
)
def how(request: pytest.FixtureRequest) -> FlowOptions:
    """Both ways to take."""
    options: FlowOptions = request.param
    return options
