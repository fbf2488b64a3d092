"""What every channel does: the rules, once, for whatever implementation the fixture ``bench`` offers."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from time import monotonic
from typing import Protocol

import pyarrow as pa
import pytest

from flumebeam.batch import EventBatch
from flumebeam.channel.base import Channel, Transaction
from flumebeam.channel.transaction import TransactionState
from flumebeam.errors import PublishRefusedError, TransactionStateError, TransactionTooLargeError
from flumebeam.event import Event
from flumebeam.solace.packing import Packing
from flumebeam.solace.ports import OutcomeKind

TOPIC = "logs/web"


class Bench(Protocol):
    """An implementation under test: channels over one queue, which gets whatever is put to a topic below ``logs``."""

    def channel(self, limit: int = 256) -> Channel: ...

    def writer(self) -> Channel:
        """A channel that only puts, so that it takes nothing away from a reader."""
        ...


def numbered(*numbers: int) -> EventBatch:
    return EventBatch.from_bodies([b"%d" % number for number in numbers])


def bodies(batch: EventBatch) -> list[bytes]:
    return [event.body for event in batch.events()]


def put(channel: Channel, *numbers: int) -> None:
    with channel.transaction() as tx:
        tx.put(numbered(*numbers), TOPIC)
        assert tx.commit().committed


def take(channel: Channel, count: int, *, commit: bool = True) -> list[Event]:
    """Take ``count`` events in one transaction, as they come."""
    events: list[Event] = []
    deadline = monotonic() + 60
    with channel.transaction() as tx:
        while len(events) < count and monotonic() < deadline:
            events += tx.take(count - len(events), 0.5).events()
        if commit:
            assert tx.commit().committed
    assert len(events) == count
    return events


def is_empty(channel: Channel) -> bool:
    with channel.transaction() as tx:
        return len(tx.take(1, 0.3)) == 0


class ChannelContract:
    """The rules; a subclass gives the fixture ``bench``."""

    def test_what_is_put_can_be_taken_in_order(self, bench: Bench) -> None:
        channel = bench.channel()

        put(channel, 1, 2)
        put(channel, 3)

        assert [event.body for event in take(channel, 3)] == [b"1", b"2", b"3"]

    def test_packed_events_count_as_one_message_and_come_out_one_by_one(self, bench: Bench) -> None:
        channel = bench.channel(limit=3)

        with channel.transaction() as tx:
            tx.put(numbered(1, 2, 3, 4, 5), TOPIC, Packing(max_events=3))
            assert tx.room == 1
            with pytest.raises(TransactionTooLargeError):
                tx.put(numbered(*range(4)), TOPIC, Packing(max_events=2))
            assert tx.commit().committed

        with channel.transaction() as tx:
            found = bodies(tx.take(1, 60))
            assert tx.room == 2
            found += bodies(tx.take(1, 60))
            assert tx.commit().committed
        assert found == [b"1", b"2", b"3", b"4", b"5"]

    def test_nobody_sees_a_put_before_its_commit(self, bench: Bench) -> None:
        writer, reader = bench.writer(), bench.channel()

        with writer.transaction() as tx:
            tx.put(numbered(1), TOPIC)
            assert is_empty(reader)
            assert tx.commit().committed

        assert [event.body for event in take(reader, 1)] == [b"1"]

    def test_a_rollback_undoes_puts(self, bench: Bench) -> None:
        channel = bench.channel()

        with channel.transaction() as tx:
            tx.put(numbered(1), TOPIC)
            assert tx.rollback().kind is OutcomeKind.ROLLED_BACK
        put(channel, 2)

        assert [event.body for event in take(channel, 1)] == [b"2"]
        assert is_empty(channel)

    def test_a_rollback_gives_takes_back_in_order_and_marked(self, bench: Bench) -> None:
        channel = bench.channel()
        put(channel, 1, 2, 3)

        first = take(channel, 2, commit=False)
        again = take(channel, 3)

        assert [event.body for event in first] == [b"1", b"2"]
        assert [event.body for event in again] == [b"1", b"2", b"3"]
        assert [event.provenance.redelivered for event in again if event.provenance][:2] == [True, True]
        assert again[0].headers["solace.redelivered"] == "true"
        assert again[0].provenance is not None
        assert first[0].provenance is not None
        assert again[0].provenance.delivery == first[0].provenance.delivery

    def test_a_committed_take_never_comes_again(self, bench: Bench) -> None:
        channel = bench.channel()
        put(channel, 1, 2)

        take(channel, 1)

        assert [event.body for event in take(channel, 1)] == [b"2"]
        assert is_empty(channel)

    def test_takes_and_puts_commit_together(self, bench: Bench) -> None:
        channel = bench.channel()
        put(channel, 1)

        with channel.transaction() as tx:
            taken = tx.take(1, 60)
            tx.put(numbered(2), TOPIC)
            assert bodies(taken) == [b"1"]
            assert tx.commit().committed

        assert [event.body for event in take(channel, 1)] == [b"2"]
        assert is_empty(channel)

    def test_takes_and_puts_roll_back_together(self, bench: Bench) -> None:
        channel = bench.channel()
        put(channel, 1)

        with channel.transaction() as tx:
            tx.take(1, 60)
            tx.put(numbered(2), TOPIC)

        assert [event.body for event in take(channel, 1)] == [b"1"]
        assert is_empty(channel)

    def test_leaving_the_block_without_commit_rolls_back(self, bench: Bench) -> None:
        channel = bench.channel()

        def leave(tx: Transaction) -> None:
            with tx:
                tx.put(numbered(1), TOPIC)
                raise ZeroDivisionError

        tx = channel.transaction()
        with pytest.raises(ZeroDivisionError):
            leave(tx)

        assert tx.state is TransactionState.CLOSED
        assert is_empty(channel)

    def test_an_empty_commit_is_committed(self, bench: Bench) -> None:
        with bench.channel().transaction() as tx:
            tx.put(EventBatch.empty(), TOPIC)
            assert tx.commit().committed

    def test_a_take_of_nothing_returns_after_its_timeout(self, bench: Bench) -> None:
        channel = bench.channel()
        with channel.transaction() as tx:
            begun = monotonic()
            assert len(tx.take(1, 0.2)) == 0
            assert 0.15 < monotonic() - begun < 50

    def test_a_take_waits_for_the_first_event_only(self, bench: Bench) -> None:
        writer, reader = bench.writer(), bench.channel()
        with reader.transaction() as tx:
            feeder = threading.Timer(0.2, put, (writer, 1))
            feeder.start()
            begun = monotonic()
            batch = tx.take(10, 100)
            elapsed = monotonic() - begun
            feeder.join()

        assert bodies(batch) == [b"1"]
        assert elapsed < 90

    def test_more_than_the_room_is_refused_and_nothing_of_it_added(self, bench: Bench) -> None:
        channel = bench.channel(limit=3)
        with channel.transaction() as tx:
            tx.put(numbered(1, 2), TOPIC)
            assert tx.room == 1
            with pytest.raises(TransactionTooLargeError, match="2 messages do not fit"):
                tx.put(numbered(3, 4), TOPIC)
            tx.put(numbered(5), TOPIC)
            assert tx.room == 0
            with pytest.raises(TransactionTooLargeError, match="full"):
                tx.take(1, 0)
            assert tx.commit().committed

        assert [event.body for event in take(channel, 3)] == [b"1", b"2", b"5"]

    def test_a_take_stops_at_the_room(self, bench: Bench) -> None:
        writer, reader = bench.writer(), bench.channel(limit=2)
        put(writer, 1, 2, 3)

        events = take(reader, 2)
        with reader.transaction() as tx:
            rest = tx.take(99, 60)
            assert tx.room == 1
            assert tx.commit().committed

        assert [event.body for event in events] == [b"1", b"2"]
        assert bodies(rest) == [b"3"]

    def test_a_batch_that_cannot_be_published_leaves_the_transaction_as_it_was(self, bench: Bench) -> None:
        channel = bench.channel()
        with channel.transaction() as tx:
            tx.put(numbered(1), TOPIC)
            with pytest.raises(PublishRefusedError):
                tx.put(EventBatch.from_bodies([b"2"], {"h": "a\0b"}), TOPIC)
            assert tx.room == 255
            assert tx.commit().committed

        assert [event.body for event in take(channel, 1)] == [b"1"]

    def test_only_one_transaction_is_open_at_a_time(self, bench: Bench) -> None:
        channel = bench.channel()
        with channel.transaction() as tx, pytest.raises(TransactionStateError, match="open transaction"):
            channel.transaction()
        assert tx.state is TransactionState.CLOSED
        channel.transaction().close()
        channel.transaction().close()

    def test_misuse_is_told_and_changes_nothing(self, bench: Bench) -> None:
        channel = bench.channel()
        tx = channel.transaction()
        for misuse in (tx.commit, tx.rollback, lambda: tx.put(numbered(1), TOPIC), lambda: tx.take(1, 0)):
            with pytest.raises(TransactionStateError, match="that is new cannot"):
                misuse()
        tx.begin()
        with pytest.raises(TransactionStateError, match="that is open cannot begin"):
            tx.begin()
        assert tx.commit().committed
        for misuse in (tx.begin, tx.commit, tx.rollback, lambda: tx.put(numbered(1), TOPIC), lambda: tx.take(1, 0)):
            with pytest.raises(TransactionStateError, match="that is completed cannot"):
                misuse()
        tx.close()
        tx.close()
        with pytest.raises(TransactionStateError, match="that is closed cannot"):
            tx.begin()

    def test_a_closed_channel_gives_back_what_was_taken(self, bench: Bench) -> None:
        channel, other = bench.channel(), bench.channel()
        put(channel, 1)
        tx = channel.transaction()
        tx.begin()
        assert bodies(tx.take(1, 60)) == [b"1"]

        channel.close()
        channel.close()

        assert [event.body for event in take(other, 1)] == [b"1"]
        with pytest.raises(TransactionStateError, match="closed"):
            channel.transaction()

    @pytest.mark.parametrize("topics", [TOPIC, ["logs/a", "logs/b/c", "logs/a"]])
    def test_bodies_and_headers_arrive_as_they_went(self, bench: Bench, topics: str | Sequence[str]) -> None:
        channel = bench.channel()
        sent = EventBatch.from_bodies(
            [b"", b"\x00\xff\r\n", b"\x1f\x00\x00\x00\x08ab\x00"],
            {"host": "h1", "flumebeam.id": "f:7", "solace.priority": "9"},
            {"empty": ["", None, ""], "ünï": ["ä\n", "\U0001f600", None], "long": ["x" * 5000, None, "y"]},
        )

        with channel.transaction() as tx:
            tx.put(sent, topics if isinstance(topics, str) else pa.array(topics))
            assert tx.commit().committed
        got = take(channel, 3)

        assert [event.body for event in got] == [b"", b"\x00\xff\r\n", b"\x1f\x00\x00\x00\x08ab\x00"]
        own = [{n: v for n, v in event.headers.items() if not n.startswith("solace.")} for event in got]
        assert own == [
            {"host": "h1", "flumebeam.id": "f:7", "empty": "", "ünï": "ä\n", "long": "x" * 5000},
            {"host": "h1", "flumebeam.id": "f:7", "ünï": "\U0001f600"},
            {"host": "h1", "flumebeam.id": "f:7", "empty": "", "long": "y"},
        ]
        expected = [topics] * 3 if isinstance(topics, str) else list(topics)
        assert [event.headers["solace.topic"] for event in got] == expected
        assert [event.headers["solace.topic.1"] for event in got] == ["logs"] * 3
        assert {event.headers["solace.application-message-id"] for event in got} == {"f:7"}

    def test_every_event_has_an_identity_of_its_own(self, bench: Bench) -> None:
        channel = bench.channel()
        put(channel, 1, 2)
        put(channel, 3)

        got = take(channel, 3)

        assert len({event.provenance.delivery for event in got if event.provenance}) == 3
