"""What others put into a target or take away from it is left as they wish, and costs no event."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from flumebeam.commitlog.steps import CrashPoint
from flumebeam.errors import EpochClosedError, StorageUnavailableError
from flumebeam.hdfs.filesystem import FileStat
from flumebeam.testing.faulty_filesystem import Failure, Fault
from tests.unit.commitlog.helpers import TARGET, DiedError, Rig, commit, die_at


def test_a_foreign_file_under_a_final_name_is_never_overwritten() -> None:
    rig = Rig()
    life = rig.log().begin_life("r1")
    life.fence()
    name = f"f.{life.file_stem()}.txt"
    for foreign in (name, name.replace(".txt", "~1.txt")):
        rig.memory.write(f"{TARGET}/{foreign}", [b"foreign\n"])

    commit(life, 1)

    assert rig.events == [b"1", b"foreign", b"foreign"]
    assert rig.finals[name.replace(".txt", "~2.txt")] == b"1\n"


def test_a_foreign_directory_under_a_final_name_is_left_alone() -> None:
    rig = Rig()
    life = rig.log().begin_life("r1")
    life.fence()
    name = f"f.{life.file_stem()}.txt"
    rig.memory.make_directory(f"{TARGET}/{name}")

    commit(life, 1)

    assert list(rig.finals) == [name.replace(".txt", "~1.txt")]


def test_a_foreign_file_where_a_directory_should_be_stops_nothing() -> None:
    rig = Rig()
    rig.memory.write(f"{TARGET}/2026", [b"foreign\n"])
    life = rig.log().begin_life("r1")

    commit(life, 1, directory="2026/11/22")

    assert rig.events == [b"1", b"foreign"]
    assert any(name.startswith("2026~1/11/22/f.") for name in rig.finals)


def test_all_who_publish_a_transaction_agree_on_its_other_name() -> None:
    rig = Rig()
    old = rig.log().begin_life("r1")
    old.fence()
    name = f"f.{old.file_stem()}.txt"
    rig.memory.write(f"{TARGET}/{name}", [b"foreign\n"])
    rig.fail(Fault(Failure.SILENT, "rename", "~1.txt", times=-1))
    with pytest.raises(StorageUnavailableError):
        commit(old, 1)
    rig.fs.faults.clear()
    rig.memory.delete(f"{TARGET}/{name}")

    rig.log().begin_life("r2").fence()

    assert list(rig.finals) == [name.replace(".txt", "~1.txt")]


def test_another_name_that_somebody_took_away_before_it_counted_is_found_by_the_successor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = Rig()
    life = rig.log().begin_life("r1")
    life.fence()
    taken = f"f.{life.file_stem()}.txt"
    rig.memory.write(f"{TARGET}/{taken}", [b"theirs\n"])
    write = rig.memory.write

    def write_and_lose(path: str, chunks: Iterable[bytes]) -> FileStat:
        status = write(path, chunks)
        if "/_new/_" in path:
            rig.memory.delete(path)
        return status

    with monkeypatch.context() as patched:
        patched.setattr(rig.memory, "write", write_and_lose)
        with pytest.raises(EpochClosedError):
            commit(life, 1)

    commit(rig.log().begin_life("r2"), 1, 2)

    assert rig.events == [b"1", b"2", b"theirs"]


def test_a_published_file_that_somebody_took_away_is_not_written_again() -> None:
    rig = Rig()
    died = rig.log(at=die_at(CrashPoint.PART_PUBLISHED)).begin_life("r1")
    with pytest.raises(DiedError):
        commit(died, 1)
    (name,) = rig.finals
    rig.memory.delete(f"{TARGET}/{name}")

    new = rig.log().begin_life("r2")
    commit(new, 1)

    assert rig.finals == {}
