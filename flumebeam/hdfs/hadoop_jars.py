"""Hadoop's server classes from Maven Central, fetched once into the user's cache."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from flumebeam.downloads import cache_directory, fetch_by_maven, fetch_once

__all__ = ["HADOOP_VERSION", "fetch_jars", "jars_are_there"]

HADOOP_VERSION: Final = "3.4.2"
# hadoop-hdfs does not bring its client, which the daemons need as well; HttpFS is a gateway of its own.
_ARTIFACTS: Final = ("hadoop-common", "hadoop-hdfs", "hadoop-hdfs-client", "hadoop-hdfs-httpfs")
_FOLDER: Final = f"hadoop-{HADOOP_VERSION}-httpfs"
"""Of another name than what an earlier version fetched, which was less."""


def jars_are_there() -> bool:
    """Tell whether an earlier :func:`fetch_jars` left them in the cache."""
    return _place().is_dir()


def fetch_jars() -> Path:
    """Return the directory that holds the jars; the first call fetches them (67 MB, under a minute), others find them.

    Raises:
        ConfigurationError: They are not there yet and Maven is missing, or cannot fetch them.
    """
    return fetch_once(_place(), _fetch)


def _fetch(scratch: Path) -> Path:
    goals = ["dependency:copy-dependencies", f"-DoutputDirectory={scratch}/lib"]
    fetch_by_maven(f"Hadoop {HADOOP_VERSION}", _pom(), goals, scratch)
    return scratch / "lib"


def _place() -> Path:
    return cache_directory() / _FOLDER / "lib"


def _pom() -> str:
    dependencies = "".join(
        f"<dependency><groupId>org.apache.hadoop</groupId><artifactId>{name}</artifactId>"
        f"<version>{HADOOP_VERSION}</version></dependency>"
        for name in _ARTIFACTS
    )
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>flumebeam</groupId><artifactId>local-hdfs</artifactId><version>1</version><packaging>pom</packaging>"
        f"<dependencies>{dependencies}</dependencies></project>"
    )
