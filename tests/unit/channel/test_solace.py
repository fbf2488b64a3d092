"""Which session and connection a transaction gets; the real ones are met in the conformance and fault tests."""

from __future__ import annotations

import pyarrow as pa
import pytest

from flumebeam.batch import EventBatch
from flumebeam.channel.solace import SolaceChannel
from flumebeam.errors import ConnectionFailedError, TransactionStateError
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.ports import Outcome, OutcomeKind

OPTIONS = SolaceOptions(host="b")


class StubSession:
    def __init__(self, queue: str | None) -> None:
        self.queue = queue
        self.alive = True
        self.closed = False

    def publish(self, batch: EventBatch, topics: str | pa.StringArray) -> None:
        pass

    def receive(self, max_events: int, timeout: float) -> EventBatch:
        return EventBatch.empty()

    def commit(self) -> Outcome:
        return Outcome(OutcomeKind.COMMITTED)

    def rollback(self) -> Outcome:
        return Outcome(OutcomeKind.ROLLED_BACK)

    def close(self) -> None:
        self.closed = True


class StubConnection:
    def __init__(self) -> None:
        self.alive = True
        self.closed = False
        self.sessions: list[StubSession] = []

    def transacted_session(self, *, queue: str | None = None, selector: str = "") -> StubSession:
        self.sessions.append(StubSession(queue))
        return self.sessions[-1]

    def close(self) -> None:
        self.closed = True


class Connector:
    def __init__(self) -> None:
        self.made: list[StubConnection] = []

    def __call__(self, options: SolaceOptions) -> StubConnection:
        self.made.append(StubConnection())
        return self.made[-1]


@pytest.fixture
def connector() -> Connector:
    return Connector()


@pytest.fixture
def channel(connector: Connector) -> SolaceChannel:
    return SolaceChannel(OPTIONS, queue="q", connector=connector)  # type: ignore[arg-type]


def commit(channel: SolaceChannel) -> None:
    with channel.transaction() as tx:
        tx.commit()


def test_a_channel_connects_with_its_first_transaction_and_keeps_its_session(
    channel: SolaceChannel, connector: Connector
) -> None:
    channel.transaction().close()
    assert connector.made == []

    commit(channel)
    commit(channel)

    assert [session.queue for session in connector.made[0].sessions] == ["q"]


def test_a_dead_session_is_replaced_on_the_same_connection(channel: SolaceChannel, connector: Connector) -> None:
    commit(channel)
    connector.made[0].sessions[0].alive = False

    commit(channel)

    assert [session.closed for session in connector.made[0].sessions] == [True, False]
    assert len(connector.made) == 1


def test_a_dead_connection_is_replaced_with_everything_on_it(channel: SolaceChannel, connector: Connector) -> None:
    commit(channel)
    connector.made[0].alive = connector.made[0].sessions[0].alive = False

    commit(channel)

    assert [connection.closed for connection in connector.made] == [True, False]
    assert len(connector.made[1].sessions) == 1


def test_a_channel_that_only_puts_takes_nothing(connector: Connector) -> None:
    channel = SolaceChannel(OPTIONS, connector=connector)  # type: ignore[arg-type]

    with channel.transaction() as tx, pytest.raises(TransactionStateError, match="takes from no queue"):
        tx.take(1, 0)


def test_a_channel_closed_while_it_connects_leaves_no_connection(connector: Connector) -> None:
    def connect(options: SolaceOptions) -> StubConnection:
        channel.close()
        return connector(options)

    channel = SolaceChannel(OPTIONS, connector=connect)  # type: ignore[arg-type]
    with pytest.raises(ConnectionFailedError, match="closed while it connected"):
        channel.transaction().begin()

    assert connector.made[0].closed


def test_a_channel_is_closed_by_its_block(connector: Connector) -> None:
    with SolaceChannel(OPTIONS, connector=connector) as channel:  # type: ignore[arg-type]
        commit(channel)

    assert connector.made[0].closed
