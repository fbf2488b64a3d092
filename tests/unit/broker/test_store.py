"""The database: its commits, its identity, and what is told when it cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flumebeam.broker.core.journal import InVpn, Issued, PublisherMoved, QueueDeleted, Removed, Stored, Subscribed
from flumebeam.broker.store import FILE_NAME, Store
from flumebeam.errors import ConfigurationError, StorageError, StorageFullError
from tests.unit.broker.conftest import SPOOLER
from tests.unit.broker.lives import keeping


def test_body_is_stored_once_for_many_queues(keeper: Any, store: Store, tmp_path: Path) -> None:
    for number in range(8):
        keeper.engine.create_queue(f"r{number}", "exclusive", ["t/>"])
    peer = keeper.client()
    peer.publish(peer.publisher().flow_id, bytes(1_000_000))
    store.commit(keeper.engine.take_journal())
    store.close()

    assert (tmp_path / FILE_NAME).stat().st_size < 1_500_000


def test_commit_is_all_or_nothing(make_world: Callable[..., Any], keeper: Any, store: Store) -> None:
    peer = keeper.client()
    peer.publish(peer.publisher().flow_id, b"a")
    records = keeper.engine.take_journal()
    store.commit(records)
    before = list(store.records())
    (stored,) = (record for record in records if isinstance(record, Stored))

    with pytest.raises(StorageError, match="cannot write"):
        store.commit([Removed("q", [stored.messages[0].id]), QueueDeleted("q"), *records])

    assert [record for record in store.records() if not isinstance(record, Stored)] == [
        record for record in before if not isinstance(record, Stored)
    ]
    store.commit([PublisherMoved("nobody", 1)])


def test_full_disk_is_told_from_other_failures_and_changes_nothing(
    make_world: Callable[..., Any], keeper: Any, store: Store
) -> None:
    store.commit(keeper.engine.take_journal())
    (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    peer = keeper.client()
    peer.publish(peer.publisher().flow_id, bytes(100_000))

    with pytest.raises(StorageFullError, match="make room"):
        store.commit(keeper.engine.take_journal())

    assert not any(isinstance(record, Stored) for record in store.records())


def test_erased_store_is_empty_and_has_another_identity(
    make_world: Callable[..., Any], keeper: Any, store: Store, tmp_path: Path
) -> None:
    store.commit(keeper.engine.take_journal())
    store.replace(SPOOLER + 1, ())
    store.close()
    again = Store.open(tmp_path, "default", SPOOLER)

    assert again.spooler_id == SPOOLER + 1
    assert {type(record) for record in again.records()} == {Issued, InVpn}
    again.close()


def test_store_takes_another_state_with_another_identity_or_stays_as_it_is(
    make_world: Callable[..., Any], keeper: Any, store: Store, tmp_path: Path
) -> None:
    peer = keeper.client()
    peer.publish(peer.publisher().flow_id, b"a")
    store.commit(keeper.engine.take_journal())
    other = keeping(make_world)
    other.engine.create_vpn("more", {"default": None})
    other.engine.create_queue("new", "exclusive", ["n"], vpn="more")
    records = other.engine.take_journal()
    with pytest.raises(StorageError, match="cannot replace its data"):
        store.replace(SPOOLER + 1, [*records, Subscribed("new", "n", False), Subscribed("new", "n", False)])
    assert (store.spooler_id, keeping(make_world, list(store.records())).engine.queue("q").messages) == (SPOOLER, 1)

    store.replace(SPOOLER + 1, records)
    store.close()
    again = Store.open(tmp_path, "default", SPOOLER)
    found = keeping(make_world, list(again.records())).engine
    assert (again.spooler_id, found.queue("q").messages, found.queue("new", "more").messages) == (SPOOLER + 1, 0, 0)
    again.close()


def test_store_keeps_its_spooler_id(store: Store, tmp_path: Path) -> None:
    store.close()
    again = Store.open(tmp_path, "default", 5)

    assert again.spooler_id == SPOOLER
    again.close()


def test_second_broker_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="in use by another broker"):
        Store.open(tmp_path, "default", SPOOLER)


def test_data_of_another_vpn_is_refused(store: Store, tmp_path: Path) -> None:
    store.close()

    with pytest.raises(ConfigurationError, match="belongs to the message VPN default"):
        Store.open(tmp_path, "prod", SPOOLER)


@pytest.mark.parametrize("offset", [0, 30_000])
def test_damaged_database_is_one_clear_error(keeper: Any, store: Store, tmp_path: Path, offset: int) -> None:
    peer = keeper.client()
    flow = peer.publisher().flow_id
    for _ in range(50):
        peer.publish(flow, bytes(1_000))
    store.commit(keeper.engine.take_journal())
    store.close()
    with (tmp_path / FILE_NAME).open("r+b") as file:
        file.seek(offset)
        file.write(b"\xa5" * 8_000)

    with pytest.raises(ConfigurationError, match="is damaged"):
        Store.open(tmp_path, "default", SPOOLER)


def test_records_that_make_no_sense_are_damage(keeper: Any, store: Store) -> None:
    peer = keeper.client()
    peer.publish(peer.publisher().flow_id, b"a")
    store.commit(keeper.engine.take_journal())
    store._connection.execute("UPDATE messages SET head = x'00'")

    with pytest.raises(ConfigurationError, match="is damaged"):
        list(store.records())


def test_directory_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigurationError, match="choose a directory that it may write to"):
        Store.open(tmp_path / "file" / "data", "default", SPOOLER)


def test_lost_directory_is_noticed(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "data", "default", SPOOLER)
    store.close()
    for file in (tmp_path / "data").iterdir():
        file.unlink()
    (tmp_path / "data").rmdir()

    with pytest.raises(StorageError, match="is lost"):
        store.free_bytes()
