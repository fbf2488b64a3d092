"""The vendor's Java clients, fetched once, and programs for them, compiled once a test session."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from flumebeam.downloads import cache_directory
from tests.java import Artifact, JavaPrograms, fetch_jars

__all__ = ["java_clients"]

_VERSION: Final = "10.29.0"
_ARROW_VERSION: Final = "18.3.0"
_ARTIFACTS: Final[tuple[Artifact, ...]] = (
    ("com.solacesystems", "sol-jcsmp", _VERSION),
    ("com.solacesystems", "sol-jms", _VERSION),
    ("org.apache.arrow", "arrow-vector", _ARROW_VERSION),
    ("org.apache.arrow", "arrow-memory-unsafe", _ARROW_VERSION),
)
_OPENED: Final = "--add-opens=java.base/java.nio=ALL-UNNAMED"  # for Arrow


def java_clients(classes: Path) -> JavaPrograms:
    """Return the programs of the directory ``programs``, compiled.

    Args:
        classes: An empty directory for what the compiler makes.

    Raises:
        ConfigurationError: Java is missing, or Maven cannot fetch the clients.
        RuntimeError: A program does not compile.
    """
    place = cache_directory() / f"solace-java-{_VERSION}-arrow-{_ARROW_VERSION}"
    jars = fetch_jars(f"the Java clients {_VERSION}", place, _ARTIFACTS)
    sources = sorted(Path(__file__).with_name("programs").glob("*.java"))
    return JavaPrograms(sources, classes, jars, ["-Xmx256m", _OPENED])
