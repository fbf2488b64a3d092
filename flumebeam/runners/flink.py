"""A standalone Flink cluster on this machine: one JobManager and some TaskManagers, as processes on loopback.

For laptops, demonstrations and tests. About 500 MB of memory for each TaskManager and the JobManager.
"""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from flumebeam.daemons import Daemon, free_ports
from flumebeam.errors import ConfigurationError
from flumebeam.runners.artifacts import flink_home
from flumebeam.runners.flink_rest import FlinkRest
from flumebeam.runners.jvm import java

__all__ = ["LocalFlink"]

_JOB_MANAGER: Final = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
_TASK_MANAGER: Final = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
_READY_SECS: Final = 120.0
_POLL_SECS: Final = 0.2
_HEAP_MB: Final = 512
# What Flink's own scripts work out before they start a TaskManager.
_MEMORY: Final = {
    "taskmanager.cpu.cores": "2",
    "taskmanager.memory.task.heap.size": "256mb",
    "taskmanager.memory.task.off-heap.size": "0mb",
    "taskmanager.memory.framework.heap.size": "128mb",
    "taskmanager.memory.framework.off-heap.size": "64mb",
    "taskmanager.memory.network.min": "64mb",
    "taskmanager.memory.network.max": "64mb",
    "taskmanager.memory.managed.size": "64mb",
    "taskmanager.memory.jvm-metaspace.size": "256mb",
    "taskmanager.memory.jvm-overhead.min": "64mb",
    "taskmanager.memory.jvm-overhead.max": "64mb",
}
_LOGGING: Final = """\
rootLogger.level = INFO
rootLogger.appenderRef.c.ref = C
appender.c.name = C
appender.c.type = CONSOLE
appender.c.layout.type = PatternLayout
appender.c.layout.pattern = %d{HH:mm:ss.SSS} %-5p %-40c{1} - %m%n
"""


class LocalFlink:
    """A JobManager and TaskManagers on free loopback ports; a context manager that starts and stops them.

    Attributes:
        rest: Asks the JobManager.
        job_manager: The process that knows the jobs.
        task_managers: The processes that run them, each with the workers that it starts.

    Args:
        directory: Gets configuration, logs, checkpoints and savepoints. Made if missing.
        task_managers: How many to start.
        slots: Parallel tasks of one TaskManager.
        port: Of the REST interface and its address; by default a free one.

    Raises:
        ConfigurationError: Java is missing, or Flink cannot be fetched.
    """

    def __init__(self, directory: Path, *, task_managers: int = 2, slots: int = 2, port: int | None = None) -> None:
        self._directory = directory.absolute()
        jars = [str(jar) for jar in sorted((flink_home() / "lib").glob("*.jar")) if _needed(jar)]
        self._classes = ":".join([str(self._directory / "conf"), *jars])
        rpc, blobs, rest = free_ports(3)
        self.master = f"127.0.0.1:{port or rest}"
        """What ``--flink_master`` wants."""
        self.rest = FlinkRest(self.master)
        self._configure(rpc, blobs, port or rest, slots)
        self.job_manager = self._daemon("JobManager", _JOB_MANAGER, "--executionMode", "cluster")
        sizes = [word for name, value in _MEMORY.items() for word in ("-D", f"{name}={value}")]
        self.task_managers = [
            self._daemon(f"TaskManager {number}", _TASK_MANAGER, *sizes) for number in range(1, task_managers + 1)
        ]
        self._slots = slots

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start what is not running, and wait until all slots are there.

        Raises:
            ConfigurationError: A process ended, or they are not ready in time; with the end of its log.
        """
        self.job_manager.start()
        for each in self.task_managers:
            each.start()
        try:
            self.wait_until_ready()
        except BaseException:  # an interrupt, too, must leave no process behind
            self.stop()
            raise

    def wait_until_ready(self) -> None:
        """Wait until every TaskManager has registered its slots.

        Raises:
            ConfigurationError: A process ended, or they are not ready in time; with the end of its log.
        """
        deadline = time.monotonic() + _READY_SECS
        wanted = self._slots * sum(each.is_running for each in self.task_managers)
        while self.rest.slots() != wanted:
            for each in (self.job_manager, *self.task_managers):
                if not each.is_running:
                    raise ConfigurationError(f"Flink's {each.name} ended; its log {each.log}: {each.last_words()}")
            if time.monotonic() > deadline:
                log = self.job_manager.log
                raise ConfigurationError(f"Flink is not ready after {_READY_SECS:g} s; its logs are in {log.parent}.")
            time.sleep(_POLL_SECS)

    def stop(self) -> None:
        """End all of it at once, with the jobs and workers. Idempotent."""
        for each in (*self.task_managers, self.job_manager):
            each.kill()

    # -- inside ------------------------------------------------------------------------------------------------------

    def _daemon(self, name: str, main_class: str, *arguments: str) -> Daemon:
        command = [*java("Flink", _HEAP_MB), f"-Dlog4j.configurationFile={self._directory}/conf/log4j.properties"]
        command += ["-cp", self._classes, main_class, "--configDir", str(self._directory / "conf"), *arguments]
        log = self._directory / "logs" / f"{name.lower().replace(' ', '-')}.log"
        return Daemon(name, command, log)

    def _configure(self, rpc: int, blobs: int, rest: int, slots: int) -> None:
        for name in ("conf", "logs", "checkpoints", "savepoints"):
            (self._directory / name).mkdir(parents=True, exist_ok=True)
        settings = {
            "jobmanager.rpc.address": "127.0.0.1",
            "jobmanager.rpc.port": rpc,
            "jobmanager.bind-host": "127.0.0.1",
            "jobmanager.memory.process.size": "1200m",
            "blob.server.port": blobs,
            "rest.address": "127.0.0.1",
            "rest.bind-address": "127.0.0.1",
            "rest.port": rest,
            "taskmanager.host": "127.0.0.1",
            "taskmanager.bind-host": "127.0.0.1",
            "taskmanager.numberOfTaskSlots": slots,
            "state.checkpoints.dir": (self._directory / "checkpoints").as_uri(),
            "state.savepoints.dir": (self._directory / "savepoints").as_uri(),
            "io.tmp.dirs": self._directory / "tmp",
            "classloader.check-leaked-classloader": "false",
            # A TaskManager that is gone is known to be gone after ten seconds.
            "heartbeat.interval": "2000",
            "heartbeat.timeout": "10000",
        }
        text = "".join(f"{name}: {value}\n" for name, value in settings.items())
        (self._directory / "conf" / "flink-conf.yaml").write_text(text, encoding="utf-8")
        (self._directory / "conf" / "log4j.properties").write_text(_LOGGING, encoding="utf-8")


def _needed(jar: Path) -> bool:
    """Whether Flink itself needs a jar of its distribution; the rest is for SQL."""
    return jar.name.startswith(("flink-dist", "log4j"))
