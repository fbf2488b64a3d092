"""An HDFS of this machine that outlives the program which started it: started, looked at and stopped by commands.

What runs is written down in ``running.json`` in its directory: a process is known by its id together with the moment it
began, so that another program that got the same id later is never taken for it, nor ended.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from flumebeam.errors import ConfigurationError, StorageError
from flumebeam.hdfs.cluster import LocalHdfs

__all__ = ["DEFAULT_PORT", "DEFAULT_RPC_PORT", "HdfsService", "RunningDaemon", "RunningHdfs", "default_directory"]

DEFAULT_PORT: Final = 9870
"""Hadoop's own for WebHDFS, which addresses without a port mean."""
DEFAULT_RPC_PORT: Final = 8020
"""Hadoop's own for RPC."""

_STATE: Final = "running.json"
_STOP_SECS: Final = 15.0
_POLL_SECS: Final = 0.05
_START_FIELD: Final = 19
"""Of /proc/PID/stat behind the name: when the process began, in ticks since the machine did."""


@dataclass(frozen=True, slots=True)
class RunningDaemon:
    """A process as it was started.

    Attributes:
        name: What it is.
        pid: Its id.
        began: When it began, in ticks since the machine did.
        log: File that gets what it prints.
    """

    name: str
    pid: int
    began: int
    log: str

    @property
    def is_running(self) -> bool:
        """Whether this very process lives."""
        return _began(self.pid) == self.began

    def stop(self) -> None:
        """End it in order; killed if it takes more than 15 seconds. Idempotent."""
        deadline = time.monotonic() + _STOP_SECS
        number = signal.SIGTERM
        while self.is_running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
                os.kill(self.pid, signal.SIGCONT)
            while self.is_running and time.monotonic() < deadline:
                time.sleep(_POLL_SECS)
            number = signal.SIGKILL
            deadline = time.monotonic() + _STOP_SECS


@dataclass(frozen=True, slots=True)
class RunningHdfs:
    """What was started.

    Attributes:
        webhdfs_url: The NameNode's WebHDFS, as ``http://host:port``.
        hdfs_url: What Hadoop's own programs call it.
        configuration: Directory that ``HADOOP_CONF_DIR`` may name.
        daemons: The processes.
    """

    webhdfs_url: str
    hdfs_url: str
    configuration: str
    daemons: tuple[RunningDaemon, ...]

    @property
    def ended(self) -> tuple[RunningDaemon, ...]:
        """Daemons that do not run any more."""
        return tuple(daemon for daemon in self.daemons if not daemon.is_running)

    @property
    def target(self) -> str:
        """Address of a target there, to which a directory is to be added."""
        return self.webhdfs_url.replace("http://", "webhdfs://", 1)


class HdfsService:
    """The HDFS in one directory. Several programs may use it at once: each command waits for the one before.

    Args:
        directory: Where files, configuration, logs and ``running.json`` are.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory.absolute()

    def start(self, *, port: int = DEFAULT_PORT, rpc_port: int = DEFAULT_RPC_PORT) -> RunningHdfs:
        """Start the daemons and return when files can be written.

        Args:
            port: Of WebHDFS; 0 takes a free one.
            rpc_port: Of RPC; 0 takes a free one.

        Raises:
            ConfigurationError: It runs already, a port is in use, or Java or the jars are missing.
            StorageUnavailableError: A daemon ended, or they are not ready in time.
        """
        with self._alone():
            if (running := self._read()) is not None:
                if not running.ended:
                    raise ConfigurationError(
                        f"This HDFS runs already, at {running.target}; end it with: flumebeam hdfs stop."
                    )
                self._end(running)
            for number, option in ((port, "--port"), (rpc_port, "--rpc-port")):
                _check_free(number, option)
            cluster = LocalHdfs(self._directory, port=port, rpc_port=rpc_port)
            cluster.start()
            daemons = tuple(
                RunningDaemon(daemon.name, pid, _began(pid) or 0, str(daemon.log))
                for daemon in (cluster.namenode, cluster.datanode)
                if (pid := daemon.pid) is not None
            )
            running = RunningHdfs(
                cluster.webhdfs_url, cluster.hdfs_url, str(cluster.home.configuration("namenode")), daemons
            )
            self._write(running)
            return running

    def status(self) -> RunningHdfs | None:
        """Return what was started and not stopped; ``None`` if there is nothing."""
        return self._read()

    def stop(self) -> bool:
        """End the daemons in order; files stay. Tell whether anything ran."""
        with self._alone():
            running = self._read()
            if running is None:
                return False
            ran = len(running.ended) < len(running.daemons)
            self._end(running)
            return ran

    def _end(self, running: RunningHdfs) -> None:
        for daemon in reversed(running.daemons):
            daemon.stop()
        (self._directory / _STATE).unlink(missing_ok=True)

    def _read(self) -> RunningHdfs | None:
        place = self._directory / _STATE
        try:
            facts = json.loads(place.read_text(encoding="utf-8"))
            daemons = tuple(RunningDaemon(**daemon) for daemon in facts.pop("daemons"))
            return RunningHdfs(**facts, daemons=daemons)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StorageError(
                f"{place} cannot be understood ({error}); end the daemons yourself and remove it."
            ) from error

    def _write(self, running: RunningHdfs) -> None:
        place = self._directory / _STATE
        fresh = place.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(running), indent=1), encoding="utf-8")
        fresh.replace(place)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            lock = (self._directory / "lock").open("a")
        except OSError as error:
            raise ConfigurationError(
                f"An HDFS cannot be kept in {self._directory}: {error.strerror}; name another directory with --data."
            ) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def default_directory() -> Path:
    """Return where the HDFS of this user is kept if nothing else is said."""
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data, "flumebeam", "hdfs")


def _began(pid: int) -> int | None:
    """Return when a process began; ``None`` if it is gone, or only not yet waited for."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else int(fields[_START_FIELD])


def _check_free(port: int, option: str) -> None:
    with socket.socket() as probe:
        # As Java does: what lingers of an earlier connection is not in the way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConfigurationError(
                f"Port {port} cannot be used ({error.strerror}); choose another: {option} 0 takes a free one."
            ) from error
