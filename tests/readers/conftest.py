from __future__ import annotations

from collections.abc import Iterator

import pytest

from flumebeam.downloads import cache_directory
from flumebeam.errors import ConfigurationError
from flumebeam.hdfs.cluster import LocalHdfs
from flumebeam.hdfs.webhdfs import HdfsOptions, WebHdfsFileSystem
from flumebeam.testing.requirements import require, unmet
from tests.readers.java_readers import JavaReaders
from tests.readers.lake import Lake


@pytest.fixture(scope="session")
def readers(hdfs_cluster: LocalHdfs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JavaReaders]:
    """Hadoop, Spark, Hive and avro-tools in one process: it costs half a minute, and the first time all are fetched.

    So the tests have ten minutes: whichever comes first pays for that.
    """
    require("java")
    if not list(cache_directory().glob("readers-*")):
        require("mvn")
    try:
        made = JavaReaders(tmp_path_factory.mktemp("readers") / "java", hdfs_cluster.hdfs_url)
    except ConfigurationError as error:
        unmet(str(error))
    yield made
    made.close()


@pytest.fixture(scope="session")
def storage(hdfs_cluster: LocalHdfs) -> Iterator[WebHdfsFileSystem]:
    made = WebHdfsFileSystem(HdfsOptions(webhdfs_urls=(hdfs_cluster.webhdfs_url,)))
    yield made
    made.close()


@pytest.fixture(scope="session")
def lake(storage: WebHdfsFileSystem) -> Lake:
    """A rolled file of every format and codec."""
    return Lake.written(storage)
