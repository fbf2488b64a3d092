from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from flumebeam.hdfs.cluster import LocalHdfs

# How long one example takes says more about the machine than about the code.
settings.register_profile("flumebeam", deadline=None)
settings.load_profile("flumebeam")


@pytest.fixture(scope="session")
def hdfs_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHdfs]:
    """A real NameNode and DataNode, shared by all tests of a session: each keeps to a directory of its own."""
    # Imported here: most test runs never need it.
    from flumebeam.testing.hdfs import running_hdfs

    with running_hdfs(tmp_path_factory.mktemp("hdfs")) as cluster:
        yield cluster


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the cluster, and give it time: the first such test starts it, and may have to fetch it."""
    for item in items:
        if "hdfs_cluster" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.hdfs)
            item.add_marker(pytest.mark.timeout(300))
