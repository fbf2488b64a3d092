"""A real HDFS for tests: one cluster for a whole test session."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path

from flumebeam.errors import ConfigurationError
from flumebeam.hdfs.cluster import LocalHdfs
from flumebeam.hdfs.hadoop_jars import jars_are_there
from flumebeam.hdfs.webhdfs import HdfsOptions, WebHdfsFileSystem
from flumebeam.testing.requirements import require, unmet

__all__ = ["fresh_directory", "running_hdfs"]


@contextlib.contextmanager
def running_hdfs(directory: Path, *, close_delay_ms: int = 10) -> Iterator[LocalHdfs]:
    """Run a cluster that has already written its first file, which takes seconds; skip the test where it cannot run.

    Args:
        directory: Where the cluster keeps everything.
        close_delay_ms: See :class:`~flumebeam.hdfs.cluster.LocalHdfs`.
    """
    require("java")
    if not jars_are_there():
        require("mvn")
    try:
        cluster = LocalHdfs(directory, close_delay_ms=close_delay_ms)
    except ConfigurationError as error:
        unmet(str(error))
    with cluster:
        filesystem = WebHdfsFileSystem(HdfsOptions(webhdfs_urls=(cluster.webhdfs_url,)))
        filesystem.write("/warm/file", [b"x"])
        filesystem.delete("/warm")
        filesystem.close()
        yield cluster


def fresh_directory() -> str:
    """Return a path that nothing has used: each test's own place on a shared cluster."""
    return f"/tests/{uuid.uuid4().hex}"
