from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from flumebeam.errors import StorageConflictError, StorageError, StorageFullError, StorageUnavailableError
from flumebeam.hdfs import local
from flumebeam.hdfs.filesystem import RenameOutcome
from flumebeam.hdfs.local import LocalFileSystem


@pytest.fixture
def fs() -> LocalFileSystem:
    return LocalFileSystem()


def _fail(code: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def test_a_full_disk_is_one_sentence_with_the_path_and_leaves_nothing_behind(
    fs: LocalFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", _fail(errno.ENOSPC))

    with pytest.raises(StorageFullError, match=rf"Cannot write {tmp_path}/a: .*Free some space") as caught:
        fs.write(f"{tmp_path}/a", [b"x"])

    assert caught.value.retriable
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("code", "kind", "retriable"),
    [
        (errno.EDQUOT, StorageFullError, True),
        (errno.EACCES, StorageError, False),
        (errno.EROFS, StorageError, False),
        (errno.EIO, StorageUnavailableError, True),
        (errno.ENAMETOOLONG, StorageError, False),
    ],
)
def test_errors_of_the_system_become_ours(
    fs: LocalFileSystem,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    kind: type[StorageError],
    retriable: bool,
) -> None:
    monkeypatch.setattr(os, "open", _fail(code))

    with pytest.raises(kind, match=str(tmp_path)) as caught:
        fs.write(f"{tmp_path}/a", [b"x"])

    assert type(caught.value) is kind
    assert caught.value.retriable is retriable


def test_a_missing_permission_says_what_to_do(
    fs: LocalFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "open", _fail(errno.EACCES))

    with pytest.raises(StorageError, match=r"Permission denied. Give this user \(uid \d+\) write permission"):
        fs.write(f"{tmp_path}/a", [b"x"])


def test_a_file_below_a_missing_directory_is_a_clear_error(fs: LocalFileSystem, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"No such file or directory\. Check the path"):
        fs.write(f"{tmp_path}/nowhere/a", [b"x"])


def test_a_file_and_its_directory_are_on_the_disk_before_write_returns(
    fs: LocalFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(str(Path(f"/proc/self/fd/{fd}").readlink())))

    fs.write(f"{tmp_path}/a", [b"x"])

    assert synced == [f"{tmp_path}/a", str(tmp_path)]


def test_both_directories_of_a_rename_are_on_the_disk_before_it_returns(
    fs: LocalFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs.make_directory(f"{tmp_path}/d")
    fs.write(f"{tmp_path}/a", [b"x"])
    synced: set[str] = set()
    monkeypatch.setattr(os, "fsync", lambda fd: synced.add(str(Path(f"/proc/self/fd/{fd}").readlink())))

    fs.rename(f"{tmp_path}/a", f"{tmp_path}/d/a")

    assert synced == {str(tmp_path), f"{tmp_path}/d"}


def test_every_new_directory_is_on_the_disk_before_make_directory_returns(
    fs: LocalFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(str(Path(f"/proc/self/fd/{fd}").readlink())))

    fs.make_directory(f"{tmp_path}/d/e")

    assert synced == [str(tmp_path), f"{tmp_path}/d"]


def test_a_rename_by_link_that_a_crash_interrupted_is_finished_by_repeating_it(
    fs: LocalFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_renameat2", None)
    fs.write(f"{tmp_path}/a", [b"x"])
    os.link(tmp_path / "a", tmp_path / "b")

    assert fs.rename(f"{tmp_path}/a", f"{tmp_path}/b") is RenameOutcome.RENAMED
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_a_file_made_after_another_one_was_removed_is_another_file(fs: LocalFileSystem, tmp_path: Path) -> None:
    first = fs.write(f"{tmp_path}/a", [b"x"])
    fs.delete(f"{tmp_path}/a")

    assert fs.write(f"{tmp_path}/a", [b"x"]).file_id != first.file_id


def test_a_link_is_removed_and_never_followed(fs: LocalFileSystem, tmp_path: Path) -> None:
    fs.make_directory(f"{tmp_path}/elsewhere")
    fs.write(f"{tmp_path}/elsewhere/a", [b"x"])
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")

    assert fs.delete(f"{tmp_path}/link")
    assert fs.read(f"{tmp_path}/elsewhere/a") == b"x"


def test_a_foreign_file_in_the_way_is_named(fs: LocalFileSystem, tmp_path: Path) -> None:
    fs.write(f"{tmp_path}/f", [])

    with pytest.raises(StorageConflictError, match=rf"{tmp_path}/f is in the way"):
        fs.make_directory(f"{tmp_path}/f/below")
