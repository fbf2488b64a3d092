"""Apache Flume from Maven Central: the peer of tests and benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from flumebeam.downloads import cache_directory
from tests.java import Artifact, fetch_jars

__all__ = ["FLUME_VERSION", "fetch_flume"]

FLUME_VERSION: Final = "1.11.0"
_HADOOP_VERSION: Final = "3.3.6"
_ARTIFACTS: Final[tuple[Artifact, ...]] = (
    ("org.apache.flume", "flume-ng-node", FLUME_VERSION),
    ("org.apache.flume", "flume-ng-core", FLUME_VERSION),
    ("org.apache.flume.flume-ng-channels", "flume-file-channel", FLUME_VERSION),
    ("org.apache.flume.flume-ng-sinks", "flume-hdfs-sink", FLUME_VERSION),
    ("org.apache.hadoop", "hadoop-client-api", _HADOOP_VERSION),
    ("org.apache.hadoop", "hadoop-client-runtime", _HADOOP_VERSION),
    ("org.apache.logging.log4j", "log4j-slf4j-impl", "2.18.0"),
    ("org.apache.logging.log4j", "log4j-core", "2.18.0"),
)
# Without this list of versions two of Netty are mixed.
_NETTY: Final[Artifact] = ("io.netty", "netty-bom", "4.1.72.Final")


def fetch_flume() -> Path:
    """Return the directory that holds Flume's jars; the first call fetches them (90 MB).

    Raises:
        ConfigurationError: They are not there yet and Maven is missing, or cannot fetch them.
    """
    place = cache_directory() / f"flume-{FLUME_VERSION}" / "lib"
    return fetch_jars(f"Flume {FLUME_VERSION}", place, _ARTIFACTS, managed=[_NETTY])
