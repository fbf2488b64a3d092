from __future__ import annotations

import pytest

from flumebeam.hdfs.filesystem import FileSystem
from flumebeam.testing.faulty_filesystem import FaultyFileSystem
from flumebeam.testing.memory_filesystem import MemoryFileSystem
from tests.conformance.filesystem.contract import FileSystemContract


class TestMemoryFileSystem(FileSystemContract):
    @pytest.fixture
    def fs(self) -> FileSystem:
        return MemoryFileSystem()

    @pytest.fixture
    def root(self, fs: FileSystem) -> str:
        fs.make_directory("/target")
        return "/target"


class TestMemoryFileSystemThatCannotConcat(TestMemoryFileSystem):
    @pytest.fixture
    def fs(self) -> FileSystem:
        return MemoryFileSystem(can_concat=False)


class TestFaultyFileSystemWithoutFaults(TestMemoryFileSystem):
    @pytest.fixture
    def fs(self) -> FileSystem:
        return FaultyFileSystem(MemoryFileSystem())
