"""A real HDFS for tests: one cluster for a whole test session."""

from __future__ import annotations

import contextlib
import importlib.util
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from flumebeam.errors import ConfigurationError
from flumebeam.hdfs.cluster import LocalHdfs
from flumebeam.hdfs.hadoop_jars import jars_are_there
from flumebeam.hdfs.webhdfs import HdfsOptions, WebHdfsFileSystem
from flumebeam.testing.hdfs_ha import HaHdfs
from flumebeam.testing.hdfs_secure import PRINCIPALS, SecureHdfs
from flumebeam.testing.kerberos import Kdc
from flumebeam.testing.requirements import require, unmet

__all__ = ["fresh_directory", "needs_hadoop", "running_hdfs", "running_pair", "running_secure_hdfs"]


@contextlib.contextmanager
def running_hdfs(directory: Path, *, close_delay_ms: int = 10) -> Iterator[LocalHdfs]:
    """Run a cluster that has already written its first file, which takes seconds; skip the test where it cannot run.

    Args:
        directory: Where the cluster keeps everything.
        close_delay_ms: See :class:`~flumebeam.hdfs.cluster.LocalHdfs`.
    """
    with needs_hadoop():
        cluster = LocalHdfs(directory, close_delay_ms=close_delay_ms)
    with cluster:
        _warm(cluster.webhdfs_url)
        yield cluster


@contextlib.contextmanager
def running_pair(directory: Path) -> Iterator[HaHdfs]:
    """Run an HA pair that has already written its first file; skip the test where it cannot run.

    Args:
        directory: Where it keeps everything.
    """
    with needs_hadoop():
        pair = HaHdfs(directory)
    with pair:
        _warm(*pair.webhdfs_urls)
        yield pair


@contextlib.contextmanager
def running_secure_hdfs(directory: Path) -> Iterator[SecureHdfs]:
    """Run a cluster with Kerberos and TLS; skip the test where it cannot run.

    ``KRB5_CONFIG`` is set for this process meanwhile, as Kerberos looks at nothing else.

    Args:
        directory: Where it keeps everything.
    """
    if importlib.util.find_spec("requests_gssapi") is None:
        unmet("requests-gssapi is missing; get it with: apt-get install libkrb5-dev gcc; pip install requests-gssapi")
    (directory / "kdc").mkdir()
    with needs_hadoop():
        kdc = Kdc(directory / "kdc", *PRINCIPALS)
    with pytest.MonkeyPatch.context() as patch, kdc:
        patch.setenv("KRB5_CONFIG", str(kdc.configuration))
        patch.setenv("KRB5CCNAME", f"FILE:{directory}/no-tickets")
        with SecureHdfs(directory / "hdfs", kdc) as cluster:
            filesystem = WebHdfsFileSystem(cluster.options("hdfs/localhost"))
            for name in ("/tests", "/warm"):
                filesystem.make_directory(name)
            filesystem.write("/warm/file", [b"x"])
            filesystem.close()
            yield cluster


@contextlib.contextmanager
def needs_hadoop() -> Iterator[None]:
    """Skip the test that asks where Java or the jars are not to be had."""
    require("java")
    if not jars_are_there():
        require("mvn")
    try:
        yield
    except ConfigurationError as error:
        unmet(str(error))


def _warm(*urls: str) -> None:
    filesystem = WebHdfsFileSystem(HdfsOptions(webhdfs_urls=urls))
    filesystem.write("/warm/file", [b"x"])
    filesystem.delete("/warm")
    filesystem.close()


def fresh_directory() -> str:
    """Return a path that nothing has used: each test's own place on a shared cluster."""
    return f"/tests/{uuid.uuid4().hex}"
