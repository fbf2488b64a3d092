"""Hadoop's daemons as processes of this machine: their files, their command lines, their life and death.

For laptops, demonstrations and tests; nothing here is tuned or secured for anything else.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from flumebeam.daemons import Daemon, free_ports
from flumebeam.downloads import find_java
from flumebeam.errors import StorageUnavailableError
from flumebeam.hdfs.hadoop_jars import fetch_jars

__all__ = ["HadoopHome", "HdfsDaemon", "free_ports", "site"]

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
# The jars hold no web pages; the daemons' HTTP servers, and so WebHDFS, want these folders all the same.
_WEB_FOLDERS: Final = ("hdfs", "datanode", "journal", "static")
_LOGGING: Final = """\
log4j.rootLogger=INFO,console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.target=System.err
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %p %c{1}: %m%n
"""


class HdfsDaemon(Daemon):
    """One of Hadoop's Java processes; it may outlive whoever started it.

    Args:
        name: What it is, for messages and the name of its log.
        command: Its command line.
        log: File that gets all it prints, added to at each start.
    """

    def __init__(self, name: str, command: list[str], log: Path) -> None:
        super().__init__(name, command, log, ends_with_us=False)


class HadoopHome:
    """A directory with everything that Hadoop programs of this machine need: configuration, logs, and the way to run.

    Args:
        directory: Where it is; made if missing.
        java_options: Further options for every Java process.

    Raises:
        ConfigurationError: Java is missing, or the jars are not there and cannot be fetched.
    """

    def __init__(self, directory: Path, *, java_options: Sequence[str] = ()) -> None:
        self._directory = directory.absolute()
        self._java = find_java("A local HDFS")
        self._jars = fetch_jars()
        self._java_options = tuple(java_options)

    def path(self, name: str) -> Path:
        """Return a path in it."""
        return self._directory / name

    def configuration(self, role: str) -> Path:
        """Return the directory of a role's configuration, as ``HADOOP_CONF_DIR`` names one."""
        return self.path(f"conf-{role}")

    def configure(self, role: str, core: Mapping[str, str], hdfs: Mapping[str, str]) -> Path:
        """Write the configuration of one role, and return its directory.

        Args:
            role: Which program it is for: ``namenode``.
            core: Properties of ``core-site.xml``.
            hdfs: Properties of ``hdfs-site.xml``.
        """
        place = self.configuration(role)
        for folder in (place, self.path("logs"), *(self.path(f"web/webapps/{page}/WEB-INF") for page in _WEB_FOLDERS)):
            folder.mkdir(parents=True, exist_ok=True)
        (place / "core-site.xml").write_text(site(core), encoding="utf-8")
        (place / "hdfs-site.xml").write_text(site(hdfs), encoding="utf-8")
        (place / "log4j.properties").write_text(_LOGGING, encoding="utf-8")
        return place

    def daemon(self, name: str, role: str, main_class: str, *options: str) -> HdfsDaemon:
        """Return a daemon, not started.

        Args:
            name: What it is, for messages.
            role: Whose configuration it reads; names its log.
            main_class: Its program.
            options: Further options for Java.
        """
        return HdfsDaemon(name, self._command(role, main_class, options), self.path(f"logs/{role}.log"))

    def run(self, role: str, main_class: str, *arguments: str) -> bytes:
        """Run a program to its end and return what it printed.

        Args:
            role: Whose configuration it reads.
            main_class: The program.
            arguments: Its arguments.

        Raises:
            StorageUnavailableError: It failed, or did not end in a minute.
        """
        try:
            done = subprocess.run(  # noqa: S603 - our own command line
                [*self._command(role, main_class), *arguments], capture_output=True, timeout=_ADMIN_SECS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise StorageUnavailableError(f"Hadoop's {main_class} gave no answer in {_ADMIN_SECS:g} s.") from error
        if done.returncode:
            words = " | ".join((done.stdout + done.stderr).decode(errors="replace").splitlines()[-_LOG_LINES:])
            raise StorageUnavailableError(f"Hadoop's {main_class} {' '.join(arguments)} failed: {words}")
        return done.stdout

    def _command(self, role: str, main_class: str, options: Sequence[str] = ()) -> list[str]:
        class_path = f"{self.configuration(role)}:{self.path('web')}:{self._jars}/*"
        return [self._java, *_JAVA_OPTIONS, *self._java_options, *options, "-cp", class_path, main_class]


def site(settings: Mapping[str, str]) -> str:
    """Return properties as the text of a Hadoop configuration file."""
    rows = "".join(
        f"<property><name>{escape(name)}</name><value>{escape(value)}</value></property>\n"
        for name, value in settings.items()
    )
    return f"<configuration>\n{rows}</configuration>\n"
