"""Where a scene's target may be, other than on a local disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flumebeam.hdfs.filesystem import FileKind
from flumebeam.hdfs.webhdfs import HdfsOptions, WebHdfsFileSystem
from flumebeam.testing.hdfs import fresh_directory
from tests.faults.pipelines.scene import Scene

__all__ = ["HdfsStore"]


class HdfsStore:
    """A directory of HDFS that is the scene's target.

    Args:
        urls: WebHDFS addresses of its NameNodes.
        scene: Gets the target.
    """

    def __init__(self, urls: Sequence[str], scene: Scene) -> None:
        self.root = fresh_directory()
        self._view = scene.view
        self._fs = WebHdfsFileSystem(HdfsOptions(webhdfs_urls=tuple(urls)))
        self._fs.make_directory(self.root)
        scene.target = "webhdfs://" + ",".join(url.removeprefix("http://") for url in urls) + self.root

    def copy(self) -> None:
        """Copy everything to where the scene looks for the target."""
        self._copy(self.root, self._view)

    def close(self) -> None:
        self._fs.close()

    def _copy(self, source: str, target: Path) -> None:
        target.mkdir()
        for found in self._fs.list(source):
            if found.kind is FileKind.DIRECTORY:
                self._copy(f"{source}/{found.name}", target / found.name)
            else:
                content = self._fs.read(f"{source}/{found.name}")
                assert content is not None
                (target / found.name).write_bytes(content)
