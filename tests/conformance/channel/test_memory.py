from __future__ import annotations

import pytest

from flumebeam.channel.memory import MemoryChannel, MemoryQueue
from tests.conformance.channel.contract import ChannelContract


class MemoryBench:
    def __init__(self) -> None:
        self._queue = MemoryQueue()

    def channel(self, limit: int = 256) -> MemoryChannel:
        return MemoryChannel(self._queue, max_transaction_messages=limit)

    def writer(self) -> MemoryChannel:
        return self.channel()


class TestMemoryChannel(ChannelContract):
    @pytest.fixture
    def bench(self) -> MemoryBench:
        return MemoryBench()
