from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest

from flumebeam.batch import EventBatch
from flumebeam.broker import BrokerConfig, DevelopmentBroker
from flumebeam.solace.config import ReconnectPolicy, SolaceOptions
from flumebeam.solace.session import connect
from flumebeam.testing import running_broker
from flumebeam.transforms.receivers import RECEIVERS
from flumebeam.transforms.stopping import forget_stop
from tests.integration.transforms.contents import BROKERS

QUEUE = "logs"
TOPIC = "logs/app"


@pytest.fixture
def broker() -> Iterator[DevelopmentBroker]:
    """A broker that refuses what no queue wants, with one exclusive queue on ``logs/>``."""
    with running_broker(BrokerConfig(port=0, reject_on_no_match=True)) as made:
        made.create_queue(QUEUE, subscriptions=["logs/>"])
        BROKERS[made.url] = made
        yield made
    BROKERS.clear()
    forget_stop()
    assert not RECEIVERS.in_use, "a source was not torn down"


@pytest.fixture
def connection(broker: DevelopmentBroker) -> SolaceOptions:
    # Soon back after an outage; a broker that stands still for some seconds on a busy machine is none.
    patience = ReconnectPolicy(attempts=240, wait_seconds=0.25, connect_timeout_seconds=60, keepalive_seconds=20)
    return SolaceOptions(host=broker.url, reconnect=patience)


@pytest.fixture
def publish(connection: SolaceOptions) -> Callable[[Sequence[bytes]], None]:
    """Publishes bodies, each within a transaction."""

    def publish_all(bodies: Sequence[bytes]) -> None:
        with connect(connection) as opened:
            session = opened.transacted_session()
            for start in range(0, len(bodies), 200):
                batch = EventBatch.from_bodies(bodies[start : start + 200], {"host": "h1"})
                session.publish(batch, TOPIC)
                assert session.commit().committed

    return publish_all
