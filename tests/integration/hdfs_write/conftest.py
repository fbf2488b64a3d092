from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest

from flumebeam.batch import EventBatch
from flumebeam.broker import BrokerConfig, DevelopmentBroker
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.session import connect
from flumebeam.testing import running_broker
from flumebeam.transforms.receivers import RECEIVERS
from flumebeam.transforms.stopping import forget_stop
from tests.integration.hdfs_write.drain import QUEUE, options


@pytest.fixture
def broker() -> Iterator[DevelopmentBroker]:
    """A broker with one exclusive queue."""
    with running_broker(BrokerConfig(port=0, reject_on_no_match=True)) as made:
        made.create_queue(QUEUE, subscriptions=["logs/>"])
        yield made
    forget_stop()
    assert not RECEIVERS.in_use, "a source was not torn down"


@pytest.fixture
def connection(broker: DevelopmentBroker) -> SolaceOptions:
    return options(broker.url)


@pytest.fixture
def publish(connection: SolaceOptions) -> Callable[[Sequence[bytes]], None]:
    def publish_all(bodies: Sequence[bytes]) -> None:
        with connect(connection) as opened:
            session = opened.transacted_session()
            for start in range(0, len(bodies), 200):
                session.publish(EventBatch.from_bodies(bodies[start : start + 200]), "logs/app")
                assert session.commit().committed

    return publish_all
