"""Where a sink writes, as users name it: one address in, a file system and a directory on it out."""

from __future__ import annotations

import os
import posixpath
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from flumebeam.errors import ConfigurationError
from flumebeam.hdfs.filesystem import FileSystem
from flumebeam.hdfs.local import LocalFileSystem
from flumebeam.hdfs.webhdfs import HdfsOptions, WebHdfsFileSystem

__all__ = ["HdfsOptions", "Target", "TargetAddress", "open_target", "parse_target"]

_SCHEME: Final = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)
_AUTHORITY: Final = re.compile(r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")
_FORMS: Final = "/directory, file:///directory, hdfs://namenode/directory or webhdfs://namenode:9870/directory"
_WEBHDFS_PORT: Final = 9870
_URL_VARIABLE: Final = "FLUMEBEAM_WEBHDFS_URL"


@dataclass(frozen=True, slots=True)
class Target:
    """An open target.

    Attributes:
        filesystem: Where it is.
        root: Absolute directory on that file system, without a slash at its end (but ``/`` itself).
    """

    filesystem: FileSystem
    root: str


@dataclass(frozen=True, slots=True)
class TargetAddress:
    """A checked address of a target: plain data, so that it can be made at one place and opened at another.

    Attributes:
        url: The address as the user gave it.
        root: Absolute directory.
        is_hdfs: Whether it is an HDFS; else local files.
        options: Who writes to which NameNodes, and how; all that was left open is filled in.
    """

    url: str
    root: str
    is_hdfs: bool
    options: HdfsOptions

    def open(self) -> Target:
        """Return the target, where it is to be used; no connection is made before its first use."""
        return Target(WebHdfsFileSystem(self.options) if self.is_hdfs else LocalFileSystem(), self.root)


def open_target(url: str, *, options: HdfsOptions | None = None) -> Target:
    """Return the target at an address; see :func:`parse_target`, whose errors it raises."""
    return parse_target(url, options=options).open()


def parse_target(url: str, *, options: HdfsOptions | None = None) -> TargetAddress:
    """Check an address and return what it stands for. Touches no network and no disk.

    ``/directory``, ``directory`` (below the working directory) and ``file:///directory`` are local files.
    ``webhdfs://host:port/directory`` names a NameNode's HTTP address; without a port it is 9870, Hadoop's own.
    ``hdfs://host:port/directory`` is what Hadoop's own programs use. The port there is that of another protocol (RPC),
    so it is not looked at: the HTTP addresses come from the options, else from the environment variable
    ``FLUMEBEAM_WEBHDFS_URL`` (several divided by ``;``), else it is port 9870 of that host.

    Args:
        url: The address.
        options: Who writes, and how; for HDFS.

    Raises:
        ConfigurationError: Another scheme, no host, or a path that cannot be a target.
    """
    options = options or HdfsOptions()
    if not url.strip():
        raise ConfigurationError(f"A target is missing; write {_FORMS}.")
    found = _SCHEME.fullmatch(url)
    if found is None:
        return TargetAddress(url, _root(url, str(Path(url).absolute())), False, options)
    scheme, (authority, slash, path) = found["scheme"].lower(), found["rest"].partition("/")
    root = _root(url, slash + path or "/")
    if scheme == "file":
        if authority not in ("", "localhost"):
            raise ConfigurationError(f"Target {url!r} names a host; a local one has three slashes: file:///directory.")
        return TargetAddress(url, root, False, options)
    if scheme not in ("hdfs", "webhdfs"):
        raise ConfigurationError(f"Target {url!r} has the unknown scheme {scheme!r}; write {_FORMS}.")
    host = _AUTHORITY.fullmatch(authority)
    if host is None:
        raise ConfigurationError(f"Target {url!r} names no host, or not as host:port; write {_FORMS}.")
    urls = options.webhdfs_urls or tuple(os.environ.get(_URL_VARIABLE, "").split(";"))
    if scheme == "webhdfs" or urls == ("",):
        port = (host["port"] if scheme == "webhdfs" else None) or _WEBHDFS_PORT
        urls = (f"http://{host['host']}:{port}",)
    return TargetAddress(url, root, True, replace(options, user=options.user_name(), webhdfs_urls=urls))


def _root(url: str, path: str) -> str:
    if ".." in path.split("/"):
        raise ConfigurationError(f"Target {url!r} has '..' in its path; write the path out.")
    return posixpath.normpath("/" + path.lstrip("/"))
