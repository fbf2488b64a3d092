"""A real HDFS on this machine: one NameNode and one DataNode as processes of their own, on loopback.

For laptops, demonstrations and tests; nothing here is tuned or secured for anything else. About 400 MB of memory, and
five seconds to start.
"""

from __future__ import annotations

import contextlib
import getpass
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from xml.sax.saxutils import escape

import requests

from flumebeam.errors import StorageUnavailableError
from flumebeam.hdfs.hadoop_jars import fetch_jars, find_java

__all__ = ["HdfsDaemon", "LocalHdfs"]

_POLL_SECS: Final = 0.1
# Five seconds on an idle machine.
_READY_SECS: Final = 120.0
_STOP_SECS: Final = 15.0
_ADMIN_SECS: Final = 60.0
_LOG_LINES: Final = 5
_JAVA_OPTIONS: Final = (
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Djava.net.preferIPv4Stack=true",
    # Without it the daemons start on Java 17, and answer every WebHDFS request with an internal error.
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
)
_NAMENODE: Final = "org.apache.hadoop.hdfs.server.namenode.NameNode"
_DATANODE: Final = "org.apache.hadoop.hdfs.server.datanode.DataNode"
_SHELL: Final = "org.apache.hadoop.fs.FsShell"
_ADMIN: Final = "org.apache.hadoop.hdfs.tools.DFSAdmin"
# The jars hold no web pages; the daemons' HTTP servers, and so WebHDFS, want these folders all the same.
_WEB_FOLDERS: Final = ("hdfs", "datanode", "static")
_LOGGING: Final = """\
log4j.rootLogger=INFO,console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.target=System.err
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %p %c{1}: %m%n
"""


