"""The suite over the ways to an HDFS: a NameNode, an HA pair, the gateway, Kerberos and TLS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from flumebeam.hdfs.cluster import LocalHdfs
from flumebeam.hdfs.httpfs import HttpFsFileSystem
from flumebeam.hdfs.options import Tokens
from flumebeam.hdfs.webhdfs import HdfsOptions, WebHdfsFileSystem
from flumebeam.testing.hdfs import fresh_directory
from flumebeam.testing.hdfs_gateway import HttpFs
from flumebeam.testing.hdfs_ha import HaHdfs
from flumebeam.testing.hdfs_secure import SecureHdfs
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


class TestHttpFsFileSystem(TestWebHdfsFileSystem):
    @pytest.fixture
    def fs(self, httpfs: HttpFs) -> Iterator[HttpFsFileSystem]:
        filesystem = HttpFsFileSystem(HdfsOptions(webhdfs_urls=(httpfs.url,)))
        yield filesystem
        filesystem.close()


class TestAPairOfNameNodes(TestWebHdfsFileSystem):
    """The standby is named first, so each suite begins with being refused."""

    @pytest.fixture
    def fs(self, hdfs_pair: HaHdfs) -> Iterator[WebHdfsFileSystem]:
        urls = hdfs_pair.webhdfs_urls if hdfs_pair.active else tuple(reversed(hdfs_pair.webhdfs_urls))
        filesystem = WebHdfsFileSystem(HdfsOptions(webhdfs_urls=urls))
        yield filesystem
        filesystem.close()


class TestKerberosAndTls(TestWebHdfsFileSystem):
    @pytest.fixture
    def fs(self, secure_hdfs: SecureHdfs) -> Iterator[WebHdfsFileSystem]:
        filesystem = WebHdfsFileSystem(secure_hdfs.options("hdfs/localhost"))
        yield filesystem
        filesystem.close()


class TestDelegationTokens(TestWebHdfsFileSystem):
    @pytest.fixture
    def fs(self, secure_hdfs: SecureHdfs) -> Iterator[WebHdfsFileSystem]:
        options = secure_hdfs.options("hdfs/localhost")
        assert options.kerberos is not None
        filesystem = WebHdfsFileSystem(replace(options, kerberos=replace(options.kerberos, tokens=Tokens.OWN)))
        yield filesystem
        filesystem.close()
