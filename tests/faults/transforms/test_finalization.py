"""Runners finalize a bundle late, twice, never, or where its receiver is not; readers move."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flumebeam.batch import EventBatch
from flumebeam.broker import DevelopmentBroker
from flumebeam.errors import ReceiverLostError
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.session import connect
from flumebeam.testing import running_broker
from flumebeam.transforms.receiver_read import _Settlement
from flumebeam.transforms.receivers import RECEIVERS, SourceUser
from flumebeam.transforms.solace_read import SolaceReceiverFactory
from flumebeam.transforms.stopping import forget_stop
from tests.failures import Counted
from tests.integration.client.helpers import bodies, drink
from tests.waiting import eventually

NUMBERS = [b"%d" % number for number in range(200)]
FIRST, SECOND = NUMBERS[:120], NUMBERS[120:]

# A worker that has nothing of the receiver but what the runner kept of the bundle.
ELSEWHERE = """
import pickle, sys
from flumebeam.errors import ReceiverLostError
try:
    pickle.load(open(sys.argv[1], "rb"))()
except ReceiverLostError as error:
    print(error)
    sys.exit(3)
"""


@pytest.fixture
def broker() -> Iterator[DevelopmentBroker]:
    with running_broker() as made:
        made.create_queue("logs", subscriptions=["logs/>"])
        yield made
    forget_stop()
    assert not RECEIVERS.in_use, "a source was not torn down"


@pytest.fixture
def factory(broker: DevelopmentBroker) -> SolaceReceiverFactory:
    return SolaceReceiverFactory(source="logs", connection=SolaceOptions(host=broker.url))


@pytest.fixture
def user(factory: SolaceReceiverFactory) -> Iterator[SourceUser]:
    joined = RECEIVERS.join(factory.token)
    yield joined
    RECEIVERS.leave(joined)


def fill(broker: DevelopmentBroker) -> None:
    with connect(SolaceOptions(host=broker.url)) as connection:
        session = connection.transacted_session()
        session.publish(EventBatch.from_bodies(NUMBERS), "logs/a")
        assert session.commit().committed


def bundle(user: SourceUser, factory: SolaceReceiverFactory, events: int) -> tuple[EventBatch, _Settlement]:
    """Read a bundle as the source does; return it, and what the runner is to call when it is safe."""
    receiver = RECEIVERS.acquire(user, 0, factory, settled_later=True)
    batch, settlement = drink(receiver, events), _Settlement(user)
    settlement.add(batch)
    return batch, settlement


def the_rest(factory: SolaceReceiverFactory, broker: DevelopmentBroker) -> list[bytes]:
    """Read what the queue has with another reader, and acknowledge it."""
    other = RECEIVERS.join("another worker")
    batch, settlement = bundle(other, factory, broker.queue("logs").messages)
    settlement()
    eventually(lambda: not broker.queue("logs").messages)
    RECEIVERS.leave(other)
    return bodies(batch)


@pytest.mark.failure("checkpoint finalized late")
def test_a_bundle_that_is_finalized_behind_a_later_one_is_acknowledged_by_its_own_ids(
    broker: DevelopmentBroker, factory: SolaceReceiverFactory, user: SourceUser, counted: Counted
) -> None:
    fill(broker)
    first, settle_first = bundle(user, factory, len(FIRST))
    second, settle_second = bundle(user, factory, len(SECOND))

    settle_second()
    eventually(lambda: broker.queue("logs").messages == len(FIRST))
    settle_first()

    eventually(lambda: not broker.queue("logs").messages)
    counted(NUMBERS, [*bodies(first), *bodies(second)])


@pytest.mark.failure("checkpoint finalized twice")
def test_a_bundle_that_is_finalized_twice_is_acknowledged_once(
    broker: DevelopmentBroker, factory: SolaceReceiverFactory, user: SourceUser, counted: Counted
) -> None:
    fill(broker)
    first, settle_first = bundle(user, factory, len(FIRST))
    settle_first()
    second, _ = bundle(user, factory, len(SECOND))

    settle_first()

    eventually(lambda: broker.queue("logs").messages == len(SECOND))
    counted(NUMBERS, bodies(first), kept=broker.queue("logs").messages)
    assert bodies(second) == SECOND


@pytest.mark.failure("checkpoint never finalized")
def test_what_is_never_finalized_comes_again_when_its_reader_is_gone(
    broker: DevelopmentBroker, factory: SolaceReceiverFactory, user: SourceUser, counted: Counted
) -> None:
    fill(broker)
    first, settle_first = bundle(user, factory, len(FIRST))
    settle_first()
    second, _ = bundle(user, factory, len(SECOND))
    eventually(lambda: broker.queue("logs").messages == len(SECOND))

    RECEIVERS.leave(user)

    again = the_rest(factory, broker)
    assert again == SECOND
    counted(NUMBERS, [*bodies(first), *bodies(second), *again])


@pytest.mark.failure("checkpoint finalized on another worker")
def test_a_bundle_that_is_finalized_on_another_worker_is_an_error_there_and_comes_again(
    broker: DevelopmentBroker, factory: SolaceReceiverFactory, user: SourceUser, tmp_path: Path, counted: Counted
) -> None:
    fill(broker)
    first, settlement = bundle(user, factory, len(NUMBERS))
    kept = tmp_path / "settlement"
    kept.write_bytes(pickle.dumps(settlement))

    there = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(kept)], capture_output=True, text=True, timeout=250, check=False
    )

    assert (there.returncode, "is not open in this process" in there.stdout) == (3, True), there.stderr
    assert broker.queue("logs").messages == len(NUMBERS)
    RECEIVERS.leave(user)
    counted(NUMBERS, [*bodies(first), *the_rest(factory, broker)])


@pytest.mark.failure("reader moved when a job is rescaled")
def test_a_reader_that_moves_in_mid_bundle_leaves_what_is_not_finalized_to_the_one_that_follows(
    broker: DevelopmentBroker, factory: SolaceReceiverFactory, user: SourceUser, counted: Counted
) -> None:
    broker.delete_queue("logs")
    broker.create_queue("logs", access="non-exclusive", subscriptions=["logs/>"])
    fill(broker)
    first, settle_first = bundle(user, factory, len(FIRST))
    second, settle_second = bundle(user, factory, 10)

    settle_first()
    eventually(lambda: broker.queue("logs").messages == len(SECOND))
    RECEIVERS.leave(user)
    following = the_rest(factory, broker)

    assert sorted(following) == sorted(SECOND)
    with pytest.raises(ReceiverLostError, match="is not open in this process"):
        settle_second()
    counted(NUMBERS, [*bodies(first), *bodies(second), *following])
