"""Standalone clusters at work: what runs on them, who does it, and how that ends; the same questions to each kind."""

from __future__ import annotations

from abc import ABC, abstractmethod

import requests

from flumebeam.runners.flink import LocalFlink
from flumebeam.runners.flink_rest import FlinkJob, FlinkRest
from flumebeam.runners.spark import LocalSpark
from tests.faults.pipelines.scene import Scene
from tests.programs import Program, until
from tests.runners.faults import PATIENCE, children
from tests.runners.kinds import Runner

__all__ = ["Cluster", "FlinkCluster", "SparkCluster", "cluster_of"]

_WORKER = b"flumebeam-worker"


class Cluster(ABC):
    """A cluster at work.

    Args:
        runner: Runs pipelines on it.
    """

    def __init__(self, runner: Runner) -> None:
        self.runner = runner

    @abstractmethod
    def worker(self) -> tuple[int, int]:
        """Return the process ids of the one worker, and of the TaskManager or executor that has started it."""

    @abstractmethod
    def running(self) -> list[str]:
        """Return what runs: ids of jobs, or of applications."""

    @abstractmethod
    def cancel(self) -> None:
        """Cancel the one job that runs, as a user does at the cluster's page."""

    @abstractmethod
    def end(self, scene: Scene, drain: Program) -> None:
        """Let a drain that was begun by ``draining`` come to a good end, with everything acknowledged."""

    @abstractmethod
    def restore(self) -> None:
        """Make the cluster whole, and leave nothing running on it."""


class FlinkCluster(Cluster):
    """A standalone Flink."""

    @property
    def flink(self) -> LocalFlink:
        """Its processes."""
        made: LocalFlink = self.runner.cluster
        return made

    @property
    def rest(self) -> FlinkRest:
        """Its JobManager's interface."""
        return self.flink.rest

    def job(self) -> FlinkJob:
        """Return the one job that runs."""
        [job] = [job for job in self.rest.jobs() if not job.ended]
        return job

    def worker(self) -> tuple[int, int]:
        """Return the process ids of the one worker, and of its TaskManager."""
        [found] = children(_WORKER, *(each.pid for each in self.flink.task_managers))
        return found

    def running(self) -> list[str]:
        """Return the ids of the jobs that have not ended."""
        return [job.id for job in self.rest.jobs() if not job.ended]

    def cancel(self) -> None:
        """Cancel the job at the JobManager."""
        self.rest.cancel(self.job().id)

    def end(self, scene: Scene, drain: Program) -> None:
        """Wait until everything is acknowledged, and stop the job, which never ends by itself."""
        until(lambda: not scene.left or not drain.running, "all acknowledged", PATIENCE)
        scene.programs.start("stop", self.job().name).ends_well(PATIENCE)
        drain.ends_well(PATIENCE)

    def restore(self) -> None:
        """Start what was killed, and cancel what runs."""
        self.flink.start()
        for job in self.running():
            self.rest.cancel(job)
            self.rest.wait(job, PATIENCE)


class SparkCluster(Cluster):
    """A standalone Spark."""

    @property
    def spark(self) -> LocalSpark:
        """Its processes."""
        made: LocalSpark = self.runner.cluster
        return made

    def worker(self) -> tuple[int, int]:
        """Return the process ids of the one worker, and of its executor."""
        executors = children(b"CoarseGrainedExecutorBackend", *(each.pid for each in self.spark.workers))
        [found] = children(_WORKER, *(pid for pid, _ in executors))
        return found

    def running(self) -> list[str]:
        """Return the names that the master has given to applications."""
        return self.spark.applications()

    def cancel(self) -> None:
        """Kill the application at the master."""
        [application] = self.running()
        with requests.Session() as session:
            session.trust_env = False
            asked = {"id": application, "terminate": "true"}
            session.post(f"http://{self.spark.web}/app/kill/", data=asked, timeout=10).raise_for_status()

    def end(self, scene: Scene, drain: Program) -> None:
        """Wait for the end, which comes by itself."""
        drain.ends_well(PATIENCE)

    def restore(self) -> None:
        """Start what was killed, and wait until no application is left."""
        self.spark.start()
        until(lambda: not self.running(), "no application left", PATIENCE)


def cluster_of(runner: Runner) -> Cluster:
    """Return the cluster behind a runner."""
    return FlinkCluster(runner) if isinstance(runner.cluster, LocalFlink) else SparkCluster(runner)
