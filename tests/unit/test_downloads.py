from __future__ import annotations

from pathlib import Path

import pytest

from flumebeam.downloads import fetch_once, find_java
from flumebeam.errors import ConfigurationError


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


def test_java_is_looked_for_in_its_home_then_on_the_path(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(machine / "bin"))
    with pytest.raises(ConfigurationError, match="A test needs Java, which is not on the path; install Java"):
        find_java("A test")

    on_path = program(machine / "bin", "java", "")
    assert find_java("A test") == str(on_path)

    home = machine / "jdk"
    monkeypatch.setenv("JAVA_HOME", str(home))
    with pytest.raises(ConfigurationError, match=str(home)):
        find_java("A test")

    (home / "bin").mkdir(parents=True)
    at_home = program(home / "bin", "java", "")
    assert find_java("A test") == str(at_home)


def test_what_cannot_be_made_leaves_nothing_behind(machine: Path) -> None:
    def make(scratch: Path) -> Path:
        (scratch / "half").touch()
        raise ConfigurationError("no network")

    with pytest.raises(ConfigurationError, match="no network"):
        fetch_once(machine / "cache" / "thing", make)

    assert list((machine / "cache").iterdir()) == []


def test_of_two_who_fetch_at_once_the_first_wins(machine: Path) -> None:
    place = machine / "cache" / "thing"

    def make(scratch: Path) -> Path:
        (place / "first").mkdir(parents=True)
        (scratch / "made").mkdir()
        return scratch / "made"

    assert fetch_once(place, make) == place
    assert [path.name for path in place.iterdir()] == ["first"]
