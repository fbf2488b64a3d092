"""Hadoop's server classes from Maven Central, fetched once into the user's cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from flumebeam.errors import ConfigurationError

__all__ = ["HADOOP_VERSION", "JAVA_HINT", "MAVEN_HINT", "fetch_jars", "find_java", "jars_are_there"]

HADOOP_VERSION: Final = "3.4.2"
JAVA_HINT: Final = "install Java 11 or newer, on Debian: apt-get install openjdk-17-jre-headless"
MAVEN_HINT: Final = "install Maven, on Debian: apt-get install maven"

_FETCH_SECS: Final = 900
# hadoop-hdfs does not bring its client, which the daemons need as well; HttpFS is a gateway of its own.
_ARTIFACTS: Final = ("hadoop-common", "hadoop-hdfs", "hadoop-hdfs-client", "hadoop-hdfs-httpfs")
_FOLDER: Final = f"hadoop-{HADOOP_VERSION}-httpfs"
"""Of another name than what an earlier version fetched, which was less."""


def find_java() -> str:
    """Return the path of the Java to use: below ``JAVA_HOME``, else on the search path.

    Raises:
        ConfigurationError: There is none.
    """
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    if java is None:
        raise ConfigurationError(f"A local HDFS needs Java, which is not {home or 'on the path'}; {JAVA_HINT}.")
    return java


def jars_are_there() -> bool:
    """Tell whether an earlier :func:`fetch_jars` left them in the cache."""
    return _place().is_dir()


def fetch_jars() -> Path:
    """Return the directory that holds the jars; the first call fetches them (67 MB, under a minute), others find them.

    They are kept under ``$XDG_CACHE_HOME/flumebeam`` (``~/.cache/flumebeam``); Maven's own repository is not touched.

    Raises:
        ConfigurationError: They are not there yet and Maven is missing, or cannot fetch them.
    """
    place = _place()
    if place.is_dir():
        return place
    maven = shutil.which("mvn")
    if maven is None:
        raise ConfigurationError(f"A local HDFS needs Maven once, to fetch Hadoop {HADOOP_VERSION}; {MAVEN_HINT}.")
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix="fetch-") as scratch:
        Path(scratch, "pom.xml").write_text(_pom(), encoding="utf-8")
        command = [maven, "-q", "-B", "-ntp", f"-Dmaven.repo.local={scratch}/repository"]
        command += ["dependency:copy-dependencies", f"-DoutputDirectory={scratch}/lib"]
        try:
            done = subprocess.run(  # noqa: S603 - a fixed command
                command, cwd=scratch, capture_output=True, text=True, timeout=_FETCH_SECS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise ConfigurationError(
                f"Maven did not fetch Hadoop in {_FETCH_SECS} s; is Maven Central reachable?"
            ) from error
        if done.returncode:
            reason = next((line for line in done.stdout.splitlines() if "ERROR" in line), f"status {done.returncode}")
            raise ConfigurationError(f"Maven could not fetch Hadoop {HADOOP_VERSION}: {reason[:300]}")
        try:
            # Whole or not at all, and the first of several who fetch at once wins.
            Path(scratch, "lib").rename(place)
        except OSError:
            if not place.is_dir():
                raise
    return place


def _place() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache, "flumebeam", _FOLDER, "lib")


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
