"""What tests of faults share: a drain at work on a runner, and the processes behind it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.pipelines.scene import Scene, numbered
from tests.programs import Program, until
from tests.runners.kinds import Runner

__all__ = ["BODIES", "COUNT", "HALF", "LOCAL", "PATIENCE", "children", "drain_the_rest", "draining", "on", "own_server"]

COUNT = 6_000
BODIES = numbered(COUNT)
HALF = COUNT // 2
PATIENCE = 300.0
LOCAL = ("FnApiRunner", "Prism", "Flink [local]", "Spark local")
"""Runners that are no clusters."""


def on(*runners: str, always: bool = False) -> pytest.MarkDecorator:
    """Run a test on these runners only.

    Args:
        runners: Their names.
        always: Whether it runs in ``make test``, too, where the runner is no cluster.
    """
    named = [
        pytest.param(
            name, id=name.replace(" ", "-"), marks=[] if always and "cluster" not in name else [pytest.mark.cluster]
        )
        for name in runners
    ]
    return pytest.mark.parametrize("runner", named, indirect=True)


def own_server(runner: Runner) -> list[str]:
    """Return a runner's options without its job server: each driver starts one, as a user's does."""
    return [option for option in runner.options if not option.startswith("--job_endpoint")]


def draining(
    scene: Scene, runner: Runner, *more: str, idle_seconds: int = 600, own: bool = False
) -> tuple[Program, list[bytes]]:
    """Start a drain that never ends, or on Spark one that ends late, and let it write something.

    Args:
        scene: Where it drains.
        runner: Where it runs.
        more: Further options.
        idle_seconds: After how long without an event one on Spark ends.
        own: Whether it has a job server of its own; on Spark, where that is what drives the job, it always has.

    Returns:
        The program, and the events that are not in the queue yet.
    """
    scene.fill(BODIES[:HALF])
    filled = HALF
    end = () if runner.streams else ("--until_empty", f"--idle_seconds={idle_seconds}")
    options = scene.drain_options(*end, *more, until_empty=False)
    where = runner.options if runner.streams and not own else own_server(runner)
    drain = scene.programs.start("run", "drain_to_hdfs", *options, *where)
    deadline = time.monotonic() + PATIENCE
    while scene.left == filled and drain.running:
        assert time.monotonic() < deadline, "nothing acknowledged"
        time.sleep(1)
        # On Spark the whole run is one bundle: what was written is committed when something more comes.
        if not runner.streams and filled < COUNT - 500:
            scene.fill(BODIES[filled : filled + 20])
            filled += 20
    assert drain.running, drain.err
    return drain, BODIES[filled:]


def drain_the_rest(scene: Scene) -> None:
    """Drain the queue in process, which runs anywhere: whoever reads next finds what is left."""
    # As long as the broker serves an earlier flow, the next one gets nothing, which looks like an empty queue.
    until(lambda: not scene.broker.queue(scene.queue).consumers, "earlier flows gone", PATIENCE)
    scene.drain().ends_well(PATIENCE)


def children(mark: bytes, *parents: int | None) -> Iterator[tuple[int, int]]:
    """Yield the process ids of children whose command line has ``mark``, and of the parent of each."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent in parents and mark in (entry / "cmdline").read_bytes():
                yield int(entry.name), parent
        except OSError:
            continue
