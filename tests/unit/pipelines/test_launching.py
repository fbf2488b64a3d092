from __future__ import annotations

import json
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from flumebeam.errors import ConfigurationError
from flumebeam.pipelines import launching
from flumebeam.pipelines.launching import prepare

FLINK = "--runner=FlinkRunner"


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with nothing in its caches, and the program of workers on the path."""
    worker = tmp_path / "flumebeam-worker"
    monkeypatch.setattr(launching, "worker_command", lambda: worker)
    monkeypatch.setattr("flumebeam.transforms.beam_compat.PrismJobServer.BIN_CACHE", str(tmp_path / "beam"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def prepared(*flags: str) -> dict[str, object]:
    options = PipelineOptions(list(flags))
    prepare("drain_to_hdfs", options)
    found: dict[str, object] = options.get_all_options()
    assert options.view_as(StandardOptions).runner is not None
    return found


def test_a_job_gets_a_name_of_its_own_unless_it_has_one() -> None:
    first, second = prepared("--runner=FnApiRunner"), prepared("--runner=FnApiRunner")

    assert str(first["job_name"]).startswith("drain-to-hdfs-")
    assert first["job_name"] != second["job_name"]
    assert prepared("--runner=FnApiRunner", "--job_name=mine")["job_name"] == "mine"


@pytest.mark.parametrize(
    "cluster",
    [
        [FLINK, "--flink_master=localhost:8081"],
        [FLINK, "--flink_master=http://127.0.0.1:8081"],
        ["--runner=SparkRunner", "--spark_master_url=spark://127.0.0.1:7077"],
    ],
)
def test_on_a_cluster_of_this_machine_workers_are_processes_of_this_installation(
    cluster: list[str], machine: Path
) -> None:
    found = prepared(*cluster)

    assert found["environment_type"] == "PROCESS"
    assert json.loads(str(found["environment_config"])) == {"command": str(machine / "flumebeam-worker")}


@pytest.mark.parametrize(
    "cluster",
    [
        [FLINK, "--flink_master=jobmanager:8081"],
        ["--runner=SparkRunner", "--spark_master_url=spark://10.0.0.7:7077"],
    ],
)
def test_how_workers_start_elsewhere_must_be_said(cluster: list[str]) -> None:
    with pytest.raises(ConfigurationError, match=r"Say how workers start on .*PROCESS.*EXTERNAL.*DOCKER"):
        prepared(*cluster)

    assert prepared(*cluster, "--environment_type=EXTERNAL")["environment_config"] == "localhost:50000"
    assert prepared(*cluster, "--environment_type=DOCKER")["environment_config"] is None
    given = prepared(*cluster, "--environment_type=EXTERNAL", "--environment_config=pool:1")
    assert given["environment_config"] == "pool:1"


@pytest.mark.parametrize(
    "local", [[FLINK], ["--runner=SparkRunner"], ["--runner=SparkRunner", "--spark_master_url=local"]]
)
def test_in_a_job_server_of_our_own_nothing_needs_to_be_said(local: list[str]) -> None:
    assert prepared(*local)["environment_type"] is None


def test_prism_is_found_where_it_was_installed(machine: Path) -> None:
    with pytest.raises(ConfigurationError, match="flumebeam prism install"):
        prepared("--runner=PrismRunner")
    assert prepared("--runner=DirectRunner")["prism_location"] is None

    program = launching.artifacts.prism_place()
    program.parent.mkdir(parents=True)
    program.touch()

    for runner in ("PrismRunner", "DirectRunner"):
        assert prepared(f"--runner={runner}")["prism_location"] == str(program)
    assert prepared("--runner=PrismRunner", "--prism_location=/mine")["prism_location"] == "/mine"
