from __future__ import annotations

from pathlib import Path

import pytest

from flumebeam.errors import ConfigurationError
from flumebeam.hdfs.hadoop_jars import HADOOP_VERSION, fetch_jars, jars_are_there


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with an empty cache and nothing on its path but what a test puts into ``bin``."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return tmp_path


def program(directory: Path, name: str, script: str) -> Path:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_jars_are_fetched_once_into_the_cache(machine: Path) -> None:
    program(
        machine / "bin",
        "mvn",
        f'echo run >> {machine}/runs; grep -q "<artifactId>hadoop-hdfs-client<" pom.xml || exit 1\n'
        'for word in "$@"; do\n'
        'case $word in -DoutputDirectory=*) mkdir -p "${word#*=}"; touch "${word#*=}/a.jar";; esac\ndone',
    )
    assert not jars_are_there()

    place = fetch_jars()

    assert place == machine / "cache" / "flumebeam" / f"hadoop-{HADOOP_VERSION}-httpfs" / "lib"
    assert [path.name for path in place.iterdir()] == ["a.jar"]
    assert [path.name for path in place.parent.iterdir()] == ["lib"]
    assert jars_are_there()
    assert fetch_jars() == place
    assert (machine / "runs").read_text() == "run\n"


def test_a_fetch_that_fails_says_why_and_leaves_nothing(machine: Path) -> None:
    program(machine / "bin", "mvn", "echo '[ERROR] Unknown host repo.maven.apache.org'; exit 1")

    with pytest.raises(ConfigurationError, match=r"could not fetch Hadoop .*: \[ERROR\] Unknown host repo\.maven"):
        fetch_jars()

    assert not jars_are_there()
    assert list(machine.glob("cache/flumebeam/*/*")) == []


def test_without_maven_it_is_told_how_to_get_it(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(machine / "bin"))

    with pytest.raises(ConfigurationError, match=r"Maven is needed once, to fetch Hadoop .*apt-get install maven"):
        fetch_jars()
