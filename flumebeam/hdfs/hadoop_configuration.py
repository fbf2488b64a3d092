"""What the configuration of a cluster says about its NameNodes: ``core-site.xml`` and ``hdfs-site.xml``."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from flumebeam.errors import ConfigurationError

__all__ = ["HadoopConfiguration"]

_VARIABLE: Final = "HADOOP_CONF_DIR"
_FILES: Final = ("core-site.xml", "hdfs-site.xml")
_REFERENCE: Final = re.compile(r"\$\{([^${}\s]+)\}")
_ANY_ADDRESS: Final = ("0.0.0.0", "", "[::]")  # noqa: S104 - read, not bound to
_PORTS: Final = {"http": "9870", "https": "9871"}


class HadoopConfiguration:
    """Properties of a cluster.

    Args:
        properties: By name; a value may refer to others as ``${name}``, and to the environment as ``${env.NAME}``.
        place: Where they come from, for messages.
    """

    def __init__(self, properties: Mapping[str, str], place: str) -> None:
        self._properties = properties
        self._place = place

    @classmethod
    def from_environment(cls) -> HadoopConfiguration:
        """Return what ``HADOOP_CONF_DIR`` holds; empty if it is not set.

        Raises:
            ConfigurationError: It names no directory of configuration files, or one that cannot be understood.
        """
        place = os.environ.get(_VARIABLE, "").strip()
        return cls.read(Path(place)) if place else cls({}, _VARIABLE)

    @classmethod
    def read(cls, directory: Path) -> HadoopConfiguration:
        """Return what the files of a directory say, the later one over the earlier one.

        Raises:
            ConfigurationError: There are none, or they cannot be understood.
        """
        properties: dict[str, str] = {}
        found = [file for name in _FILES if (file := directory / name).is_file()]
        if not found:
            raise ConfigurationError(f"{_VARIABLE} is {directory}, which holds no {' or '.join(_FILES)}.")
        for file in found:
            try:
                root = ElementTree.parse(file).getroot()  # noqa: S314 - the operator's own file
            except (OSError, ElementTree.ParseError) as error:
                raise ConfigurationError(f"{file} cannot be read as a Hadoop configuration: {error}.") from error
            for each in root.iter("property"):
                if name := (each.findtext("name") or "").strip():
                    properties[name] = (each.findtext("value") or "").strip()
        return cls(properties, str(directory))

    def get(self, name: str) -> str:
        """Return the value of a property, with all that it refers to put in; empty if it is not set."""
        value = self._properties.get(name, "")
        # As many rounds as Hadoop makes; what refers to itself stays as it is.
        for _ in range(20):
            filled = _REFERENCE.sub(self._referred, value)
            if filled == value:
                break
            value = filled
        return value

    @property
    def default_authority(self) -> str:
        """Host or nameservice of paths that name none; empty if the default file system is no HDFS."""
        scheme, _, rest = self.get("fs.defaultFS").partition("://")
        return rest.partition("/")[0] if scheme == "hdfs" else ""

    @property
    def kerberos(self) -> bool:
        """Whether the cluster asks for Kerberos."""
        return self.get("hadoop.security.authentication").lower() == "kerberos"

    def web_addresses(self, authority: str) -> tuple[str, ...]:
        """Return the WebHDFS addresses of the NameNodes behind ``hdfs://authority``; empty if nothing is said of it.

        Args:
            authority: A nameservice, or host and port of a NameNode's RPC.

        Raises:
            ConfigurationError: The nameservice is named, but not where its NameNodes are.
        """
        scheme = "https" if self.get("dfs.http.policy") == "HTTPS_ONLY" else "http"
        services = {name for key in ("dfs.nameservices", "dfs.internal.nameservices") for name in self._words(key)}
        if authority in services:
            nodes = self._words(f"dfs.ha.namenodes.{authority}")
            suffixes = [f".{authority}.{node}" for node in nodes] or [f".{authority}"]
            found = tuple(filter(None, (self._address(scheme, suffix) for suffix in suffixes)))
            if not found:
                raise ConfigurationError(
                    f"{self._place} names no dfs.namenode.{scheme}-address for a NameNode of nameservice {authority}."
                )
            return found
        if authority in (self.default_authority, self.get("dfs.namenode.rpc-address")):
            return tuple(filter(None, [self._address(scheme, "", authority)]))
        return ()

    def _address(self, scheme: str, suffix: str, rpc: str = "") -> str:
        address = self.get(f"dfs.namenode.{scheme}-address{suffix}")
        if not address and not rpc:
            return ""
        host, _, port = (address or rpc.rpartition(":")[0] or rpc).rpartition(":")
        if not host:
            host, port = port, _PORTS[scheme]
        if host in _ANY_ADDRESS:
            host = (rpc or self.get(f"dfs.namenode.rpc-address{suffix}")).rpartition(":")[0]
        return f"{scheme}://{host}:{port}" if host else ""

    def _words(self, name: str) -> list[str]:
        return [word for word in re.split(r"[,\s]+", self.get(name)) if word]

    def _referred(self, found: re.Match[str]) -> str:
        name = found[1]
        if name.startswith("env."):
            return os.environ.get(name.removeprefix("env."), found[0])
        return self._properties.get(name, found[0])
