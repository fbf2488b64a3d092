"""Where a sink writes, as users name it: one address in, a file system and a directory on it out."""

from __future__ import annotations

import os
import posixpath
import re
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Final

from flumebeam.errors import ConfigurationError
from flumebeam.hdfs.filesystem import FileSystem
from flumebeam.hdfs.hadoop_configuration import HadoopConfiguration
from flumebeam.hdfs.httpfs import HttpFsFileSystem
from flumebeam.hdfs.local import LocalFileSystem
from flumebeam.hdfs.options import HdfsOptions, KerberosOptions
from flumebeam.hdfs.webhdfs import WebHdfsFileSystem

__all__ = ["HdfsOptions", "Store", "Target", "TargetAddress", "open_target", "parse_target"]

_SCHEME: Final = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)
_AUTHORITY: Final = re.compile(r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")
_FORMS: Final = "/directory, file:///directory, hdfs://namenode/directory or webhdfs://namenode:9870/directory"
_URL_VARIABLE: Final = "FLUMEBEAM_WEBHDFS_URL"
_TOKEN_VARIABLE: Final = "HADOOP_TOKEN_FILE_LOCATION"  # noqa: S105 - the name of a variable


class Store(Enum):
    """What a target is on."""

    LOCAL = "local"
    WEBHDFS = "webhdfs"
    HTTPFS = "httpfs"


@dataclass(frozen=True, slots=True)
class _Web:
    """What an address of the web form means."""

    scheme: str
    port: int
    store: Store


# Ports are Hadoop's own.
_WEB: Final = {
    "hdfs": _Web("http", 9870, Store.WEBHDFS),
    "webhdfs": _Web("http", 9870, Store.WEBHDFS),
    "swebhdfs": _Web("https", 9871, Store.WEBHDFS),
    "httpfs": _Web("http", 14000, Store.HTTPFS),
    "shttpfs": _Web("https", 14000, Store.HTTPFS),
}


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
        store: What it is on.
        options: Who writes to which NameNodes, and how; all that was left open is filled in.
    """

    url: str
    root: str
    store: Store
    options: HdfsOptions

    def open(self) -> Target:
        """Return the target, where it is to be used; no connection is made before its first use.

        Raises:
            ConfigurationError: A file that the options name is missing, or the package for Kerberos is.
        """
        match self.store:
            case Store.LOCAL:
                return Target(LocalFileSystem(), self.root)
            case Store.WEBHDFS:
                return Target(WebHdfsFileSystem(self.options), self.root)
            case Store.HTTPFS:
                return Target(HttpFsFileSystem(self.options), self.root)


def open_target(url: str, *, options: HdfsOptions | None = None) -> Target:
    """Return the target at an address; see :func:`parse_target`, whose errors it raises."""
    return parse_target(url, options=options).open()


def parse_target(url: str, *, options: HdfsOptions | None = None) -> TargetAddress:
    """Check an address and return what it stands for. Touches no network, and no disk but ``HADOOP_CONF_DIR``.

    ``/directory``, ``directory`` (below the working directory) and ``file:///directory`` are local files.
    ``webhdfs://host:port,host:port/directory`` names the HTTP addresses of a NameNode or of all of an HA pair, without
    a port it is 9870, Hadoop's own; ``swebhdfs://`` is the same over TLS (9871). ``httpfs://host:port/directory`` is
    Hadoop's gateway (14000), ``shttpfs://`` the same over TLS.

    ``hdfs://nameservice/directory`` and ``hdfs://host:port/directory`` are what Hadoop's own programs use, and
    ``hdfs:///directory`` means their default. The port there is that of another protocol (RPC), so it is not looked at:
    the HTTP addresses come from the options, else from the environment variable ``FLUMEBEAM_WEBHDFS_URL`` (several
    divided by ``;``), else from the files in ``HADOOP_CONF_DIR``, else it is port 9870 of that host. Those files also
    say whether Kerberos is asked for; the ticket cache is then used if the options name nothing else.

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
        return TargetAddress(url, _root(url, str(Path(url).absolute())), Store.LOCAL, options)
    scheme, (authority, slash, path) = found["scheme"].lower(), found["rest"].partition("/")
    root = _root(url, slash + path or "/")
    if scheme == "file":
        if authority not in ("", "localhost"):
            raise ConfigurationError(f"Target {url!r} names a host; a local one has three slashes: file:///directory.")
        return TargetAddress(url, root, Store.LOCAL, options)
    if scheme not in _WEB:
        raise ConfigurationError(f"Target {url!r} has the unknown scheme {scheme!r}; write {_FORMS}.")
    configuration = HadoopConfiguration.from_environment()
    urls: tuple[str, ...]
    if scheme == "hdfs":
        urls = _behind_rpc(url, authority or configuration.default_authority, options, configuration)
    else:
        urls = tuple(_web_address(url, host, _WEB[scheme]) for host in authority.split(","))
    options = replace(options, user=options.user_name(), webhdfs_urls=urls)
    if options.token_file is None and (file := os.environ.get(_TOKEN_VARIABLE)):
        options = replace(options, token_file=file)
    if options.token_file is None and options.kerberos is None and configuration.kerberos:
        options = replace(options, kerberos=KerberosOptions())
    return TargetAddress(url, root, _WEB[scheme].store, options)


def _behind_rpc(url: str, authority: str, options: HdfsOptions, configuration: HadoopConfiguration) -> tuple[str, ...]:
    """Return the HTTP addresses of the NameNodes that Hadoop's own programs mean."""
    host = _host(url, authority)
    if options.webhdfs_urls:
        return options.webhdfs_urls
    if named := tuple(each for each in os.environ.get(_URL_VARIABLE, "").split(";") if each.strip()):
        return named
    return configuration.web_addresses(authority) or (f"http://{host['host']}:{_WEB['hdfs'].port}",)


def _web_address(url: str, authority: str, web: _Web) -> str:
    host = _host(url, authority)
    return f"{web.scheme}://{host['host']}:{host['port'] or web.port}"


def _host(url: str, authority: str) -> re.Match[str]:
    host = _AUTHORITY.fullmatch(authority)
    if host is None:
        raise ConfigurationError(f"Target {url!r} names no host, or not as host:port; write {_FORMS}.")
    return host


def _root(url: str, path: str) -> str:
    if ".." in path.split("/"):
        raise ConfigurationError(f"Target {url!r} has '..' in its path; write the path out.")
    return posixpath.normpath("/" + path.lstrip("/"))
