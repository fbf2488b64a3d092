from __future__ import annotations

import os
from pathlib import Path

import pytest

from flumebeam.sources.identity import FileIdentity


def identity(path: Path) -> FileIdentity:
    with path.open("rb") as file:
        return FileIdentity.of(file.fileno())


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "a.log"
    path.write_bytes(b"same\n")
    os.utime(path, (1, 1))
    return path


def test_the_same_file_has_the_same_identity_under_any_name(log: Path) -> None:
    before = identity(log)

    assert identity(log.rename(log.with_name("b.log"))) == before


def test_the_same_bytes_written_again_into_the_same_inode_are_another_file(log: Path) -> None:
    before = identity(log)
    os.utime(log, (2, 2))

    assert identity(log).origin != before.origin


def test_the_same_bytes_in_another_inode_are_another_file(log: Path) -> None:
    other = log.with_name("b.log")
    other.write_bytes(log.read_bytes())
    os.utime(other, (1, 1))

    assert identity(other).origin != identity(log).origin


def test_only_the_beginning_tells_whether_an_open_file_is_still_the_same(log: Path) -> None:
    before = identity(log)
    with log.open("rb+") as file:
        file.seek(0, os.SEEK_END)
        file.write(b"more\n")
        file.flush()
        assert before.is_of(file.fileno())
        file.seek(0)
        file.write(b"S")
        file.flush()
        assert not before.is_of(file.fileno())


def test_looking_leaves_the_offset_alone(log: Path) -> None:
    with log.open("rb") as file:
        FileIdentity.of(file.fileno())

        assert file.read() == b"same\n"
