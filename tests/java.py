"""Java programs of tests and benchmarks: libraries from Maven Central, compiled here, run in a JVM of their own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from flumebeam.downloads import cache_directory, fetch_by_maven, fetch_once, find_java

__all__ = ["Artifact", "JavaPrograms", "compile_java", "fetch_jars"]

Artifact: TypeAlias = tuple[str, str, str]
"""Group, name and version in Maven Central."""

_COMPILER: Final[Artifact] = ("org.eclipse.jdt", "ecj", "3.33.0")
_COMPILER_MAIN: Final = "org.eclipse.jdt.internal.compiler.batch.Main"
_ALONE: Final = "<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>"
_RUN_SECS: Final = 400.0


class JavaPrograms:
    """Programs that were compiled, and what they need to run.

    Args:
        sources: The programs, each a class of the name of its file.
        classes: An existing directory for what the compiler makes.
        jars: A directory of libraries.
        options: Options of their JVMs.

    Raises:
        ConfigurationError: Java is missing, or Maven cannot fetch the compiler.
        RuntimeError: A program does not compile.
    """

    def __init__(self, sources: Iterable[Path], classes: Path, jars: Path, options: Sequence[str] = ()) -> None:
        found = sorted(jars.glob("*.jar"))
        compile_java(sources, classes, found)
        classpath = os.pathsep.join([str(classes), *map(str, found)])
        self._command = [find_java("A Java program"), "-XX:TieredStopAtLevel=1", *options, "-cp", classpath]

    def run(self, program: str, *arguments: str, asked: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program to its end and return what it printed.

        Args:
            program: Its class.
            *arguments: Its arguments.
            asked: Its standard input.
        """
        return subprocess.run(
            [*self._command, program, *arguments],
            input=asked,
            check=False,
            capture_output=True,
            text=True,
            timeout=_RUN_SECS,
        )


def fetch_jars(
    what: str, place: Path, artifacts: Iterable[Artifact], *, alone: bool = False, managed: Sequence[Artifact] = ()
) -> Path:
    """Return a directory of jars; the first call has Maven fetch them.

    Args:
        what: What they are, for messages.
        place: The directory, in the cache.
        artifacts: The jars.
        alone: Whether to leave out what they depend on.
        managed: Lists of versions that these dependencies have to keep to.

    Raises:
        ConfigurationError: They are not there yet, and Maven is missing or cannot fetch them.
    """

    def fetch(scratch: Path) -> Path:
        goals = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={scratch}/lib"]
        fetch_by_maven(what, _pom(artifacts, managed, _ALONE if alone else ""), goals, scratch)
        return scratch / "lib"

    return fetch_once(place, fetch)


def compile_java(sources: Iterable[Path], classes: Path, jars: Iterable[Path]) -> None:
    """Compile programs with Eclipse's compiler, for a Java that has none of its own.

    Args:
        sources: The programs.
        classes: Directory for what the compiler makes.
        jars: Libraries that they use.

    Raises:
        ConfigurationError: Java is missing, or Maven cannot fetch the compiler.
        RuntimeError: A program does not compile.
    """
    version = _COMPILER[2]
    compiler = fetch_jars(f"Eclipse's compiler {version}", cache_directory() / f"ecj-{version}", [_COMPILER])
    options = ["-17", "-nowarn", "-proc:none", "-d", str(classes), "-cp", os.pathsep.join(map(str, jars))]
    command = [find_java("A Java program"), "-cp", f"{compiler}/*", _COMPILER_MAIN, *options, *map(str, sources)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_RUN_SECS)
    if done.returncode:
        raise RuntimeError(f"Java programs of the tests cannot be compiled: {done.stderr}")


def _pom(artifacts: Iterable[Artifact], managed: Iterable[Artifact], exclusions: str) -> str:
    def dependency(artifact: Artifact, more: str) -> str:
        group, name, version = artifact
        return (
            f"<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version>{more}"
            "</dependency>"
        )

    versions = "".join(dependency(artifact, "<type>pom</type><scope>import</scope>") for artifact in managed)
    jars = "".join(dependency(artifact, exclusions) for artifact in artifacts)
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>flumebeam</groupId><artifactId>jars</artifactId><version>1</version><packaging>pom</packaging>"
        f"<dependencyManagement><dependencies>{versions}</dependencies></dependencyManagement>"
        f"<dependencies>{jars}</dependencies></project>"
    )
