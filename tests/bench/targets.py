"""Where chains write: a directory of the local disk, or a real HDFS on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

from flumebeam.hdfs.cluster import LocalHdfs
from flumebeam.hdfs.filesystem import FileStat
from flumebeam.hdfs.options import HdfsOptions
from flumebeam.hdfs.webhdfs import WebHdfsFileSystem
from tests.bench.procfs import Usage, usage
from tests.bench.workload import visible_files

__all__ = ["HdfsTarget", "LocalTarget", "Target", "TargetOf", "bytes_in"]

_OPEN: Final = ".tmp"
"""End of the names of files that Flume has open."""
_LOOK_SECONDS: Final = 0.25
"""How often HDFS is asked: each answer costs it CPU, which counts."""


class Target(Protocol):
    """The directory of one run."""

    @property
    def url(self) -> str:
        """What the drain calls it."""
        ...

    @property
    def java_url(self) -> str:
        """What Hadoop's own client calls it."""
        ...

    def nbytes(self) -> int:
        """Return how many bytes the files hold that readers see."""
        ...

    def has_open_files(self) -> bool:
        """Return whether Flume has not closed all of its files yet."""
        ...

    def usages(self) -> dict[str, Callable[[], Usage]]:
        """Return what the processes have used that keep the files, by name."""
        ...

    def bring(self) -> None:
        """See that the files are in ``files`` of the run's place."""
        ...


TargetOf = Callable[[Path], Target]
"""Gives the directory of a run, which has a place of its own."""


class LocalTarget:
    """``files`` in the place of a run."""

    def __init__(self, place: Path) -> None:
        self._files = place / "files"
        self.url = str(self._files)
        self.java_url = self._files.as_uri()

    def nbytes(self) -> int:
        """See :class:`Target`."""
        return bytes_in(self._files)

    def has_open_files(self) -> bool:
        """See :class:`Target`."""
        return any(self._files.glob(f"*{_OPEN}"))

    def usages(self) -> dict[str, Callable[[], Usage]]:
        """Return nothing: a disk is no process."""
        return {}

    def bring(self) -> None:
        """Do nothing: they are there."""


class HdfsTarget:
    """A directory of an HDFS, named after the place of a run.

    Args:
        cluster: The HDFS, running.
        place: The run's.
    """

    def __init__(self, cluster: LocalHdfs, place: Path) -> None:
        self._cluster = cluster
        self._files = place / "files"
        self._directory = f"/bench/{place.name}"
        self._asked, self._found = 0.0, 0
        self.url = cluster.webhdfs_url.replace("http", "webhdfs", 1) + self._directory
        self.java_url = cluster.hdfs_url + self._directory

    def nbytes(self) -> int:
        """See :class:`Target`."""
        if (now := time.monotonic()) > self._asked + _LOOK_SECONDS:
            with self._filesystem() as filesystem:
                self._asked, self._found = now, sum(file.length for file in self._visible(filesystem))
        return self._found

    def has_open_files(self) -> bool:
        """See :class:`Target`."""
        with self._filesystem() as filesystem:
            return any(file.name.endswith(_OPEN) for file in self._visible(filesystem))

    def usages(self) -> dict[str, Callable[[], Usage]]:
        """See :class:`Target`."""
        pids = [daemon.pid for daemon in (self._cluster.namenode, self._cluster.datanode)]
        return {"hdfs": lambda: sum((usage(pid) or Usage(0.0, 0) for pid in pids if pid is not None), Usage(0.0, 0))}

    def bring(self) -> None:
        """See :class:`Target`."""
        self._files.mkdir()
        with self._filesystem() as filesystem:
            for found in self._visible(filesystem):
                with (self._files / found.name).open("wb") as file:
                    file.writelines(filesystem.read_chunks(f"{self._directory}/{found.name}"))

    def _visible(self, filesystem: WebHdfsFileSystem) -> list[FileStat]:
        return [file for file in filesystem.list(self._directory) if file.name[0] not in "._"]

    @contextmanager
    def _filesystem(self) -> Iterator[WebHdfsFileSystem]:
        filesystem = WebHdfsFileSystem(HdfsOptions(webhdfs_urls=(self._cluster.webhdfs_url,)))
        try:
            yield filesystem
        finally:
            filesystem.close()


def bytes_in(directory: Path) -> int:
    """Return how many bytes the files below a directory hold that readers see."""
    found = 0
    for file in visible_files(directory):
        with suppress(FileNotFoundError):  # Flume gave it its name just now: the next look finds it
            found += file.stat().st_size
    return found
