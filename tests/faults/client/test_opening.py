"""A connection that breaks while something is opened on it: nothing has happened yet, so it is opened again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pytest

from flumebeam.broker.faults import CutInFrame, LoseBindResponse
from flumebeam.errors import ConnectionFailedError
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.session import VendorConnection, connect
from flumebeam.testing.broker import DevelopmentBroker
from tests.faults.client.patience import HASTY
from tests.integration.client.helpers import bodies, drink, fill
from tests.waiting import eventually


@pytest.fixture
def connection(options: SolaceOptions) -> Iterator[VendorConnection]:
    with connect(options) as connection:
        yield connection


@pytest.mark.parametrize("sent", [False, True], ids=["to", "from"])
@pytest.mark.parametrize("after_bytes", [1, 60, 130, 250])
def test_a_session_opens_though_the_connection_breaks_on_the_way(
    broker: DevelopmentBroker, connection: VendorConnection, after_bytes: int, sent: bool
) -> None:
    fill(connection, 1)
    broker.fault(CutInFrame(after_bytes=after_bytes, sent=sent))

    session = connection.transacted_session(queue="q")

    with suppress(ConnectionFailedError):
        assert bodies(session.receive(1, 60)) == [b"1"]
        return
    # The bytes went by only when it was open, which ends it as any other.
    session.close()
    assert bodies(connection.transacted_session(queue="q").receive(1, 60)) == [b"1"]


def test_a_session_opens_though_its_bind_is_not_answered_before_the_connection_breaks(
    broker: DevelopmentBroker, connection: VendorConnection
) -> None:
    fill(connection, 1)
    broker.fault(LoseBindResponse(cut=True))

    session = connection.transacted_session(queue="q")

    assert bodies(session.receive(1, 60)) == [b"1"]


@pytest.mark.parametrize("sent", [False, True], ids=["to", "from"])
@pytest.mark.parametrize("after_bytes", [1, 60, 130])
def test_a_receiver_opens_though_the_connection_breaks_on_the_way(
    broker: DevelopmentBroker, connection: VendorConnection, after_bytes: int, sent: bool
) -> None:
    fill(connection, 1)
    broker.fault(CutInFrame(after_bytes=after_bytes, sent=sent))

    receiver = connection.receiver("q")

    eventually(lambda: broker.queue("q").consumers == 1)
    assert bodies(drink(receiver, 1)) == [b"1"]


def test_nothing_is_opened_on_a_connection_that_does_not_come_back(
    broker: DevelopmentBroker, options: SolaceOptions
) -> None:
    hasty = replace(options, reconnect=HASTY)
    with connect(hasty) as connection:
        broker.stop()

        with pytest.raises(ConnectionFailedError, match="was lost"):
            connection.transacted_session(queue="q")
