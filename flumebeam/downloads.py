"""What is fetched once and kept in the user's cache.

Whole or not at all; the first of several who fetch at once wins.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from flumebeam.errors import ConfigurationError

__all__ = ["JAVA_HINT", "MAVEN_HINT", "cache_directory", "fetch_by_maven", "fetch_once", "find_java", "run_fetcher"]

JAVA_HINT: Final = "install Java 11 or newer, on Debian: apt-get install openjdk-17-jre-headless"
MAVEN_HINT: Final = "install Maven, on Debian: apt-get install maven"
_FETCH_SECS: Final = 900


def cache_directory() -> Path:
    """Return where everything is kept: ``$XDG_CACHE_HOME/flumebeam``, by default ``~/.cache/flumebeam``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "flumebeam")


def find_java(whose: str) -> str:
    """Return the path of the Java to use: below ``JAVA_HOME``, else on the search path.

    Args:
        whose: What needs it, for the message: ``A local HDFS``.

    Raises:
        ConfigurationError: There is none.
    """
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    if java is None:
        raise ConfigurationError(f"{whose} needs Java, which is not {home or 'on the path'}; {JAVA_HINT}.")
    return java


def fetch_once(place: Path, make: Callable[[Path], Path]) -> Path:
    """Return ``place``, a file or a directory in the cache; the first call has it made.

    Args:
        place: Where it is kept.
        make: Makes it somewhere below the scratch directory that it is given, and returns where.

    Raises:
        Exception: Whatever ``make`` raises; then nothing is kept.
    """
    if place.exists():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix="fetch-") as scratch:
        made = make(Path(scratch))
        try:
            made.rename(place)
        except OSError:
            if not place.exists():
                raise
    return place


def fetch_by_maven(what: str, pom: str, goals: Sequence[str], scratch: Path) -> None:
    """Run Maven in a scratch directory; its own repository is not touched.

    Args:
        what: What is fetched, for messages: ``Hadoop 3.4.2``.
        pom: Text of ``pom.xml``.
        goals: Its arguments.
        scratch: Where it runs.

    Raises:
        ConfigurationError: Maven is missing, or cannot fetch it.
    """
    maven = shutil.which("mvn")
    if maven is None:
        raise ConfigurationError(f"Maven is needed once, to fetch {what}; {MAVEN_HINT}.")
    (scratch / "pom.xml").write_text(pom, encoding="utf-8")
    command = [maven, "-q", "-B", "-ntp", f"-Dmaven.repo.local={scratch}/repository", *goals]
    run_fetcher("Maven", what, command, scratch, "is Maven Central reachable?")


def run_fetcher(tool: str, what: str, command: Sequence[str], scratch: Path, hint: str) -> None:
    """Run a program that fetches something.

    Args:
        tool: Its name, for messages.
        what: What it fetches.
        command: Its command line.
        scratch: Where it runs.
        hint: What to look at if it takes too long.

    Raises:
        ConfigurationError: It failed, or took longer than a quarter of an hour.
    """
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command
            command, cwd=scratch, capture_output=True, text=True, timeout=_FETCH_SECS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigurationError(f"{tool} did not fetch {what} in {_FETCH_SECS} s; {hint}") from error
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        reason = next((line for line in lines if "ERROR" in line), (lines or [f"status {done.returncode}"])[-1])
        raise ConfigurationError(f"{tool} could not fetch {what}: {reason[:300]}")
