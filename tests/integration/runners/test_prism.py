"""``flumebeam prism install``, and what it makes of a plain Beam program on the DirectRunner."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flumebeam.testing.prism import prism_program

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
