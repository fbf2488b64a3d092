from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flumebeam.broker import DevelopmentBroker
from flumebeam.testing import running_broker
from tests.programs import Programs


@pytest.fixture(scope="module")
def broker() -> Iterator[DevelopmentBroker]:
    """A broker with a queue ``logs`` that lets ``operator`` in by password, and ``default`` by any."""
    with running_broker(users={"default": None, "operator": "right"}) as made:
        made.create_queue("logs", subscriptions=["logs/>"])
        yield made


@pytest.fixture
def programs(broker: DevelopmentBroker, tmp_path: Path) -> Iterator[Programs]:
    made = Programs(tmp_path, {"SOLACE_HOST": broker.url})
    yield made
    made.close()
