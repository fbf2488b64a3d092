"""Pytest fixtures: ``pytest_plugins = ["flumebeam.testing.fixtures"]`` in a ``conftest.py``.

========================= ==========================================================================================
fixture                   what it is
========================= ==========================================================================================
``flumebeam_broker``      a development broker in memory, on a free port, for one test
``flumebeam_data_broker`` one that keeps its data in the test's temporary directory, as ``flumebeam broker --data`` does
``flumebeam_queue``       the name of an exclusive queue of ``flumebeam_broker`` that gets ``flumebeam_queue/>``
========================= ==========================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flumebeam.broker import DevelopmentBroker, running_broker

__all__ = ["flumebeam_broker", "flumebeam_data_broker", "flumebeam_queue"]


@pytest.fixture
def flumebeam_broker() -> Iterator[DevelopmentBroker]:
    """Run a broker that holds everything in memory."""
    with running_broker() as broker:
        yield broker


@pytest.fixture
def flumebeam_data_broker(tmp_path: Path) -> Iterator[DevelopmentBroker]:
    """Run a broker that keeps its data."""
    with running_broker(data=str(tmp_path / "broker-data")) as broker:
        yield broker


@pytest.fixture
def flumebeam_queue(flumebeam_broker: DevelopmentBroker) -> str:
    """Create a queue and return its name."""
    name = "flumebeam_queue"
    flumebeam_broker.create_queue(name, subscriptions=[f"{name}/>"])
    return name
