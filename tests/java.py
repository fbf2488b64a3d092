"""Java programs of tests and benchmarks, compiled by a Java that has no compiler of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from flumebeam.downloads import cache_directory, fetch_by_maven, fetch_once, find_java

__all__ = ["compile_java"]

_VERSION: Final = "3.33.0"
_MAIN: Final = "org.eclipse.jdt.internal.compiler.batch.Main"


def compile_java(sources: Iterable[Path], classes: Path, jars: Iterable[Path]) -> None:
    """Compile programs with Eclipse's compiler, which Maven fetches once.

    Args:
        sources: The programs.
        classes: Directory for what the compiler makes.
        jars: Libraries that they use.

    Raises:
        ConfigurationError: Java is missing, or Maven cannot fetch the compiler.
        RuntimeError: A program does not compile.
    """
    compiler = fetch_once(cache_directory() / f"ecj-{_VERSION}", _fetch)
    options = ["-17", "-nowarn", "-proc:none", "-d", str(classes), "-cp", os.pathsep.join(map(str, jars))]
    command = [find_java("A Java program"), "-cp", f"{compiler}/*", _MAIN, *options, *map(str, sources)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=150)
    if done.returncode:
        raise RuntimeError(f"Java programs of the tests cannot be compiled: {done.stderr}")


def _fetch(scratch: Path) -> Path:
    pom = (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>flumebeam</groupId><artifactId>java-compiler</artifactId><version>1</version>"
        "<packaging>pom</packaging><dependencies><dependency><groupId>org.eclipse.jdt</groupId><artifactId>ecj</artifactId>"
        f"<version>{_VERSION}</version></dependency></dependencies></project>"
    )
    goals = ["dependency:copy-dependencies", f"-DoutputDirectory={scratch}/lib"]
    fetch_by_maven(f"Eclipse's compiler {_VERSION}", pom, goals, scratch)
    return scratch / "lib"
