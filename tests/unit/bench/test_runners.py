from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.chain import ChainRun
from tests.bench.endurance import growth_of
from tests.bench.latencies import read_lines, stamped
from tests.bench.procfs import family, own_usage
from tests.bench.runners import Runners
from tests.bench.scaling import Scaling


def test_what_a_runner_costs_is_what_driver_and_runner_use_more_than_in_process() -> None:
    def run(driver: float, runner: float) -> ChainRun:
        return ChainRun(1_000_000, 10.0, {"driver": driver, "runner": runner, "broker": 30.0}, {})

    found = Runners(200, 1_000, {"fn_api": [run(80.0, 0.0)], "flink": [run(90.0, 25.0)]}, {})

    assert found.cost("flink") == pytest.approx(35.0)
    assert found.cost("fn_api") == 0.0
    assert found.drain_rate("flink").median == 100_000


def test_drains_at_once_are_told_apart_from_their_broker() -> None:
    run = ChainRun(2_000_000, 10.0, {"q0": 60.0, "q1": 80.0, "broker": 40.0}, {})

    assert Scaling(200, {(False, 2): run}).cpu(False, 2) == pytest.approx((70.0, 20.0))


def test_growth_is_the_slope_behind_the_warming_up() -> None:
    warming = [(0.0, 10.0), (10.0, 500.0)]
    found = growth_of([*warming, *((float(at), 1_000.0 + 2.0 * at) for at in range(20, 101, 10))])

    assert found is not None
    assert (found.first, found.last) == (1_040.0, 1_200.0)
    assert found.per_second == pytest.approx(2.0)
    assert growth_of([(0.0, 1.0), (1.0, 1.0)]) is None


def test_the_latency_of_a_line_ends_with_the_name_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(stamped(b"one") + b"\n" + stamped(b"two") + b"\n")
    (tmp_path / "part").rename(tmp_path / "file")

    latencies = read_lines([tmp_path / "file"])

    assert len(latencies) == 2
    assert all(0 <= latency < 60_000 for _, latency in latencies)


def test_a_family_is_a_process_with_all_below_it() -> None:
    inner = "print(flush=True); input()"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    with subprocess.Popen([sys.executable, "-c", outer], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        members = family(process.pid)
        process.communicate(b"\n")

    assert [inner.encode() in command for _, command in members] == [True, True]
    assert members[0][0] == process.pid
    assert family(process.pid) == []
    assert own_usage(process.pid) is None
    assert own_usage(os.getpid()) is not None
