"""Who may do what with the files that are written."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from flumebeam.errors import StorageError
from flumebeam.hdfs.cluster import LocalHdfs
from flumebeam.hdfs.httpfs import HttpFsFileSystem
from flumebeam.hdfs.options import HdfsOptions
from flumebeam.hdfs.webhdfs import WebHdfsFileSystem
from flumebeam.testing.hdfs_gateway import HttpFs

Open = Callable[..., WebHdfsFileSystem]
BOTH = pytest.mark.parametrize("way", ["webhdfs", "httpfs"])


@pytest.fixture
def open_fs(hdfs_cluster: LocalHdfs, request: pytest.FixtureRequest) -> Iterator[Open]:
    made: list[WebHdfsFileSystem] = []

    def open_fs(way: str, **options: Any) -> WebHdfsFileSystem:
        if way == "httpfs":
            gateway: HttpFs = request.getfixturevalue("httpfs")
            made.append(HttpFsFileSystem(HdfsOptions(webhdfs_urls=(gateway.url,), **options)))
        else:
            made.append(WebHdfsFileSystem(HdfsOptions(webhdfs_urls=(hdfs_cluster.webhdfs_url,), **options)))
        return made[-1]

    yield open_fs
    for each in made:
        each.close()


def told(cluster: LocalHdfs, path: str, operation: str = "GETFILESTATUS") -> dict[str, Any]:
    """What the NameNode says of a path."""
    with requests.Session() as session:
        session.trust_env = False
        query = {"op": operation, "user.name": getpass.getuser()}
        answer = session.get(f"{cluster.webhdfs_url}/webhdfs/v1{path}", params=query, timeout=20).json()
    found: dict[str, Any] = answer["FileStatus" if operation == "GETFILESTATUS" else "AclStatus"]
    return found


@BOTH
def test_without_options_files_can_be_read_by_all(hdfs_cluster: LocalHdfs, open_fs: Open, root: str, way: str) -> None:
    fs = open_fs(way)
    fs.make_directory(f"{root}/d")
    fs.write(f"{root}/d/a", [b"x"])

    assert told(hdfs_cluster, f"{root}/d")["permission"] == "755"
    assert told(hdfs_cluster, f"{root}/d/a")["permission"] == "644"


@BOTH
def test_mode_group_replication_and_block_size_are_as_asked_for(
    hdfs_cluster: LocalHdfs, open_fs: Open, root: str, way: str
) -> None:
    fs = open_fs(way, mode=0o640, group="analysts", replication=2, block_bytes=1 << 20)
    fs.make_directory(f"{root}/d/e")
    fs.write(f"{root}/d/e/a", [b"x"])

    file = told(hdfs_cluster, f"{root}/d/e/a")
    assert (file["permission"], file["group"], file["replication"], file["blockSize"]) == (
        "640",
        "analysts",
        2,
        1 << 20,
    )
    for directory in (root, f"{root}/d", f"{root}/d/e"):
        found = told(hdfs_cluster, directory)
        assert (found["permission"], found["group"]) == ("750", "analysts")


@BOTH
def test_an_inherited_acl_counts_in_full(hdfs_cluster: LocalHdfs, open_fs: Open, root: str, way: str) -> None:
    open_fs(way).make_directory(root)
    hdfs_cluster.shell("-setfacl", "-m", "default:user:bob:rwx", root)
    fs = open_fs(way)
    fs.make_directory(f"{root}/d")
    fs.write(f"{root}/d/a", [b"x"])

    assert "user:bob:rwx" in told(hdfs_cluster, f"{root}/d", "GETACLSTATUS")["entries"]
    assert told(hdfs_cluster, f"{root}/d/a")["permission"][1] in "67"
    bob = open_fs(way, user="bob")
    assert bob.write(f"{root}/d/b", [b"y"]).length == 1


@BOTH
def test_on_behalf_of_another_files_are_theirs(hdfs_cluster: LocalHdfs, open_fs: Open, root: str, way: str) -> None:
    open_fs(way, mode=0o777).make_directory(root)

    open_fs(way, proxy_user="alice").write(f"{root}/a", [b"x"])

    assert told(hdfs_cluster, f"{root}/a")["owner"] == "alice"
    with pytest.raises(StorageError, match="not allowed"):
        open_fs(way, user="bob", proxy_user="alice").stat(root)
