from __future__ import annotations

from collections.abc import Iterator

import pytest

from flumebeam.broker import BrokerConfig, DevelopmentBroker
from flumebeam.testing import running_broker
from flumebeam.transforms.receivers import RECEIVERS
from flumebeam.transforms.stopping import forget_stop


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[DevelopmentBroker]:
    """A broker that refuses what no queue wants, with the two queues of the layers on ``logs/>``; the environment
    points to it."""
    with running_broker(BrokerConfig(port=0, reject_on_no_match=True)) as made:
        for queue in ("batch", "speed"):
            made.create_queue(queue, subscriptions=["logs/>"])
        monkeypatch.setenv("SOLACE_HOST", made.url)
        yield made
    forget_stop()
    assert not RECEIVERS.in_use, "a source was not torn down"
