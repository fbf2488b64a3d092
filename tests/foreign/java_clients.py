"""The vendor's Java clients, fetched once, and programs for them, compiled once a test session."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

from flumebeam.downloads import cache_directory, fetch_by_maven, fetch_once, find_java
from tests.java import compile_java

__all__ = ["JavaPrograms"]

_VERSION: Final = "10.29.0"
_ARROW_VERSION: Final = "18.3.0"
_ARTIFACTS: Final = (
    ("com.solacesystems", "sol-jcsmp", _VERSION),
    ("com.solacesystems", "sol-jms", _VERSION),
    ("org.apache.arrow", "arrow-vector", _ARROW_VERSION),
    ("org.apache.arrow", "arrow-memory-unsafe", _ARROW_VERSION),
)
_OPENED: Final = "--add-opens=java.base/java.nio=ALL-UNNAMED"  # for Arrow
_SOURCES: Final = Path(__file__).with_name("programs")


class JavaPrograms:
    """The programs beside this module, compiled.

    Args:
        classes: An empty directory for what the compiler makes.

    Raises:
        ConfigurationError: Java is missing, or Maven cannot fetch the clients.
        RuntimeError: A program does not compile.
    """

    def __init__(self, classes: Path) -> None:
        self._java = find_java("A Java client")
        jars = fetch_once(cache_directory() / f"solace-java-{_VERSION}-arrow-{_ARROW_VERSION}", _fetch)
        found = sorted(jars.glob("*.jar"))
        self._classpath = os.pathsep.join([str(classes), *map(str, found)])
        compile_java(sorted(_SOURCES.glob("*.java")), classes, found)

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program to its end and return what it printed."""
        return subprocess.run(
            [self._java, "-Xmx256m", _OPENED, "-cp", self._classpath, program, *arguments],
            check=False,
            capture_output=True,
            text=True,
            timeout=150,
        )


def _fetch(scratch: Path) -> Path:
    dependencies = "".join(
        f"<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>"
        for group, name, version in _ARTIFACTS
    )
    pom = (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>flumebeam</groupId><artifactId>java-clients</artifactId><version>1</version><packaging>pom</packaging>"
        f"<dependencies>{dependencies}</dependencies></project>"
    )
    goals = ["dependency:copy-dependencies", f"-DoutputDirectory={scratch}/lib"]
    fetch_by_maven(f"the Java clients {_VERSION}", pom, goals, scratch)
    return scratch / "lib"
