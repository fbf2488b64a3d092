from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import flumebeam.pipelines
from flumebeam.errors import ConfigurationError
from flumebeam.pipelines import registry


def test_every_pipeline_can_be_loaded_and_says_what_it_does() -> None:
    for name, summary in registry.summaries().items():
        module = registry.load(name)
        assert callable(module.main)
        assert callable(module.build)  # type: ignore[attr-defined]
        assert summary


def test_every_module_with_a_main_is_listed() -> None:
    [directory] = flumebeam.pipelines.__path__
    programs = {path.stem for path in Path(directory).glob("*.py") if "\ndef main(" in path.read_text()}

    assert programs == set(registry.summaries())


def test_an_unknown_pipeline_is_a_users_mistake() -> None:
    with pytest.raises(ConfigurationError, match=r"no pipeline 'os'; there are: ingest, drain_to_hdfs"):
        registry.load("os")


def test_a_list_of_pipelines_does_not_wait_for_beam() -> None:
    program = "import sys; from flumebeam.pipelines import registry; sys.exit('apache_beam' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
