from __future__ import annotations

from collections.abc import Iterator

import pytest

from flumebeam.hdfs.cluster import LocalHdfs
from flumebeam.hdfs.webhdfs import HdfsOptions, WebHdfsFileSystem
from flumebeam.testing.hdfs import fresh_directory
from tests.conformance.filesystem.contract import FileSystemContract


class TestWebHdfsFileSystem(FileSystemContract):
    @pytest.fixture
    def fs(self, hdfs_cluster: LocalHdfs) -> Iterator[WebHdfsFileSystem]:
        filesystem = WebHdfsFileSystem(HdfsOptions(webhdfs_urls=(hdfs_cluster.webhdfs_url,)))
        yield filesystem
        filesystem.close()

    @pytest.fixture
    def root(self) -> str:
        return fresh_directory()
