from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from flumebeam.errors import StorageUnavailableError
from flumebeam.hdfs.cluster import LocalHdfs
from flumebeam.hdfs.webhdfs import HdfsOptions, WebHdfsFileSystem
from flumebeam.testing.hdfs import fresh_directory

T = TypeVar("T")


@pytest.fixture
def connect() -> Iterator[Callable[..., WebHdfsFileSystem]]:
    """Make clients that are closed after the test; short times, as faults are waited for."""
    made: list[WebHdfsFileSystem] = []

    def connect(*urls: str, user: str | None = None, read_timeout_secs: float = 20) -> WebHdfsFileSystem:
        options = HdfsOptions(webhdfs_urls=urls, user=user, connect_timeout_secs=2, read_timeout_secs=read_timeout_secs)
        made.append(WebHdfsFileSystem(options))
        return made[-1]

    yield connect
    for each in made:
        each.close()


@pytest.fixture
def fs(hdfs_cluster: LocalHdfs, connect: Callable[..., WebHdfsFileSystem]) -> WebHdfsFileSystem:
    return connect(hdfs_cluster.webhdfs_url)


@pytest.fixture
def root() -> str:
    return fresh_directory()


@pytest.fixture
def healed(hdfs_cluster: LocalHdfs, fs: WebHdfsFileSystem) -> Iterator[LocalHdfs]:
    """The shared cluster for a test that breaks it: whole again afterwards, for all others."""
    yield hdfs_cluster
    for daemon in (hdfs_cluster.namenode, hdfs_cluster.datanode):
        daemon.thaw()
        daemon.start()
    hdfs_cluster.wait_until_ready()
    eventually(lambda attempt: fs.write(f"{fresh_directory()}/healed-{attempt}", [b"x"]))


def eventually(call: Callable[[int], T], timeout_secs: float = 60) -> T:
    """Repeat a call, as the commit protocol does, until it is no longer told to come later."""
    deadline = time.monotonic() + timeout_secs
    attempt = 0
    while True:
        try:
            return call(attempt)
        except StorageUnavailableError:
            if time.monotonic() > deadline:
                raise
            attempt += 1
            time.sleep(0.2)
