"""Beam's job servers of Flink and Spark as programs beside us: they take a pipeline, and run it or submit it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from flumebeam.daemons import Daemon, free_ports
from flumebeam.errors import ConfigurationError
from flumebeam.runners.artifacts import flink_job_server, spark_job_server
from flumebeam.runners.jvm import java

__all__ = ["FlinkJobServer", "JobServer", "SparkJobServer"]

_READY: Final = "JobService started on"
_READY_SECS: Final = 120.0
_RESTARTS: Final = """\
restart-strategy.type: failure-rate
restart-strategy.failure-rate.max-failures-per-interval: 10
restart-strategy.failure-rate.failure-rate-interval: 5 min
restart-strategy.failure-rate.delay: 2 s
"""
"""For jobs with checkpoints. Flink's default tries for ever: a worker that cannot start would be a job that hangs."""


class JobServer:
    """A job server; a context manager that starts and stops it. Ends with the process that started it.

    Args:
        name: Of the runner, for messages.
        jar: The program.
        arguments: Its arguments, without its ports.
        directory: Gets its log and what is staged; must exist.
        heap_mb: Largest heap, MiB.
    """

    def __init__(self, name: str, jar: Path, arguments: Sequence[str], directory: Path, heap_mb: int) -> None:
        # The job's port must not be one that the server itself picks for artifacts: so all are picked here.
        job, artifact = free_ports(2)
        self.endpoint = f"127.0.0.1:{job}"
        """What ``--job_endpoint`` wants."""
        command = [*java(f"The job server of {name}", heap_mb), "-jar", str(jar), *arguments]
        command += ["--job-host", "127.0.0.1", "--job-port", str(job), "--artifact-port", str(artifact)]
        command += ["--expansion-port", "-1", "--artifacts-dir", str(directory / "artifacts")]
        self.daemon = Daemon(f"job server of {name}", command, directory / "job-server.log")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it takes jobs, three to twelve seconds.

        Raises:
            ConfigurationError: It ended, or is not ready in time; with the end of its log.
        """
        self.daemon.start()
        if not self.daemon.says(_READY, _READY_SECS):
            self.stop()
            raise ConfigurationError(
                f"The {self.daemon.name} did not start; its log {self.daemon.log}: {self.daemon.last_words()}"
            )

    def stop(self) -> None:
        """End it, and with it what runs inside it; jobs on a cluster run on. Idempotent."""
        self.daemon.kill()


class FlinkJobServer(JobServer):
    """Flink's job server.

    Args:
        directory: Gets its log and what is staged.
        master: ``[local]`` to run jobs in the job server itself, or a JobManager's REST address, ``host:port``.
        jar: The job server; by default the one that is fetched.
    """

    def __init__(self, directory: Path, master: str = "[local]", *, jar: str | None = None) -> None:
        configuration = directory / "flink-conf"
        configuration.mkdir(parents=True, exist_ok=True)
        (configuration / "flink-conf.yaml").write_text(_RESTARTS, encoding="utf-8")
        arguments = ["--flink-master", master, "--flink-conf-dir", str(configuration)]
        heap_mb = 768 if master == "[local]" else 384
        super().__init__("Flink", _given(jar) or flink_job_server(), arguments, directory, heap_mb)


class SparkJobServer(JobServer):
    """Spark's job server, which is the driver of its jobs.

    Args:
        directory: Gets its log and what is staged.
        master: ``local[2]`` to run jobs in the job server itself, or ``spark://host:port``.
        jar: The job server; by default the one that is fetched.
    """

    def __init__(self, directory: Path, master: str = "local[2]", *, jar: str | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        arguments = ["--spark-master-url", master]
        super().__init__("Spark", _given(jar) or spark_job_server(), arguments, directory, heap_mb=768)


def _given(jar: str | None) -> Path | None:
    if jar and not Path(jar).is_file():
        raise ConfigurationError(f"There is no job server at {jar!r}: name a jar on this machine.")
    return Path(jar) if jar else None
