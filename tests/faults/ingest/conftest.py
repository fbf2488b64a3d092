from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flumebeam.broker import DevelopmentBroker
from flumebeam.testing import running_broker
from tests.faults.ingest.spool import LINES
from tests.integration.pipelines.helpers import make_lines, spooled


@pytest.fixture
def broker() -> Iterator[DevelopmentBroker]:
    with running_broker() as made:
        made.create_queue("q", subscriptions=["logs"])
        yield made


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    spooled(tmp_path, "1.log", make_lines(LINES))
    return tmp_path
