"""Which queues hold which stored messages, whatever comes and goes in whatever commits."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flumebeam.broker import store_holdings
from flumebeam.broker.core.journal import (
    DeliveredAgain,
    QueueDeleted,
    QueueSet,
    Record,
    Removed,
    Renumbered,
    Replayed,
    Stored,
    Subscribed,
)
from flumebeam.broker.core.queue_settings import QueueSettings
from flumebeam.broker.core.spool import SpooledMessage
from flumebeam.broker.store import Store
from flumebeam.errors import StorageError
from flumebeam.smf.assuredctrl import AccessType
from flumebeam.smf.pubmsg import MessageTemplate
from tests.unit.broker.conftest import Peer

TEMPLATE = MessageTemplate(Peer.message(1, 1, 0, b"").encode())
SETTINGS = QueueSettings(max_bytes=1_000, max_unacked=100, max_consumers=1)
QUEUES = ("a", "b", "c")
_COUNTS = ("packs", "held", "messages", "entries", "marks")


@pytest.fixture
def store() -> Iterator[Store]:
    opened = empty()
    yield opened
    opened.close()


def empty() -> Store:
    store = Store.in_memory("default", 1)
    store.commit([QueueSet(name, AccessType.EXCLUSIVE, None, 4, SETTINGS) for name in QUEUES])
    return store


def message(number: int, size: int = 10) -> SpooledMessage:
    return SpooledMessage(number, TEMPLATE, b"", (b"%d," % number).ljust(size, b"."), 1.0)


def stored(numbers: range | list[int], *queues: str, size: int = 10) -> Stored:
    return Stored([message(number, size) for number in numbers], queues)


def held(store: Store) -> dict[str, list[int]]:
    """What each queue holds by what is read, which is what an index made anew says as well."""
    found: dict[str, list[int]] = {name: [] for name in QUEUES}
    for record in store.records():
        if isinstance(record, Stored):
            for one in record.messages:
                assert one.body.startswith(b"%d," % one.id)
                for name in record.queues:
                    found[name].append(one.id)
    known = {pack.first: (pack.held, pack.end) for pack in store._holdings._packs.values()}
    store._look()
    assert {pack.first: (pack.held, pack.end) for pack in store._holdings._packs.values()} == known
    return found


def marks(store: Store) -> set[tuple[str, str, int, int]]:
    return {
        (type(record).__name__, record.queue, message, value)
        for record in store.records()
        if isinstance(record, Renumbered | DeliveredAgain)
        for message, value in (record.ids if isinstance(record, Renumbered) else record.counts)
    }


def rows(store: Store) -> dict[str, int]:
    return {
        table: store._connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - names of our own
        for table in _COUNTS
    }


def test_messages_of_one_commit_are_few_rows_and_leave_by_few(store: Store) -> None:
    store.commit([stored(range(1, 1001), "a", "b"), stored(range(1001, 1011), "c")])
    assert rows(store) == {"packs": 1, "held": 3, "messages": 0, "entries": 0, "marks": 0}

    store.commit([Removed("a", list(range(1, 1001)))])
    assert rows(store)["packs"] == 1
    store.commit([Removed("b", list(range(1, 1000))), Removed("c", list(range(1001, 1011)))])
    assert held(store) == {"a": [], "b": [1000], "c": []}
    store.commit([Removed("b", [1000])])
    assert set(rows(store).values()) == {0}


def test_few_or_large_messages_have_a_row_each_between_packs(store: Store) -> None:
    large = [message(number, 50_000 if number % 10 == 0 else 10) for number in range(1, 101)]
    store.commit([Stored(large, ("a", "b"))])
    store.commit([stored(range(101, 104), "a")])

    assert rows(store) == {"packs": 1, "held": 2, "messages": 13, "entries": 23, "marks": 0}
    assert held(store) == {"a": list(range(1, 104)), "b": list(range(1, 101)), "c": []}
    store.commit([Removed("a", list(range(1, 104))), Removed("b", [10, 11, 20])])
    assert held(store)["b"] == [number for number in range(1, 101) if number not in (10, 11, 20)]


def test_messages_with_ids_far_apart_have_a_row_each(store: Store) -> None:
    numbers = [number * 100_000 for number in range(1, 20)]
    store.commit([stored(numbers, "a")])

    assert (rows(store)["messages"], held(store)["a"]) == (19, numbers)


def test_what_came_and_left_in_one_commit_is_not_written(store: Store) -> None:
    changes = store._connection.total_changes
    ids = list(range(1, 21))
    store.commit([stored(ids, "a"), DeliveredAgain("a", [(3, 2)]), Removed("a", ids), stored([21], "a")])
    store.commit([])
    store.commit([stored([22, 23], "b"), Removed("b", [23]), stored([24], "a", "b"), Removed("a", [24, 21])])

    assert store._connection.total_changes - changes < 10
    assert held(store) == {"a": [], "b": [22, 24], "c": []}


def test_messages_of_several_shares_are_kept_in_the_order_of_their_ids(store: Store) -> None:
    store.commit([stored(list(range(1, 41, 2)), "a", "c"), stored(list(range(2, 41, 2)), "b", "c")])

    assert rows(store)["packs"] == 1
    assert held(store) == {"a": list(range(1, 41, 2)), "b": list(range(2, 41, 2)), "c": list(range(1, 41))}


def test_message_that_comes_late_at_another_site_is_between_those_of_a_pack(store: Store) -> None:
    store.commit([stored(list(range(1, 41, 2)), "a")])
    store.commit([stored(list(range(2, 41, 2)), "a", "b")])
    assert held(store)["a"] == list(range(1, 41))

    store.commit([Removed("a", list(range(1, 31)))])
    assert held(store) == {"a": list(range(31, 41)), "b": list(range(2, 41, 2)), "c": []}


def test_marks_go_with_their_messages_and_those_of_other_queues_stay(store: Store) -> None:
    ids = list(range(1, 21))
    store.commit([stored(ids, "a", "b"), stored([21], "a")])
    store.commit([DeliveredAgain("a", [(2, 3), (21, 2)]), DeliveredAgain("b", [(2, 5)]), Renumbered("a", [(2, 99)])])
    store.commit([DeliveredAgain("a", [(2, 4)])])
    assert marks(store) == {
        ("Renumbered", "a", 2, 99),
        ("DeliveredAgain", "a", 2, 4),
        ("DeliveredAgain", "a", 21, 2),
        ("DeliveredAgain", "b", 2, 5),
    }
    store._look()
    store.commit([Removed("a", [2, 3, 21])])

    assert marks(store) == {("DeliveredAgain", "b", 2, 5)}


def test_queue_of_the_same_name_holds_nothing_of_the_one_before(store: Store) -> None:
    again = QueueSet("a", AccessType.EXCLUSIVE, None, 4, SETTINGS)
    ids = list(range(1, 21))
    store.commit([stored(ids, "a"), Removed("a", ids), QueueDeleted("a"), again, stored([21], "a")])

    assert held(store)["a"] == [21]


def test_failed_commit_leaves_what_is_held_as_it_was(store: Store) -> None:
    store.commit([stored(range(1, 101), "a", "b")])
    twice = [Subscribed("b", "t", False)] * 2
    with pytest.raises(StorageError, match="cannot write"):
        store.commit([Removed("a", list(range(1, 51))), stored(range(101, 120), "a"), QueueDeleted("a"), *twice])
    store.commit([Removed("b", [1])])

    assert held(store) == {"a": list(range(1, 101)), "b": list(range(2, 101)), "c": []}


def test_room_of_what_has_gone_is_free_though_one_message_of_each_pack_stays(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_holdings, "_MIN_DEAD_BYTES", 0)
    ids = range(1, 10_001)
    store.commit([stored(ids, "a", size=300)])
    store.commit([Removed("a", [number for number in ids if number % 500])])
    store.commit([])

    assert held(store)["a"] == list(range(500, 10_001, 500))
    (size,) = store._connection.execute("SELECT sum(length(content)) FROM packs").fetchone()
    assert size < 20 * 500
    assert store._holdings._dead_bytes == 0
    assert store._holdings._live_bytes == size


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(("come", "come", "go", "again", "mark", "commit")),
        st.sets(st.sampled_from(QUEUES), min_size=1),
        st.integers(1, 12),
        st.randoms(use_true_random=False),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(_STEPS, st.sampled_from([(1, 4, 5), (3, 1_024, 1_000), (8, 1_024, 262_144)]))
def test_store_holds_what_was_put_in_and_not_taken_out(steps: list[Any], limits: tuple[int, int, int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in zip(("_MIN_PACK", "_MAX_PACK", "_MAX_PACK_BYTES"), limits, strict=True):
            patch.setattr(store_holdings, name, value)
        patch.setattr(store_holdings, "_MIN_DEAD_BYTES", 0)
        _follow(steps)


def _follow(steps: list[Any]) -> None:
    store = empty()
    model: dict[str, dict[int, int]] = {name: {} for name in QUEUES}
    ids = itertools.count(1)
    records: list[Record] = []
    for what, queues, count, random in steps:
        if what == "come":
            numbers = [next(ids) for _ in range(count)]
            # Ids that others took, and shares of one transaction that are told one after the other.
            numbers = [number for number in numbers if random.random() < 0.9]
            for part in (numbers[::2], numbers[1::2]):
                records.append(stored(part, *queues))
                for name in queues:
                    model[name].update(dict.fromkeys(part, 0))
        elif what == "commit":
            store.commit(records)
            records.clear()
            if random.random() < 0.3:
                store._look()
        for name in sorted(queues):
            known = sorted(model[name])
            chosen = [number for number in known if random.random() < 0.5]
            if what == "go":
                records.append(Removed(name, chosen))
                for number in chosen:
                    del model[name][number]
            elif what == "again":
                elsewhere = sorted(set().union(*model.values()) - set(known))
                records.append(Replayed(name, elsewhere))
                model[name].update(dict.fromkeys(elsewhere, 0))
            elif what == "mark" and chosen:
                records.append(DeliveredAgain(name, [(number, count + 1) for number in chosen]))
                model[name].update(dict.fromkeys(chosen, count + 1))
    store.commit(records)
    assert held(store) == {name: sorted(numbers) for name, numbers in model.items()}
    assert marks(store) == {
        ("DeliveredAgain", name, number, count)
        for name, numbers in model.items()
        for number, count in numbers.items()
        if count
    }
    holdings = store._holdings
    (size,) = store._connection.execute("SELECT coalesce(sum(length(content)), 0) FROM packs").fetchone()
    assert holdings._live_bytes + holdings._dead_bytes == size
    store.close()
