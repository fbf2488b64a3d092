"""A standalone Spark cluster on this machine: one master and some workers, as processes on loopback.

For laptops, demonstrations and tests. About 300 MB of memory for the master and each worker, and 600 MB for each
executor of a job.
"""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import requests

from flumebeam.daemons import Daemon, free_ports
from flumebeam.errors import ConfigurationError, RunnerError
from flumebeam.runners.artifacts import spark_home
from flumebeam.runners.jvm import java

__all__ = ["LocalSpark"]

_MASTER: Final = "org.apache.spark.deploy.master.Master"
_WORKER: Final = "org.apache.spark.deploy.worker.Worker"
_READY_SECS: Final = 120.0
_POLL_SECS: Final = 0.2
_HEAP_MB: Final = 256


class LocalSpark:
    """A master and workers on free loopback ports; a context manager that starts and stops them.

    Attributes:
        master_process: The process that knows the applications.
        workers: The processes that start executors.

    Args:
        directory: Gets logs and the executors' files. Made if missing.
        workers: How many to start.
        cores: Parallel tasks of one worker.
        port: Of the master; by default a free one.

    Raises:
        ConfigurationError: Java is missing, or Spark cannot be fetched.
    """

    def __init__(self, directory: Path, *, workers: int = 2, cores: int = 1, port: int | None = None) -> None:
        self._directory = directory.absolute()
        self._home = spark_home()
        (self._directory / "logs").mkdir(parents=True, exist_ok=True)
        rpc, web, *more = free_ports(2 + 2 * workers)
        self.web = f"127.0.0.1:{web}"
        """Where the master shows what runs, and ends it when asked."""
        self.master = f"spark://127.0.0.1:{port or rpc}"
        """What ``--spark_master_url`` wants."""
        self.master_process = self._daemon(
            "master", _MASTER, "--host", "127.0.0.1", "--port", str(port or rpc), "--webui-port", str(web)
        )
        self.workers = []
        for number in range(workers):
            arguments = ["--host", "127.0.0.1", "--port", str(more[2 * number])]
            arguments += ["--webui-port", str(more[2 * number + 1]), "--cores", str(cores), "--memory", "1g"]
            arguments += ["--work-dir", str(self._directory / f"work-{number + 1}"), self.master]
            self.workers.append(self._daemon(f"worker {number + 1}", _WORKER, *arguments))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start what is not running, and wait until the master knows all workers.

        Raises:
            ConfigurationError: A process ended, or they are not ready in time; with the end of its log.
        """
        for each in (self.master_process, *self.workers):
            each.start()
        deadline = time.monotonic() + _READY_SECS
        try:
            while self._alive() != len(self.workers):
                for each in (self.master_process, *self.workers):
                    if not each.is_running:
                        raise ConfigurationError(f"Spark's {each.name} ended; its log {each.log}: {each.last_words()}")
                if time.monotonic() > deadline:
                    logs = self._directory / "logs"
                    raise ConfigurationError(f"Spark is not ready after {_READY_SECS:g} s; its logs are in {logs}.")
                time.sleep(_POLL_SECS)
        except BaseException:  # an interrupt, too, must leave no process behind
            self.stop()
            raise

    def stop(self) -> None:
        """End all of it, executors included. Idempotent."""
        for each in self.workers:
            each.stop()
        self.master_process.kill()

    def applications(self) -> list[str]:
        """Return the names that the master has given to what runs.

        Raises:
            RunnerError: It does not answer.
        """
        try:
            return [str(each["id"]) for each in self._shown()["activeapps"]]
        except (requests.RequestException, ValueError, KeyError) as error:
            raise RunnerError(f"No Spark master answers at http://{self.web}.") from error

    def _alive(self) -> int | None:
        try:
            return int(self._shown()["aliveworkers"])
        except (requests.RequestException, ValueError, KeyError):
            return None

    def _shown(self) -> Any:
        with requests.Session() as session:
            session.trust_env = False
            return session.get(f"http://{self.web}/json/", timeout=5).json()

    def _daemon(self, name: str, main_class: str, *arguments: str) -> Daemon:
        command = [*java("Spark", _HEAP_MB), "-cp", f"{self._home}/jars/*", main_class, *arguments]
        # Without a home and Scala's version no executor starts.
        environment = {"SPARK_HOME": str(self._home), "SPARK_SCALA_VERSION": "2.12", "SPARK_LOCAL_IP": "127.0.0.1"}
        log = self._directory / "logs" / f"{name.replace(' ', '-')}.log"
        return Daemon(name, command, log, environment)
