"""The next transaction fills while one commits."""

from __future__ import annotations

import threading

import pytest

from flumebeam.channel.base import Transaction
from flumebeam.channel.memory import MemoryChannel
from flumebeam.channel.publishing import Publisher
from flumebeam.clock import ManualClock
from flumebeam.deliveries import Durable
from flumebeam.errors import LoginRefusedError
from flumebeam.solace.ports import Outcome
from tests.unit.channel.letters import UnreachableChannel, batch, stored


class HeldChannel(MemoryChannel):
    """A channel whose commits wait until they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.let_go = threading.Semaphore(0), threading.Semaphore(0)

    def transaction(self) -> Transaction:
        transaction = super().transaction()
        commit = transaction.commit

        def held() -> Outcome:
            self.begun.release()
            self.let_go.acquire()
            return commit()

        transaction.commit = held  # type: ignore[method-assign]
        return transaction


def overlapping(channel: MemoryChannel) -> Publisher:
    clock = ManualClock()
    return Publisher(channel, 4, 60, clock=clock, pause=clock.advance, overlap=True)


def test_events_are_gathered_while_a_transaction_commits_and_no_other_one_begins() -> None:
    channel = HeldChannel()
    made = overlapping(channel)

    assert list(made.add(batch("abcdef"), "t")) == []
    channel.begun.acquire()
    assert list(made.add(batch("g"), "t")) == []
    assert stored(channel) == ""
    channel.let_go.release(2)
    settled = [*made.add(batch("h"), "t"), *made.flush()]

    assert stored(channel) == "abcdefgh"
    assert [len(one.ids) for one in settled if isinstance(one, Durable)] == [4, 2, 1, 1]
    assert made.counts.transactions_committed == 2


def test_what_ended_a_transaction_behind_the_callers_back_is_raised_by_the_next_call() -> None:
    made = overlapping(UnreachableChannel([LoginRefusedError("no")]))

    assert list(made.add(batch("abcd"), "t")) == []
    with pytest.raises(LoginRefusedError):
        list(made.flush())
    assert list(made.flush()) == []


def test_what_is_forgotten_while_it_commits_is_waited_for_and_never_told() -> None:
    channel = HeldChannel()
    made = overlapping(channel)
    list(made.add(batch("abcdef"), "t"))
    channel.let_go.release()

    made.forget()

    assert stored(channel) == "abcd"
    assert list(made.flush()) == []


def test_closing_ends_a_transaction_that_is_under_way() -> None:
    channel = HeldChannel()
    made = overlapping(channel)
    before = committing()
    list(made.add(batch("abcd"), "t"))
    assert committing() - before
    channel.let_go.release()

    made.close()

    assert committing() <= before


def committing() -> set[threading.Thread]:
    """Return the threads of publishers; others come and go in a process that has run other tests."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("flumebeam-publish")}
