from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flumebeam.broker import DevelopmentBroker
from flumebeam.testing import running_broker
from tests.faults.pipelines.scene import Scene
from tests.programs import Programs
from tests.runners.clusters import Cluster, cluster_of
from tests.runners.kinds import KINDS, Runner, started


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give time, for the first test on a runner may have to fetch it; and keep what needs one runner together."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(900))
            kind = item.callspec.params.get("runner") if hasattr(item, "callspec") else None
            item.add_marker(pytest.mark.xdist_group(str(kind or item.path.stem)))


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(name, id=name.replace(" ", "-"), marks=[pytest.mark.cluster] if "cluster" in name else [])
        for name in KINDS
    ],
)
def runner(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """Each runner in turn, started once and ended when the last of its tests is over."""
    with started(request.param, tmp_path_factory.mktemp("runner")) as made:
        yield made


@pytest.fixture
def cluster(runner: Runner) -> Iterator[Cluster]:
    """The standalone cluster behind a runner: whole, and with nothing running on it afterwards."""
    made = cluster_of(runner)
    yield made
    made.restore()


@pytest.fixture
def cell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Say what stands in the matrix instead of "yes": a "no" that the test has seen refused, with its reason."""

    def say(text: str) -> None:
        request.node.user_properties.append(("cell", text))

    return say


@pytest.fixture(scope="session")
def broker() -> Iterator[DevelopmentBroker]:
    with running_broker() as made:
        yield made


@pytest.fixture
def scene(broker: DevelopmentBroker, tmp_path: Path) -> Iterator[Scene]:
    """A queue, a target and programs of one test's own; the programs are gone afterwards."""
    programs = Programs(tmp_path, {"SOLACE_HOST": broker.url})
    made = Scene(broker, programs, tmp_path)
    yield made
    programs.close()
    broker.delete_queue(made.queue)
