from __future__ import annotations

from pathlib import Path

import pytest

from flumebeam.hdfs import local
from flumebeam.hdfs.local import LocalFileSystem
from tests.conformance.filesystem.contract import FileSystemContract


class TestLocalFileSystem(FileSystemContract):
    @pytest.fixture
    def fs(self) -> LocalFileSystem:
        return LocalFileSystem()

    @pytest.fixture
    def root(self, tmp_path: Path) -> str:
        return str(tmp_path)


class TestLocalFileSystemWithoutRenameat2(TestLocalFileSystem):
    """The same promise where the mount knows no rename without replacement."""

    @pytest.fixture(autouse=True)
    def no_renameat2(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(local, "_renameat2", None)
