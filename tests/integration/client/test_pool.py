"""Channels of one process over one connection."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flumebeam.batch import EventBatch
from flumebeam.broker import DevelopmentBroker
from flumebeam.channel.pool import ConnectionPool
from flumebeam.channel.solace import SolaceChannel
from flumebeam.errors import ConnectionFailedError
from flumebeam.solace.config import SolaceOptions
from flumebeam.testing import running_broker
from tests.policies import IMPATIENT
from tests.waiting import eventually


def put(channel: SolaceChannel, *bodies: bytes) -> None:
    with channel.transaction() as transaction:
        transaction.put(EventBatch.from_bodies(bodies), "logs/a")
        assert transaction.commit().committed


def test_channels_share_a_connection_have_their_own_transactions_and_the_last_one_closes_it() -> None:
    with running_broker() as broker:
        broker.create_queue("logs", subscriptions=["logs/>"])
        pool, options = ConnectionPool(), SolaceOptions(host=broker.url)
        first, second, other = (
            SolaceChannel(each, connector=pool.share)
            for each in (options, options, replace(options, client_name="other-{unique}"))
        )

        with first.transaction() as one:
            one.put(EventBatch.from_bodies([b"1"]), "logs/a")
            put(second, b"2")
            assert broker.queue("logs").messages == 1
            assert len(broker.clients()) == 1
            assert one.commit().committed
        put(other, b"3")
        assert len(broker.clients()) == 2
        first.close()
        put(second, b"4")
        second.close()
        other.close()

        assert broker.queue("logs").messages == 4
        eventually(lambda: not broker.clients(), 10)


def test_a_connection_that_is_lost_for_good_is_replaced_once_for_all() -> None:
    with running_broker() as broker:
        broker.create_queue("logs", subscriptions=["logs/>"])
        options = SolaceOptions(host=broker.url, reconnect=IMPATIENT)
        pool = ConnectionPool()
        channels = [SolaceChannel(options, connector=pool.share) for _ in range(2)]
        for channel in channels:
            put(channel, b"before")
        _lose(broker, channels)

        for channel in channels:
            put(channel, b"after")
        assert len(broker.clients()) == 1
        for channel in channels:
            channel.close()

        assert broker.queue("logs").messages == 4
        eventually(lambda: not broker.clients(), 10)


def _lose(broker: DevelopmentBroker, channels: list[SolaceChannel]) -> None:
    broker.refuse_connections()
    broker.cut_connections()
    eventually(lambda: not any(channel._connection.alive for channel in channels if channel._connection), 20)
    broker.accept_connections()


def test_a_broker_that_is_not_there_leaves_nothing_in_the_pool() -> None:
    pool = ConnectionPool()
    options = SolaceOptions(host="localhost:1", reconnect=IMPATIENT)

    for _ in range(2):
        with pytest.raises(ConnectionFailedError, match="No broker answers"):
            pool.share(options)


def test_a_use_that_was_closed_is_over_for_its_user_only() -> None:
    with running_broker() as broker:
        pool = ConnectionPool()
        uses = [pool.share(SolaceOptions(host=broker.url)) for _ in range(2)]

        assert uses[0].close() is False
        assert (uses[0].alive, uses[1].alive, uses[1].away) == (False, True, False)
        uses[1].close()
        assert uses[1].close() is False
        eventually(lambda: not broker.clients(), 10)
