"""HDFS through HttpFS, Hadoop's gateway: one address for a whole cluster, also an HA pair, from outside its network.

HttpFS speaks WebHDFS with two differences that matter here. Its rename is the old one: it answers a boolean, and moves
what is renamed *into* a directory of the new name. And it tells no file ids.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import Any

from flumebeam.errors import StorageConflictError, StorageUnavailableError
from flumebeam.hdfs.filesystem import FileKind, RenameOutcome
from flumebeam.hdfs.namenode import NameNode
from flumebeam.hdfs.webhdfs import WebHdfsFileSystem
from flumebeam.hdfs.webhdfs_errors import NothingThereError, field

__all__ = ["HttpFsFileSystem"]


class HttpFsFileSystem(WebHdfsFileSystem):
    """A cluster behind HttpFS; what :class:`~flumebeam.hdfs.webhdfs.WebHdfsFileSystem` says holds here as well.

    A new name is looked at before something is renamed to it. Should a directory come to stand there between the look
    and the rename, and this process die before it has moved back what went into it, a part would lie in that directory
    under its hidden name: only a foreign directory can do that, made in that instant under a name that nobody else has
    reason to know.

    Files are told apart by the moment they were closed (NameNode's clock, milliseconds) and their length. It is asked
    only of names that are ours alone, so it decides between attempts of one writer.
    """

    def rename(self, source: str, target: str) -> RenameOutcome:
        """Move a file or a directory to a name that is free; see the class for what is not atomic here.

        Raises:
            StorageUnavailableError: No answer: it may have happened.
            StorageFullError: A quota of the target's directory is used up.
            StorageError: No permission.
        """
        if self.stat(target) is not None:
            return self._hindrance(source, target) or RenameOutcome.TARGET_EXISTS
        try:
            renamed = self._call("rename", source, lambda node: _renamed(node, source, target), repeatable=False)
        except NothingThereError as error:
            return RenameOutcome.PARENT_MISSING if error.parent else RenameOutcome.SOURCE_MISSING
        except StorageConflictError:
            return RenameOutcome.TARGET_EXISTS
        if not renamed:
            if (outcome := self._hindrance(source, target)) is None:
                raise StorageUnavailableError(f"HttpFS did not rename {source}, and gave no reason; try again.")
            return outcome
        return self._taken_out(source, target)

    def concat(self, target: str, sources: Sequence[str]) -> bool:
        """Do nothing, and have callers copy: a file that has grown could not be told from another one here."""
        return False

    def _taken_out(self, source: str, target: str) -> RenameOutcome:
        """Move back what a directory of the new name has swallowed."""
        inside = f"{target}/{posixpath.basename(source)}"
        if self.stat(inside) is None or self.stat(source) is not None:
            return RenameOutcome.RENAMED
        if not self._call("rename", inside, lambda node: _renamed(node, inside, source), repeatable=False):
            raise StorageUnavailableError(f"{source} went into the directory {target}, and cannot be moved back yet.")
        return RenameOutcome.TARGET_EXISTS

    def _hindrance(self, source: str, target: str) -> RenameOutcome | None:
        if self.stat(source) is None:
            return RenameOutcome.SOURCE_MISSING
        parent = self.stat(posixpath.dirname(target))
        if parent is None or parent.kind is FileKind.FILE:
            return RenameOutcome.PARENT_MISSING
        return RenameOutcome.TARGET_EXISTS if self.stat(target) is not None else None

    @staticmethod
    def _identity(status: dict[str, Any]) -> str:
        if status["type"] == "DIRECTORY":
            return "directory"
        return f"{status['modificationTime']}:{status['length']}"


def _renamed(node: NameNode, source: str, target: str) -> bool:
    return bool(field(node._rename(source, destination=target), "boolean"))
