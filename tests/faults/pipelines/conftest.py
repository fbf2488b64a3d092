from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flumebeam.broker import DevelopmentBroker
from flumebeam.testing import running_broker
from tests.faults.pipelines.scene import Scene
from tests.programs import Programs


@pytest.fixture(scope="module")
def broker() -> Iterator[DevelopmentBroker]:
    with running_broker() as made:
        yield made


@pytest.fixture
def scene(broker: DevelopmentBroker, tmp_path: Path) -> Iterator[Scene]:
    """A queue, a target and programs of one test's own; the programs are gone afterwards."""
    programs = Programs(tmp_path, {"SOLACE_HOST": broker.url})
    made = Scene(broker, programs, tmp_path)
    yield made
    programs.close()
    broker.delete_queue(made.queue)
