"""Paths and prefixes as Flume's own code makes them: the class that its HDFS sink uses, from Maven Central."""

from __future__ import annotations

import random
from typing import Final

import pytest

from flumebeam.batch import EventBatch
from flumebeam.hdfs.paths import PathOptions, PathTemplate
from tests.java import JavaPrograms

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_ESCAPES: Final = "aAbBcdeDHIjklmMnpsStyYz"
_ZONES: Final = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe")
_LARGEST: Final = {"second": 60, "minute": 60, "hour": 24}


def test_thousands_of_paths_are_those_that_flume_makes(flume: JavaPrograms) -> None:
    chance = random.Random(1)
    cases = [_case(chance) for _ in range(3_000)]
    asked = "".join("\t".join(case) + "\n" for case in cases)
    done = flume.run("BucketPaths", asked=asked)

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
