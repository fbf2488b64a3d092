"""Paths and prefixes as Flume's own code makes them: the class that its HDFS sink uses, from Maven Central."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path
from typing import Final

import pytest

from flumebeam.batch import EventBatch
from flumebeam.downloads import cache_directory, fetch_by_maven, fetch_once, find_java
from flumebeam.errors import ConfigurationError
from flumebeam.hdfs.paths import PathOptions, PathTemplate
from flumebeam.testing.requirements import require, unmet
from tests.java import compile_java

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_VERSION: Final = "1.11.0"
_ARTIFACTS: Final = (
    ("org.apache.flume", "flume-ng-core", _VERSION),
    ("com.google.guava", "guava", "11.0.2"),
    ("org.slf4j", "slf4j-api", "1.7.32"),
)
_ESCAPES: Final = "aAbBcdeDHIjklmMnpsStyYz"
_ZONES: Final = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe")
_LARGEST: Final = {"second": 60, "minute": 60, "hour": 24}


@pytest.fixture(scope="module")
def classpath(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Flume's class and our program that asks it."""
    require("java")
    place = cache_directory() / f"flume-paths-{_VERSION}"
    if not place.exists():
        require("mvn")
    classes = tmp_path_factory.mktemp("classes")
    try:
        jars = sorted(fetch_once(place, _fetch).glob("*.jar"))
        compile_java([Path(__file__).with_name("flume") / "BucketPaths.java"], classes, jars)
    except ConfigurationError as error:
        unmet(str(error))
    return os.pathsep.join([str(classes), *map(str, jars)])


def test_thousands_of_paths_are_those_that_flume_makes(classpath: str) -> None:
    chance = random.Random(1)
    cases = [_case(chance) for _ in range(3_000)]

    asked = "".join("\t".join(case) + "\n" for case in cases)
    command = [find_java("Flume"), "-Xmx128m", "-XX:TieredStopAtLevel=1", "-Duser.language=en", "-cp", classpath]
    done = subprocess.run(
        [*command, "BucketPaths"], input=asked, capture_output=True, text=True, check=False, timeout=120
    )

    assert done.returncode == 0, done.stderr
    # HDFS refuses a colon, which %c has; ours stands for it as Hive writes it.
    flumes = [path.replace(":", "%3A") for path in done.stdout.splitlines()]
    assert [_ours(case) for case in cases] == flumes


def _case(chance: random.Random) -> tuple[str, str, str, str, str]:
    """Return a template, a time, a zone, and how it is rounded."""
    names = []
    for _ in range(chance.randint(1, 3)):
        escapes = (f"%{chance.choice(_ESCAPES)}{chance.choice('-_.')}" for _ in range(chance.randint(1, 3)))
        names.append(f"x{''.join(escapes)}%{{host}}")
    unit = chance.choice(["", "second", "minute", "hour"])
    value = chance.randint(1, _LARGEST.get(unit, 1))
    return "/".join(names), str(chance.randrange(4_000_000_000_000)), chance.choice(_ZONES), unit, str(value)


def _ours(case: tuple[str, str, str, str, str]) -> str:
    template, timestamp, zone, unit, value = case
    options = PathOptions(time_zone=zone, round_unit=unit or None, round_value=int(value))
    batch = EventBatch.from_bodies([b"x"], {"timestamp": timestamp, "host": "web1"})
    [path] = PathTemplate(template, options).expand(batch, 0).paths
    return path


def _fetch(scratch: Path) -> Path:
    only_itself = "<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>"
    dependencies = "".join(
        f"<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version>"
        f"{only_itself}</dependency>"
        for group, name, version in _ARTIFACTS
    )
    pom = (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>flumebeam</groupId><artifactId>flume-paths</artifactId><version>1</version><packaging>pom</packaging>"
        f"<dependencies>{dependencies}</dependencies></project>"
    )
    goals = ["dependency:copy-dependencies", f"-DoutputDirectory={scratch}/lib"]
    fetch_by_maven(f"Flume's paths {_VERSION}", pom, goals, scratch)
    return scratch / "lib"
