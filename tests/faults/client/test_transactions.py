"""What a transaction becomes when the connection or the broker fails: never committed by luck, unknown when it is."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from time import monotonic, sleep

import pytest

from flumebeam.batch import EventBatch
from flumebeam.broker.faults import FailCommit, LoseCommitResponse
from flumebeam.channel.solace import SolaceChannel
from flumebeam.channel.transaction import TransactionState
from flumebeam.errors import ConnectionFailedError, TransactionStateError
from flumebeam.solace._transacted import VendorSession
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.ports import OutcomeKind
from flumebeam.solace.session import connect
from flumebeam.testing.broker import DevelopmentBroker
from tests.failures import Counted
from tests.faults.client.patience import HASTY, asking_for
from tests.integration.client.helpers import acknowledge, drink, events, numbered
from tests.waiting import eventually

NOT_COMMITTED = (OutcomeKind.ROLLED_BACK, OutcomeKind.UNKNOWN)
"""After a cut. A commit that is sent before the client has noticed the cut has no known outcome; none is a success."""


@pytest.fixture
def channel(options: SolaceOptions) -> Iterator[SolaceChannel]:
    with SolaceChannel(options) as channel:
        yield channel


def stored(broker: DevelopmentBroker, options: SolaceOptions) -> list[int]:
    """What lies in the queue, by number; takes it away."""
    numbers: list[int] = []
    with connect(options) as connection:
        receiver = connection.receiver("q")
        count = broker.queue("q").messages
        while len(numbers) < count:
            batch = drink(receiver, min(5000, count - len(numbers)))
            numbers += [int(event.body) for event in events(batch)]
            acknowledge(receiver, batch)
    return numbers


def put(channel: SolaceChannel, *numbers: int) -> OutcomeKind:
    """Put in one transaction; a connection that is lost before the commit rolls it back."""
    with channel.transaction() as tx:
        try:
            tx.put(numbered(*numbers), "logs/x")
        except ConnectionFailedError:
            return tx.rollback().kind
        return tx.commit().kind


def is_busy(channel: SolaceChannel) -> bool:
    """Tell whether an operation of its is with the client."""
    session = channel._session
    return isinstance(session, VendorSession) and session._busy.locked()


def put_at_last(channel: SolaceChannel, *numbers: int) -> None:
    """Repeat what is rolled back, as a caller does, until it is committed."""
    deadline = monotonic() + 60
    while put(channel, *numbers) is not OutcomeKind.COMMITTED:
        assert monotonic() < deadline


@pytest.mark.failure("broker down at put")
def test_a_cut_inside_a_transaction_never_commits_a_part(
    broker: DevelopmentBroker, options: SolaceOptions, channel: SolaceChannel, counted: Counted
) -> None:
    assert put(channel, 0) is OutcomeKind.COMMITTED
    with channel.transaction() as tx:
        tx.put(numbered(1, 2), "logs/x")
        broker.cut_connections()
        try:
            tx.put(numbered(3), "logs/x")
        except ConnectionFailedError:
            assert tx.state is TransactionState.FAILED
            with pytest.raises(TransactionStateError, match="failed cannot commit"):
                tx.commit()
            outcome = tx.rollback()
        else:
            outcome = tx.commit()

    assert outcome.kind in NOT_COMMITTED
    put_at_last(channel, 1, 2, 3)
    there = stored(broker, options)
    assert there == [0, 1, 2, 3]
    counted(range(4), there)


@pytest.mark.failure("broker down at commit (known rollback)")
def test_a_commit_to_a_broker_that_is_known_to_be_away_is_rolled_back(
    broker: DevelopmentBroker, options: SolaceOptions, counted: Counted
) -> None:
    with connect(options) as connection:
        session = connection.transacted_session()
        session.publish(numbered(1, 2), "logs/x")
        broker.refuse_connections()
        broker.cut_connections()
        eventually(lambda: connection.away)
        outcomes: list[OutcomeKind] = []
        committing = threading.Thread(target=lambda: outcomes.append(session.commit().kind))
        committing.start()
        broker.accept_connections()
        committing.join()

        assert outcomes == [OutcomeKind.ROLLED_BACK]
        assert broker.queue("q").messages == 0
    with SolaceChannel(options) as channel:
        put_at_last(channel, 1, 2)
    there = stored(broker, options)
    assert there == [1, 2]
    counted((1, 2), there)


def test_a_cut_between_transactions_harms_nobody(
    broker: DevelopmentBroker, options: SolaceOptions, channel: SolaceChannel
) -> None:
    number = 0
    for _ in range(5):
        put_at_last(channel, number)
        broker.cut_connections()
        number += 1

    assert stored(broker, options) == list(range(number))


def test_a_lost_answer_to_an_applied_commit_is_never_called_rolled_back(
    broker: DevelopmentBroker, options: SolaceOptions, channel: SolaceChannel
) -> None:
    broker.fault(LoseCommitResponse(applied=True))

    assert put(channel, 1) in (OutcomeKind.COMMITTED, OutcomeKind.UNKNOWN)
    put_at_last(channel, 2)
    assert stored(broker, options) == [1, 2]


def test_a_lost_commit_is_never_called_committed(
    broker: DevelopmentBroker, options: SolaceOptions, channel: SolaceChannel
) -> None:
    broker.fault(LoseCommitResponse(applied=False))

    assert put(channel, 1) in (OutcomeKind.ROLLED_BACK, OutcomeKind.UNKNOWN)
    put_at_last(channel, 2)
    assert stored(broker, options) == [2]


@pytest.mark.parametrize("applied", [True, False])
def test_a_commit_whose_broker_stays_away_is_unknown(broker: DevelopmentBroker, *, applied: bool) -> None:
    options = SolaceOptions(host=broker.url, reconnect=HASTY)
    with SolaceChannel(options) as channel:
        assert put(channel, 0) is OutcomeKind.COMMITTED
        broker.fault(LoseCommitResponse(applied=applied))
        with channel.transaction() as tx:
            tx.put(numbered(1), "logs/x")
            broker.refuse_connections()
            outcome = tx.commit()
        broker.accept_connections()

    assert outcome.kind is OutcomeKind.UNKNOWN
    assert outcome.cause
    assert stored(broker, options) == ([0, 1] if applied else [0])


def test_an_answer_that_never_comes_ends_by_the_request_timeout(
    broker: DevelopmentBroker, options: SolaceOptions
) -> None:
    broker.fault(LoseCommitResponse(applied=True, cut=False))
    begun = monotonic()

    with SolaceChannel(asking_for(2.0, options)) as channel:
        assert put(channel, 1) in (OutcomeKind.COMMITTED, OutcomeKind.UNKNOWN)
    assert monotonic() - begun < 60
    with SolaceChannel(options) as channel:
        put_at_last(channel, 2)
    assert stored(broker, options) == [1, 2]


@pytest.mark.parametrize(
    ("reason", "refused"),
    [
        ("Transaction Failure", True),
        ("Spool Over Quota", True),
        ("No Subscription Match", True),
        ("Message Publish Failure", True),
        ("Sync Replication Ineligible", False),
        ("Something Nobody Has Heard Of", False),
    ],
)
def test_a_commit_that_the_broker_refuses_is_rolled_back_with_its_reason(
    broker: DevelopmentBroker, options: SolaceOptions, channel: SolaceChannel, reason: str, *, refused: bool
) -> None:
    broker.fault(FailCommit(reason=reason))

    with channel.transaction() as tx:
        tx.put(numbered(1), "logs/x")
        outcome = tx.commit()

    assert (outcome.kind, outcome.refused) == (OutcomeKind.ROLLED_BACK, refused)
    assert outcome.cause
    put_at_last(channel, 2)
    assert stored(broker, options) == [2]


def test_more_messages_than_the_broker_allows_are_refused_by_it(options: SolaceOptions) -> None:
    with SolaceChannel(options, max_transaction_messages=1000) as channel, channel.transaction() as tx:
        tx.put(numbered(*range(300)), "logs/x")
        outcome = tx.commit()

    assert (outcome.kind, outcome.refused) == (OutcomeKind.ROLLED_BACK, True)


def test_a_broker_that_is_away_for_a_while_is_survived(
    broker: DevelopmentBroker, options: SolaceOptions, channel: SolaceChannel
) -> None:
    assert put(channel, 0) is OutcomeKind.COMMITTED
    away = threading.Thread(target=broker.restart, kwargs={"keep_state": True, "down_seconds": 2.0})
    away.start()
    committed, unknown = {0}, set()
    for number in range(1, 8):
        while True:
            try:
                kind = put(channel, number)
            except ConnectionFailedError:
                continue
            if kind is OutcomeKind.COMMITTED:
                committed.add(number)
                break
            if kind is OutcomeKind.UNKNOWN:
                unknown.add(number)
                break
        sleep(0.2)
    away.join()

    there = stored(broker, options)
    assert len(there) == len(set(there))
    assert committed <= set(there) <= committed | unknown


def test_a_broker_that_lost_its_state_never_gets_a_part_of_a_transaction(
    broker: DevelopmentBroker, options: SolaceOptions, channel: SolaceChannel
) -> None:
    with channel.transaction() as tx:
        tx.put(numbered(1, 2), "logs/x")
        broker.restart(keep_state=False)
        broker.create_queue("q", subscriptions=["logs/>"])
        try:
            tx.put(numbered(3), "logs/x")
            outcome = tx.commit()
        except ConnectionFailedError:
            outcome = tx.rollback()

    assert outcome.kind in NOT_COMMITTED
    put_at_last(channel, 4)
    assert stored(broker, options) == [4]


def test_an_outage_beyond_the_policy_ends_in_an_error_and_a_later_transaction_in_a_new_connection(
    broker: DevelopmentBroker,
) -> None:
    options = SolaceOptions(host=broker.url, reconnect=HASTY)
    with SolaceChannel(options) as channel:
        assert put(channel, 1) is OutcomeKind.COMMITTED
        broker.refuse_connections()
        broker.cut_connections()
        begun = monotonic()
        # Which one depends on whether the client has given up already.
        with pytest.raises(ConnectionFailedError, match=r"No broker answers|was lost"):
            put_at_last(channel, 2)
        assert monotonic() - begun < 60
        broker.accept_connections()
        assert put(channel, 3) is OutcomeKind.COMMITTED
    assert stored(broker, options) == [1, 3]


def test_takes_come_again_after_a_cut(broker: DevelopmentBroker, options: SolaceOptions) -> None:
    with SolaceChannel(options) as writer:
        assert put(writer, *range(10)) is OutcomeKind.COMMITTED
    with SolaceChannel(options, queue="q") as channel:
        with channel.transaction() as tx:
            assert len(tx.take(3, 60)) > 0
            broker.cut_connections()
            try:
                tx.take(1, 1)
                outcome = tx.commit()
            except ConnectionFailedError:
                outcome = tx.rollback()
        assert outcome.kind in NOT_COMMITTED
        got: list[int] = []
        deadline = monotonic() + 60
        while len(got) < 10 and monotonic() < deadline:
            with channel.transaction() as tx:
                try:
                    batch = tx.take(4, 1)
                except ConnectionFailedError:
                    continue
                if tx.commit().committed:
                    got += [int(event.body) for event in batch.events()]

    assert got == list(range(10))
    assert broker.queue("q").messages == 0


def test_a_channel_can_be_closed_while_a_take_is_blocked(options: SolaceOptions) -> None:
    channel = SolaceChannel(options, queue="q")
    caught: list[BaseException | EventBatch] = []

    def take() -> None:
        with channel.transaction() as tx:
            try:
                caught.append(tx.take(1, 100))
            except ConnectionFailedError as error:
                caught.append(error)

    blocked = threading.Thread(target=take)
    blocked.start()
    eventually(lambda: is_busy(channel))
    begun = monotonic()

    channel.close()

    assert monotonic() - begun < 60
    blocked.join(60)
    assert not blocked.is_alive()
    assert isinstance(caught[0], ConnectionFailedError)


def test_a_channel_can_be_closed_while_a_commit_waits_for_a_broker_that_froze(
    broker: DevelopmentBroker, options: SolaceOptions
) -> None:
    channel = SolaceChannel(options)
    assert put(channel, 0) is OutcomeKind.COMMITTED
    outcomes: list[OutcomeKind] = []
    tx = channel.transaction()
    tx.begin()
    tx.put(numbered(1), "logs/x")
    broker.freeze()
    blocked = threading.Thread(target=lambda: outcomes.append(tx.commit().kind))
    blocked.start()
    eventually(lambda: is_busy(channel))
    begun = monotonic()

    channel.close()

    assert monotonic() - begun < 60
    blocked.join(60)
    assert not blocked.is_alive()
    broker.thaw()
    assert outcomes[0] is not OutcomeKind.COMMITTED


def test_every_committed_event_is_stored_once_whatever_is_cut(
    broker: DevelopmentBroker, options: SolaceOptions
) -> None:
    stop = threading.Event()

    def saw() -> None:
        pause, seen = 0.2, 0
        while not stop.wait(pauses.expovariate(1 / pause)):
            # Rarer and rarer until a commit succeeds in between, however slow that is.
            pause = 0.2 if len(committed) > seen else 1.5 * pause
            seen = len(committed)
            broker.cut_connections()

    pauses = random.Random(7)
    sawing = threading.Thread(target=saw)
    committed: set[int] = set()
    unknown: set[int] = set()
    number = 0
    with SolaceChannel(options) as channel:
        assert put(channel, -1) is OutcomeKind.COMMITTED
    with SolaceChannel(asking_for(2.0, options)) as channel:
        sawing.start()
        deadline = monotonic() + 4
        while monotonic() < deadline or not committed:
            numbers = range(number, number + 50)
            number += 50
            try:
                kind = put(channel, *numbers)
            except ConnectionFailedError:
                continue
            if kind is OutcomeKind.COMMITTED:
                committed.update(numbers)
            elif kind is OutcomeKind.UNKNOWN:
                unknown.update(numbers)
        stop.set()
        sawing.join()

    there = stored(broker, options)
    assert len(there) == len(set(there)), "an event is stored twice"
    assert committed
    assert committed <= set(there), "a committed event is missing"
    assert set(there) - {-1} <= committed | unknown, "an event is stored that was rolled back"
