from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flumebeam.broker import DevelopmentBroker
from flumebeam.testing import running_broker
from tests.faults.pipelines.scene import Scene
from tests.programs import Programs
from tests.runners.clusters import Cluster, cluster_of
from tests.runners.kinds import KINDS, Runner, started
from tests.runners.matrix import Matrix

_MATRIX = pytest.StashKey[Matrix]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_MATRIX] = Matrix()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give time, for the first test on a runner may have to fetch it; and do one runner after the other."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(900))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    row = item.get_closest_marker("row")
    runner = getattr(item, "callspec", None) and item.callspec.params.get("runner")
    if row is not None and runner is not None:
        name, *elsewhere = row.args
        item.config.stash[_MATRIX].note(name, runner, report, *elsewhere)
    return report


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: pytest.ExitCode, config: pytest.Config
) -> None:
    matrix = config.stash[_MATRIX]
    if matrix.empty:
        return
    terminalreporter.section("every pipeline on every runner")
    terminalreporter.write_line(matrix.text())
    if os.environ.get("FLUMEBEAM_WRITE_MATRIX") != "1":
        return
    # A page that mixes what ran at different times says nothing about any of them.
    if exitstatus == pytest.ExitCode.OK and not terminalreporter.stats.get("deselected"):
        matrix.write(Path(__file__).parents[2] / "docs" / "runners.md")
    else:
        terminalreporter.write_line("Not written into the documentation: that takes one run of all of it, green.")


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
