"""What a user is told whose address, environment or server is not what it should be."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

import pytest

from flumebeam.errors import StorageError, StorageUnavailableError
from flumebeam.hdfs.cluster import LocalHdfs
from flumebeam.hdfs.filesystem import RenameOutcome
from flumebeam.hdfs.targets import HdfsOptions, open_target
from flumebeam.hdfs.webhdfs import WebHdfsFileSystem
from tests.integration.hdfs.servers import some_web_server
from tests.ports import refusing_port

Connect = Callable[..., WebHdfsFileSystem]


@pytest.fixture
def dead_url() -> Iterator[str]:
    with refusing_port() as port:
        yield f"http://127.0.0.1:{port}"


CALLS: list[Callable[[WebHdfsFileSystem], object]] = [
    lambda fs: fs.stat("/a"),
    lambda fs: fs.list("/a"),
    lambda fs: fs.make_directory("/a"),
    lambda fs: fs.write("/a", [b"x"]),
    lambda fs: fs.read("/a"),
    lambda fs: fs.rename("/a", "/b"),
    lambda fs: fs.delete("/a"),
]


@pytest.mark.parametrize("call", CALLS)
def test_an_address_that_nobody_answers_is_one_sentence_within_seconds(
    connect: Connect, dead_url: str, call: Callable[[WebHdfsFileSystem], object]
) -> None:
    started = time.monotonic()

    with pytest.raises(StorageUnavailableError, match=f"/a: {dead_url[7:]} refuses connections; check") as told:
        call(connect(dead_url))

    assert time.monotonic() - started < 20
    assert "\n" not in str(told.value)


def test_an_unknown_host_is_named(connect: Connect) -> None:
    with pytest.raises(StorageUnavailableError, match=r"no-such-host\.invalid:9870 is unknown"):
        connect("http://no-such-host.invalid:9870").stat("/a")


def test_a_server_that_never_answers_is_given_up_after_the_read_timeout(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"

        with pytest.raises(StorageUnavailableError, match="does not answer in time"):
            connect(url, read_timeout_secs=0.2).stat("/a")


def test_all_servers_that_failed_are_named(connect: Connect, dead_url: str) -> None:
    with pytest.raises(StorageUnavailableError, match=r"refuses connections; no-such-host.invalid:9870 is unknown"):
        connect(dead_url, "http://no-such-host.invalid:9870", dead_url).stat("/a")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("status", "body"), [(404, b"<html/>"), (200, b"<html/>"), (200, b'{"other": 1}'), (200, b"[]")]
)
def test_a_server_that_is_no_webhdfs_is_told_as_such(
    connect: Connect, call: Callable[[WebHdfsFileSystem], object], status: int, body: bytes
) -> None:
    with some_web_server(status, body) as url:
        fs = connect(url)
        if status == 200 and call is CALLS[4]:
            # The bytes of a file look like anything.
            assert call(fs) == body
            return
        with pytest.raises(StorageError, match=f"HTTP {status}, which is no WebHDFS") as told:
            call(fs)

    assert not told.value.retriable


def test_a_server_without_file_ids_is_told_to_be_the_wrong_one(connect: Connect) -> None:
    status = b'{"FileStatus": {"type": "FILE", "length": 1, "modificationTime": 1}}'

    with some_web_server(200, status) as url, pytest.raises(StorageError, match="NameNode's own WebHDFS"):
        connect(url).stat("/a")


def test_a_file_shorter_than_what_was_written_is_no_success(connect: Connect) -> None:
    status = b'{"FileStatus": {"type": "FILE", "length": 3, "fileId": 7, "modificationTime": 1}}'

    with some_web_server(200, status, takes_files=True) as url:
        assert connect(url).write("/a", [b"x", b"yz"]).file_id == "7"
        with pytest.raises(StorageUnavailableError, match="Of 4 bytes written to /a, HDFS has 3 bytes"):
            connect(url).write("/a", [b"x", b"xyz"])


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_login_is_told_with_the_user(connect: Connect, status: int) -> None:
    with (
        some_web_server(status) as url,
        pytest.raises(StorageError, match=f"refused user 'bob' .HTTP {status}.; it may want a Kerberos login") as told,
    ):
        connect(url, user="bob").stat("/a")

    assert not told.value.retriable


def test_a_server_s_own_failure_may_pass(connect: Connect) -> None:
    with some_web_server(503) as url, pytest.raises(StorageUnavailableError, match="HTTP 503"):
        connect(url).stat("/a")


class TestOnTheCluster:
    def test_a_dead_namenode_of_two_is_passed_over(
        self, hdfs_cluster: LocalHdfs, connect: Connect, dead_url: str, root: str
    ) -> None:
        both = connect(dead_url, hdfs_cluster.webhdfs_url)

        both.write(f"{root}/a", [b"x"])
        assert both.rename(f"{root}/a", f"{root}/b") is RenameOutcome.RENAMED
        assert both.delete(f"{root}/b") is True

    def test_proxies_and_logins_of_the_environment_are_not_used(
        self, hdfs_cluster: LocalHdfs, dead_url: str, root: str, monkeypatch: pytest.MonkeyPatch, connect: Connect
    ) -> None:
        monkeypatch.setenv("HTTP_PROXY", dead_url)
        monkeypatch.setenv("http_proxy", dead_url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)

        assert connect(hdfs_cluster.webhdfs_url).write(f"{root}/a", [b"x"]).length == 1

    def test_hdfs_and_webhdfs_addresses_lead_to_the_same_place(self, hdfs_cluster: LocalHdfs, root: str) -> None:
        by_http = open_target(f"{hdfs_cluster.webhdfs_url.replace('http:', 'webhdfs:')}{root}")
        by_rpc = open_target(
            f"{hdfs_cluster.hdfs_url}{root}", options=HdfsOptions(webhdfs_urls=(hdfs_cluster.webhdfs_url,))
        )

        by_http.filesystem.write(f"{by_http.root}/a", [b"x"])

        assert by_rpc.root == by_http.root == root
        assert by_rpc.filesystem.read(f"{root}/a") == b"x"
        by_http.filesystem.close()
        by_rpc.filesystem.close()
