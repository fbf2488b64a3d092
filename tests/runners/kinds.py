"""The runners that every pipeline is tried on, started once for a whole test session."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flumebeam.errors import ConfigurationError
from flumebeam.runners.artifacts import BEAM_JAVA_VERSION, FLINK_VERSION, SPARK_VERSION
from flumebeam.runners.flink import LocalFlink
from flumebeam.runners.job_servers import FlinkJobServer, JobServer, SparkJobServer
from flumebeam.runners.spark import LocalSpark
from flumebeam.testing.prism import prism_program
from flumebeam.testing.requirements import require, unmet

__all__ = ["KINDS", "Runner", "started"]

JAVA_SIDE = f"Beam {BEAM_JAVA_VERSION}"


@dataclass(frozen=True, kw_only=True)
class Runner:
    """A runner that is ready.

    Attributes:
        name: Its column in the matrix.
        options: What a user adds to a command to run on it.
        streams: Whether it runs what never ends.
        has_a_program: Whether each pipeline starts one, which must be ended with it.
        stops_by_signal: Whether Ctrl-C reaches its sources in the driver.
        cluster: The cluster behind it, if any.
    """

    name: str
    options: list[str]
    streams: bool = True
    has_a_program: bool = False
    stops_by_signal: bool = True
    cluster: Any = field(default=None, compare=False)


def _fn_api(directory: Path, stack: contextlib.ExitStack) -> Runner:
    return Runner(name="FnApiRunner", options=["--runner=FnApiRunner"])


def _prism(directory: Path, stack: contextlib.ExitStack) -> Runner:
    options = ["--runner=PrismRunner", f"--prism_location={prism_program()}"]
    return Runner(name="Prism", options=options, has_a_program=True)


def _flink_local(directory: Path, stack: contextlib.ExitStack) -> Runner:
    server = stack.enter_context(_made(lambda: FlinkJobServer(directory)))
    return Runner(name="Flink [local]", options=["--runner=FlinkRunner", f"--job_endpoint={server.endpoint}"])


def _spark_local(directory: Path, stack: contextlib.ExitStack) -> Runner:
    server = stack.enter_context(_made(lambda: SparkJobServer(directory, "local[2]")))
    options = ["--runner=SparkRunner", "--spark_master_url=local[2]", f"--job_endpoint={server.endpoint}"]
    return Runner(name="Spark local", options=options, streams=False)


def _flink_cluster(directory: Path, stack: contextlib.ExitStack) -> Runner:
    cluster = stack.enter_context(_made(lambda: LocalFlink(directory / "cluster")))
    server = stack.enter_context(_made(lambda: FlinkJobServer(directory, cluster.master)))
    options = ["--runner=FlinkRunner", f"--flink_master={cluster.master}", f"--job_endpoint={server.endpoint}"]
    return Runner(name="Flink cluster", options=options, stops_by_signal=False, cluster=cluster)


def _spark_cluster(directory: Path, stack: contextlib.ExitStack) -> Runner:
    cluster = stack.enter_context(_made(lambda: LocalSpark(directory / "cluster")))
    server = stack.enter_context(_made(lambda: SparkJobServer(directory, cluster.master)))
    options = ["--runner=SparkRunner", f"--spark_master_url={cluster.master}", f"--job_endpoint={server.endpoint}"]
    return Runner(name="Spark cluster", options=options, streams=False, stops_by_signal=False, cluster=cluster)


KINDS: dict[str, tuple[Callable[[Path, contextlib.ExitStack], Runner], str]] = {
    "FnApiRunner": (_fn_api, "Beam 2.77"),
    "Prism": (_prism, "Beam 2.77"),
    "Flink [local]": (_flink_local, f"Flink 1.19, {JAVA_SIDE}"),
    "Spark local": (_spark_local, f"Spark {SPARK_VERSION}, {JAVA_SIDE}"),
    "Flink cluster": (_flink_cluster, f"Flink {FLINK_VERSION}, {JAVA_SIDE}; two TaskManagers"),
    "Spark cluster": (_spark_cluster, f"Spark {SPARK_VERSION}, {JAVA_SIDE}; two workers"),
}
"""By name: how it is started, and what of it is."""


@contextlib.contextmanager
def started(name: str, directory: Path) -> Iterator[Runner]:
    """Start a runner; skip the test that asks where it cannot run."""
    with contextlib.ExitStack() as stack:
        yield KINDS[name][0](directory, stack)


def _made(make: Callable[[], JobServer | LocalFlink | LocalSpark]) -> Any:
    require("java")
    try:
        return make()
    except ConfigurationError as error:
        unmet(str(error))
