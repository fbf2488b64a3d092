"""A cluster that asks who one is."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from flumebeam.errors import StorageError, StorageUnavailableError
from flumebeam.hdfs.options import HdfsOptions, KerberosOptions, TlsOptions, Tokens
from flumebeam.hdfs.webhdfs import WebHdfsFileSystem
from flumebeam.testing.hdfs import fresh_directory
from flumebeam.testing.hdfs_secure import SecureHdfs
from tests.integration.hdfs.conftest import eventually

Open = Callable[[HdfsOptions], WebHdfsFileSystem]
T = TypeVar("T")


@pytest.fixture
def open_fs() -> Iterator[Open]:
    made: list[WebHdfsFileSystem] = []

    def open_fs(options: HdfsOptions) -> WebHdfsFileSystem:
        made.append(WebHdfsFileSystem(options))
        return made[-1]

    yield open_fs
    for each in made:
        each.close()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty ticket cache that this process uses."""
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{tmp_path}/tickets")
    return tmp_path / "tickets"


def by_ticket(cluster: SecureHdfs) -> HdfsOptions:
    return HdfsOptions(**{**cluster.bare_options, "kerberos": KerberosOptions()})  # type: ignore[arg-type]


def test_without_a_ticket_one_is_told_so_and_goes_on_when_there_is_one(
    secure_hdfs: SecureHdfs, open_fs: Open, cache: Path
) -> None:
    fs = open_fs(by_ticket(secure_hdfs))

    with pytest.raises(StorageUnavailableError, match=r"look at /: there is no valid Kerberos ticket .*kinit"):
        fs.stat("/")
    secure_hdfs.kdc.kinit("hdfs/localhost", cache)

    assert fs.stat("/") is not None


def test_a_ticket_that_ended_is_told_so_and_a_new_one_is_taken_up(
    secure_hdfs: SecureHdfs, open_fs: Open, cache: Path
) -> None:
    secure_hdfs.kdc.kinit("hdfs/localhost", cache, "1s")
    time.sleep(2)
    fs = open_fs(by_ticket(secure_hdfs))

    with pytest.raises(StorageUnavailableError, match=r"no valid Kerberos ticket or token \(.*expired") as told:
        fs.stat("/")
    assert "\n" not in str(told.value)
    secure_hdfs.kdc.kinit("hdfs/localhost", cache)

    assert fs.stat("/") is not None


def test_a_plain_name_is_not_let_in(secure_hdfs: SecureHdfs, open_fs: Open) -> None:
    fs = open_fs(HdfsOptions(**secure_hdfs.bare_options, user="hdfs"))  # type: ignore[arg-type]

    with pytest.raises(StorageError, match=r"refused user 'hdfs' .HTTP 401.; it may want a Kerberos login"):
        fs.stat("/")


def test_a_key_without_its_principal_s_file_is_told(secure_hdfs: SecureHdfs, open_fs: Open) -> None:
    with pytest.raises(StorageUnavailableError, match="see to the keytab"):
        open_fs(secure_hdfs.options("nobody")).stat("/")


def test_a_server_that_nobody_vouches_for_is_not_talked_to(secure_hdfs: SecureHdfs, open_fs: Open) -> None:
    options = replace(secure_hdfs.options("alice"), tls=TlsOptions())

    with pytest.raises(StorageError, match="certificate") as told:
        open_fs(options).stat("/")

    assert not told.value.retriable


def test_who_may_do_so_writes_on_behalf_of_another(secure_hdfs: SecureHdfs, open_fs: Open) -> None:
    root = fresh_directory()
    proxy = open_fs(secure_hdfs.options("hdfs/localhost", proxy_user="alice"))

    with pytest.raises(StorageError, match=r"Permission denied: user=alice"):
        proxy.write(f"{root}/a", [b"x"])
    with pytest.raises(StorageError, match="not allowed"):
        open_fs(secure_hdfs.options("alice", proxy_user="bob")).stat("/")


@pytest.mark.slow
def test_a_token_is_renewed_and_replaced_while_the_work_goes_on(secure_hdfs: SecureHdfs, open_fs: Open) -> None:
    options = secure_hdfs.options("hdfs/localhost")
    assert options.kerberos is not None
    fs = open_fs(replace(options, kerberos=replace(options.kerberos, tokens=Tokens.OWN)))
    root = fresh_directory()
    deadline = time.monotonic() + 25
    written = 0
    # Longer than a token can be renewed for.
    while time.monotonic() < deadline:
        fs.write(f"{root}/{written}", [b"x"])
        written += 1
        time.sleep(0.2)

    fs.write(f"{root}/last", [b"x"])
    assert len(fs.list(root)) == written + 1


def test_a_token_in_a_file_is_enough_and_a_new_one_is_taken_up(
    secure_hdfs: SecureHdfs, open_fs: Open, tmp_path: Path
) -> None:
    root = fresh_directory()
    kerberised = open_fs(secure_hdfs.options("hdfs/localhost"))
    token = tmp_path / "token"

    def write_token() -> None:
        parameters = {"op": "GETDELEGATIONTOKEN", "renewer": "hdfs"}
        answer = kerberised._request_any(kerberised._session, "GET", parameters)
        token.write_text(answer.json()["Token"]["urlString"])

    fs = open_fs(HdfsOptions(**secure_hdfs.bare_options, token_file=str(token)))  # type: ignore[arg-type]
    with pytest.raises(StorageUnavailableError, match=r"token file .* cannot be read"):
        fs.stat("/")

    def with_a_new_one(call: Callable[[int], T]) -> T:
        """Call with a token that is fresh: it does not last long."""

        def attempt(number: int) -> T:
            write_token()
            return call(number)

        return eventually(attempt)

    assert with_a_new_one(lambda number: fs.write(f"{root}/a-{number}", [b"x"])).length == 1
    time.sleep(10)
    with pytest.raises(StorageUnavailableError, match="does not accept the delegation token"):
        fs.stat(root)

    assert with_a_new_one(lambda _: fs.stat(root)) is not None
    assert os.environ["KRB5CCNAME"].endswith("no-tickets")
