from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from tests.failures import Counted, Events, FailureCases, count_events
from tests.runners.matrix import Matrix

if TYPE_CHECKING:
    from flumebeam.hdfs.cluster import LocalHdfs
    from flumebeam.testing.hdfs_gateway import HttpFs
    from flumebeam.testing.hdfs_ha import HaHdfs
    from flumebeam.testing.hdfs_secure import SecureHdfs

# How long examples take says more about the machine than about the code.
settings.register_profile("flumebeam", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("flumebeam")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(FailureCases())
    config.pluginmanager.register(Matrix())


@pytest.fixture
def counted(request: pytest.FixtureRequest) -> Counted:
    """Count the events of a failure case, see :mod:`tests.failures`."""

    def count(*arguments: Any, **options: Any) -> Events:
        events = count_events(*arguments, **options)
        request.node.user_properties.append(("events", asdict(events)))
        return events

    return count


_CLUSTERS = {"hdfs_cluster", "hdfs_pair", "secure_hdfs"}


@pytest.fixture(scope="session")
def hdfs_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHdfs]:
    """A real NameNode and DataNode, shared by all tests of a session: each keeps to a directory of its own."""
    # Imported here: most test runs never need it.
    from flumebeam.testing.hdfs import running_hdfs

    with running_hdfs(tmp_path_factory.mktemp("hdfs")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def httpfs(hdfs_cluster: LocalHdfs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpFs]:
    """Hadoop's gateway in front of the shared cluster."""
    from flumebeam.testing.hdfs_gateway import HttpFs

    with HttpFs(tmp_path_factory.mktemp("httpfs"), hdfs_cluster.home, "datanode") as gateway:
        yield gateway


@pytest.fixture(scope="module")
def hdfs_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HaHdfs]:
    """Two NameNodes of one nameservice, for one module: it costs 750 MB."""
    from flumebeam.testing.hdfs import running_pair

    with running_pair(tmp_path_factory.mktemp("pair")) as pair:
        yield pair


@pytest.fixture(scope="session")
def secure_hdfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureHdfs]:
    """A cluster that asks for Kerberos, over TLS."""
    from flumebeam.testing.hdfs import running_secure_hdfs

    with running_secure_hdfs(tmp_path_factory.mktemp("secure")) as cluster:
        yield cluster


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the cluster, and give it time: the first such test starts it, and may have to fetch it."""
    for item in items:
        if not _CLUSTERS.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.hdfs)
            item.add_marker(pytest.mark.timeout(600))
