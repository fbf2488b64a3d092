"""A real HA pair for tests: two NameNodes, a JournalNode between them, a DataNode; fail-over by hand."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import requests

from flumebeam.errors import StorageUnavailableError
from flumebeam.hdfs.cluster import DATANODE, NAMENODE, common_settings, core_settings, datanode_settings
from flumebeam.hdfs.daemons import HadoopHome, HdfsDaemon, free_ports

__all__ = ["HaHdfs"]

_JOURNALNODE: Final = "org.apache.hadoop.hdfs.qjournal.server.JournalNode"
_HA_ADMIN: Final = "org.apache.hadoop.hdfs.tools.DFSHAAdmin"
_SERVICE: Final = "ns1"
_NODES: Final = ("nn1", "nn2")
_READY_SECS: Final = 180.0


class HaHdfs:
    """Nameservice ``ns1`` on loopback; a context manager. Ten seconds to start, 750 MB.

    Attributes:
        namenodes: Both NameNodes; the first one is made active at the start.
        datanode: The DataNode.
        webhdfs_urls: Addresses of both.
        configuration: What ``HADOOP_CONF_DIR`` of a client names.

    Args:
        directory: Where everything is kept.
    """

    def __init__(self, directory: Path) -> None:
        self.home = HadoopHome(directory)
        ports = free_ports(9)
        rpc, http, journal, data = ports[:2], ports[2:4], ports[4:6], ports[6:]
        self.webhdfs_urls = tuple(f"http://127.0.0.1:{port}" for port in http)
        common = {
            **common_settings(10),
            "dfs.nameservices": _SERVICE,
            f"dfs.ha.namenodes.{_SERVICE}": ",".join(_NODES),
            "dfs.ha.automatic-failover.enabled": "false",
            "dfs.ha.fencing.methods": "shell(/bin/true)",
            "dfs.ha.tail-edits.period": "1s",
            "dfs.namenode.shared.edits.dir": f"qjournal://127.0.0.1:{journal[0]}/{_SERVICE}",
            f"dfs.client.failover.proxy.provider.{_SERVICE}": (
                "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider"
            ),
        }
        for node, rpc_port, http_port in zip(_NODES, rpc, http, strict=True):
            common[f"dfs.namenode.rpc-address.{_SERVICE}.{node}"] = f"127.0.0.1:{rpc_port}"
            common[f"dfs.namenode.http-address.{_SERVICE}.{node}"] = f"127.0.0.1:{http_port}"
        core = core_settings(f"hdfs://{_SERVICE}", self.home.path("tmp"))
        journals = {
            "dfs.journalnode.rpc-address": f"127.0.0.1:{journal[0]}",
            "dfs.journalnode.http-address": f"127.0.0.1:{journal[1]}",
            "dfs.journalnode.edits.dir": str(self.home.path("journal")),
        }
        self.home.configure("journalnode", core, common | journals)
        for node in _NODES:
            own = {"dfs.ha.namenode.id": node, "dfs.namenode.name.dir": self.home.path(node).as_uri()}
            self.home.configure(node, core, common | own)
        blocks = datanode_settings(data, self.home.path("blocks"), host="127.0.0.1")
        self.home.configure("datanode", core, common | blocks)
        self.configuration = self.home.configure("client", core, common)
        self.journalnode = self.home.daemon("JournalNode", "journalnode", _JOURNALNODE)
        self.namenodes = tuple(self.home.daemon(f"NameNode {node}", node, NAMENODE) for node in _NODES)
        self.datanode = self.home.daemon("DataNode", "datanode", DATANODE)
        self._session = requests.Session()
        self._session.trust_env = False

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:  # an interrupt, too, must leave no process behind
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End all daemons. Idempotent."""
        for daemon in self._daemons:
            daemon.stop()
        self._session.close()

    @property
    def active(self) -> int | None:
        """Which NameNode says that it is in charge: 0 or 1; ``None`` if none does."""
        return next((node for node in (0, 1) if self._says_active(node)), None)

    def fail_over(self) -> int:
        """Put the other NameNode in charge, in order (about two seconds), and return which one it is."""
        before = self.active or 0
        self._until_done("client", _HA_ADMIN, "-failover", _NODES[before], _NODES[1 - before])
        return 1 - before

    def take_charge(self, node: int) -> None:
        """Put a NameNode in charge although the other one is dead or frozen."""
        self._until_done("client", _HA_ADMIN, "-transitionToActive", "--forceactive", _NODES[node])

    def heal(self) -> None:
        """Make it whole after a test has broken it: everything runs, one NameNode is in charge."""
        for daemon in self.namenodes:
            # It does not know yet that the other took over, and dies at its first write: a real cluster fences it.
            if daemon.is_frozen:
                daemon.kill()
        for daemon in self._daemons:
            daemon.thaw()
            daemon.start()
        self._wait_for_both()
        if self.active is None:
            self.take_charge(0)
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait until the NameNode in charge is out of safe mode and knows a live DataNode."""
        self._wait(self._is_ready, self.namenodes[0])

    @property
    def _daemons(self) -> tuple[HdfsDaemon, ...]:
        return (self.datanode, *self.namenodes, self.journalnode)

    def _start(self) -> None:
        first, second = self.namenodes
        self.journalnode.start()
        self._until_done(_NODES[0], NAMENODE, "-format", "-nonInteractive", "-clusterid", "flumebeam")
        first.start()
        self.datanode.start()
        self._wait(lambda: self._bean(0, "NameNodeStatus"), first)
        self._until_done(_NODES[1], NAMENODE, "-bootstrapStandby", "-nonInteractive")
        second.start()
        self._wait(lambda: self._bean(1, "NameNodeStatus"), second)
        # A NameNode answers over HTTP before it does over RPC.
        self._until_done("client", _HA_ADMIN, "-transitionToActive", _NODES[0])
        self.wait_until_ready()

    def _says_active(self, node: int) -> bool:
        return self._bean(node, "NameNodeStatus").get("State") == "active"

    def _wait_for_both(self) -> None:
        for node, daemon in enumerate(self.namenodes):
            self._wait(lambda node=node: self._bean(node, "NameNodeStatus"), daemon)  # type: ignore[misc]

    def _until_done(self, role: str, program: str, *arguments: str) -> None:
        """Repeat an admin command while those it talks to are still starting."""
        deadline = time.monotonic() + _READY_SECS
        while True:
            try:
                self.home.run(role, program, *arguments)
            except StorageUnavailableError:
                if time.monotonic() > deadline or not self.journalnode.is_running:
                    raise
            else:
                return

    def _is_ready(self) -> bool:
        active = self.active
        if active is None:
            return False
        state = self._bean(active, "FSNamesystemState")
        return state.get("FSState") == "Operational" and int(state.get("NumLiveDataNodes", 0)) >= 1

    def _bean(self, node: int, name: str) -> dict[str, str]:
        with contextlib.suppress(requests.RequestException, ValueError, KeyError, IndexError):
            query = {"qry": f"Hadoop:service=NameNode,name={name}"}
            answer = self._session.get(f"{self.webhdfs_urls[node]}/jmx", params=query, timeout=5)
            bean: dict[str, str] = answer.json()["beans"][0]
            return bean
        return {}

    def _wait(self, condition: Callable[[], object], daemon: HdfsDaemon) -> None:
        deadline = time.monotonic() + _READY_SECS
        while not condition():
            if not daemon.is_running or time.monotonic() > deadline:
                raise StorageUnavailableError(f"The {daemon.name} is not ready: {daemon.last_words()}")
            time.sleep(0.1)
