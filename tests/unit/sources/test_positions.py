from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flumebeam.clock import ManualClock
from flumebeam.errors import ConfigurationError, FormatError
from flumebeam.sources.positions import Position, PositionStore


@contextmanager
def opened(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_RDONLY)
    try:
        yield handle
    finally:
        os.close(handle)


def meet(store: PositionStore, path: Path) -> Position:
    with opened(path) as handle:
        return store.meet(handle, str(path))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "app.log"
    path.write_bytes(b"one\ntwo\n")
    return path


@pytest.fixture
def tracker(tmp_path: Path) -> Path:
    return tmp_path / "tracker"


def test_a_new_file_is_at_its_beginning_and_noted_at_once(tracker: Path, log: Path) -> None:
    with PositionStore(tracker) as store:
        met = meet(store, log)

        assert met.offset == 0
        assert len(list(tracker.glob("*.position"))) == 1
    with PositionStore(tracker) as store:
        assert meet(store, log) == met


def test_a_move_is_there_after_a_kill(tracker: Path, log: Path) -> None:
    store = PositionStore(tracker)
    origin = meet(store, log).identity.origin
    store.move(origin, 4)
    store.move(origin, 8)
    saved = {path.name: path.read_bytes() for path in tracker.glob("*.position")}
    store.close()
    for name, content in saved.items():
        (tracker / name).write_bytes(content)

    with PositionStore(tracker) as later:
        assert meet(later, log).offset == 8


def test_a_file_keeps_its_position_and_identity_when_it_is_renamed_and_grows(tracker: Path, log: Path) -> None:
    with PositionStore(tracker) as store:
        before = meet(store, log)
        store.move(before.identity.origin, 8)
    moved = log.rename(log.with_name("app.log.1"))
    with moved.open("ab") as file:
        file.write(b"three\n")

    with PositionStore(tracker) as store:
        after = meet(store, moved)

    assert (after.identity.origin, after.offset) == (before.identity.origin, 8)
    assert (after.path, after.identity.head_bytes) == (str(moved), 14)


def test_a_file_cut_short_is_a_new_one(tracker: Path, log: Path) -> None:
    with PositionStore(tracker) as store:
        before = meet(store, log)
        store.move(before.identity.origin, 8)
        log.write_bytes(b"one\n")
        after = meet(store, log)

        assert after.offset == 0
        assert after.identity.origin != before.identity.origin
        assert len(list(tracker.glob("*.position"))) == 1


def test_a_long_file_cut_short_behind_its_beginning_is_a_new_one(tracker: Path, log: Path) -> None:
    log.write_bytes(b"x" * 9_000)
    with PositionStore(tracker) as store:
        before = meet(store, log)
        store.move(before.identity.origin, 8_000)
        os.truncate(log, 7_000)
        after = meet(store, log)

    assert after.offset == 0
    assert after.identity.origin != before.identity.origin


def test_another_file_in_the_same_inode_is_a_new_one(tracker: Path, log: Path) -> None:
    with PositionStore(tracker) as store:
        before = meet(store, log)
        store.move(before.identity.origin, 8)
        log.write_bytes(b"quite another text\n")
        after = meet(store, log)

    assert after.offset == 0
    assert after.identity.origin != before.identity.origin


def test_a_torn_last_line_leaves_the_position_before_it(tracker: Path, log: Path) -> None:
    with PositionStore(tracker) as store:
        store.move(meet(store, log).identity.origin, 4)
    [record] = tracker.glob("*.position")
    record.write_bytes(record.read_bytes() + b"8 12ab\0\0")

    with PositionStore(tracker) as store:
        assert meet(store, log).offset == 4


@pytest.mark.parametrize("content", [b"", b"rubbish", b"{}\n", b"[1]\n0 f4dbdf21\n"])
def test_a_damaged_store_is_one_clear_error(tracker: Path, log: Path, content: bytes) -> None:
    with PositionStore(tracker) as store:
        meet(store, log)
    [record] = tracker.glob("*.position")
    record.write_bytes(content)

    with pytest.raises(FormatError, match=rf"{record.name} is damaged.*remove it to read that file from its beginning"):
        PositionStore(tracker)
    record.unlink()
    PositionStore(tracker).close()


def test_a_store_of_a_newer_version_is_refused(tracker: Path, log: Path) -> None:
    with PositionStore(tracker) as store:
        meet(store, log)
    [record] = tracker.glob("*.position")
    record.write_bytes(record.read_bytes().replace(b'"version": 1', b'"version": 2'))

    with pytest.raises(FormatError, match="newer flumebeam"):
        PositionStore(tracker)


def test_one_process_at_a_time_uses_a_store(tracker: Path) -> None:
    with (
        PositionStore(tracker),
        pytest.raises(ConfigurationError, match="Another process reads these files already"),
    ):
        PositionStore(tracker)
    PositionStore(tracker).close()


def test_a_store_that_cannot_be_made_is_a_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigurationError, match="make it writable, or name another one"):
        PositionStore(tmp_path / "file" / "tracker")


def test_a_long_history_is_compacted(tracker: Path, log: Path) -> None:
    with PositionStore(tracker) as store:
        origin = meet(store, log).identity.origin
        for _ in range(8_000):
            store.move(origin, 4)
        store.move(origin, 8)
    [record] = tracker.glob("*.position")

    assert record.stat().st_size < 80_000
    with PositionStore(tracker) as store:
        assert meet(store, log).offset == 8


def test_vanished_files_are_forgotten_after_a_month(tracker: Path, log: Path) -> None:
    clock = ManualClock(epoch_ms=int(log.stat().st_mtime * 1000))
    with PositionStore(tracker, clock=clock) as store:
        meet(store, log)
        clock.advance(31 * 24 * 3600)
        store.forget_vanished()
        assert len(list(tracker.glob("*.position"))) == 1
        log.unlink()
        store.forget_vanished()
        assert not list(tracker.glob("*.position"))


def test_files_that_vanished_lately_are_remembered(tracker: Path, log: Path) -> None:
    clock = ManualClock(epoch_ms=int(log.stat().st_mtime * 1000))
    with PositionStore(tracker, clock=clock) as store:
        meet(store, log)
        log.unlink()
        clock.advance(29 * 24 * 3600)
        store.forget_vanished()
        assert len(list(tracker.glob("*.position"))) == 1


def test_moves_are_synced_once_a_second(tracker: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    clock = ManualClock()
    with PositionStore(tracker, clock=clock) as store:
        origin = meet(store, log).identity.origin
        store.move(origin, 1)
        store.move(origin, 2)
        assert len(synced) == 0
        clock.advance(1.0)
        store.move(origin, 3)
        assert len(synced) == 1
        store.move(origin, 4)
    assert len(synced) == 2
