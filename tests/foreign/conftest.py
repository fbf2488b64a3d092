from __future__ import annotations

from pathlib import Path

import pytest

from flumebeam.downloads import cache_directory
from flumebeam.errors import ConfigurationError
from flumebeam.testing.requirements import require, unmet
from tests.flume import FLUME_VERSION, fetch_flume
from tests.java import JavaPrograms


@pytest.fixture(scope="session")
def flume(tmp_path_factory: pytest.TempPathFactory) -> JavaPrograms:
    """Flume's own classes, and our programs that ask them."""
    require("java")
    if not (cache_directory() / f"flume-{FLUME_VERSION}").exists():
        require("mvn")
    sources = sorted(Path(__file__).with_name("flume").glob("*.java"))
    options = ["-Xmx256m", "-Duser.language=en"]
    try:
        return JavaPrograms(sources, tmp_path_factory.mktemp("classes"), fetch_flume(), options)
    except ConfigurationError as error:
        unmet(str(error))
