from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from flumebeam.hdfs.cluster import LocalHdfs


@pytest.fixture(scope="session")
def hdfs_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHdfs]:
    """A real NameNode and DataNode, shared by all tests of a session: each keeps to a directory of its own."""
    # Imported here: most test runs never need it.
    from flumebeam.testing.hdfs import running_hdfs

    with running_hdfs(tmp_path_factory.mktemp("hdfs")) as cluster:
        yield cluster
