from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from flumebeam.pipelines.jobs import Job, interrupt, known_jobs, noted

_MINE = Job(name="a-1", pipeline="a", runner="FnApiRunner", flink="", pid=os.getpid(), started_ms=1)


@pytest.fixture(autouse=True)
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "flumebeam" / "jobs"


@pytest.fixture
def driver() -> subprocess.Popen[bytes]:
    """A process that looks like a driver and ends on Ctrl-C."""
    program = "import signal, sys; sys.stdout.write('x'); sys.stdout.flush(); signal.pause()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "flumebeam"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        process.stdout.read(1)
        yield process
        process.kill()


def test_a_job_is_known_while_its_driver_runs(driver: subprocess.Popen[bytes]) -> None:
    job = replace(_MINE, pid=driver.pid)
    with noted(job):
        assert known_jobs() == [job]

    assert known_jobs() == []


def test_a_job_whose_driver_was_killed_is_forgotten(driver: subprocess.Popen[bytes], state: Path) -> None:
    with noted(replace(_MINE, pid=driver.pid)) as goes_on:
        goes_on()
    driver.kill()
    driver.wait()

    assert known_jobs() == []
    assert list(state.iterdir()) == []


def test_a_job_on_a_cluster_that_does_not_answer_is_not_forgotten(driver: subprocess.Popen[bytes]) -> None:
    job = replace(_MINE, pid=driver.pid, flink="127.0.0.1:1")
    with noted(job) as goes_on:
        goes_on()
    driver.kill()
    driver.wait()

    assert known_jobs() == [job]


def test_a_detached_job_is_kept_with_the_id_that_its_cluster_gave_it(driver: subprocess.Popen[bytes]) -> None:
    job = replace(_MINE, pid=driver.pid, flink="127.0.0.1:1")
    with noted(job) as goes_on:
        goes_on("0123abcd")

    assert known_jobs() == [replace(job, flink_id="0123abcd")]
    assert [known.asked_for for known in known_jobs()] == ["0123abcd"]
    assert job.asked_for == "a-1"


def test_a_number_that_another_program_has_got_meanwhile_is_no_driver() -> None:
    process = subprocess.Popen(["sleep", "60"])
    try:
        with noted(replace(_MINE, pid=process.pid)):
            assert known_jobs() == []
    finally:
        process.kill()
        process.wait()


def test_a_driver_is_asked_to_stop_as_by_ctrl_c(driver: subprocess.Popen[bytes]) -> None:
    assert interrupt(replace(_MINE, pid=driver.pid), 30)