class HdfsDaemon:
    """One Java process that can be started, stopped, killed and frozen.

    Args:
        name: What it is, for messages and the name of its log.
        command: Its command line.
        log: File that gets all it prints, added to at each start.
    """

    def __init__(self, name: str, command: list[str], log: Path) -> None:
        self.name = name
        self.log = log
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Whether the process lives; a frozen one does."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Process id; ``None`` before the first start."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the process, if it is not running; does not wait until it is ready."""
        if self.is_running:
            return
        with self.log.open("ab") as log:
            # A session of its own: an interrupt typed at the terminal is for the program that uses the cluster.
            self._process = subprocess.Popen(  # noqa: S603 - our own command line
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def stop(self) -> None:
        """End the process in order; killed if it takes more than 15 seconds. Idempotent."""
        if self._process is None or not self.is_running:
            return
        self.thaw()
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the process at once, without a chance to tidy up (``kill -9``). Idempotent."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        """Stop the process in its tracks: connections stay open, nothing is answered (SIGSTOP)."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process go on; it then does what was asked of it meanwhile."""
        self._signal(signal.SIGCONT)

    def last_words(self) -> str:
        """Return the end of the log, on one line."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return " | ".join(line for line in lines[-_LOG_LINES:] if line.strip()) or "nothing logged"

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self.is_running:
            self._process.send_signal(number)


class LocalHdfs:
    """A NameNode and a DataNode on free loopback ports, in a directory; a context manager that starts and stops them.

    Starting again in the same object, or over the same directory, finds the files of before. The user of this process
    is HDFS's superuser; any other user is bound by permissions. One copy of each block.

    Attributes:
        namenode: The process that knows the names.
        datanode: The process that holds the bytes.

    Args:
        directory: Where everything is kept: configuration, logs, names and blocks. Made if missing.
        close_delay_ms: How long the writing side waits before it asks the NameNode again whether a block has arrived;
            real clusters keep 400, which about every second non-empty file pays in full.
        settings: Further ``hdfs-site.xml`` properties, over ours.

    Raises:
        ConfigurationError: Java is missing, or the jars are not there and cannot be fetched.
    """

    def __init__(self, directory: Path, *, close_delay_ms: int = 10, settings: dict[str, str] | None = None) -> None:
        self._directory = directory.absolute()
        self._java = find_java()
        self._jars = fetch_jars()
        rpc, http, *data = _free_ports(5)
        self._http = http
        self.hdfs_url = f"hdfs://127.0.0.1:{rpc}"
        """What Hadoop's own programs call it (RPC)."""
        self.webhdfs_url = f"http://127.0.0.1:{http}"
        """The NameNode's WebHDFS address."""
        common = {**self._common_settings(rpc, http, close_delay_ms), **(settings or {})}
        self._session = requests.Session()
        self._session.trust_env = False
        self._write_configuration("namenode", common)
        self._write_configuration("datanode", common | self._datanode_settings(data))
        self.namenode = HdfsDaemon("NameNode", self._command("namenode", _NAMENODE), self._path("logs/namenode.log"))
        self.datanode = HdfsDaemon("DataNode", self._command("datanode", _DATANODE), self._path("logs/datanode.log"))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, timeout_secs: float = _READY_SECS) -> None:
        """Start what is not running, and wait until files can be written.

        Raises:
            StorageUnavailableError: A daemon ended, or they are not ready in time.
        """
        try:
            if not self._path("names/current/VERSION").exists():
                self._run("namenode", _NAMENODE, "-format", "-nonInteractive", "-clusterid", "flumebeam")
            self.namenode.start()
            self.datanode.start()
            self.wait_until_ready(timeout_secs)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End both daemons. Idempotent; files stay."""
        self.datanode.stop()
        self.namenode.stop()
        self._session.close()

    def wait_until_ready(self, timeout_secs: float = _READY_SECS) -> None:
        """Wait until the NameNode is out of safe mode and knows a live DataNode.

        Raises:
            StorageUnavailableError: A daemon has ended, or they are not ready in time; with the end of its log.
        """
        deadline = time.monotonic() + timeout_secs
        while not self._is_ready():
            for daemon in (self.namenode, self.datanode):
                if not daemon.is_running:
                    raise StorageUnavailableError(
                        f"The {daemon.name} ended; its log {daemon.log}: {daemon.last_words()}"
                    )
            if time.monotonic() > deadline:
                raise StorageUnavailableError(
                    f"HDFS is not ready after {timeout_secs:g} s; {self.namenode.log}: {self.namenode.last_words()}"
                )
            time.sleep(_POLL_SECS)

    def admin(self, *arguments: str) -> str:
        """Run Hadoop's ``dfsadmin`` (about two seconds) and return what it printed.

        Args:
            arguments: For example ``-safemode enter``, ``-setSpaceQuota 1000000 /path``, word by word.

        Raises:
            StorageUnavailableError: It failed.
        """
        return self._run("namenode", _ADMIN, *arguments).decode(errors="replace")

    def shell(self, *arguments: str) -> bytes:
        """Run Hadoop's ``hadoop fs`` (about three seconds) and return what it printed.

        Args:
            arguments: For example ``-text /path``, which reads compressed text, Avro and sequence files.

        Raises:
            StorageUnavailableError: It failed.
        """
        return self._run("namenode", _SHELL, *arguments)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _path(self, name: str) -> Path:
        return self._directory / name

    def _is_ready(self) -> bool:
        with contextlib.suppress(requests.RequestException, KeyError, IndexError):
            answer = self._session.get(
                f"{self.webhdfs_url}/jmx", params={"qry": "Hadoop:service=NameNode,name=FSNamesystemState"}, timeout=5
            )
            state = answer.json()["beans"][0]
            return bool(state["FSState"] == "Operational" and state["NumLiveDataNodes"] >= 1)
        return False

    def _command(self, role: str, main_class: str, *arguments: str) -> list[str]:
        class_path = f"{self._path(f'conf-{role}')}:{self._path('web')}:{self._jars}/*"
        return [self._java, *_JAVA_OPTIONS, "-cp", class_path, main_class, *arguments]

    def _run(self, role: str, main_class: str, *arguments: str) -> bytes:
        try:
            done = subprocess.run(  # noqa: S603 - our own command line
                self._command(role, main_class, *arguments),
                capture_output=True,
                timeout=_ADMIN_SECS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise StorageUnavailableError(f"Hadoop's {main_class} gave no answer in {_ADMIN_SECS:g} s.") from error
        if done.returncode:
            words = " | ".join((done.stdout + done.stderr).decode(errors="replace").splitlines()[-_LOG_LINES:])
            raise StorageUnavailableError(f"Hadoop's {main_class} {' '.join(arguments)} failed: {words}")
        return done.stdout

    def _common_settings(self, rpc: int, http: int, close_delay_ms: int) -> dict[str, str]:
        return {
            "dfs.namenode.rpc-address": f"127.0.0.1:{rpc}",
            "dfs.namenode.http-address": f"127.0.0.1:{http}",
            "dfs.namenode.name.dir": self._path("names").as_uri(),
            "dfs.namenode.safemode.extension": "0",
            "dfs.namenode.fs-limits.min-block-size": "1024",
            "dfs.namenode.datanode.registration.ip-hostname-check": "false",
            # A DataNode that is gone is known to be gone after 14 seconds, not ten minutes.
            "dfs.heartbeat.interval": "1",
            "dfs.namenode.heartbeat.recheck-interval": "2000",
            "dfs.permissions.superusergroup": "supergroup",
            "dfs.replication": "1",
            "dfs.client.block.write.locateFollowingBlock.initial.delay.ms": str(close_delay_ms),
        }

    def _datanode_settings(self, ports: list[int]) -> dict[str, str]:
        data, http, ipc = ports
        return {
            "dfs.datanode.address": f"127.0.0.1:{data}",
            "dfs.datanode.http.address": f"127.0.0.1:{http}",
            "dfs.datanode.ipc.address": f"127.0.0.1:{ipc}",
            "dfs.datanode.hostname": "127.0.0.1",
            "dfs.datanode.data.dir": self._path("blocks").as_uri(),
        }

    def _write_configuration(self, role: str, settings: dict[str, str]) -> None:
        user = getpass.getuser()
        core = {
            "fs.defaultFS": self.hdfs_url,
            "hadoop.tmp.dir": str(self._path("tmp")),
            "hadoop.http.staticuser.user": user,
            f"hadoop.proxyuser.{user}.hosts": "*",
            f"hadoop.proxyuser.{user}.groups": "*",
        }
        for name in (f"conf-{role}", "logs", *(f"web/webapps/{page}/WEB-INF" for page in _WEB_FOLDERS)):
            self._path(name).mkdir(parents=True, exist_ok=True)
        configuration = self._path(f"conf-{role}")
        (configuration / "core-site.xml").write_text(_site(core), encoding="utf-8")
        (configuration / "hdfs-site.xml").write_text(_site(settings), encoding="utf-8")
        (configuration / "log4j.properties").write_text(_LOGGING, encoding="utf-8")


def _site(settings: dict[str, str]) -> str:
    rows = "".join(
        f"<property><name>{escape(name)}</name><value>{escape(value)}</value></property>\n"
        for name, value in settings.items()
    )
    return f"<configuration>\n{rows}</configuration>\n"


def _free_ports(count: int) -> list[int]:
    """Return ports that were free a moment ago; all are held at once, so that they differ."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
