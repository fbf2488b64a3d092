from __future__ import annotations

import hdfs
import pytest
import requests

from flumebeam.errors import StorageConflictError, StorageError, StorageFullError, StorageUnavailableError
from flumebeam.hdfs.webhdfs_errors import NothingThereError, certainly_not_done, storage_error


def refusal(name: str | None, message: str = "reason") -> hdfs.HdfsError:
    return hdfs.HdfsError("%s", message, exception=name)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("StandbyException", StorageUnavailableError), ("RetriableException", StorageUnavailableError),
        ("SafeModeException", StorageUnavailableError), ("EOFException", StorageUnavailableError),
        ("ConnectException", StorageUnavailableError), ("SocketTimeoutException", StorageUnavailableError),
        ("IOException", StorageUnavailableError), ("LeaseExpiredException", StorageUnavailableError),
        ("NSQuotaExceededException", StorageFullError), ("DSQuotaExceededException", StorageFullError),
        ("FileAlreadyExistsException", StorageConflictError), ("AlreadyBeingCreatedException", StorageConflictError),
        ("AccessControlException", StorageError), ("SecurityException", StorageError),
        ("InvalidPathException", StorageError), ("RemoteException", StorageError),
        ("NeverHeardOfException", StorageError),
    ],
)  # fmt: skip
def test_a_server_s_exception_has_its_place_in_the_tree(name: str, kind: type[StorageError]) -> None:
    error = storage_error([refusal(name)], what="rename", path="/p", user="u")

    assert type(error) is kind
    assert error.retriable is kind.retriable
    assert "/p" in str(error)


@pytest.mark.parametrize(
    ("name", "what", "message", "kind", "parent"),
    [
        ("FileNotFoundException", "rename", "rename source /a is not found.", NothingThereError, False),
        ("FileNotFoundException", "rename", "rename destination parent /b not found.", NothingThereError, True),
        ("ParentNotDirectoryException", "rename", "/f (is not a directory)", NothingThereError, True),
        ("ParentNotDirectoryException", "write", "/f (is not a directory)", StorageConflictError, None),
        ("ParentNotDirectoryException", "make directory", "/f (is not a directory)", StorageConflictError, None),
    ],
)
def test_what_is_missing_is_told_apart(
    name: str, what: str, message: str, kind: type[StorageError], parent: bool | None
) -> None:
    error = storage_error([refusal(name, message)], what=what, path="/p", user="u")

    assert type(error) is kind
    assert getattr(error, "parent", None) is parent


@pytest.mark.parametrize(
    ("failure", "certain"),
    [
        (refusal("StandbyException"), True), (refusal("RetriableException"), True), (refusal("IOException"), False),
        (refusal("SafeModeException"), False), (requests.ConnectTimeout(), True), (requests.ReadTimeout(), False),
        (requests.ConnectionError(), False), (requests.ConnectionError(ConnectionResetError()), False),
    ],
)  # fmt: skip
def test_only_what_never_began_is_certainly_not_done(failure: Exception, certain: bool) -> None:
    assert certainly_not_done(failure) is certain


def test_a_standby_and_a_dead_namenode_are_both_named() -> None:
    request = requests.Request("GET", "http://nn2:9870/x").prepare()
    failures = [refusal("StandbyException"), requests.ConnectTimeout(request=request)]

    error = storage_error(failures, what="write", path="/p", user="u")

    assert str(error) == (
        "HDFS could not write /p: a NameNode is not in charge (standby, or starting); "
        "nn2:9870 does not accept connections in time; check that it is up and that the address is right."
    )
