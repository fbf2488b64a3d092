"""Hadoop's gateway HttpFS for tests, in front of a cluster that runs."""

from __future__ import annotations

import getpass
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import requests

from flumebeam.errors import StorageUnavailableError
from flumebeam.hdfs.daemons import HadoopHome, free_ports, site

__all__ = ["HttpFs"]

_SERVER: Final = "org.apache.hadoop.fs.http.server.HttpFSServerWebServer"
_READY_SECS: Final = 120.0


class HttpFs:
    """One gateway on loopback; a context manager. Two seconds to start, 200 MB.

    Attributes:
        url: Its address.
        daemon: The process.

    Args:
        directory: Where it keeps its files.
        cluster: The home of the cluster.
        role: Whose configuration there names the cluster.
    """

    def __init__(self, directory: Path, cluster: HadoopHome, role: str) -> None:
        home = HadoopHome(directory)
        [port] = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        place = home.configure("httpfs", {}, {})
        for name in ("core-site.xml", "hdfs-site.xml"):
            (place / name).write_bytes((cluster.configuration(role) / name).read_bytes())
        user = getpass.getuser()
        own = {
            "httpfs.hadoop.config.dir": str(place),
            "httpfs.http.port": str(port),
            "httpfs.http.hostname": "127.0.0.1",
            f"httpfs.proxyuser.{user}.hosts": "*",
            f"httpfs.proxyuser.{user}.groups": "*",
        }
        (place / "httpfs-site.xml").write_text(site(own), encoding="utf-8")
        (place / "httpfs-log4j.properties").write_bytes((place / "log4j.properties").read_bytes())
        (place / "httpfs-signature.secret").write_text("not a secret", encoding="ascii")
        for name in ("temp", "log"):
            home.path(name).mkdir(exist_ok=True)
        options = {
            "httpfs.home.dir": directory,
            "httpfs.config.dir": place,
            "httpfs.log.dir": home.path("log"),
            "httpfs.temp.dir": home.path("temp"),
            "httpfs.http.port": port,
            "httpfs.http.hostname": "127.0.0.1",
        }
        self.daemon = home.daemon(
            "HttpFS", "httpfs", _SERVER, *(f"-D{name}={value}" for name, value in options.items())
        )

    def __enter__(self) -> Self:
        self.daemon.start()
        deadline = time.monotonic() + _READY_SECS
        while not self._is_ready():
            if not self.daemon.is_running or time.monotonic() > deadline:
                words = self.daemon.last_words()
                self.daemon.stop()
                raise StorageUnavailableError(f"HttpFS is not ready: {words}")
            time.sleep(0.1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.daemon.stop()

    def _is_ready(self) -> bool:
        parameters = {"op": "GETFILESTATUS", "user.name": getpass.getuser()}
        with requests.Session() as session:
            session.trust_env = False
            try:
                return session.get(f"{self.url}/webhdfs/v1/", params=parameters, timeout=5).ok
            except requests.RequestException:
                return False
