from __future__ import annotations

from collections.abc import Iterator

import pytest

from flumebeam.testing.memory_queue import MemoryQueue
from flumebeam.transforms.receivers import RECEIVERS
from flumebeam.transforms.stopping import forget_stop


@pytest.fixture
def queue(request: pytest.FixtureRequest) -> Iterator[MemoryQueue]:
    made = MemoryQueue(request.node.nodeid)
    yield made
    made.remove()
    forget_stop()
    assert not RECEIVERS.in_use, "a source was not torn down"
