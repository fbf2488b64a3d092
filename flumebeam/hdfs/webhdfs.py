"""HDFS over WebHDFS: the ``hdfs`` package's requests under this project's rules of time, retry and error.

Two layers: the package knows the operations and their encoding; this adapter chooses the NameNode, bounds every wait,
and never repeats by itself what may already have happened.
"""

from __future__ import annotations

import functools
import itertools
import posixpath
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

import hdfs
import requests
from requests.adapters import HTTPAdapter

from flumebeam.errors import (
    ConfigurationError,
    StorageConflictError,
    StorageError,
    StorageMissingError,
    StorageUnavailableError,
)
from flumebeam.hdfs.filesystem import FileKind, FileStat, RenameOutcome
from flumebeam.hdfs.logins import login_of
from flumebeam.hdfs.namenode import NameNode
from flumebeam.hdfs.options import HdfsOptions
from flumebeam.hdfs.webhdfs_errors import NothingThereError, certainly_not_done, field, refused_token, storage_error

__all__ = ["HdfsOptions", "WebHdfsFileSystem"]

_T = TypeVar("_T")

_CHUNK_BYTES: Final = 1 << 18
"""Smaller pieces are joined: below 16 KB the package's upload costs more per piece than per byte."""


class WebHdfsFileSystem:
    """A cluster, through the WebHDFS of its NameNodes.

    A written file is closed: on all its DataNodes and in the NameNode's log; it survives their crashes, though not a
    loss of power at all of them at once. No connection is made before the first call. Not picklable: made where it is
    used. Thread-safe.

    Args:
        options: Which NameNodes, who writes, times and sizes. Of several NameNodes the one that answered last is asked
            first.

    Raises:
        ConfigurationError: The options name no NameNode, a file of theirs is missing, or the package for Kerberos is.
    """

    exactly_once = True

    def __init__(self, options: HdfsOptions) -> None:
        if not options.webhdfs_urls:
            raise ConfigurationError("No NameNode is named; set webhdfs_urls to http://namenode:9870.")
        self._options = options
        options.tls.check()
        self._session = requests.Session()
        # Proxies and .netrc of the environment are meant for the web, and break even loopback addresses.
        self._session.trust_env = False
        self._session.verify = options.tls.ca_file or True
        if options.tls.certificate_file:
            key = options.tls.key_file
            self._session.cert = (options.tls.certificate_file, key) if key else options.tls.certificate_file
        adapter = HTTPAdapter(pool_connections=64, pool_maxsize=options.connections)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)
        self._times = (options.connect_timeout_secs, options.read_timeout_secs)
        self._login = login_of(options, self._request_any)
        self._login.prepare(self._session)
        self._nodes = [
            NameNode(url, timeout=self._times, session=self._session, login=self._login)
            for url in dict.fromkeys(options.webhdfs_urls)
        ]
        self._preferred = 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}({[node.url for node in self._nodes]}, user={self._login.name!r})"

    def stat(self, path: str) -> FileStat | None:
        """Return what stands under ``path``; ``None`` if there is nothing.

        Raises:
            StorageUnavailableError: No NameNode answers.
            StorageError: The path cannot be looked at, for example without permission.
        """
        try:
            found = self._call("look at", path, lambda node: field(node._get_file_status(path), "FileStatus"))
        except NothingThereError:
            return None
        return self._stat_of(posixpath.basename(path), found)

    def list(self, path: str) -> list[FileStat]:
        """Return the entries of a directory, sorted by name; empty if there is no such directory.

        Asked for in pages, as the server cuts them. An entry that is renamed meanwhile may be missing.

        Raises:
            StorageConflictError: ``path`` is a file.
            StorageUnavailableError: No NameNode answers.
            StorageError: The directory cannot be read.
        """
        found: list[FileStat] = []
        rest = 1
        while rest:
            after = found[-1].name if found else None
            try:
                listing = self._call("list", path, functools.partial(NameNode.page, path=path, after=after))
            except NothingThereError:
                return []
            entries = listing["partialListing"]["FileStatuses"]["FileStatus"]
            if any(not entry["pathSuffix"] for entry in entries):
                raise StorageConflictError(f"{path} is a file, where a directory was expected; move it away.")
            found += (self._stat_of(entry["pathSuffix"], entry) for entry in entries)
            rest = listing["remainingEntries"] if entries else 0
        return sorted(found, key=lambda entry: entry.name)

    def make_directory(self, path: str) -> None:
        """Make a directory with its parents; no error if it is there.

        Raises:
            StorageConflictError: A file stands in the way.
            StorageFullError: A quota of names is used up.
            StorageUnavailableError: No NameNode answers, or it is in safe mode.
            StorageError: No permission.
        """
        missing = self._missing(path) if self._options.group else ()
        rights = self._options.directory_rights
        made = self._call("make directory", path, lambda node: field(node._mkdirs(path, **rights), "boolean"))
        if not made:
            raise StorageUnavailableError(f"HDFS did not make directory {path}, and gave no reason; try again.")
        for directory in missing:
            self._give_group(directory)

    def write(self, path: str, chunks: Iterable[bytes]) -> FileStat:
        """Write a new file in one request, and return what the NameNode then says of it.

        After an error the file may be there, whole or in part, or come into being later: write under a fresh name.

        Raises:
            StorageConflictError: Something stands under that name.
            StorageFullError: No space left, or a quota is used up.
            StorageUnavailableError: Not done, or not known to be done.
            StorageError: No permission, or a path that HDFS does not take.
        """
        counted = _Counted(chunks)
        pieces = counted.pieces()
        # A file of one piece goes with its length, which a DataNode can check; a larger one in chunks as they come.
        head = list(itertools.islice(pieces, 2))
        data = b"".join(head) if len(head) < 2 else itertools.chain(head, pieces)
        try:
            # Only this half may go to the next NameNode: it redirects, and makes nothing. The bytes are sent once.
            place = self._call("write", path, lambda node: node.place_of_new_file(path, self._options))
            self._send(path, place, data)
            if self._options.group:
                self._give_group(path)
        except NothingThereError as error:
            raise StorageUnavailableError(f"{path} was removed while it was written; write it again.") from error
        written = self.stat(path)
        if written is None or written.length != counted.length:
            there = "nothing" if written is None else f"{written.length} bytes"
            raise StorageUnavailableError(
                f"Of {counted.length} bytes written to {path}, HDFS has {there}; write them again under a fresh name."
            )
        return written

    def read(self, path: str) -> bytes | None:
        """Return a small file whole, or ``None`` if there is none.

        Raises:
            StorageUnavailableError: No NameNode answers, or no DataNode that has the file.
            StorageError: It cannot be read, for example without permission.
        """
        try:
            content: bytes = self._call("read", path, lambda node: node._open(path).content)
        except NothingThereError:
            return None
        return content

    def read_chunks(self, path: str) -> Iterator[bytes]:
        """Yield a file of any size in pieces, over one connection.

        Raises:
            StorageMissingError: There is no such file.
            StorageUnavailableError: No NameNode answers, or the connection broke on the way.
            StorageError: It cannot be read, for example without permission.
        """
        try:
            answer: requests.Response = self._call("read", path, lambda node: node._open(path))
        except NothingThereError as error:
            raise StorageMissingError(f"There is no file {path} any more.") from error
        try:
            with answer:
                yield from answer.iter_content(_CHUNK_BYTES)
        except requests.RequestException as error:
            raise storage_error([error], what="read", path=path, user=self._login.name) from error

    def concat(self, target: str, sources: Sequence[str]) -> bool:
        """Move the blocks of files to the end of another one; a NameNode does that without reading them.

        Not done where HDFS does not allow it: in an encryption zone, with files in a snapshot, under several policies
        of erasure coding.

        Raises:
            StorageUnavailableError: No answer: it may have happened.
        """
        try:
            self._call("concat", target, lambda node: node.join_blocks(target, sources), repeatable=False)
        except StorageUnavailableError:
            raise
        except StorageError:
            return False
        return True

    def rename(self, source: str, target: str) -> RenameOutcome:
        """Move a file or a directory to a name that is free, atomically; never overwrites or moves into.

        Never repeated here, nor sent to another NameNode, once it may have been done.

        Raises:
            StorageUnavailableError: No answer: it may have happened.
            StorageFullError: A quota of the target's directory is used up.
            StorageError: No permission.
        """
        try:
            self._call("rename", source, lambda node: node.move(source, target), repeatable=False)
        except NothingThereError as error:
            return RenameOutcome.PARENT_MISSING if error.parent else RenameOutcome.SOURCE_MISSING
        except StorageConflictError:
            return RenameOutcome.TARGET_EXISTS
        except StorageUnavailableError as error:
            # A directory in the way is told with the same name as a passing failure of the NameNode.
            if isinstance(error.__cause__, hdfs.HdfsError) and self.stat(target) is not None:
                return RenameOutcome.TARGET_EXISTS
            raise
        return RenameOutcome.RENAMED

    def delete(self, path: str) -> bool:
        """Remove a file, or a directory with all it holds; tell whether there was one.

        Raises:
            StorageUnavailableError: No answer: it may have happened.
            StorageError: No permission.
        """
        try:
            return bool(self._call("delete", path, lambda node: node.remove(path), repeatable=False))
        except NothingThereError:
            return False

    def close(self) -> None:
        """Release connections. Idempotent; a later call opens new ones."""
        self._session.close()
        self._login.close()

    def _call(self, what: str, path: str, call: Callable[[NameNode], _T], *, repeatable: bool = True) -> _T:
        """Ask one NameNode after the other, each once, the one that answered last first.

        Args:
            what: The operation, for errors.
            path: What it is about, for errors.
            call: The request.
            repeatable: Whether the next one may be asked although this one may have done it.
        """
        try:
            return self._call_any(what, path, call, repeatable)
        except StorageError as error:
            # What a token was refused for has not been done; a fresh one may be accepted.
            if not (refused_token(error.__cause__) and self._login.refused()):
                raise
        return self._call_any(what, path, call, repeatable)

    def _call_any(self, what: str, path: str, call: Callable[[NameNode], _T], repeatable: bool) -> _T:
        first = self._preferred
        failures: list[Exception] = []
        for index in (*range(first, len(self._nodes)), *range(first)):
            try:
                answer = call(self._nodes[index])
            except (requests.RequestException, hdfs.HdfsError) as error:
                failures.append(error)
                not_done = certainly_not_done(error)
                if not_done or isinstance(error, requests.RequestException):
                    # Whatever is asked next is not asked of one that hangs or is not in charge.
                    self._preferred = (index + 1) % len(self._nodes)
                    if not_done or repeatable:
                        continue
                break
            self._preferred = index
            return answer
        raise storage_error(failures, what=what, path=path, user=self._login.name) from failures[-1]

    def _request_any(self, session: requests.Session, method: str, parameters: dict[str, str]) -> requests.Response:
        """Ask one NameNode after the other about the root, for the login."""
        failure: Exception | None = None
        for node in self._nodes:
            try:
                answer = session.request(method, node.root_url, params=parameters, timeout=self._times)
                if answer.ok or "StandbyException" not in answer.text:
                    return answer
                failure = hdfs.HdfsError("standby", exception="StandbyException")
            except (requests.ConnectionError, requests.Timeout) as error:
                failure = error
        raise failure or requests.ConnectionError("no NameNode")

    def _missing(self, path: str) -> Sequence[str]:
        """Return which of a path's directories are not there."""
        missing = []
        while path != "/" and self.stat(path) is None:
            missing.append(path)
            path = posixpath.dirname(path)
        return missing

    def _give_group(self, path: str) -> None:
        self._call("give a group to", path, lambda node: node._set_owner(path, group=self._options.group))

    def _send(self, path: str, place: str, data: bytes | Iterator[bytes]) -> None:
        """Give a DataNode the bytes of a file, once."""
        try:
            self._nodes[0].send(place, data)
        except (requests.RequestException, hdfs.HdfsError) as error:
            raise storage_error([error], what="write", path=path, user=self._login.name) from error

    def _stat_of(self, name: str, status: dict[str, Any]) -> FileStat:
        """Return an entry of a NameNode's answer as ours."""
        try:
            kind = FileKind.DIRECTORY if status["type"] == "DIRECTORY" else FileKind.FILE
            return FileStat(name, kind, status["length"], self._identity(status), status["modificationTime"])
        except (KeyError, TypeError) as error:
            raise StorageError(
                f"The server does not tell what identifies {name or '/'} (no {error}), as HttpFS does not; "
                "use the address of a NameNode's own WebHDFS, or httpfs://host:14000."
            ) from error

    @staticmethod
    def _identity(status: dict[str, Any]) -> str:
        return str(status["fileId"])


class _Counted:
    """Chunks on their way, joined to pieces worth sending, and how many bytes they were."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self.length = 0

    def pieces(self) -> Iterator[bytes]:
        waiting: list[bytes] = []
        size = 0
        for chunk in self._chunks:
            waiting.append(chunk)
            size += len(chunk)
            self.length += len(chunk)
            if size >= _CHUNK_BYTES:
                yield b"".join(waiting)
                waiting, size = [], 0
        if size:
            yield b"".join(waiting)
