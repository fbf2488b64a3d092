from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flumebeam.testing.memory_queue import MemoryQueue
from flumebeam.transforms.hdfs_write import WriteToHdfs
from flumebeam.transforms.receivers import RECEIVERS
from flumebeam.transforms.stopping import forget_stop
from tests.unit.transforms.sinks import Worker


@pytest.fixture
def queue(request: pytest.FixtureRequest) -> Iterator[MemoryQueue]:
    made = MemoryQueue(request.node.nodeid)
    yield made
    made.remove()
    forget_stop()
    assert not RECEIVERS.in_use, "a source was not torn down"


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Return a function that makes sinks with options, which do not roll their files unless they are told to."""
    made: list[Worker] = []

    def make(**options: Any) -> Worker:
        options.setdefault("roll", None)
        made.append(Worker(WriteToHdfs(options.pop("target", str(tmp_path)), **options)))
        return made[-1]

    yield make
    for one in made:
        one.fn.teardown()
