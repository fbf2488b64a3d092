from __future__ import annotations

from collections.abc import Iterator

import pytest

from flumebeam.channel.solace import SolaceChannel
from flumebeam.solace.config import SolaceOptions
from flumebeam.testing.broker import DevelopmentBroker, running_broker
from tests.conformance.channel.contract import ChannelContract


class SolaceBench:
    def __init__(self, broker: DevelopmentBroker, lane: str) -> None:
        self._options = SolaceOptions(host=broker.url, lane=lane)
        self._channels: list[SolaceChannel] = []

    def channel(self, limit: int = 256, queue: str | None = "q") -> SolaceChannel:
        self._channels.append(SolaceChannel(self._options, queue=queue, max_transaction_messages=limit))
        return self._channels[-1]

    def writer(self) -> SolaceChannel:
        return self.channel(queue=None)

    def close(self) -> None:
        for channel in self._channels:
            channel.close()


class TestSolaceChannel(ChannelContract):
    lane = "native"

    @pytest.fixture
    def bench(self) -> Iterator[SolaceBench]:
        with running_broker() as broker:
            broker.create_queue("q", subscriptions=["logs/>"])
            bench = SolaceBench(broker, self.lane)
            yield bench
            bench.close()


class TestSolaceChannelOnTheWrapperLane(TestSolaceChannel):
    lane = "wrapper"


class TestSolaceChannelOnThePlainLane(TestSolaceChannel):
    lane = "plain"
