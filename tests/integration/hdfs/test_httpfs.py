"""What the gateway does otherwise, and what is made of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flumebeam.errors import StorageError
from flumebeam.hdfs.filesystem import FileStat, RenameOutcome
from flumebeam.hdfs.httpfs import HttpFsFileSystem
from flumebeam.hdfs.options import HdfsOptions
from flumebeam.hdfs.targets import open_target
from flumebeam.hdfs.webhdfs import WebHdfsFileSystem
from flumebeam.testing.hdfs_gateway import HttpFs


class Late(HttpFsFileSystem):
    """Looks at each name once before anything is there, as if it came into being right after."""

    def __init__(self, options: HdfsOptions, unseen: str) -> None:
        super().__init__(options)
        self._unseen = [unseen]

    def stat(self, path: str) -> FileStat | None:
        if path in self._unseen:
            self._unseen.remove(path)
            return None
        return super().stat(path)


@pytest.fixture
def options(httpfs: HttpFs) -> HdfsOptions:
    return HdfsOptions(webhdfs_urls=(httpfs.url,))


@pytest.fixture
def gateway(options: HdfsOptions) -> Iterator[HttpFsFileSystem]:
    filesystem = HttpFsFileSystem(options)
    yield filesystem
    filesystem.close()


def test_a_directory_that_came_between_look_and_rename_gives_back_what_it_swallowed(
    gateway: HttpFsFileSystem, options: HdfsOptions, root: str
) -> None:
    gateway.write(f"{root}/_part", [b"x"])
    gateway.make_directory(f"{root}/name")
    late = Late(options, f"{root}/name")

    assert late.rename(f"{root}/_part", f"{root}/name") is RenameOutcome.TARGET_EXISTS

    assert gateway.read(f"{root}/_part") == b"x"
    assert gateway.list(f"{root}/name") == []
    late.close()


@pytest.mark.failure("rename returns false")
def test_a_file_that_came_between_look_and_rename_is_not_overwritten(
    gateway: HttpFsFileSystem, options: HdfsOptions, root: str
) -> None:
    gateway.write(f"{root}/_part", [b"x"])
    gateway.write(f"{root}/name", [b"theirs"])
    late = Late(options, f"{root}/name")

    assert late.rename(f"{root}/_part", f"{root}/name") is RenameOutcome.TARGET_EXISTS

    assert (gateway.read(f"{root}/_part"), gateway.read(f"{root}/name")) == (b"x", b"theirs")
    late.close()


def test_a_gateway_taken_for_a_namenode_is_told_at_the_first_rename(options: HdfsOptions, root: str) -> None:
    wrong = WebHdfsFileSystem(options)
    wrong.write(f"{root}/a", [b"x"])

    with pytest.raises(StorageError, match="which is no WebHDFS"):
        wrong.rename(f"{root}/a", f"{root}/b")
    wrong.close()


def test_an_address_of_the_gateway_is_a_target(httpfs: HttpFs, root: str) -> None:
    target = open_target(f"{httpfs.url.replace('http://', 'httpfs://')}{root}")

    assert target.filesystem.write(f"{target.root}/a", [b"x"]).length == 1
    target.filesystem.close()
