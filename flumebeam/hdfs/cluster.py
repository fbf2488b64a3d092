"""A real HDFS on this machine: one NameNode and one DataNode as processes of their own, on loopback.

For laptops, demonstrations and tests; nothing here is tuned or secured for anything else. About 400 MB of memory, and
five seconds to start.
"""

from __future__ import annotations

import contextlib
import getpass
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import requests

from flumebeam.errors import StorageUnavailableError
from flumebeam.hdfs.daemons import HadoopHome, HdfsDaemon, free_ports

__all__ = ["DATANODE", "NAMENODE", "HdfsDaemon", "LocalHdfs", "common_settings", "core_settings", "datanode_settings"]

_POLL_SECS: Final = 0.1
# Five seconds on an idle machine.
_READY_SECS: Final = 120.0
NAMENODE: Final = "org.apache.hadoop.hdfs.server.namenode.NameNode"
DATANODE: Final = "org.apache.hadoop.hdfs.server.datanode.DataNode"
_SHELL: Final = "org.apache.hadoop.fs.FsShell"
_ADMIN: Final = "org.apache.hadoop.hdfs.tools.DFSAdmin"


class LocalHdfs:
    """A NameNode and a DataNode on loopback, in a directory; a context manager that starts and stops them.

    Starting again in the same object, or over the same directory, finds the files of before. The user of this process
    is HDFS's superuser; any other user is bound by permissions. One copy of each block.

    Attributes:
        home: Configuration, logs, and a way to run Hadoop's other programs.
        namenode: The process that knows the names.
        datanode: The process that holds the bytes.

    Args:
        directory: Where everything is kept: configuration, logs, names and blocks. Made if missing.
        close_delay_ms: How long the writing side waits before it asks the NameNode again whether a block has arrived;
            real clusters keep 400, which about every second non-empty file pays in full.
        port: Of the NameNode's WebHDFS; 0 takes a free one.
        rpc_port: Of the NameNode's RPC, for Hadoop's own programs; 0 takes a free one.
        host: Name or address of loopback that the daemons are known by.
        core: Further ``core-site.xml`` properties, over ours.
        settings: Further ``hdfs-site.xml`` properties, over ours.
        java_options: Further options for every Java process.

    Raises:
        ConfigurationError: Java is missing, or the jars are not there and cannot be fetched.
    """

    scheme = "http"
    """How the web addresses of the daemons begin."""

    def __init__(
        self,
        directory: Path,
        *,
        close_delay_ms: int = 10,
        port: int = 0,
        rpc_port: int = 0,
        host: str = "127.0.0.1",
        core: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
        java_options: Sequence[str] = (),
    ) -> None:
        self.home = HadoopHome(directory, java_options=java_options)
        rpc, http, *data = free_ports(5)
        rpc, http = rpc_port or rpc, port or http
        self.hdfs_url = f"hdfs://{host}:{rpc}"
        """What Hadoop's own programs call it (RPC)."""
        self.webhdfs_url = f"{self.scheme}://{host}:{http}"
        """The NameNode's WebHDFS address."""
        common = {
            **common_settings(close_delay_ms),
            "dfs.namenode.rpc-address": f"{host}:{rpc}",
            f"dfs.namenode.{self.scheme}-address": f"{host}:{http}",
            "dfs.namenode.name.dir": self.home.path("names").as_uri(),
            **(settings or {}),
        }
        both = core_settings(self.hdfs_url, self.home.path("tmp")) | dict(core or {})
        self._session = requests.Session()
        self._session.trust_env = False
        self.home.configure("namenode", both, common)
        blocks = datanode_settings(data, self.home.path("blocks"), host=host, scheme=self.scheme)
        self.home.configure("datanode", both, common | blocks)
        self.namenode = self.home.daemon("NameNode", "namenode", NAMENODE)
        self.datanode = self.home.daemon("DataNode", "datanode", DATANODE)

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
            if not self.home.path("names/current/VERSION").exists():
                self.home.run("namenode", NAMENODE, "-format", "-nonInteractive", "-clusterid", "flumebeam")
            self.namenode.start()
            self.datanode.start()
            self.wait_until_ready(timeout_secs)
        except BaseException:  # an interrupt, too, must leave no process behind
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
        return self.home.run("namenode", _ADMIN, *arguments).decode(errors="replace")

    def shell(self, *arguments: str) -> bytes:
        """Run Hadoop's ``hadoop fs`` (about three seconds) and return what it printed.

        Args:
            arguments: For example ``-text /path``, which reads compressed text, Avro and sequence files.

        Raises:
            StorageUnavailableError: It failed.
        """
        return self.home.run("namenode", _SHELL, *arguments)

    def _is_ready(self) -> bool:
        with contextlib.suppress(requests.RequestException, KeyError, IndexError):
            answer = self._session.get(
                f"{self.webhdfs_url}/jmx", params={"qry": "Hadoop:service=NameNode,name=FSNamesystemState"}, timeout=5
            )
            state = answer.json()["beans"][0]
            return bool(state["FSState"] == "Operational" and state["NumLiveDataNodes"] >= 1)
        return False


def core_settings(default_url: str, scratch: Path) -> dict[str, str]:
    """Return the ``core-site.xml`` of a cluster for one user, who may also write as any other.

    Args:
        default_url: What paths without a scheme are on.
        scratch: Directory for temporary files.
    """
    user = getpass.getuser()
    return {
        "fs.defaultFS": default_url,
        "hadoop.tmp.dir": str(scratch),
        "hadoop.http.staticuser.user": user,
        f"hadoop.proxyuser.{user}.hosts": "*",
        f"hadoop.proxyuser.{user}.groups": "*",
    }


def common_settings(close_delay_ms: int) -> dict[str, str]:
    """Return what ``hdfs-site.xml`` says on every daemon of a small cluster; see :class:`LocalHdfs`."""
    return {
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


def datanode_settings(ports: Sequence[int], blocks: Path, *, host: str, scheme: str = "http") -> dict[str, str]:
    """Return what ``hdfs-site.xml`` says on a DataNode besides.

    Args:
        ports: Three: for data, HTTP and RPC.
        blocks: Directory of its blocks.
        host: Name or address of loopback that it is known by.
        scheme: ``http`` or ``https``, which its second port speaks.
    """
    data, web, ipc = ports
    return {
        "dfs.datanode.address": f"{host}:{data}",
        f"dfs.datanode.{scheme}.address": f"{host}:{web}",
        "dfs.datanode.ipc.address": f"{host}:{ipc}",
        "dfs.datanode.hostname": host,
        "dfs.datanode.data.dir": blocks.as_uri(),
    }
