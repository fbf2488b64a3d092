from __future__ import annotations

import pytest

from flumebeam.batch import EventBatch
from flumebeam.channel.memory import Failure, MemoryChannel
from flumebeam.channel.solace import SolaceChannel
from flumebeam.channel.transaction import TransactionState
from flumebeam.errors import ConfigurationError, ConnectionFailedError, TransactionStateError
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.ports import Outcome, OutcomeKind

BATCH = EventBatch.from_bodies([b"1", b"2"])


def put(channel: MemoryChannel) -> Outcome:
    with channel.transaction() as tx:
        tx.put(BATCH, "t")
        return tx.commit()


@pytest.mark.parametrize(
    ("failure", "kind", "refused", "stored"),
    [
        (Failure.NONE, OutcomeKind.COMMITTED, False, 2),
        (Failure.COMMIT_ROLLED_BACK, OutcomeKind.ROLLED_BACK, False, 0),
        (Failure.COMMIT_REFUSED, OutcomeKind.ROLLED_BACK, True, 0),
        (Failure.COMMIT_UNKNOWN_APPLIED, OutcomeKind.UNKNOWN, False, 2),
        (Failure.COMMIT_UNKNOWN_DROPPED, OutcomeKind.UNKNOWN, False, 0),
    ],
)
def test_a_commit_ends_as_ordered_and_the_next_one_well(
    failure: Failure, kind: OutcomeKind, refused: bool, stored: int
) -> None:
    channel = MemoryChannel(plan=[failure])

    outcome = put(channel)

    assert (outcome.kind, outcome.refused, len(channel.queue)) == (kind, refused, stored)
    assert outcome.committed is (kind is OutcomeKind.COMMITTED)
    assert put(channel).committed


def test_failures_come_in_the_order_of_the_plan() -> None:
    channel = MemoryChannel(plan=[Failure.NONE, Failure.COMMIT_ROLLED_BACK, Failure.NONE])

    assert [put(channel).committed for _ in range(4)] == [True, False, True, True]


@pytest.mark.parametrize(
    ("failure", "left"), [(Failure.COMMIT_UNKNOWN_APPLIED, 0), (Failure.COMMIT_UNKNOWN_DROPPED, 2)]
)
def test_takes_follow_the_fate_of_their_commit(failure: Failure, left: int) -> None:
    channel = MemoryChannel(plan=[Failure.NONE, failure])
    put(channel)

    with channel.transaction() as tx:
        assert len(tx.take(10, 0)) == 2
        tx.commit()

    assert len(channel.queue) == left


def test_a_lost_connection_leaves_only_the_rollback() -> None:
    channel = MemoryChannel(plan=[Failure.CONNECTION_LOST, Failure.CONNECTION_LOST])
    with channel.transaction() as tx:
        with pytest.raises(ConnectionFailedError):
            tx.put(BATCH, "t")
        assert tx.state is TransactionState.FAILED
        for misuse in (tx.commit, lambda: tx.put(BATCH, "t"), lambda: tx.take(1, 0)):
            with pytest.raises(TransactionStateError, match="failed cannot"):
                misuse()
        assert tx.rollback().kind is OutcomeKind.ROLLED_BACK
    with channel.transaction() as tx, pytest.raises(ConnectionFailedError):
        tx.take(1, 0)
    assert put(channel).committed


def test_closing_the_channel_rolls_back_what_is_open() -> None:
    channel = MemoryChannel()
    put(channel)
    tx = channel.transaction()
    tx.begin()
    tx.take(1, 0)

    channel.close()

    assert (tx.state, len(channel.queue)) == (TransactionState.CLOSED, 2)


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="max_transaction_messages"):
        MemoryChannel(max_transaction_messages=0)
    with pytest.raises(ConfigurationError, match="max_transaction_messages"):
        SolaceChannel(SolaceOptions(), max_transaction_messages=0)


def test_a_channel_that_cannot_connect_can_be_used_again() -> None:
    calls = []

    def refuse(options: SolaceOptions) -> None:
        calls.append(options)
        raise ConnectionFailedError("nobody is there")

    channel = SolaceChannel(SolaceOptions(), connector=refuse)  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(ConnectionFailedError, match="nobody"), channel.transaction():
            pass

    assert len(calls) == 2
