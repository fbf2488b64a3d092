"""``flumebeam prism install``, and what it makes of a plain Beam program on the DirectRunner."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from flumebeam.testing.prism import prism_program
from flumebeam.testing.requirements import require

_NO_PROXY = "http://127.0.0.1:1"
_PROGRAM = """\
import logging
import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
logging.getLogger().setLevel(logging.INFO)
with beam.Pipeline(options=PipelineOptions(["--runner=DirectRunner"])) as pipeline:
    pipeline | beam.Create([1])
"""


@pytest.mark.timeout(1200)  # the first one may have to build Prism
def test_after_an_install_the_direct_runner_is_prism(tmp_path: Path) -> None:
    cache = prism_program().parents[2]
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(cache)}

    for arguments in (["-m", "flumebeam", "prism", "install"], ["-c", _PROGRAM]):
        run = subprocess.run(
            [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert run.returncode == 0, run.stderr

    assert "PrismRunner:pipeline done!" in run.stderr


def install(empty: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Install Prism into caches that are empty: flumebeam's, Beam's, and Go's own."""
    home = {"HOME": str(empty), "XDG_CACHE_HOME": f"{empty}/cache"}
    gos = {"GOPATH": f"{empty}/go", "GOCACHE": f"{empty}/go-build"}
    return subprocess.run(
        [sys.executable, "-m", "flumebeam", "prism", "install"],
        env={**os.environ, **home, **gos, **environment},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


@pytest.mark.parametrize("without", ["Go", "network"])
def test_without_go_or_a_network_one_sentence_says_what_to_do(tmp_path: Path, without: str) -> None:
    if without == "network":
        require("go")
    run = install(tmp_path, **({"PATH": "/nowhere"} if without == "Go" else {"GOPROXY": _NO_PROXY}))

    assert run.returncode == 2
    said = [line for line in run.stderr.splitlines() if line.startswith("flumebeam:")]
    assert len(said) == 1
    assert said[0].endswith("build it on another machine and name it with --prism_location.")
    assert ("Go is needed once" if without == "Go" else f"Go could not fetch Prism {version('apache-beam')}") in said[0]
    assert "Traceback" not in run.stderr
    assert not list(tmp_path.rglob("prism"))


@pytest.mark.cluster
@pytest.mark.timeout(1200)
def test_a_machine_with_empty_caches_builds_prism_from_the_module_proxy(tmp_path: Path) -> None:
    require("go")
    run = install(tmp_path, GOFLAGS="-modcacherw")

    assert run.returncode == 0, run.stderr
    [program] = (tmp_path / "cache").rglob("prism")
    assert os.access(program, os.X_OK)
