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


def test_a_pipeline_runs_by_name() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "flumebeam.pipelines", "ingest", "--nonsense=1"],
        check=False,
        capture_output=True,
        text=True,
    )

    assert (ended.returncode, ended.stderr) == (
        2,
        "flumebeam ingest: There is no option --nonsense; --help lists the options.\n",
    )


def test_an_unknown_name_is_one_line() -> None:
    ended = subprocess.run([sys.executable, "-m", "flumebeam.pipelines"], check=False, capture_output=True, text=True)

    assert ended.returncode == 2
    assert ended.stderr.startswith("flumebeam: There is no pipeline ''; there are: ingest,")


def test_ctrl_c_while_beam_is_imported_is_no_traceback() -> None:
    program = (
        "import os, runpy, signal, sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'apache_beam.coders':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "sys.argv[1:] = ['ingest']\n"
        "runpy.run_module('flumebeam.pipelines', run_name='__main__')\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)

    assert (ended.returncode, ended.stderr) == (130, "")
