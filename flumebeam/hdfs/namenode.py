"""One NameNode: the ``hdfs`` package's requests, with paths taken as they are and every answer checked."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import hdfs
import requests
from hdfs.client import _Request

from flumebeam.hdfs.logins import Login
from flumebeam.hdfs.options import HdfsOptions
from flumebeam.hdfs.webhdfs_errors import NoWebHdfsError, checked, field

__all__ = ["NameNode"]

# The package logs every call, and a refused login with the whole page; what matters is in the errors raised here.
logging.getLogger("hdfs").setLevel(logging.CRITICAL)


class NameNode(hdfs.Client):  # type: ignore[misc]  # the package has no types
    """The package's client of one NameNode, or of one gateway that speaks its language.

    Args:
        url: ``http://host:port``.
        timeout: Longest waits for a connection and for an answer, seconds.
        session: Shared by all NameNodes of a cluster.
        login: Who asks.
    """

    _list_page = _Request("GET").to_method("LISTSTATUS_BATCH")
    _concat = _Request("POST").to_method("CONCAT")

    def __init__(self, url: str, *, timeout: tuple[float, float], session: requests.Session, login: Login) -> None:
        super().__init__(url, timeout=timeout, session=session)
        self._login = login

    @property
    def root_url(self) -> str:
        """Address of requests about no path in particular."""
        return f"{self.url}{_Request.webhdfs_prefix}/"

    def resolve(self, hdfs_path: str) -> str:
        """Return the path itself: the package would put the newest entry's name for ``#LATEST``."""
        return hdfs_path

    def page(self, path: str, after: str | None) -> dict[str, Any]:
        """Return the entries of a directory that come after a name, as many as the server gives at once."""
        listing: dict[str, Any] = field(self._list_page(path, startAfter=after), "DirectoryListing")
        return listing

    def move(self, source: str, target: str) -> None:
        """Rename without ever overwriting or moving into a directory."""
        answer = self._rename(source, destination=target, renameoptions="NONE")
        if answer.content:
            # A NameNode that heeds the option says nothing; an answer is that of a server which does not know it.
            raise NoWebHdfsError("renameoptions not heeded", request=answer.request, response=answer)

    def join_blocks(self, target: str, sources: Sequence[str]) -> None:
        """Move the blocks of files to the end of another one."""
        self._concat(target, sources=",".join(sources))

    def remove(self, path: str) -> Any:
        """Delete a name and all below it; tell whether there was one."""
        return field(self._delete(path, recursive=True), "boolean")

    def place_of_new_file(self, path: str, options: HdfsOptions) -> str:
        """Return the address that takes a new file's bytes."""
        answer = self._create(
            path,
            overwrite=False,
            blocksize=options.block_bytes,
            replication=options.replication,
            **options.file_rights,
        )
        if "location" not in answer.headers:
            raise NoWebHdfsError("no redirect to a DataNode", request=answer.request, response=answer)
        return str(answer.headers["location"])

    def send(self, place: str, data: bytes | Iterator[bytes]) -> None:
        """Write a file's bytes to where :meth:`place_of_new_file` said."""
        checked(super()._request("PUT", place, data=data))

    def _request(self, method: str, url: str, **kwargs: Any) -> requests.Response:
        kwargs["params"] = {**self._login.parameters(), **kwargs.get("params", {})}
        return checked(super()._request(method, url, **kwargs))
